use crate::model::{Attempt, CycleNumber};
use crate::policy::vm::Urgency;

use super::FaultKind::*;
use super::*;

const KINDS: [FaultKind; 12] =
    [Denied, Auth, NotFound, Conflict, Invalid, Corrupt, Unsupported, Throttled, Unavailable, Full, Cancelled, Internal];

/// r: again, s: new snapshot, f: the cycle fails, h: halts.
fn letter(step: &Step, kind: FaultKind, tries: u32) -> char {
    match react(step, &Fault::new(kind, ""), tries) {
        Reaction::Retry { .. } => 'r',
        Reaction::NewSnapshot => 's',
        Reaction::FailCycle => 'f',
        Reaction::Halt => 'h',
    }
}

#[test]
fn every_step_has_its_reaction_to_every_kind() {
    let urgency = Urgency::Scheduled;
    let (token, tag) = (|| "token".into(), || "tag".to_owned());
    let table = [
        // In the order of KINDS: at the first try, and when tries are used up.
        (Step::CheckOwner, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::TakeOwnership, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::LearnPast, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::BeginCycle { urgency }, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::Prepare, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::TakeSeat, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::EnableTracking, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::Sweep, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::PowerOff, "frfffffrrfff", "ffffffffffff"),
        (Step::IntendSnapshot { attempt: Attempt::FIRST }, "frfffffrrfff", "ffffffffffff"),
        (Step::OpenSnapshot { tag: tag() }, "frfffffrrfff", "ffffffffffff"),
        (Step::ListDisks { token: token() }, "frsffffrrfff", "ffsffffssfff"),
        (Step::PlanDisk { disk: "d".into() }, "frsffffrrfff", "ffsffffssfff"),
        (Step::CopyDisk { disk: "d".into() }, "frsffffrrfff", "ffsffffssfff"),
        (Step::CloseSnapshot { token: token() }, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::AbandonSnapshot { tag: tag(), token: None }, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::Commit { cycle: CycleNumber(1) }, "rrrhrfrrrrrr", "rrrhrfrrrrrr"),
        (Step::AwaitReceipt { cycle: CycleNumber(1) }, "rrrrrhrrrrrr", "rrrrrhrrrrrr"),
        (Step::Park, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::ResetTracking, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::LetGo, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
    ];
    for (step, first, last) in table {
        let found = |tries| KINDS.map(|kind| letter(&step, kind, tries)).iter().collect::<String>();
        assert_eq!((found(1).as_str(), found(6).as_str()), (first, last), "{step:?}");
    }
}

#[test]
fn pauses_double_and_are_bounded_whatever_is_asked() {
    let fault = Fault::unavailable("");
    let pauses = [1, 2, 3, 7, 8, 9, u32::MAX].map(|tries| pause(&fault, tries).as_millis());
    assert_eq!(pauses, [500, 1000, 2000, 32_000, 60_000, 60_000, 60_000]);
    assert_eq!(pause(&fault.clone().retry_after(Duration::from_secs(5)), 1), Duration::from_secs(5));
    assert_eq!(pause(&fault.clone().retry_after(Duration::from_secs(86_400)), 1), PAUSE_LONGEST);
    assert_eq!(pause(&fault.retry_after(Duration::ZERO), 1), PAUSE_FIRST);
}
