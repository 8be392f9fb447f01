//! From a recovery point back through its bases to where every disk began, and the fold of a disk over that chain.

use std::sync::Arc;

use crate::model::{CycleNumber, DiskId, Fault, VmId};

use super::checkpoint::{self, Checkpoint};
use super::dropped;
use super::fold::Fold;
use super::store::Log;
use crate::model::commit::{Commit, DiskCommit, Mode, PointRef};

/// Everything needed to know what a disk holds at a recovery point.
pub struct Chain {
    vm: VmId,
    /// Newest first; the first one is the point itself.
    commits: Vec<(Commit, PointRef)>,
    /// What the oldest of the commits builds on, if it builds on anything.
    checkpoint: Option<Checkpoint>,
}

impl Chain {
    /// Reads commits from `point` back until every disk of the point has begun, or a checkpoint stands below.
    pub async fn read(log: &Log, vm: &VmId, cycle: CycleNumber) -> Result<Chain, Fault> {
        let mut commits = vec![named(log, vm, cycle).await?];
        let mut checkpoint = checkpoint::find(log, vm, commits[0].1).await?;
        while checkpoint.is_none() {
            let (oldest, _) = &commits[commits.len() - 1];
            let point = &commits[0].0;
            if point.disks.iter().all(|disk| begins_within(&commits, &disk.disk)) {
                break;
            }
            let Some(base) = oldest.base else {
                return Err(Fault::corrupt(format!(
                    "cycle {} of {vm} builds on nothing, but not all of its disks begin there",
                    oldest.cycle
                )));
            };
            let (commit, found) = named(log, vm, base.cycle).await?;
            if found != base {
                return Err(Fault::corrupt(format!(
                    "the commit of cycle {} of {vm} is not the one that cycle {} builds on",
                    base.cycle, oldest.cycle
                )));
            }
            commits.push((commit, found));
            checkpoint = checkpoint::find(log, vm, found).await?;
        }
        Ok(Chain { vm: vm.clone(), commits, checkpoint })
    }

    pub fn point(&self) -> &Commit {
        &self.commits[0].0
    }

    pub fn point_ref(&self) -> PointRef {
        self.commits[0].1
    }

    pub fn disk(&self, disk: &DiskId) -> Result<&DiskCommit, Fault> {
        let found = self.point().disks.iter().find(|candidate| candidate.disk == *disk);
        found.ok_or_else(|| Fault::not_found(format!("recovery point {} of {} has no disk {disk}", self.point().cycle, self.vm)))
    }

    /// The disk's content at the point, block by block.
    pub fn fold(&self, log: &Log, disk: &DiskId) -> Result<Fold, Fault> {
        let at_point = self.disk(disk)?;
        let mut fold = Fold::new(Arc::new(log.clone()), log.sealer().clone(), at_point.size);
        let count = self.commits.len();
        for (index, (commit, point)) in self.commits.iter().enumerate() {
            // A checkpoint speaks for the commit it was made at and for all before it.
            let covered = self.checkpoint.as_ref().filter(|checkpoint| index + 1 == count && checkpoint.point == *point);
            if let Some(checkpoint) = covered {
                checkpoint.add_to(&mut fold, &self.vm, disk)?;
                return Ok(fold);
            }
            let Some(entry) = commit.disks.iter().find(|candidate| candidate.disk == *disk) else { break };
            fold.add_commit(&self.vm, commit.cycle, entry);
            if entry.mode == Mode::Initial {
                break;
            }
        }
        Ok(fold)
    }
}

/// A commit that is not there because its point was dropped is said to be just that.
async fn named(log: &Log, vm: &VmId, cycle: CycleNumber) -> Result<(Commit, PointRef), Fault> {
    match log.commit(vm, cycle).await {
        Err(fault) => Err(dropped::explain(log, vm, cycle, fault).await),
        found => found,
    }
}

fn begins_within(commits: &[(Commit, PointRef)], disk: &DiskId) -> bool {
    let entries = commits.iter().flat_map(|(commit, _)| commit.disks.iter().filter(|entry| entry.disk == *disk));
    entries.into_iter().any(|entry| entry.mode == Mode::Initial)
}
