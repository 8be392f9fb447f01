use proptest::prelude::*;

use crate::model::{CycleNumber, FaultKind};
use crate::policy::calendar::OnEnter;
use crate::policy::reaction::{Failing, Patience, Reaction, react};
use crate::policy::vm::tests::{READY, START, any_fault, closed, conditions, in_order, point, snapshot_disk, success};
use crate::policy::vm::{Conditions, Point, Session, Step};

use super::*;

/// A VM with two disks: what a step makes true when it succeeds.
fn with_two_disks(vm: &Vm, step: &Step, now: Timestamp) -> Option<Fact> {
    match step {
        Step::ListDisks { .. } => {
            let disks = vec![snapshot_disk("d", "Hard disk 1"), snapshot_disk("e", "Hard disk 2")];
            Some(Fact::DisksListed { disks, definition: serde_json::Value::Null })
        }
        Step::Commit { cycle } => {
            let Some(Stage::Closed { disks, .. }) = vm.cycle.as_ref().map(|cycle| &cycle.stage) else { return None };
            let Point { disks: known, .. } = point(CycleNumber(1));
            let any = known.into_values().next()?;
            let last = vm.cycle.as_ref()?.urgency == Urgency::Final;
            let disks = disks.each.keys().map(|disk| (disk.clone(), any.clone())).collect();
            Some(Fact::Committed { point: Point { disks, last, ..point(*cycle) } })
        }
        step => success(vm, step, now),
    }
}

struct Driven {
    vm: Vm,
    session: Session,
}

impl Driven {
    fn new() -> Driven {
        let mut vm = Vm::default();
        vm.apply(in_order().remove(0)).unwrap();
        Driven { vm, session: READY }
    }

    fn steps(&self) -> Vec<Step> {
        self.vm.next_steps(START, &conditions(self.session))
    }

    /// Does the first thing that is to be done.
    fn step(&mut self) {
        let fact = with_two_disks(&self.vm, &self.steps()[0], START).unwrap_or_else(|| panic!("{:?} makes nothing true", self.steps()));
        self.vm.apply(fact).unwrap();
    }

    fn until(&mut self, there: impl Fn(&Vm) -> bool) {
        for _ in 0..100 {
            if there(&self.vm) {
                return;
            }
            self.step();
        }
        panic!("it does not come: {:?}", self.vm);
    }

    /// A VM of which so many cycles are applied.
    fn after(cycles: usize) -> Driven {
        let mut driven = Driven::new();
        driven.until(|vm| vm.history.len() == cycles && vm.cycle.is_none());
        driven
    }

    fn asks(&mut self, command: Command) -> Verdict {
        let verdict = judge(&self.vm, &command, None, START);
        if let Verdict::Accepted(facts) = &verdict {
            facts.iter().for_each(|fact| self.vm.apply(fact.clone()).unwrap());
        }
        verdict
    }

    fn accepted(&mut self, command: Command) {
        let verdict = self.asks(command.clone());
        assert!(matches!(verdict, Verdict::Accepted(_)), "{command:?}: {verdict:?}");
    }

    fn copying() -> Driven {
        let mut driven = Driven::new();
        driven.until(is_copying);
        driven
    }
}

fn is_copying(vm: &Vm) -> bool {
    let Some(Stage::Open { disks: Some(disks), .. }) = vm.cycle.as_ref().map(|cycle| &cycle.stage) else { return false };
    disks.each.values().any(|disk| disk.plan.is_some() && disk.layer.is_none())
}

fn stop() -> Command {
    Command::Stop { running: Running::Finish }
}

fn exclude(disk: &str) -> Command {
    Command::ExcludeDisk { disk: disk.to_owned(), at_cutover: AtCutover::AttachLater }
}

fn every_command() -> Vec<Command> {
    use Command::*;
    let mut all =
        vec![Sync, Final, Pause, Resume, stop(), Stop { running: Running::Cut }, Repair, Resync, ResetTracking, Complete, Restart];
    all.extend([
        exclude("Hard disk 2"),
        exclude("d"),
        IncludeDisk { disk: "e".to_owned() },
        IncludeDisk { disk: "Hard disk 1".to_owned() },
    ]);
    all
}

