use proptest::prelude::*;

use crate::model::commit::{Layer, Sha};
use crate::model::{DiskSize, SnapshotDisk};
use crate::policy::admission::{Kind, Standing};
use crate::policy::calendar::OnEnter;
use crate::policy::distrust::Compared;
use crate::policy::mode::PointDisk;
use crate::policy::reaction::{Failing, Patience, Reaction, react};

use super::*;

pub(super) const START: Timestamp = Timestamp::UNIX_EPOCH;
pub(super) const READY: Session =
    Session { owner_checked: true, swept: true, prepared: true, tracking: true, leaving: false, renewal_tried_before: None };

pub(super) fn interval() -> Interval {
    Interval { shortest: Duration::from_secs(60), longest: Duration::from_secs(600) }
}

pub(super) fn conditions(session: Session) -> Conditions {
    Conditions { session, interval: interval(), seat: Seat::Held { disks: 8 }, blackout: None }
}

pub(super) fn disk() -> DiskId {
    "d".into()
}

pub(super) fn snapshot_disk(id: &str, label: &str) -> SnapshotDisk {
    let size = DiskSize::new(1 << 20).unwrap();
    SnapshotDisk { id: id.into(), label: label.into(), fingerprint: "f".into(), size, marker: Some("m".into()) }
}

fn layer(cycle: u64, attempt: Attempt) -> Layer {
    let digest = Sha::of(b"");
    Layer { cycle: CycleNumber(cycle), attempt, to_block: 1, pages: 1, pages_digest: digest, planned_parts: 1, planned_digest: digest }
}

fn plan(vm: &Vm, disk: &DiskId) -> Plan {
    let known = vm.point.as_ref().is_some_and(|point| point.disks.contains_key(disk));
    let mode = match (known, vm.cycle.as_ref().is_some_and(|cycle| cycle.resync.is_some())) {
        (false, _) => Mode::Initial,
        (true, false) => Mode::Delta,
        (true, true) => Mode::Resync,
    };
    let digest = Sha::of(b"plan");
    let carried = vm.salvage.get(disk).map_or_else(Vec::new, |salvage| salvage.layers.clone());
    Plan {
        mode,
        resync: None,
        parts: 1,
        digest,
        covered_digest: digest,
        planned_bytes: 1 << 20,
        reported_bytes: 1 << 20,
        reported_extents: 1,
        carried,
        compared: Compared::default(),
    }
}

pub(super) fn point(cycle: CycleNumber) -> Point {
    let known = PointDisk { fingerprint: "f".into(), size: DiskSize::new(1 << 20).unwrap(), marker: Some("m".into()) };
    let commit = PointRef { cycle, hash: Sha::of(&cycle.0.to_le_bytes()) };
    Point { commit, taken_at: START, quiesced: true, last: false, disks: [(disk(), known)].into() }
}

/// What the driver finds of the published pages: here, of each disk that has a plan.
fn salvage(vm: &Vm) -> Vec<Salvage> {
    let Some(Cycle { stage: Stage::Open { disks: Some(disks), .. }, number, attempt, .. }) = &vm.cycle else {
        return vm.salvage.values().cloned().collect();
    };
    let left = |(disk, copying): (&DiskId, &Copying)| {
        let Some(plan) = copying.plan.as_ref() else { return vm.salvage.get(disk).cloned() };
        let mut layers = plan.carried.clone();
        layers.push(layer(number.0, *attempt));
        let marker = vm.salvage.get(disk).map_or_else(|| "m".into(), |salvage| salvage.marker.clone());
        Some(Salvage { disk: disk.clone(), mode: plan.mode, fingerprint: "f".into(), layers, marker, bad_blocks: Vec::new() })
    };
    disks.each.iter().filter_map(left).collect()
}

