//! Part `scale`: many disks, a large one, and a million extents. What is asked is memory, so each runs in a process that has done nothing
//! else, and the figure is the most that the system ever counted for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use transload::log::table::DigestTable;
use transload::model::commit::Mode;
use transload::model::{CycleNumber, DiskId, DiskSize, Extent, Marker};
use transload::pipeline::copy::BaseTable;
use transload::pipeline::limits::Copies;
use transload::pipeline::plan::{Changed, changed_since};

use crate::clock::Watch;
use crate::corpus;
use crate::delta::{changed_clusters, folders, settle_at, zeros};
use crate::ends::{Disk, Keep, Line, MemorySource, MemoryStore};
use crate::engine::{self, DiskCycle, plain};
use crate::process::own_mib;
use crate::report::Report;
use crate::{Arguments, alone};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const DISKS: usize = 52;
/// A file system of memory: sparse files of 64 TiB, which few others have.
const LARGE_FILES: &str = "/dev/shm";
/// A resync of 64 TiB takes hours; memory is steady after seconds.
const RESYNC_FOR: Duration = Duration::from_secs(15);

pub fn run(_: &Arguments, report: &mut Report) -> Result<()> {
    let disks = alone::measure("disks")?;
    report.set("rss_52_disks_mib", disks["rss_mib"].clone());
    report.set("rss_52_disks", disks);
    let large = alone::measure("large")?;
    report.set("rss_64tib_mib", large["rss_mib"].clone());
    report.set("rss_64tib", large);
    report.set("million_extents", alone::measure("extents")?);
    Ok(())
}

/// 52 first copies at once, with ends that take their time, so that everything that may be in flight is.
pub async fn many_disks() -> Result<Value> {
    let size = DiskSize::new(384 * MIB).map_err(plain)?;
    let mut source = MemorySource::tiled(Arc::new(corpus::half(64 << 20).image));
    source.line = Some(Line { round_trip: Duration::from_millis(20), window: 4 * MIB });
    let log = engine::open_log(Arc::new(MemoryStore::slow(Keep::NoSegments, Duration::from_millis(50))));
    let copies = Copies::new(engine::usual_limits());
    let copy = async |number: usize| {
        let cycle = DiskCycle { disk: DiskId(format!("disk-{number}")), ..DiskCycle::first(size) };
        engine::copy(&log, source.clone(), cycle, &copies).await
    };
    let watch = Watch::start();
    let mut held = Vec::new();
    let copied = tokio::select! {
        copied = try_join_all((0..DISKS).map(copy)) => copied?,
        () = async { loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            held.push(own_mib("VmRSS").unwrap_or_default());
        } } => unreachable!("it never ends by itself"),
    };
    ensure!(copied.len() == DISKS && held.len() >= 8, "it was over before it could be watched");
    // The first eighth is the start, in which everything fills.
    let (early, late) = held[held.len() / 8..].split_at(held.len() * 7 / 16);
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    Ok(json!({
        "rss_mib": own_mib("VmHWM")?,
        "late_vs_early": (most(late) / most(early) * 1000.0).round() / 1000.0,
        "wall_s": watch.stop().wall,
    }))
}

/// A delta and the beginning of a resync of 64 TiB.
pub async fn large_disk() -> Result<Value> {
    let size = DiskSize::new(64 * TIB).map_err(plain)?;
    let place = tempfile::tempdir_in(LARGE_FILES).context("a file of 64 TiB needs a tmpfs there")?;
    let delta = changed_clusters(size, place.path()).await?;
    let after_delta = own_mib("VmHWM")?;
    let resynced = resync(size, &place.path().join("resync")).await?;
    Ok(
        json!({ "rss_mib": own_mib("VmHWM")?, "rss_delta_mib": after_delta, "delta_s": delta.wall, "resync_gib": resynced as f64 / GIB as f64 }),
    )
}

/// Reads and compares for a while; answers how far it came.
async fn resync(size: DiskSize, place: &Path) -> Result<u64> {
    let log = engine::open_log(Arc::new(MemoryStore::new(Keep::Everything)));
    let places = folders(place)?;
    let entry = zeros(&log, size).await?;
    let (_, base) = engine::commit(&log, &entry, CycleNumber(1), None).await?;
    settle_at(&places, &entry, base).await?;
    let table = DigestTable::open_at(&*places.work, "gateway", size, base).await.map_err(plain)?.context("the table is at its base")?;
    let base = Some(BaseTable { table, size });
    let cycle = DiskCycle { cycle: CycleNumber(2), mode: Mode::Resync, base, ..DiskCycle::first(size) };
    let source = MemorySource::islands(Arc::new(corpus::half(4 << 20).image), size, vec![Extent::new(GIB, 4 * MIB)]);
    let progress = Arc::default();
    let copies = Copies::new(engine::usual_limits());
    let copying = engine::copy_watched(&log, source, cycle, &copies, &progress);
    if let Ok(copied) = tokio::time::timeout(RESYNC_FOR, copying).await {
        copied?;
    }
    let read = progress.read.load(std::sync::atomic::Ordering::Relaxed);
    ensure!(read > GIB, "a resync came only {read} bytes far");
    Ok(read)
}

/// A delta that the source describes in a million extents.
pub async fn million_extents() -> Result<Value> {
    let size = DiskSize::new(TIB).map_err(plain)?;
    let place = tempfile::tempdir()?;
    let log = engine::open_log(Arc::new(MemoryStore::new(Keep::NoSegments)));
    let places = folders(place.path())?;
    let entry = zeros(&log, size).await?;
    let (_, base) = engine::commit(&log, &entry, CycleNumber(1), None).await?;
    settle_at(&places, &entry, base).await?;
    let islands = (0..1_000_000).map(|number| Extent::new(number * 8192, 4096)).collect();
    let source = MemorySource::islands(Arc::new(corpus::half(64 << 10).image), size, islands);
    let watch = Watch::start();
    let changed = changed_since(&Disk(source.clone()), &"token".into(), &entry.disk, size, &Marker::from("marker")).await.map_err(plain)?;
    let Changed::Cells(planned, _) = changed else { bail!("the source knows its changes") };
    let planning = watch.stop();
    let table = DigestTable::open_at(&*places.work, "gateway", size, base).await.map_err(plain)?.context("the table is at its base")?;
    let base = Some(BaseTable { table, size });
    let cycle = DiskCycle { cycle: CycleNumber(2), mode: Mode::Delta, planned: Arc::new(planned), base, ..DiskCycle::first(size) };
    let copied = engine::copy(&log, source, cycle, &Copies::new(engine::usual_limits())).await?;
    ensure!(copied.sent >= 1_000_000 * 4096, "only {} bytes were sent", copied.sent);
    Ok(
        json!({ "rss_mib": own_mib("VmHWM")?, "planning_s": planning.wall, "copy_s": copied.cost.wall, "sent_mib": engine::mib(copied.sent) }),
    )
}