/// One word for each command, in the order of `every_command`.
fn answers(vm: &Vm) -> String {
    let word = |command| match judge(vm, &command, None, START) {
        Verdict::Accepted(_) => "yes".to_owned(),
        Verdict::Ignored(_) => "so".to_owned(),
        Verdict::Denied(denial) => denial.name().to_owned(),
    };
    every_command().into_iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_state_has_its_answer_to_each_command() {
    let state = |prepare: &dyn Fn(&mut Driven)| {
        let mut driven = Driven::after(2);
        prepare(&mut driven);
        answers(&driven.vm)
    };
    //                          sync final       pause resume stop     cut     repair         resync     reset   complete     again   exclude two, include two
    let first = "so first-copy yes so yes yes nothing-failed first-copy yes not-migrated so yes yes so so";
    assert_eq!(answers(&Driven::copying().vm), first);
    assert_eq!(state(&|_| {}), "yes yes yes so yes yes nothing-failed yes yes not-migrated so yes yes so so");
    assert_eq!(state(&|it| it.accepted(Command::Pause)), "paused paused so yes yes yes paused paused paused not-migrated so yes yes so so");
    assert_eq!(
        state(&|it| it.accepted(stop())),
        "stopping stopping stopping stopping so so stopping stopping stopping so stopping stopping stopping stopping stopping"
    );
    let stopped = |it: &mut Driven| {
        it.accepted(stop());
        it.until(Vm::is_stopped);
    };
    assert_eq!(state(&stopped), "stopped stopped stopped stopped so so stopped stopped yes so yes yes yes so so");
    let moved = |it: &mut Driven| {
        it.accepted(Command::Final);
        it.until(Vm::has_final_point);
    };
    assert_eq!(state(&moved), "yes yes yes so yes yes nothing-failed yes yes yes so yes yes so so");
    let halted = |it: &mut Driven| it.vm.apply(Fact::Halted { fault: crate::model::Fault::conflict("another agent"), at: START }).unwrap();
    assert!(state(&halted).split(' ').all(|word| word == "halted"));
    let excluded = |it: &mut Driven| it.accepted(exclude("e"));
    assert_eq!(state(&excluded), "yes yes yes so yes yes nothing-failed yes yes not-migrated so so last-disk yes so");
    let failed = |it: &mut Driven| {
        it.accepted(Command::Sync);
        it.until(is_copying);
        it.vm.apply(Fact::CycleFailed { fault: crate::model::Fault::corrupt("broken"), at: START }).unwrap();
        it.until(|vm| vm.cycle.is_none());
    };
    assert_eq!(state(&failed), "yes yes yes so yes yes yes yes yes not-migrated so yes yes so so");
}

#[test]
fn a_pause_puts_the_copy_down_and_a_resume_goes_on_with_what_it_left() {
    let mut it = Driven::copying();
    it.accepted(Command::Pause);
    assert_eq!(it.steps(), [Step::Park]);
    it.step();
    assert!(matches!(it.steps()[..], [Step::AbandonSnapshot { token: Some(_), .. }]), "no snapshot stays open");
    it.step();
    assert_eq!((it.steps(), it.vm.salvage.len()), (vec![Step::Wait { until: None }], 1));
    it.accepted(Command::Resume);
    assert!(matches!(it.steps()[..], [Step::IntendSnapshot { .. }]));
    it.until(|vm| vm.history.len() == 1);
    assert_eq!(it.vm.history[0].cycle, CycleNumber(1), "the same cycle went on");
}

#[test]
fn a_pause_that_is_taken_back_at_once_costs_nothing() {
    let mut it = Driven::copying();
    let before = it.steps();
    it.accepted(Command::Pause);
    it.accepted(Command::Resume);
    assert_eq!(it.steps(), before);
}

#[test]
fn a_complete_copy_is_committed_while_its_vm_is_paused() {
    let mut it = Driven::new();
    it.until(|vm| matches!(vm.cycle.as_ref().map(|cycle| &cycle.stage), Some(Stage::Closed { .. })));
    it.accepted(Command::Pause);
    it.until(|vm| vm.history.len() == 1);
    assert_eq!(it.steps(), [Step::Wait { until: None }]);
}

/// Between the pause and the resume somebody may have started the guest: what it wrote would be missing from a "final" point.
#[test]
fn a_final_cycle_that_goes_on_after_a_pause_proves_the_source_off_again() {
    for reached in [is_copying as fn(&Vm) -> bool, |vm| matches!(vm.cycle.as_ref().map(|it| &it.stage), Some(Stage::NeedsSnapshot { .. }))]
    {
        let mut it = Driven::after(2);
        it.accepted(Command::Final);
        it.until(reached);
        it.accepted(Command::Pause);
        while it.steps() != [Step::Wait { until: None }] {
            it.step();
        }
        it.accepted(Command::Resume);
        assert_eq!(it.steps(), [Step::PowerOff]);
    }
}

#[test]
fn a_stop_finishes_a_delta_and_cuts_a_first_copy() {
    let mut first = Driven::copying();
    first.accepted(stop());
    assert_eq!(first.steps(), [Step::Park]);
    first.until(Vm::is_stopped);
    assert!(first.vm.point.is_none() && first.vm.salvage.is_empty());

    let delta = || {
        let mut it = Driven::after(2);
        it.accepted(Command::Sync);
        it.until(is_copying);
        it
    };
    let mut finished = delta();
    finished.accepted(stop());
    assert!(matches!(finished.steps()[..], [Step::CopyDisk { .. }, ..] | [Step::PlanDisk { .. }, ..]));
    finished.until(Vm::is_stopped);
    assert_eq!(finished.vm.history.len(), 3);
    assert!(finished.vm.point.unwrap().disks.values().all(|disk| disk.marker.is_none()), "nothing is asked since a released marker");

    let mut cut = delta();
    cut.accepted(Command::Stop { running: Running::Cut });
    cut.until(Vm::is_stopped);
    let kind = |vm: &Vm| match &vm.history.last().unwrap().outcome {
        crate::policy::vm::EndedAs::Failed(fault) => fault.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&cut.vm), FaultKind::Cancelled);
    cut.accepted(Command::Restart);
    cut.until(|vm| vm.history.len() == 4);
}