/// What a step makes true when it succeeds.
pub(super) fn success(vm: &Vm, step: &Step, now: Timestamp) -> Option<Fact> {
    let cycle = vm.cycle.as_ref();
    let attempt = cycle.map_or(Attempt::FIRST, |cycle| cycle.attempt);
    Some(match step {
        Step::Wait { .. } | Step::CheckOwner | Step::Sweep | Step::Prepare | Step::TakeSeat | Step::EnableTracking => return None,
        Step::TakeOwnership | Step::LearnPast => {
            Fact::Owned { epoch: Epoch(1), newest: vm.newest, point: vm.point.clone(), next_cycle: CycleNumber(1), unjudged: None }
        }
        Step::RenewTracking => Fact::TrackingRenewed { at: now },
        Step::BeginCycle { urgency } => Fact::CycleBegan { cycle: CycleNumber(vm.next_cycle), urgency: *urgency, at: now },
        Step::PowerOff => Fact::PoweredOff,
        Step::IntendSnapshot { attempt } => Fact::SnapshotIntended { attempt: *attempt, tag: "tag".into(), at: now },
        Step::OpenSnapshot { .. } => Fact::SnapshotOpened { attempt, token: "token".into(), quiesced: true, at: now },
        Step::ListDisks { .. } => Fact::DisksListed { disks: vec![snapshot_disk("d", "Hard disk 1")], definition: serde_json::Value::Null },
        Step::PlanDisk { disk } => Fact::DiskPlanned { disk: disk.clone(), plan: plan(vm, disk), at: now },
        Step::CopyDisk { disk } => {
            Fact::DiskCopied { disk: disk.clone(), layer: layer(cycle?.number.0, attempt), stats: CopyStats::default(), at: now }
        }
        Step::CloseSnapshot { .. } => Fact::SnapshotClosed { markers: Vec::new() },
        Step::AbandonSnapshot { .. } => Fact::Abandoned,
        Step::Commit { cycle } => Fact::Committed { point: point(*cycle) },
        Step::AwaitReceipt { .. } => Fact::Applied { at: now },
        Step::Park => Fact::Parked { salvage: salvage(vm), at: now },
        Step::ResetTracking => Fact::TrackingReset { at: now },
        Step::LetGo => Fact::Stopped { at: now },
    })
}

/// A whole cycle in order, from the first fact of a VM on.
pub(super) fn in_order() -> Vec<Fact> {
    let identity = VmRef { id: "vm-1".into(), fingerprint: "i".into() };
    let mut vm = Vm::default();
    let mut facts = vec![Fact::Enrolled { identity, source: "s".into(), name: "n".into(), at: START }];
    vm.apply(facts[0].clone()).unwrap();
    while !matches!(facts.last(), Some(Fact::Applied { .. })) {
        let steps = vm.next_steps(START, &conditions(READY));
        let fact = success(&vm, &steps[0], START).unwrap();
        vm.apply(fact.clone()).unwrap();
        facts.push(fact);
    }
    facts
}

#[test]
fn the_facts_of_a_cycle_are_accepted_in_their_order_and_in_no_other() {
    let facts = in_order();
    assert_eq!(facts.len(), 11);
    for reached in 2..facts.len() {
        for (index, fact) in facts.iter().enumerate().skip(2) {
            let mut vm = Vm::default();
            facts[..reached].iter().for_each(|fact| vm.apply(fact.clone()).unwrap());
            assert_eq!(vm.apply(fact.clone()).is_ok(), index == reached, "{fact:?} after {:?}", facts[reached - 1]);
        }
    }
}

#[test]
fn an_attempt_of_another_owner_is_another_number() {
    for (epoch, first) in [(1, 1), (2, 101), (3, 201), (u64::MAX, u32::MAX)] {
        assert_eq!(Attempt::first_of(Epoch(epoch)), Attempt(first));
    }
    let second = Attempt::first_of(Epoch(2)).next();
    assert_eq!((second, second.in_cycle()), (Attempt(102), 2));
}

#[test]
fn the_pause_after_failures_grows_and_ends_at_ten_minutes_or_so() {
    let mut vm = Vm::default();
    in_order().into_iter().for_each(|fact| vm.apply(fact).unwrap());
    assert_eq!(vm.due(interval(), START), Some(START), "a delta follows an initial at once");
    let mut pauses = Vec::new();
    for failures in 1..=20 {
        vm.failures = failures;
        pauses.push(vm.due(interval(), START).unwrap().duration_since(START).as_secs());
    }
    assert!(pauses.is_sorted() && pauses[0] == 5 && pauses[19] == 640, "{pauses:?}");
    vm.demand = Some(Urgency::Demanded);
    let session = READY;
    assert_eq!(vm.next_steps(START, &conditions(session)), [Step::Wait { until: vm.due(interval(), START) }]);
    vm.apply(Fact::Demanded { urgency: Urgency::Demanded, at: START }).unwrap();
    assert_eq!(vm.next_steps(START, &conditions(session)), [Step::BeginCycle { urgency: Urgency::Demanded }], "a person need not wait");
}

