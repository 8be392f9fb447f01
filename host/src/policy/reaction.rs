//! What a fault means for the step it ended: try again, take a new snapshot, give the cycle up, or stop and ask a person. Looks at the
//! kind of the fault only, never at its words.

use std::time::Duration;

use crate::model::{Fault, FaultKind};

use super::vm::Step;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// The same step again, after a pause.
    Retry { after: Duration },
    /// The snapshot is gone or of no use: close it, keep what was published, take another one.
    NewSnapshot,
    /// The cycle failed. The recovery point stays; the next cycle starts from the same base.
    FailCycle,
    /// Nothing that the agent may do is right: another agent owns the VM, or the VM is not the one that was enrolled.
    Halt,
}

/// How often a step is tried before a passing fault counts as one that does not pass.
const TRIES_MAX: u32 = 6;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// `tries`: how often this step has failed in a row, this time included.
pub fn react(step: &Step, fault: &Fault, tries: u32) -> Reaction {
    let retry = Reaction::Retry { after: pause(fault, tries) };
    match step {
        Step::CheckOwner | Step::TakeOwnership | Step::LearnPast | Step::BeginCycle { .. } if fault.kind == FaultKind::Conflict => {
            Reaction::Halt
        }
        // There is no cycle yet that could fail: whoever has to act finds the reason in the status, and then it goes on by itself.
        Step::Prepare
        | Step::TakeSeat
        | Step::EnableTracking
        | Step::BeginCycle { .. }
        | Step::CheckOwner
        | Step::TakeOwnership
        | Step::LearnPast => retry,
        Step::LetGo if fault.kind == FaultKind::Conflict => Reaction::Halt,
        // The same: what a person asked for goes on as soon as what is in the way is gone.
        Step::Park | Step::ResetTracking | Step::LetGo => retry,
        // A finished copy is never wasted by impatience: closing, committing and waiting for the verdict go on for ever.
        Step::AwaitReceipt { .. } if fault.kind == FaultKind::Corrupt => Reaction::Halt,
        Step::CloseSnapshot { .. } | Step::AbandonSnapshot { .. } | Step::AwaitReceipt { .. } | Step::Sweep => retry,
        Step::Commit { .. } if fault.kind == FaultKind::Conflict => Reaction::Halt,
        // The name of the commit is taken by something that does not open: this number is used up.
        Step::Commit { .. } if fault.kind == FaultKind::Corrupt => Reaction::FailCycle,
        Step::Commit { .. } => retry,
        // A backup product's snapshot, a task of somebody else's, or another VM under this name: nothing was touched, and the next cycle
        // looks again. Halting here would stop the VM for good over something that passes by itself.
        Step::OpenSnapshot { .. } if fault.kind == FaultKind::Conflict => Reaction::FailCycle,
        Step::ListDisks { .. } | Step::PlanDisk { .. } | Step::CopyDisk { .. } if fault.kind == FaultKind::NotFound => {
            Reaction::NewSnapshot
        }
        Step::ListDisks { .. } | Step::PlanDisk { .. } | Step::CopyDisk { .. } if fault.kind.passes() && tries >= TRIES_MAX => {
            Reaction::NewSnapshot
        }
        _ if (fault.kind.passes() || fault.kind == FaultKind::Auth) && tries < TRIES_MAX => retry,
        _ => Reaction::FailCycle,
    }
}

/// Doubles from half a second to a minute; a fault that names its own time is believed up to that.
pub fn pause(fault: &Fault, tries: u32) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10));
    let asked = fault.retry_after_ms.map(|ms| Duration::from_millis(u64::from(ms)));
    asked.unwrap_or(doubled).clamp(PAUSE_FIRST, PAUSE_LONGEST)
}

#[cfg(test)]
mod tests;