#[test]
fn an_excluded_disk_leaves_the_running_cycle_and_its_point() {
    let mut it = Driven::copying();
    it.accepted(exclude("Hard disk 2"));
    assert_eq!(it.asks(exclude("Hard disk 1")), Verdict::Denied(Denial::LastDisk));
    it.until(|vm| vm.history.len() == 1);
    let disks = |vm: &Vm| vm.point.as_ref().unwrap().disks.keys().map(|disk| disk.to_string()).collect::<Vec<_>>();
    assert_eq!(disks(&it.vm), ["d"]);
    it.accepted(Command::IncludeDisk { disk: "e".to_owned() });
    it.accepted(Command::Sync);
    it.until(|vm| vm.history.len() == 2);
    assert_eq!(disks(&it.vm), ["d", "e"]);
    let mode = it.vm.history[1].disks.iter().find(|row| row.disk.as_str() == "e").unwrap().mode;
    assert_eq!(mode, crate::model::commit::Mode::Initial, "it was in no point, so it starts anew");
    assert_eq!(
        it.asks(exclude("Hard disk 3")),
        Verdict::Denied(Denial::UnknownDisk { known: vec!["Hard disk 1 (d)".into(), "Hard disk 2 (e)".into()] })
    );
}

#[test]
fn a_resync_that_was_asked_for_in_mid_cycle_is_the_next_cycles() {
    let mut it = Driven::after(2);
    it.accepted(Command::Sync);
    it.until(is_copying);
    it.accepted(Command::Resync);
    it.until(|vm| vm.history.len() == 3);
    assert!(it.vm.wishes.resync.is_some(), "the running cycle was a delta, and is none");
    it.until(|vm| vm.history.len() == 4);
    assert!(it.vm.history[3].disks.iter().all(|row| row.mode == crate::model::commit::Mode::Resync) && it.vm.wishes.resync.is_none());
}

/// It was accepted and remembered, and then never done unless the VM was stopped as well.
#[test]
fn tracking_is_begun_anew_when_the_running_cycle_is_over_and_everything_is_compared() {
    let mut idle = Driven::after(2);
    idle.accepted(Command::ResetTracking);
    assert_eq!(idle.steps(), [Step::ResetTracking]);
    let mut it = Driven::after(2);
    it.accepted(Command::Sync);
    it.until(is_copying);
    it.accepted(Command::ResetTracking);
    assert!(matches!(it.steps()[..], [Step::CopyDisk { .. }, ..]), "the running cycle goes on");
    it.until(|vm| vm.history.len() == 4);
    assert!(it.vm.history[3].disks.iter().all(|row| row.mode == crate::model::commit::Mode::Resync));
    it.accepted(stop());
    it.until(Vm::is_stopped);
    it.accepted(Command::ResetTracking);
    assert_eq!(it.steps(), [Step::ResetTracking]);
}

