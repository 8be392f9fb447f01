//! Writes a verified commit to the replicas. Doing it again after a crash ends in the same bytes.

use crate::log::fetch::{DiskPlace, Fetch, Fetcher};
use crate::log::store::Log;
use crate::log::table::DigestTable;
use crate::model::commit::{AppliedDisk, Commit, DiskCommit, Mode, PointRef};
use crate::model::{Fault, FaultKind};

use super::moment::Moment;
use super::places;
use super::prepare::{Covered, Places, fold_of, spool_of, write_block};

/// Applies every disk: delta and resync are written, filled initial disks take their replica's place. When this returns, everything is
/// durable and the tables speak of `point`.
pub async fn apply(
    log: &Log,
    places: &Places,
    commit: &Commit,
    point: PointRef,
    filled: &[AppliedDisk],
) -> Result<Vec<AppliedDisk>, Fault> {
    let mut applied = Vec::new();
    for disk in &commit.disks {
        match disk.mode {
            Mode::Delta | Mode::Resync => applied.push(write_disk(log, places, commit, disk, point).await?),
            Mode::Initial => {
                promote(places, commit, disk).await?;
                let report = filled.iter().find(|report| report.disk == disk.disk);
                applied.push(report.cloned().ok_or_else(|| Fault::internal(format!("disk {} was not filled", disk.disk)))?);
            }
        }
    }
    Moment::Applied.reached();
    Ok(applied)
}

/// Drops what only this commit needed.
pub async fn clean_up(log: &Log, places: &Places, commit: &Commit) -> Result<(), Fault> {
    spool_of(log, places, commit).clear().await?;
    Moment::CleanedUp.reached();
    Ok(())
}

async fn write_disk(log: &Log, places: &Places, commit: &Commit, disk: &DiskCommit, point: PointRef) -> Result<AppliedDisk, Fault> {
    let (vm, id) = (&commit.vm, &disk.disk);
    let file = places.replicas.open_sized(&places::replica(vm, id), disk.size.bytes()).await?;
    let table = DigestTable::open_for_changes(&*places.work, &places::table(vm, id), disk.size).await?;
    let objects = spool_of(log, places, commit);
    let fold = fold_of(log, objects.clone(), commit, disk);
    let place = DiskPlace { vm: vm.clone(), disk: id.clone(), size: disk.size };
    let mut fetch = Fetch::new(fold, Fetcher::new(place, objects, log));
    let mut covered = Covered::new(disk);
    loop {
        let batch = fetch.next().await.map_err(torn)?;
        if batch.is_empty() {
            break;
        }
        for block in batch {
            let block = block.map_err(|(_, fault)| torn(fault))?;
            write_block(&*file, &block).await?;
            table.record(&block.folded).await?;
            covered.add_written(&block);
            covered.add_same(&block);
        }
    }
    Moment::Written.reached();
    file.flush().await?;
    Moment::Flushed.reached();
    table.settle(point).await?;
    Ok(covered.applied(disk))
}

/// What was verified a moment ago cannot be read any more, and the replica is between two points.
fn torn(fault: Fault) -> Fault {
    if fault.kind.passes() {
        return fault;
    }
    fault.while_doing("the commit was verified, but while it was being applied the store and the spool both lost a part of it")
}

/// The filled file takes the replica's place. A second call finds it done.
async fn promote(places: &Places, commit: &Commit, disk: &DiskCommit) -> Result<(), Fault> {
    let (vm, id) = (&commit.vm, &disk.disk);
    rename_once(&*places.replicas, &places::filling(vm, id), &places::replica(vm, id)).await?;
    Moment::Promoted.reached();
    rename_once(&*places.work, &places::filling_table(vm, id), &places::table(vm, id)).await
}

async fn rename_once(files: &dyn crate::files::Files, from: &str, to: &str) -> Result<(), Fault> {
    match files.rename(from, to).await {
        Err(fault) if fault.kind == FaultKind::NotFound => files.open(to).await.map(|_| ()),
        result => result,
    }
}
