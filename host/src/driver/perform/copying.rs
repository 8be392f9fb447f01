//! Copies one disk as it was planned. When the fact says so, published pages speak for everything that was planned, and the segments that
//! they name are in the store.
//!
//! The disks that are copied at one time share what may be in flight. A copy that was dropped goes on behind the last page that it published.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::driver::gateway::Gateway;
use crate::log::layout::AttemptFolder;
use crate::model::commit::Mode;
use crate::model::{DiskId, Fault, SnapshotToken, VmId};
use crate::pipeline::copy::{BaseTable, Copied, CopyJob, copy_disk};
use crate::policy::vm::{CopyStats, Copying, Cycle, Fact};

use super::{Done, Performing, is_damage};

impl Performing {
    pub(super) async fn copy_disk(&self, disk: &DiskId) -> Result<Done, Fault> {
        let (token, copying) = self.copying(disk)?;
        let plan = copying.plan.as_ref().ok_or_else(|| Fault::internal("a disk is copied before it was planned"))?;
        let share = self.gateway.copies.enter().at(self.gateway.pace.clone());
        let base = match plan.mode {
            Mode::Initial => None,
            // Without digests of the base nothing is found to be the same, and everything planned is sent.
            Mode::Delta | Mode::Resync => match self.base_table(disk).await {
                Err(fault) if is_damage(&fault) => None,
                result => Some(result?),
            },
        };
        let job = job(&self.gateway, &self.id, self.cycle()?, token, copying, base).await?;
        let progress = self.progress.get(disk).cloned().unwrap_or_default();
        let copied = copy_disk(&job, &*self.gateway.source, &self.gateway.log, &share, &progress).await?;
        // Parked: what was read is published, which is all there is to know. The step is still to be done.
        let Copied::Whole(layer) = copied else { return Ok(Done::default()) };
        let stats = CopyStats {
            planned: plan.planned_bytes,
            read: progress.read.load(Ordering::Relaxed),
            sent: progress.sent.load(Ordering::Relaxed),
            stored: progress.stored.load(Ordering::Relaxed),
        };
        Ok(Fact::DiskCopied { disk: disk.clone(), layer, stats, at: self.gateway.clock.now() }.into())
    }
}

/// The copy of a disk as it was planned: to carry it out, or to ask how far it came.
pub(super) async fn job(
    gateway: &Gateway,
    vm: &VmId,
    cycle: &Cycle,
    token: &SnapshotToken,
    copying: &Copying,
    base: Option<BaseTable>,
) -> Result<CopyJob, Fault> {
    let plan = copying.plan.as_ref().ok_or_else(|| Fault::internal("a disk has no plan"))?;
    let folder = AttemptFolder::new(vm, cycle.number, cycle.attempt, &copying.source.id);
    let planned = gateway.log.planned(&folder, copying.source.size, plan.digest).await?;
    Ok(CopyJob {
        vm: vm.clone(),
        cycle: cycle.number,
        attempt: cycle.attempt,
        disk: copying.source.id.clone(),
        size: copying.source.size,
        token: token.clone(),
        planned: Arc::new(planned),
        planned_parts: plan.parts,
        planned_digest: plan.digest,
        base,
    })
}