/// A VM's last cycle had ended by a clock that was days ahead. When that was corrected the VM was not replicated for days, and nobody was told.
#[test]
fn a_clock_that_was_ahead_and_is_corrected_costs_no_recovery_point() {
    let mut vm = Vm::default();
    in_order().into_iter().for_each(|fact| vm.apply(fact).unwrap());
    let ended = vm.history.last_mut().unwrap();
    ended.disks.iter_mut().for_each(|disk| disk.mode = Mode::Delta);
    let hours = |hours: i64| START + jiff::SignedDuration::from_hours(hours);
    ended.ended_at = hours(50);
    assert_eq!(vm.due(interval(), START), Some(START));
    assert!(vm.due(interval(), hours(50)).unwrap() > hours(50), "by its own clock it is not due");
    vm.failures = 1;
    assert_eq!(vm.due(interval(), START), Some(START));
    let ended = vm.history.last_mut().unwrap();
    ended.last = true;
    vm.failures = 0;
    assert_eq!(vm.due(interval(), START), None, "what was moved stays moved");
    // The same of an attempt that is tried again after a pause.
    let cycle = |not_before| Cycle {
        stage: Stage::NeedsSnapshot { not_before: Some(not_before) },
        ..Cycle::begin(CycleNumber(2), Urgency::Scheduled, START, Epoch(1), None)
    };
    let next = |not_before| cycle(not_before).next_steps(START, READY, Seat::Held { disks: 1 });
    let soon = START + jiff::SignedDuration::from_secs(60);
    assert_eq!(next(soon), [Step::Wait { until: Some(soon) }]);
    assert!(matches!(next(hours(50))[..], [Step::IntendSnapshot { .. }]));
}

/// Its history was empty, so the first cycle was due at once: a VM that had been moved for good began to replicate again.
#[test]
fn an_agent_that_takes_over_after_the_final_cycle_begins_none_by_itself() {
    let owned = |last| {
        let point = Point { last, ..point(CycleNumber(7)) };
        Fact::Owned { epoch: Epoch(2), newest: Some(point.commit), point: Some(point), next_cycle: CycleNumber(8), unjudged: None }
    };
    for (last, due) in [(true, None), (false, Some(Timestamp::MIN))] {
        let mut vm = Vm::default();
        vm.apply(in_order()[0].clone()).unwrap();
        vm.apply(owned(last)).unwrap();
        assert_eq!(vm.due(interval(), START), due, "last: {last}");
    }
}

/// What burdens the source: it never happens without a seat.
fn needs_seat(step: &Step) -> bool {
    let opens = matches!(step, Step::IntendSnapshot { .. } | Step::OpenSnapshot { .. });
    let reads = matches!(step, Step::ListDisks { .. } | Step::PlanDisk { .. } | Step::CopyDisk { .. });
    opens || reads || step.needs_seat() || *step == Step::PowerOff
}

#[test]
fn as_many_disks_are_read_as_there_are_places_and_the_rest_follows() {
    let mut vm = Vm::default();
    for fact in in_order() {
        let listed = matches!(fact, Fact::DisksListed { .. });
        match fact {
            Fact::DisksListed { definition, .. } => {
                let disks = ["a", "b", "c"].map(|id| SnapshotDisk { id: id.into(), ..snapshot_disk("d", "Hard disk 1") }).to_vec();
                vm.apply(Fact::DisksListed { disks, definition }).unwrap();
            }
            fact => vm.apply(fact).unwrap(),
        }
        if listed {
            break;
        }
    }
    let ready = READY;
    let steps = |vm: &Vm| vm.next_steps(START, &Conditions { seat: Seat::Held { disks: 2 }, ..conditions(ready) });
    assert_eq!(steps(&vm), ["a", "b"].map(|disk| Step::PlanDisk { disk: disk.into() }), "a plan reads as well");
    for disk in ["a", "b"] {
        vm.apply(Fact::DiskPlanned { disk: disk.into(), plan: plan(&vm, &disk.into()), at: START }).unwrap();
    }
    let copy = |disks: &[&str]| disks.iter().map(|disk| Step::CopyDisk { disk: (*disk).into() }).collect::<Vec<_>>();
    assert_eq!((steps(&vm), vm.disks_left()), (copy(&["a", "b"]), Some(3)));
    let layer = layer(1, Attempt::FIRST);
    vm.apply(Fact::DiskCopied { disk: "b".into(), layer, stats: CopyStats::default(), at: START }).unwrap();
    let next = vec![Step::CopyDisk { disk: "a".into() }, Step::PlanDisk { disk: "c".into() }];
    assert_eq!((steps(&vm), vm.seat_need(&steps(&vm))), (next, SeatNeed::Seat { disks_left: Some(2) }));
}

