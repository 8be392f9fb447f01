//! What a fault means for the step it ended: try again, take a new snapshot, give the cycle up, or stop and ask a person. Looks at the
//! kind of the fault only, never at its words.
//!
//! ```text
//!   a passing fault, or a login that is refused
//!     ├─ nothing is open, or the copy is complete ─▶ again, for ever
//!     └─ else ─▶ again, until the step's budget of time *and* of tries is spent
//!                  ├─ a snapshot is open ─▶ it is closed, what was published is kept, a new attempt (of a bounded number)
//!                  └─ none is ─▶ the cycle failed
//!   any other kind ─▶ at once what its step says
//! ```
//!
//! So an outage that is shorter than the budget costs time and nothing else. A snapshot that grows meanwhile is the snapshot governor's
//! business, which closes it before its datastore is full, whatever budget is left.

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

/// The budget of one step: it is spent when the step has failed for so long and so often, without coming any further in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub lasting: Duration,
    pub tries: u32,
}

impl Default for Patience {
    /// Two hours: what a night's maintenance of a store or a link takes. Six tries, so that an agent whose machine slept for hours does not
    /// give up at the first.
    fn default() -> Patience {
        Patience { lasting: Duration::from_secs(2 * 3600), tries: 6 }
    }
}

/// A step that has failed so often in a row, this time included, since so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    pub tries: u32,
    pub lasting: Duration,
}

impl Patience {
    fn is_spent(self, failing: Failing) -> bool {
        failing.tries >= self.tries && failing.lasting >= self.lasting
    }
}

const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Nobody waits for longer until he tries again.
pub const PAUSE_LONGEST: Duration = Duration::from_secs(60);

pub fn react(step: &Step, fault: &Fault, failing: Failing, patience: Patience) -> Reaction {
    let retry = Reaction::Retry { after: pause(fault, failing.tries) };
    let spent = patience.is_spent(failing);
    match step {
        Step::CheckOwner | Step::TakeOwnership | Step::LearnPast | Step::BeginCycle { .. } if fault.kind == FaultKind::Conflict => {
            Reaction::Halt
        }
        // There is no cycle yet that could fail: whoever has to act finds the reason in the status, and then it goes on by itself.
        Step::Prepare
        | Step::TakeSeat
        | Step::RenewTracking
        | Step::EnableTracking
        | Step::BeginCycle { .. }
        | Step::CheckOwner
        | Step::TakeOwnership
        | Step::LearnPast => retry,
        Step::LetGo if fault.kind == FaultKind::Conflict => Reaction::Halt,
        // The same: what a person asked for goes on as soon as what is in the way is gone.
        Step::Park | Step::ResetTracking | Step::LetGo => retry,
        // Between two attempts nothing is open and nothing is lost by waiting.
        Step::IntendSnapshot { .. } if fault.kind.passes() || fault.kind == FaultKind::Auth => retry,
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
        _ if (fault.kind.passes() || fault.kind == FaultKind::Auth) && !spent => retry,
        Step::ListDisks { .. } | Step::PlanDisk { .. } | Step::CopyDisk { .. } if fault.kind.passes() || fault.kind == FaultKind::Auth => {
            Reaction::NewSnapshot
        }
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