#[test]
fn what_waits_for_a_person_to_repair_it_begins_nothing_by_itself() {
    let mut it = Driven::after(2);
    it.vm.apply(Fact::RepairChosen { repair: crate::policy::vm::Repair::ByCommand }).unwrap();
    it.accepted(Command::Sync);
    it.until(is_copying);
    it.vm.apply(Fact::CycleFailed { fault: crate::model::Fault::corrupt("broken"), at: START }).unwrap();
    it.until(|vm| vm.cycle.is_none());
    assert_eq!(it.steps(), [Step::Wait { until: None }]);
    it.accepted(Command::Repair);
    it.until(|vm| vm.history.len() == 4);
}

#[test]
fn a_test_migration_holds_up_the_final_cycle_until_it_is_cleaned_up() {
    let mut it = Driven::copying();
    let began = Fact::TestMigrationBegan { at: START };
    assert!(it.vm.clone().apply(began.clone()).is_err(), "there is nothing to start during the first copy");
    it = Driven::after(1);
    it.vm.apply(began).unwrap();
    assert_eq!(it.asks(Command::Final), Verdict::Denied(Denial::TestOpen));
    it.vm.apply(Fact::TestMigrationEnded { fault: None, at: START }).unwrap();
    assert_eq!(it.asks(Command::Final), Verdict::Denied(Denial::TestOpen));
    it.vm.apply(Fact::TestMigrationCleanedUp { at: START }).unwrap();
    it.accepted(Command::Final);
}

#[test]
fn in_a_window_a_final_cycle_is_refused_by_name_and_begins_by_an_operators_word() {
    let window = closed(OnEnter::Finish);
    let shut = Conditions { blackout: Some(window.clone()), ..conditions(READY) };
    let mut it = Driven::after(2);
    let judged = |it: &Driven, command| judge(&it.vm, &command, Some(&window), START);
    assert_eq!(judged(&it, Command::Final), Verdict::Denied(Denial::Blackout(window.clone())));
    // One that was asked for before waits.
    it.accepted(Command::Final);
    assert_eq!(it.vm.next_steps(START, &shut), [Step::Wait { until: window.until }]);
    assert_eq!(judged(&it, Command::Final), Verdict::Ignored(Already::Asked));
    let Verdict::Accepted(facts) = judged(&it, Command::FinalInBlackout) else { panic!("it is not accepted") };
    assert_eq!(facts[0], Fact::BlackoutOverridden { rule: Some(window.rule.clone()), at: START });
    facts.into_iter().for_each(|fact| it.vm.apply(fact).unwrap());
    assert_eq!(judged(&it, Command::FinalInBlackout), Verdict::Ignored(Already::Asked));
    assert_eq!(it.vm.next_steps(START, &shut), [Step::BeginCycle { urgency: Urgency::Final }]);
    it.until(Vm::has_final_point);
    assert_eq!(it.vm.wishes.in_blackout, None, "the word was given for that one cycle");
    assert_eq!(judge(&Driven::copying().vm, &Command::FinalInBlackout, Some(&window), START), Verdict::Denied(Denial::FirstCopy));
}

#[test]
fn what_has_to_end_before_a_final_cycle_in_a_window_goes_on_in_it() {
    let window = closed(OnEnter::Park);
    let mut it = Driven::after(2);
    it.accepted(Command::Sync);
    it.until(is_copying);
    assert!(it.vm.stands_still_in(&window));
    it.accepted(Command::FinalInBlackout);
    assert!(!it.vm.stands_still_in(&window));
    // Who ends replication wants no final cycle any more.
    it.accepted(stop());
    assert!(it.vm.wishes.in_blackout.is_none() && it.vm.stands_still_in(&window));
}

fn any_command() -> impl Strategy<Value = Command> {
    let all = every_command().into_iter().chain([Command::FinalInBlackout]);
    proptest::sample::select(all.collect::<Vec<_>>())
}

