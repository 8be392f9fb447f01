//! Part `delta`: what a change costs. Ends in memory, tables and replicas in real files.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use transload::folder::Folder;
use transload::log::layout::AttemptFolder;
use transload::log::page::{self, Entry, ManifestPage};
use transload::log::seal::Role;
use transload::log::store::Log;
use transload::log::table::DigestTable;
use transload::model::commit::{DiskCommit, Layer, Mode, PointRef, Sha};
use transload::model::{Attempt, CycleNumber, DiskSize, Extent, SectorBitmap};
use transload::pipeline::copy::BaseTable;
use transload::pipeline::limits::Copies;
use transload::receiver::places;
use transload::receiver::prepare::Places;

use crate::Arguments;
use crate::clock::{Cost, Watch, ratio, wall};
use crate::corpus;
use crate::ends::{Keep, MemoryFiles, MemorySource, MemoryStore};
use crate::engine::{self, DiskCycle, plain};
use crate::report::Report;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// How much changes: clusters of 4 MiB, as databases and file systems write, evenly over the disk.
const CLUSTERS: u64 = 64;
const CLUSTER: u64 = 4 * MIB;

pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let sent = arguments.runtime.block_on(over_reported())?;
    report.ratio("sent_vs_changed", sent);
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for round in 0..=arguments.rounds {
        for (size, costs) in [(16 * GIB, &mut small), (TIB, &mut large)] {
            let place = tempfile::tempdir().context("no folder for a replica")?;
            let cost = arguments.runtime.block_on(changed_clusters(DiskSize::new(size).map_err(plain)?, place.path()))?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    report.ratio("delta_16gib_s", wall(&small));
    report.ratio("delta_1tib_s", wall(&large));
    report.ratio("delta_1tib_vs_16gib", ratio(&large, &small, |cost| cost.wall));
    Ok(())
}

/// A tracker that names ten times as much as changed: plaintext that travels, against cells that changed.
async fn over_reported() -> Result<f64> {
    let before = corpus::half(256 << 20).image;
    let size = DiskSize::new(before.len() as u64).map_err(plain)?;
    let mut after = before.clone();
    let mut planned = SectorBitmap::empty(size);
    let mut changed = 0;
    // One cell changes, and the ten from it on are reported.
    for place in (0..size.bytes()).step_by(16 * 64 * 1024) {
        after[place as usize + 1000] ^= 1;
        changed += 64 * 1024;
        planned.insert_widened(Extent::new(place, 10 * 64 * 1024));
    }
    let log = engine::open_log(Arc::new(MemoryStore::new(Keep::Everything)));
    let copies = Copies::new(engine::usual_limits());
    let first = engine::copy(&log, MemorySource::tiled(Arc::new(before)), DiskCycle::first(size), &copies).await?;
    let base = engine::table_of(&log, &MemoryFiles::default(), "table", &first.entry, CycleNumber(1)).await?;
    let delta =
        DiskCycle { cycle: CycleNumber(2), mode: Mode::Delta, planned: Arc::new(planned), base: Some(base), ..DiskCycle::first(size) };
    let copied = engine::copy(&log, MemorySource::tiled(Arc::new(after)), delta, &copies).await?;
    Ok(copied.sent as f64 / f64::from(changed))
}

/// A whole delta, from the plan to the receipt's flush, on a disk that was zeros before.
pub async fn changed_clusters(size: DiskSize, place: &Path) -> Result<Cost> {
    let log = engine::open_log(Arc::new(MemoryStore::new(Keep::SegmentsBelow(place.to_owned()))));
    let places = folders(place)?;
    let entry = zeros(&log, size).await?;
    let (_, base) = engine::commit(&log, &entry, CycleNumber(1), None).await?;
    settle_at(&places, &entry, base).await?;
    let islands = clusters(size);
    let source = MemorySource::islands(Arc::new(corpus::half(CLUSTER as usize).image), size, islands.clone());

    let watch = Watch::start();
    let mut planned = SectorBitmap::empty(size);
    islands.iter().for_each(|island| planned.insert_widened(*island));
    let table = DigestTable::open_at(&*places.work, "gateway", size, base).await.map_err(plain)?.context("the table is at its base")?;
    let base_table = Some(BaseTable { table, size });
    let delta =
        DiskCycle { cycle: CycleNumber(2), mode: Mode::Delta, planned: Arc::new(planned), base: base_table, ..DiskCycle::first(size) };
    let copied = engine::copy(&log, source.clone(), delta, &Copies::new(engine::usual_limits())).await?;
    let (commit, point) = engine::commit(&log, &copied.entry, CycleNumber(2), Some(base)).await?;
    engine::receive(&log, &places, &commit, point).await?;
    let cost = watch.stop();

    let replica = places.replicas.open(&places::replica(&engine::vm(), &entry.disk)).await.map_err(plain)?;
    let (mut held, mut wanted) = (vec![0; CLUSTER as usize], vec![0; CLUSTER as usize]);
    for island in islands {
        replica.read_at(island.offset, &mut held).await.map_err(plain)?;
        source.read(island.offset, &mut wanted);
        ensure!(held == wanted, "the replica is not the source at {}", island.offset);
    }
    Ok(cost)
}

pub fn clusters(size: DiskSize) -> Vec<Extent> {
    let apart = size.bytes() / CLUSTERS;
    (0..CLUSTERS).map(|cluster| Extent::new(cluster * apart, CLUSTER)).collect()
}

pub fn folders(place: &Path) -> Result<Places> {
    let open = |name: &str| Folder::open(&place.join(name)).map(Arc::new).map_err(plain);
    Ok(Places { replicas: open("replicas")?, work: open("work")? })
}

/// A first copy of a disk that holds nothing, without reading all of it.
pub async fn zeros(log: &Log, size: DiskSize) -> Result<DiskCommit> {
    let DiskCycle { disk, cycle, mode, planned, .. } = DiskCycle::first(size);
    let folder = AttemptFolder::new(&engine::vm(), cycle, Attempt::FIRST, &disk);
    let planned_parts = log.create_planned(&folder, &planned).await.map_err(plain)?;
    let entries = vec![Entry::Zeros { block: 0, count: size.blocks() }];
    let page = page::encode(&ManifestPage { from_block: 0, to_block: size.blocks(), entries });
    log.create(Role::Page, &folder.page(0), &page).await.map_err(plain)?;
    let layer = Layer {
        cycle,
        attempt: Attempt::FIRST,
        to_block: size.blocks(),
        pages: 1,
        // SHA-256 over the digests of the pages, as docs/format.md has it.
        pages_digest: Sha::of(&Sha::of(&page).0),
        planned_parts,
        planned_digest: Sha(transload::log::planned::bitmap_digest(&planned)),
    };
    Ok(DiskCommit { disk, label: String::new(), fingerprint: "f".to_owned(), size, mode, layers: vec![layer], marker: None })
}

/// Tables of both sides and the replica, as they are at a point of zeros.
pub async fn settle_at(places: &Places, entry: &DiskCommit, point: PointRef) -> Result<()> {
    for name in ["gateway".to_owned(), places::table(&engine::vm(), &entry.disk)] {
        let table = DigestTable::create(&*places.work, &name, entry.size).await.map_err(plain)?;
        table.settle(point).await.map_err(plain)?;
    }
    let replica = places::replica(&engine::vm(), &entry.disk);
    places.replicas.open_sized(&replica, entry.size.bytes()).await.map_err(plain)?;
    Ok(())
}
