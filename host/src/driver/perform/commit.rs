//! The commit: names the pages of a complete copy, which become a recovery point once a receiver applied them.
//!
//! A second try writes the same bytes under the same name; a name that holds other bytes already is a conflict. Whether the VM is still
//! ours is asked once more right before the commit is written.

use crate::log::layout;
use crate::log::seal::Role;
use crate::model::Fault;
use crate::model::commit::{Commit, DiskCommit, FORMAT, Mode, PointRef, Sha};
use crate::policy::distrust::Trust;
use crate::policy::mode::PointDisk;
use crate::policy::vm::{Copying, Fact, Point, Stage, Urgency};

use super::{Done, Performing};

impl Performing {
    pub(super) async fn commit(&self) -> Result<Done, Fault> {
        self.check_owner().await?;
        let commit = self.draw_commit()?;
        let bytes = commit.encode();
        self.gateway.log.create(Role::Commit, &layout::commit(&self.id, commit.cycle), &bytes).await?;
        self.gateway.log.news().tell(&self.id);
        let found = PointRef { cycle: commit.cycle, hash: Sha::of(&bytes) };
        Ok(Fact::Committed { point: point_of(&commit, found) }.into())
    }

    /// Out of facts alone, so that a second try writes the same bytes.
    fn draw_commit(&self) -> Result<Commit, Fault> {
        let cycle = self.cycle()?;
        let Stage::Closed { quiesced, opened_at, disks } = &cycle.stage else {
            return Err(Fault::internal("a commit is drawn before the copy is complete"));
        };
        let committed =
            disks.each.values().map(|copying| draw_disk(copying, &self.vm.trust).ok_or_else(|| Fault::internal("a disk is not copied")));
        let committed: Vec<DiskCommit> = committed.collect::<Result<_, _>>()?;
        let builds_on_base = committed.iter().any(|disk| disk.mode != Mode::Initial);
        Ok(Commit {
            format: FORMAT,
            vm: self.id.clone(),
            identity: self.identity()?.clone(),
            source: self.vm.source.clone(),
            name: self.vm.name.clone(),
            cycle: cycle.number,
            epoch: self.vm.epoch.ok_or_else(|| Fault::internal("a commit is drawn for a VM that is not ours"))?,
            base: self.vm.point.as_ref().filter(|_| builds_on_base).map(|point| point.commit),
            previous: self.vm.newest,
            taken_at: *opened_at,
            quiesced: *quiesced,
            last: cycle.urgency == Urgency::Final,
            definition: disks.definition.clone(),
            disks: committed,
        })
    }
}

fn draw_disk(copying: &Copying, trust: &Trust) -> Option<DiskCommit> {
    let plan = copying.plan.as_ref()?;
    let mut layers = plan.carried.clone();
    layers.push(copying.layer.as_ref()?.0.clone());
    Some(DiskCommit {
        disk: copying.source.id.clone(),
        label: copying.source.label.clone(),
        fingerprint: copying.source.fingerprint.clone(),
        size: copying.source.size,
        mode: plan.mode,
        layers,
        // No later cycle may ask a tracker that lied, not even one of an agent that has lost this journal.
        marker: copying.source.marker.clone().filter(|_| trust.lie(&copying.source.id).is_none()),
    })
}

/// The recovery point that a commit makes once it is applied.
pub(super) fn point_of(commit: &Commit, found: PointRef) -> Point {
    let disk = |disk: &DiskCommit| {
        let known = PointDisk { fingerprint: disk.fingerprint.clone(), size: disk.size, marker: disk.marker.clone() };
        (disk.disk.clone(), known)
    };
    Point {
        commit: found,
        taken_at: commit.taken_at,
        quiesced: commit.quiesced,
        last: commit.last,
        disks: commit.disks.iter().map(disk).collect(),
    }
}