/// What may be at work in a pause, and what may not.
fn opens(step: &Step) -> bool {
    matches!(
        step,
        Step::BeginCycle { .. } | Step::PowerOff | Step::IntendSnapshot { .. } | Step::OpenSnapshot { .. } | Step::CopyDisk { .. }
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever is asked, happens and fails in whatever order: what a command is said to record can be recorded, what is denied or ignored
    /// records nothing, what steps make true is accepted, a pause opens nothing and loses nothing, an excluded disk is not copied, and every
    /// state is left by a step, by an hour or by a command.
    #[test]
    fn any_walk_of_commands_and_facts_goes_on_and_replays(
        choices in proptest::collection::vec((0u8..16, any_command(), any_fault(), 1u32..9, any::<bool>()), 1..150)
    ) {
        let mut vm = Vm::default();
        let mut facts = vec![in_order().remove(0)];
        vm.apply(facts[0].clone()).unwrap();
        let mut now = START;
        for (choice, command, fault, tries, leaving) in choices {
            now = now.checked_add(std::time::Duration::from_secs(300)).unwrap();
            let session = Session { leaving: choice == 15 && leaving, ..READY };
            let steps = vm.next_steps(now, &conditions(session));
            prop_assert_eq!(&steps, &vm.next_steps(now, &conditions(session)));
            let window = closed(OnEnter::Park);
            let blackout = leaving.then_some(&window);
            let verdict = judge(&vm, &command, blackout, now);
            prop_assert_eq!(&verdict, &judge(&vm, &command, blackout, now));
            let step = &steps[usize::from(tries as u8) % steps.len()];
            let recorded = match choice {
                0..4 => match verdict {
                    Verdict::Accepted(facts) => facts,
                    _ => Vec::new(),
                },
                4 | 5 => match react(step, &fault, Failing { tries, lasting: std::time::Duration::from_secs(u64::from(tries) * 1800) }, Patience::default()) {
                    Reaction::Retry { .. } => Vec::new(),
                    Reaction::NewSnapshot => {
                        let salvage = vm.salvage.values().cloned().collect();
                        vec![Fact::AttemptFailed { fault, salvage, retry_at: now }]
                    }
                    Reaction::FailCycle => vec![Fact::CycleFailed { fault, at: now }],
                    // A halt is left by a person with another agent, and ends the walk.
                    Reaction::Halt => Vec::new(),
                },
                _ => with_two_disks(&vm, step, now).into_iter().collect(),
            };
            for fact in recorded {
                let before = vm.clone();
                let accepted = vm.apply(fact.clone());
                prop_assert!(accepted.is_ok(), "{:?}", accepted);
                if matches!(fact, Fact::Paused { .. } | Fact::Resumed { .. } | Fact::Parked { .. }) && !vm.is_stopping() {
                    for (disk, kept) in &before.salvage {
                        // The one exception is a disk that the attempt did not list, because it is excluded or gone.
                        let listed = before.replicated_disks().contains_key(disk);
                        let layers = vm.salvage.get(disk).map_or(0, |salvage| salvage.layers.len());
                        prop_assert!(!listed || layers >= kept.layers.len(), "{:?} lost what was published", fact);
                    }
                }
                facts.push(fact);
            }
            let steps = vm.next_steps(now, &conditions(READY));
            if vm.is_paused() || vm.is_stopped() {
                prop_assert!(!steps.iter().any(opens), "{:?}", steps);
            }
            if let Some(Stage::Committed { point, .. }) = vm.cycle.as_ref().map(|cycle| &cycle.stage) {
                prop_assert!(!point.disks.is_empty());
            }
            for disk in vm.wishes.excluded.keys() {
                let copied = steps.contains(&Step::CopyDisk { disk: disk.clone() });
                prop_assert!(!copied, "an excluded disk is copied");
            }
            let waits_for_ever = steps == [Step::Wait { until: None }];
            let left_by_command = every_command().iter().any(|command| matches!(judge(&vm, command, None, now), Verdict::Accepted(_)));
            prop_assert!(!waits_for_ever || left_by_command, "nothing leads out of {:?}", vm);
        }
        let mut replayed = Vm::default();
        for fact in facts {
            let encoded = serde_json::to_string(&fact).unwrap();
            replayed.apply(serde_json::from_str(&encoded).unwrap()).unwrap();
        }
        prop_assert_eq!(replayed, vm);
    }
}
