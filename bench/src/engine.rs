//! The product's own data planes between ends in memory.

use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use transload::cpu::Cpu;
use transload::log::layout::{self, AttemptFolder};
use transload::log::planned::bitmap_digest;
use transload::log::seal::{DataKey, Role, Sealer};
use transload::log::store::Log;
use transload::model::commit::{Commit, DiskCommit, FORMAT, Layer, Mode, PointRef, Sha};
use transload::model::{Attempt, CycleNumber, DiskId, DiskSize, Epoch, Fault, SectorBitmap, VmId, VmRef};
use transload::pipeline::copy::{CopyJob, CopyLimits, Progress, copy_disk};
use transload::random::Random;
use transload::receiver::ahead::Ahead;
use transload::receiver::apply::apply;
use transload::receiver::places;
use transload::receiver::prepare::{Places, Trouble, prepare};

use crate::clock::{Cost, Watch};
use crate::ends::{Keep, MemoryFiles, MemorySource, MemoryStore};

const CYCLE: CycleNumber = CycleNumber(1);

/// One copied disk in a store in memory.
pub struct Copied {
    log: Log,
    image: Arc<Vec<u8>>,
    layer: Layer,
    pub stored: u64,
    pub cost: Cost,
}

fn vm() -> VmId {
    VmId::from("bench")
}

fn disk() -> DiskId {
    "disk-1".into()
}

fn plain(fault: Fault) -> anyhow::Error {
    anyhow!("{fault}")
}

/// Gateway: a first copy from memory into a store that keeps, or forgets, its segments.
pub async fn copy(image: Arc<Vec<u8>>, keep: Keep, threads: usize) -> Result<Copied> {
    let random = Random::from_seed(1);
    let sealer = Arc::new(Sealer::new(&DataKey::random(&mut random.fork()), [1; 16], [2; 16]));
    let log = Log::new(Arc::new(MemoryStore::new(keep)), sealer, random, Cpu::threads(threads));
    let size = DiskSize::new(image.len() as u64).map_err(plain)?;
    let planned = SectorBitmap::whole(size);
    let folder = AttemptFolder::new(&vm(), CYCLE, Attempt::FIRST, &disk());
    let planned_parts = log.create_planned(&folder, &planned).await.map_err(plain)?;
    let job = CopyJob {
        vm: vm(),
        cycle: CYCLE,
        attempt: Attempt::FIRST,
        disk: disk(),
        size,
        token: "token".into(),
        planned_digest: Sha(bitmap_digest(&planned)),
        planned: Arc::new(planned),
        planned_parts,
        base: None,
    };
    let (source, progress) = (MemorySource { image: image.clone() }, Progress::default());
    let watch = Watch::start();
    let copied = copy_disk(&job, &source, &log, CopyLimits::default(), &progress).await.map_err(plain)?;
    let cost = watch.stop();
    Ok(Copied { log, image, layer: copied.layer, stored: progress.stored.into_inner(), cost })
}

/// Receiver: verifies and applies what was copied, into replicas in memory, and shows that the bytes are the source's.
pub async fn receive(copied: &Copied) -> Result<Cost> {
    let size = DiskSize::new(copied.image.len() as u64).map_err(plain)?;
    let entry = DiskCommit {
        disk: disk(),
        label: String::new(),
        fingerprint: "f".to_owned(),
        size,
        mode: Mode::Initial,
        layers: vec![copied.layer.clone()],
        marker: None,
    };
    let commit = Commit {
        format: FORMAT,
        vm: vm(),
        identity: VmRef { id: "bench".to_owned(), fingerprint: "f".to_owned() },
        source: "bench".to_owned(),
        name: "bench".to_owned(),
        cycle: CYCLE,
        epoch: Epoch(1),
        base: None,
        previous: None,
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        quiesced: true,
        last: false,
        definition: serde_json::Value::Null,
        disks: vec![entry],
    };
    let bytes = commit.encode();
    copied.log.create(Role::Commit, &layout::commit(&vm(), CYCLE), &bytes).await.map_err(plain)?;
    let point = PointRef { cycle: CYCLE, hash: Sha::of(&bytes) };
    let (replicas, work) = (Arc::new(MemoryFiles::default()), Arc::new(MemoryFiles::default()));
    let places_of = Places { replicas: replicas.clone(), work };
    let watch = Watch::start();
    let filled = prepare(&copied.log, &places_of, &commit, &Ahead::default()).await.map_err(|trouble| match trouble {
        Trouble::Refused(rejection) => anyhow!("refused: {}", rejection.message),
        Trouble::Passing(fault) => plain(fault),
    })?;
    apply(&copied.log, &places_of, &commit, point, &filled).await.map_err(plain)?;
    let cost = watch.stop();
    ensure!(replicas.content(&places::replica(&vm(), &disk())).as_ref() == Some(&*copied.image), "the replica is not the source");
    Ok(cost)
}
