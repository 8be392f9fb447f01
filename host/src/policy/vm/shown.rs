//! What is shown of a VM: how its replication stands and how far its migration is. Computed from the state, and never stored.
//!
//! ```text
//!   queued ─▶ initial (x %) ─▶ delta sync: waits for its hour ⇄ delta (x %), resync (x %)
//!                │                 │ a cycle failed
//!                └─▶ initial       ▼
//!                    failed     repair queued ─▶ repair (x %)          repair needed, where a person begins it
//!
//!   pause in progress ─▶ paused ─▶ resume queued ─▶ resume (x %)       stopping ─▶ stopped; completing ─▶ done
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Fault;
use crate::model::commit::Mode;

use super::course::{Course, Ending};
use super::cycle::{Cycle, Stage};
use super::facts::Urgency;
use super::migration::Test;
use super::wishes::Repair;
use super::{EndedAs, Vm};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Replication {
    /// The first copy has not begun yet.
    InitialQueued,
    Initial {
        percent: u8,
    },
    InitialFailed,
    /// Deltas follow each other; none runs just now.
    DeltaSync,
    Delta {
        percent: u8,
    },
    PauseInProgress,
    Paused,
    ResumeQueued,
    Resume {
        percent: u8,
    },
    RepairQueued,
    /// Somebody has to begin it.
    RepairNeeded,
    Repair {
        percent: u8,
    },
    ResyncQueued,
    Resync {
        percent: u8,
    },
    Stopping,
    StopFailed,
    Stopped,
    Completing,
    CompleteFailed,
    Done,
    /// This agent leaves the VM alone.
    Halted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Migrating {
    /// There is no recovery point to start from.
    NotYet,
    TestPending,
    TestInProgress,
    CleanUpPending,
    ReadyToMigrate,
    Queued,
    /// The final cycle runs, or it is applied and what follows is under way.
    InProgress,
    Completed,
    /// A test or the final cycle; the VM can be tried again.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationShown {
    pub state: Migrating,
    /// When the last test, or the last final cycle, began or ended.
    pub last_run: Option<Timestamp>,
}

/// `percent`: how much of the running cycle is in the store. `trouble`: why a step is being tried again.
pub fn replication(vm: &Vm, percent: u8, trouble: Option<&Fault>) -> Replication {
    if vm.halted.is_some() {
        return Replication::Halted;
    }
    // What passes by itself is no failure yet.
    let failed = trouble.is_some_and(|fault| !fault.kind.passes());
    match vm.course {
        Course::Stopped { ending: Ending::Stop, .. } => Replication::Stopped,
        Course::Stopped { ending: Ending::Complete, .. } => Replication::Done,
        Course::Stopping { ending: Ending::Stop, .. } if failed => Replication::StopFailed,
        Course::Stopping { ending: Ending::Stop, .. } => Replication::Stopping,
        Course::Stopping { ending: Ending::Complete, .. } if failed => Replication::CompleteFailed,
        Course::Stopping { ending: Ending::Complete, .. } => Replication::Completing,
        Course::Paused { .. } if vm.cycle.as_ref().is_some_and(is_at_the_source) => Replication::PauseInProgress,
        Course::Paused { .. } => Replication::Paused,
        Course::Active => match &vm.cycle {
            Some(cycle) => running(vm, cycle, percent),
            None => between(vm),
        },
    }
}

/// Something of it stands at the source, or is about to be committed.
fn is_at_the_source(cycle: &Cycle) -> bool {
    !cycle.needs_a_snapshot() && !matches!(cycle.stage, Stage::Committed { .. })
}

fn running(vm: &Vm, cycle: &Cycle, percent: u8) -> Replication {
    let queued = cycle.needs_a_snapshot();
    let repairs = vm.history.last().is_some_and(|ended| ended.outcome != EndedAs::Applied);
    match () {
        () if cycle.resumed_at.is_some() && queued => Replication::ResumeQueued,
        () if cycle.resumed_at.is_some() => Replication::Resume { percent },
        () if vm.point.is_none() && queued => Replication::InitialQueued,
        () if vm.point.is_none() => Replication::Initial { percent },
        () if repairs && queued => Replication::RepairQueued,
        () if repairs => Replication::Repair { percent },
        () if cycle.resync.is_some() && queued => Replication::ResyncQueued,
        () if cycle.resync.is_some() || is_resync(cycle) => Replication::Resync { percent },
        () => Replication::Delta { percent },
    }
}

/// The source could not say what changed of some disk.
fn is_resync(cycle: &Cycle) -> bool {
    let (Stage::Open { disks: Some(disks), .. } | Stage::Closed { disks, .. }) = &cycle.stage else { return false };
    disks.each.values().any(|copying| copying.plan.as_ref().is_some_and(|plan| plan.mode == Mode::Resync))
}

fn between(vm: &Vm) -> Replication {
    match () {
        () if vm.failures > 0 && vm.wishes.repair == Repair::ByCommand => Replication::RepairNeeded,
        () if vm.failures > 0 && vm.point.is_none() => Replication::InitialFailed,
        () if vm.failures > 0 => Replication::RepairQueued,
        () if vm.point.is_none() => Replication::InitialQueued,
        () if vm.wishes.resync.is_some() => Replication::ResyncQueued,
        () if vm.demand == Some(Urgency::Scheduled) => Replication::ResumeQueued,
        () => Replication::DeltaSync,
    }
}

pub fn migration(vm: &Vm) -> MigrationShown {
    let is_final = |cycle: &Cycle| cycle.urgency == Urgency::Final;
    let last_final = vm.history.iter().rev().find(|ended| ended.urgency == Urgency::Final);
    let ended_badly = vm.history.last().is_some_and(|ended| ended.urgency == Urgency::Final && ended.outcome != EndedAs::Applied);
    let completed =
        matches!(vm.course, Course::Stopping { ending: Ending::Complete, .. } | Course::Stopped { ending: Ending::Complete, .. });
    let state = match &vm.migration.test {
        _ if vm.migration.committed_at.is_some() || completed => Migrating::Completed,
        _ if vm.cycle.as_ref().is_some_and(is_final) || vm.has_final_point() => Migrating::InProgress,
        _ if vm.demand == Some(Urgency::Final) && !ended_badly => Migrating::Queued,
        Test::Running { .. } => Migrating::TestInProgress,
        Test::ToCleanUp { .. } => Migrating::CleanUpPending,
        _ if ended_badly => Migrating::Failed,
        Test::Clean { fault: Some(_), .. } => Migrating::Failed,
        Test::Clean { fault: None, .. } => Migrating::ReadyToMigrate,
        Test::Untried if vm.point.is_some() => Migrating::TestPending,
        Test::Untried => Migrating::NotYet,
    };
    let began = vm.cycle.as_ref().filter(|cycle| is_final(cycle)).map(|cycle| cycle.began_at);
    let runs = [vm.migration.committed_at, began, last_final.map(|ended| ended.ended_at), vm.migration.test.last_run()];
    MigrationShown { state, last_run: runs.into_iter().flatten().max() }
}

#[cfg(test)]
mod tests;