/// Each stage of a cycle, with what it still needs of its seat.
#[test]
fn a_seat_is_needed_until_the_snapshot_is_closed() {
    let ready = READY;
    let mut vm = Vm::default();
    let mut needs = Vec::new();
    for fact in in_order() {
        vm.apply(fact).unwrap();
        needs.push((vm.seat_need(&vm.next_steps(START, &conditions(ready))), vm.standing()));
    }
    let seat = |disks_left| SeatNeed::Seat { disks_left };
    let expected = [
        (SeatNeed::Nothing, Standing::New),
        (seat(None), Standing::New),
        (seat(None), Standing::Replicating),
        (seat(None), Standing::SnapshotOpen),
        (seat(None), Standing::SnapshotOpen),
        (seat(Some(1)), Standing::SnapshotOpen),
        (seat(Some(1)), Standing::SnapshotOpen),
        (seat(Some(0)), Standing::SnapshotOpen),
        (SeatNeed::Nothing, Standing::Replicating),
        (SeatNeed::Nothing, Standing::Replicating),
        (seat(None), Standing::Replicating),
    ];
    assert_eq!(needs, expected);
    vm.apply(Fact::Demanded { urgency: Urgency::Final, at: START }).unwrap();
    assert_eq!(vm.kind(), Kind::Final);
}

pub(super) fn any_fault() -> impl Strategy<Value = Fault> {
    use crate::model::FaultKind::*;
    let kinds = [Denied, Auth, NotFound, Conflict, Invalid, Corrupt, Unsupported, Throttled, Unavailable, Full, Cancelled, Internal];
    proptest::sample::select(kinds.to_vec()).prop_map(|kind| Fault::new(kind, "something happened"))
}

proptest! {
    /// Whatever happens in whatever order: there is always something to do, facts that steps made true are always accepted, the marker
    /// moves with an applied cycle only, and replaying the facts, through their encoded form and a snapshot of some of them, gives the same
    /// state.
    #[test]
    fn any_walk_goes_on_and_replays(
        choices in proptest::collection::vec((0u8..10, any_fault(), 1u32..9), 1..200),
        snapshot_after in any::<u8>(),
    ) {
        let mut vm = Vm::default();
        let mut facts = vec![in_order().remove(0)];
        vm.apply(facts[0].clone()).unwrap();
        let mut now = START;
        for (choice, fault, tries) in choices {
            now = now.checked_add(Duration::from_secs(300)).unwrap();
            let session = Session { owner_checked: choice != 9, swept: choice != 8, prepared: tries != 8, tracking: choice != 7, ..READY };
            let steps = vm.next_steps(now, &conditions(session));
            prop_assert!(!steps.is_empty());
            prop_assert_eq!(&steps, &vm.next_steps(now, &conditions(session)));
            let seatless = vm.next_steps(now, &Conditions { seat: Seat::None, ..conditions(session) });
            prop_assert!(!seatless.is_empty() && !seatless.iter().any(needs_seat), "{:?}", seatless);
            for on_enter in [OnEnter::Finish, OnEnter::Park] {
                let shut = Conditions { blackout: Some(closed(on_enter)), ..conditions(session) };
                let seatless = Conditions { seat: Seat::None, ..shut.clone() };
                prop_assert!(!vm.next_steps(now, &shut).is_empty() && !vm.next_steps(now, &seatless).is_empty());
            }
            let step = &steps[usize::from(choice) % steps.len()];
            let fact = match (choice, step) {
                (7, Step::AwaitReceipt { .. }) => {
                    let rejection = Rejection { code: RejectCode::Damaged, message: String::new(), bad_blocks: Vec::new() };
                    Some(Fact::Rejected { rejection, at: now })
                }
                (7, _) => Some(Fact::Demanded { urgency: Urgency::Final, at: now }),
                (5 | 6, step) => match react(step, &fault, Failing { tries, lasting: Duration::from_secs(u64::from(tries) * 1800) }, Patience::default()) {
                    Reaction::Retry { .. } => None,
                    Reaction::NewSnapshot => Some(Fact::AttemptFailed { fault, salvage: Vec::new(), retry_at: now }),
                    Reaction::FailCycle => Some(Fact::CycleFailed { fault, at: now }),
                    Reaction::Halt => Some(Fact::Halted { fault, at: now }),
                },
                (_, step) => success(&vm, step, now),
            };
            let Some(fact) = fact else { continue };
            let before = vm.point.clone();
            let applied = matches!(fact, Fact::Applied { .. });
            let accepted = vm.apply(fact.clone());
            prop_assert!(accepted.is_ok(), "{:?}", accepted);
            prop_assert!(applied || vm.point == before);
            facts.push(fact);
        }
        let snapshot_after = usize::from(snapshot_after) % facts.len();
        let mut replayed = Vm::default();
        for (number, fact) in facts.into_iter().enumerate() {
            if number == snapshot_after {
                replayed = serde_json::from_value(serde_json::to_value(&replayed).unwrap()).unwrap();
            }
            let encoded = serde_json::to_string(&fact).unwrap();
            replayed.apply(serde_json::from_str(&encoded).unwrap()).unwrap();
        }
        prop_assert_eq!(replayed, vm);
    }
}

