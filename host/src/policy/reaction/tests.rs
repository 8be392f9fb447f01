use crate::model::{Attempt, CycleNumber};
use crate::policy::vm::Urgency;

use super::FaultKind::*;
use super::*;

const KINDS: [FaultKind; 12] =
    [Denied, Auth, NotFound, Conflict, Invalid, Corrupt, Unsupported, Throttled, Unavailable, Full, Cancelled, Internal];

/// r: again, s: new snapshot, f: the cycle fails, h: halts.
fn letter(step: &Step, kind: FaultKind, failing: Failing) -> char {
    match react(step, &Fault::new(kind, ""), failing, Patience::default()) {
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
        // In the order of KINDS: as long as the budget lasts, and when it is spent.
        (Step::CheckOwner, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::TakeOwnership, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::LearnPast, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::BeginCycle { urgency }, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
        (Step::Prepare, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::TakeSeat, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::EnableTracking, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::RenewTracking, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::Sweep, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::PowerOff, "frfffffrrfff", "ffffffffffff"),
        (Step::IntendSnapshot { attempt: Attempt::FIRST }, "frfffffrrfff", "frfffffrrfff"),
        (Step::OpenSnapshot { tag: tag() }, "frfffffrrfff", "ffffffffffff"),
        (Step::ListDisks { token: token() }, "frsffffrrfff", "fssffffssfff"),
        (Step::PlanDisk { disk: "d".into() }, "frsffffrrfff", "fssffffssfff"),
        (Step::CopyDisk { disk: "d".into() }, "frsffffrrfff", "fssffffssfff"),
        (Step::CloseSnapshot { token: token() }, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::AbandonSnapshot { tag: tag(), token: None }, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::Commit { cycle: CycleNumber(1) }, "rrrhrfrrrrrr", "rrrhrfrrrrrr"),
        (Step::AwaitReceipt { cycle: CycleNumber(1) }, "rrrrrhrrrrrr", "rrrrrhrrrrrr"),
        (Step::Park, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::ResetTracking, "rrrrrrrrrrrr", "rrrrrrrrrrrr"),
        (Step::LetGo, "rrrhrrrrrrrr", "rrrhrrrrrrrr"),
    ];
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let within = [(1, hours(0)), (5, hours(100)), (1000, hours(2) - Duration::from_secs(1))];
    let spent = [(6, hours(2)), (1000, hours(3))];
    for (step, first, last) in table {
        for (budget, expected) in within.iter().map(|failing| (failing, first)).chain(spent.iter().map(|failing| (failing, last))) {
            let failing = Failing { tries: budget.0, lasting: budget.1 };
            let found = KINDS.map(|kind| letter(&step, kind, failing)).iter().collect::<String>();
            assert_eq!(found, expected, "{step:?} {failing:?}");
        }
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
