//! The product's own data planes, between whatever ends a measurement needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow, bail};
use transload::clock::SystemClock;
use transload::cpu::Cpu;
use transload::files::Files;
use transload::log::fold::Fold;
use transload::log::layout::{self, AttemptFolder};
use transload::log::lease::Leases;
use transload::log::planned::bitmap_digest;
use transload::log::seal::{DataKey, Role, Sealed, Sealer};
use transload::log::sink::Sink;
use transload::log::store::Log;
use transload::log::table::{DigestTable, record_fold};
use transload::model::commit::{Commit, DiskCommit, FORMAT, Layer, Mode, PointRef, Sha};
use transload::model::{Attempt, CycleNumber, DiskId, DiskSize, Epoch, Fault, SectorBitmap, VmId, VmRef};
use transload::pipeline::copy::{self, BaseTable, CopyJob, Progress, copy_disk};
use transload::pipeline::limits::{Copies, CopyLimits};
use transload::random::Random;
use transload::receiver::ahead::Ahead;
use transload::receiver::apply::apply;
use transload::receiver::prepare::{Places, Trouble, prepare};

use crate::clock::{Cost, Watch};
use crate::ends::{Cut, Disk};

const MIB: u64 = 1 << 20;

pub fn plain(fault: Fault) -> anyhow::Error {
    anyhow!("{fault}")
}

pub fn vm() -> VmId {
    VmId::from("bench")
}

/// What the agent allows a disk that is copied alone, if its configuration says nothing else.
pub fn usual_limits() -> CopyLimits {
    let usual = transload::config::Replication::default();
    CopyLimits::within(usual.in_flight.0, usual.segment.0, i32::from(usual.compression_level))
}

/// A store with a key of its own.
pub fn open_log(sink: Arc<dyn Sink>) -> Log {
    let random = Random::from_system();
    let sealer = Arc::new(Sealer::new(&DataKey::random(&mut random.fork()), [1; 16], [2; 16]));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    Log::new(sink, sealer, random, Cpu::threads(threads))
}

/// Bytes that a sink takes; what is in them does not matter.
pub fn sealed(bytes: &[u8]) -> Sealed {
    let mut random = Random::from_seed(1).fork();
    Sealer::new(&DataKey::random(&mut random), [1; 16], [2; 16]).seal_object(Role::Page, "somewhere", bytes, &mut random)
}

/// One disk in one cycle.
pub struct DiskCycle {
    pub disk: DiskId,
    pub size: DiskSize,
    pub cycle: CycleNumber,
    pub mode: Mode,
    pub planned: Arc<SectorBitmap>,
    pub base: Option<BaseTable>,
}

impl DiskCycle {
    pub fn first(size: DiskSize) -> DiskCycle {
        DiskCycle {
            disk: "disk-1".into(),
            size,
            cycle: CycleNumber(1),
            mode: Mode::Initial,
            planned: Arc::new(SectorBitmap::whole(size)),
            base: None,
        }
    }

    fn committed(&self, layer: Layer) -> DiskCommit {
        DiskCommit {
            disk: self.disk.clone(),
            label: String::new(),
            fingerprint: "f".to_owned(),
            size: self.size,
            mode: self.mode,
            layers: vec![layer],
            marker: None,
        }
    }
}

/// A copied disk, and what that cost.
pub struct Copied {
    pub entry: DiskCommit,
    pub cost: Cost,
    /// Plaintext that travelled, and sealed bytes in the store.
    pub sent: u64,
    pub stored: u64,
}

/// Gateway: plans and copies as a cycle does.
pub async fn copy(log: &Log, source: impl Cut, cycle: DiskCycle, copies: &Copies) -> Result<Copied> {
    copy_watched(log, source, cycle, copies, &Progress::default()).await
}

/// The same, and somebody looks at how far it is.
pub async fn copy_watched(log: &Log, source: impl Cut, mut cycle: DiskCycle, copies: &Copies, progress: &Progress) -> Result<Copied> {
    let watch = Watch::start();
    let folder = AttemptFolder::new(&vm(), cycle.cycle, Attempt::FIRST, &cycle.disk);
    let planned_parts = log.create_planned(&folder, &cycle.planned).await.map_err(plain)?;
    let job = CopyJob {
        vm: vm(),
        cycle: cycle.cycle,
        attempt: Attempt::FIRST,
        disk: cycle.disk.clone(),
        size: cycle.size,
        token: "token".into(),
        planned_digest: Sha(bitmap_digest(&cycle.planned)),
        planned: cycle.planned.clone(),
        planned_parts,
        base: cycle.base.take(),
    };
    let copied = copy_disk(&job, &Disk(source), log, &copies.enter(), progress).await.map_err(plain)?;
    let copy::Copied::Whole(layer) = copied else { bail!("nobody told this copy to end") };
    let cost = watch.stop();
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Copied { entry: cycle.committed(layer), cost, sent: value(&progress.sent), stored: value(&progress.stored) })
}

/// Makes a point of what was copied.
pub async fn commit(log: &Log, entry: &DiskCommit, cycle: CycleNumber, base: Option<PointRef>) -> Result<(Commit, PointRef)> {
    let commit = Commit {
        format: FORMAT,
        vm: vm(),
        identity: VmRef { id: "bench".to_owned(), fingerprint: "f".to_owned() },
        source: "bench".to_owned(),
        name: "bench".to_owned(),
        cycle,
        epoch: Epoch(1),
        base,
        previous: base,
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        quiesced: true,
        last: false,
        definition: serde_json::Value::Null,
        disks: vec![entry.clone()],
    };
    let bytes = commit.encode();
    log.create(Role::Commit, &layout::commit(&vm(), cycle), &bytes).await.map_err(plain)?;
    Ok((commit, PointRef { cycle, hash: Sha::of(&bytes) }))
}

/// Receiver: verifies a commit and applies it.
pub async fn receive(log: &Log, places: &Places, commit: &Commit, point: PointRef) -> Result<Cost> {
    let watch = Watch::start();
    let leases = Leases::new(log.clone(), Arc::new(SystemClock::new()));
    let filled = prepare(log, &leases, places, commit, &Ahead::default()).await.map_err(|trouble| match trouble {
        Trouble::Refused(rejection) => anyhow!("refused: {}", rejection.message),
        Trouble::Passing(fault) => plain(fault),
    })?;
    apply(log, places, commit, point, &filled).await.map_err(plain)?;
    Ok(watch.stop())
}

/// The gateway's table of a point, made out of what was copied.
pub async fn table_of(log: &Log, files: &dyn Files, name: &str, copied: &DiskCommit, cycle: CycleNumber) -> Result<BaseTable> {
    let table = DigestTable::create(files, name, copied.size).await.map_err(plain)?;
    let mut fold = Fold::new(Arc::new(log.clone()), log.sealer().clone(), copied.size);
    fold.add_commit(&vm(), cycle, copied);
    record_fold(&table, &mut fold).await.map_err(plain)?;
    Ok(BaseTable { table, size: copied.size })
}

/// Mebibytes.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