pub(super) fn closed(on_enter: OnEnter) -> Closed {
    let until = START.checked_add(Duration::from_secs(7 * 3600)).ok();
    Closed { rule: "Monday 07:00 for 7 h".to_owned(), zone: "Europe/Berlin".to_owned(), on_enter, until }
}

#[test]
fn nothing_begins_in_a_blackout_and_what_has_begun_goes_on() {
    let closed = closed(OnEnter::Finish);
    let until = closed.until;
    let session = Session { owner_checked: true, swept: true, ..Session::default() };
    let (open, shut) = (conditions(session), Conditions { blackout: Some(closed), ..conditions(session) });
    let mut vm = Vm::default();
    in_order().into_iter().take(2).for_each(|fact| vm.apply(fact).unwrap());
    for urgency in [None, Some(Urgency::Demanded), Some(Urgency::Final)] {
        vm.demand = urgency;
        assert_eq!(vm.next_steps(START, &open), [Step::Prepare]);
        assert_eq!(vm.next_steps(START, &shut), [Step::Wait { until }], "{urgency:?}");
    }
    vm.apply(Fact::CycleBegan { cycle: CycleNumber(1), urgency: Urgency::Scheduled, at: START }).unwrap();
    assert_eq!(vm.next_steps(START, &shut), vm.next_steps(START, &open));
}

/// Each stage of a cycle in a window that parks: with the seat that it has until its copies have ended, and without it, as after a restart.
#[test]
fn in_a_window_that_parks_what_is_read_is_published_and_then_waits_with_its_snapshot_open() {
    let window = closed(OnEnter::Park);
    let wait = [Step::Wait { until: window.until }];
    let open = conditions(READY);
    let with = |seat| Conditions { blackout: Some(window.clone()), seat, ..conditions(READY) };
    let mut vm = Vm::default();
    let mut seen = Vec::new();
    for fact in in_order() {
        vm.apply(fact).unwrap();
        let Some(cycle) = &vm.cycle else { continue };
        let (seated, seatless) = (vm.next_steps(START, &with(open.seat)), vm.next_steps(START, &with(Seat::None)));
        assert_eq!(seated, vm.next_steps(START, &open), "with its seat it goes on: {:?}", cycle.stage);
        let needed = vm.seat_need(&seatless);
        match (&cycle.stage, vm.disks_left()) {
            (Stage::NeedsSnapshot { .. }, _) => assert_eq!((&seatless[..], needed), (&wait[..], SeatNeed::Nothing)),
            (Stage::Opening { .. }, _) => assert_eq!(seatless, [Step::Park], "nobody would look after what may be open"),
            (Stage::Open { .. }, Some(0)) => assert!(matches!(seatless[..], [Step::CloseSnapshot { .. }]), "a complete copy is closed"),
            (Stage::Open { .. }, _) => assert_eq!((&seatless[..], needed), (&wait[..], SeatNeed::Snapshots)),
            _ => assert_eq!(seatless, seated, "what is complete is committed"),
        }
        seen.push(vm.stands_still_in(&window));
    }
    assert!(seen.contains(&true) && seen.contains(&false));
}

#[test]
fn a_final_cycle_goes_on_whatever_window_opens() {
    let (mut vm, window) = (Vm::default(), closed(OnEnter::Park));
    in_order().into_iter().for_each(|fact| vm.apply(fact).unwrap());
    vm.apply(Fact::CycleBegan { cycle: CycleNumber(vm.next_cycle), urgency: Urgency::Final, at: START }).unwrap();
    let shut = Conditions { blackout: Some(window.clone()), seat: Seat::None, ..conditions(READY) };
    for fact in [Fact::PoweredOff, Fact::SnapshotIntended { attempt: Attempt::FIRST, tag: "t".to_owned(), at: START }] {
        assert_eq!((vm.next_steps(START, &shut), vm.stands_still_in(&window)), (vec![Step::TakeSeat], false));
        vm.apply(fact).unwrap();
    }
    assert_eq!(vm.next_steps(START, &shut), [Step::TakeSeat]);
}
