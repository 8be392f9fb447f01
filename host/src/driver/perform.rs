//! Performs one step and answers the facts it made true. Every step may run twice.
//!
//! ```text
//!   ownership ─▶ preparation ─▶ locating ─▶ snapshots ─▶ planning ─▶ copying ─▶ snapshots ─▶ commit ─▶ receipt
//!                                               ▲        (distrust)     │
//!                                               │            │          │
//!                                               └── salvage ◀┴──────────┘ cut short, or parked
//!
//!   letting_go: what replication holds at the source, once it is to end
//! ```
//!
//! Here stands only which step is whose work, and what several of them need. A step sees the state as it was when the step was started and
//! changes none of it; what it did is in the facts that it answers.

mod commit;
mod copying;
mod distrust;
mod letting_go;
mod locating;
mod ownership;
mod planning;
mod preparation;
mod receipt;
mod salvage;
mod snapshots;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{CycleNumber, DiskId, Fault, FaultKind, Finding, SnapshotToken, VmId, VmRef};
use crate::pipeline::copy::Progress;
use crate::pipeline::source::{Ended, Outcome};
use crate::policy::mode::PointDisk;
use crate::policy::vm::{Copying, Cycle, Disks, Fact, Stage, Step, Vm};

use super::fleet::Located;
use super::gateway::Gateway;

pub use locating::locate;
pub use salvage::salvage;

/// What a step made true.
#[derive(Debug, Default)]
pub struct Done {
    pub facts: Vec<Fact>,
    pub owner_checked: bool,
    pub swept: bool,
    /// What preflight found; there when nothing of it is in the way.
    pub prepared: Option<Vec<Finding>>,
    pub tracking: bool,
    /// Where the VM is, for the fleet.
    pub located: Option<Located>,
    /// The cycle before which a reset of change tracking was tried.
    pub renewal_tried_before: Option<u64>,
}

impl From<Fact> for Done {
    fn from(fact: Fact) -> Done {
        Done { facts: vec![fact], ..Done::default() }
    }
}

pub struct Performing {
    pub gateway: Gateway,
    pub id: VmId,
    /// The state as it was when the step was started.
    pub vm: Vm,
    pub progress: BTreeMap<DiskId, Arc<Progress>>,
}

impl Performing {
    pub async fn perform(&self, step: &Step) -> Result<Done, Fault> {
        match step {
            Step::Wait { .. } => Ok(Done::default()),
            Step::TakeOwnership => self.take_ownership().await,
            Step::CheckOwner => {
                self.check_owner().await?;
                self.check_newest().await?;
                Ok(Done { owner_checked: true, ..Done::default() })
            }
            Step::LearnPast => self.learn_past().await,
            Step::Sweep => self.sweep().await,
            Step::Prepare => self.prepare().await,
            Step::TakeSeat => self.locate().await,
            Step::EnableTracking => self.enable_tracking().await,
            Step::RenewTracking => self.renew_tracking().await,
            Step::BeginCycle { urgency } => {
                self.check_owner().await?;
                let cycle = CycleNumber(self.vm.next_cycle.max(1));
                let at = self.gateway.clock.now();
                let foreseen = self.vm.forecast(at).map(|forecast| Fact::Foreseen { forecast });
                let facts = [Fact::CycleBegan { cycle, urgency: *urgency, at }].into_iter().chain(foreseen).collect();
                Ok(Done { facts, ..Done::default() })
            }
            Step::PowerOff => self.power_off().await,
            Step::IntendSnapshot { attempt } => self.intend_snapshot(*attempt).await,
            Step::OpenSnapshot { tag } => self.open_snapshot(tag).await,
            Step::ListDisks { token } => self.list_disks(token).await,
            Step::PlanDisk { disk } => self.plan_disk(disk).await,
            Step::CopyDisk { disk } => self.copy_disk(disk).await,
            Step::CloseSnapshot { token } => self.close_snapshot(token).await,
            Step::Park => Ok(self.park().await),
            Step::AbandonSnapshot { tag, token } => self.abandon_snapshot(tag, token.as_ref()).await,
            Step::Commit { .. } => self.commit().await,
            Step::AwaitReceipt { cycle } => self.await_receipt(*cycle).await,
            Step::ResetTracking => self.reset_tracking().await,
            Step::LetGo => self.let_go().await,
        }
    }

    async fn park(&self) -> Done {
        let salvage = salvage(&self.gateway, &self.id, &self.vm, &self.progress).await;
        Fact::Parked { salvage, at: self.gateway.clock.now() }.into()
    }

    fn cycle(&self) -> Result<&Cycle, Fault> {
        self.vm.cycle.as_ref().ok_or_else(|| Fault::internal("a step of a cycle runs while there is none"))
    }

    fn identity(&self) -> Result<&VmRef, Fault> {
        self.vm.identity.as_ref().ok_or_else(|| Fault::internal("a step runs for a VM that was never enrolled"))
    }

    fn open_disks(&self) -> Result<(&SnapshotToken, &Disks), Fault> {
        match &self.cycle()?.stage {
            Stage::Open { token, disks: Some(disks), .. } => Ok((token, disks)),
            _ => Err(Fault::internal("a disk's step runs while no snapshot is open")),
        }
    }

    fn copying(&self, disk: &DiskId) -> Result<(&SnapshotToken, &Copying), Fault> {
        let (token, disks) = self.open_disks()?;
        let copying = disks.each.get(disk).ok_or_else(|| Fault::internal(format!("disk {disk} is not in the snapshot")))?;
        Ok((token, copying))
    }

    /// The disk as the newest recovery point knows it.
    fn base_disk(&self, disk: &DiskId) -> Option<&PointDisk> {
        self.vm.point.as_ref()?.disks.get(disk)
    }

    /// Polls a long operation to its end. There is no deadline here: what a snapshot costs is the source's business, and giving up
    /// would not end it.
    async fn finish<T>(&self, outcome: Outcome<T>, expected: impl Fn(Ended) -> Option<T>) -> Result<T, Fault> {
        let (mut operation, mut wait) = match outcome {
            Outcome::Done(value) => return Ok(value),
            Outcome::Pending { operation, poll_after } => (operation, poll_after),
        };
        loop {
            self.gateway.clock.sleep(wait).await;
            match self.gateway.source.poll(&operation).await? {
                Outcome::Done(ended) => {
                    return expected(ended).ok_or_else(|| Fault::corrupt("the source ended an operation with another one's result"));
                }
                Outcome::Pending { operation: next, poll_after } => (operation, wait) = (next, poll_after),
            }
        }
    }
}

/// What the log holds is damaged, which is another thing than not being able to read it now.
fn is_damage(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound)
}
