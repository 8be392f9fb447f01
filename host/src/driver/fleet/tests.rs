use futures::FutureExt;

use crate::model::DiskHome;
use crate::policy::governor::Tight;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn fleet(limits: Limits) -> Arc<Fleet> {
    Fleet::new(limits, Rules::default())
}

fn located(disks: usize) -> Located {
    with_free(disks, 100)
}

/// On a datastore with so many of 100 GiB free.
fn with_free(disks: usize, gib: u64) -> Located {
    let store = Datastore { id: "ds-1".into(), name: "fast".into(), free: gib << 30, capacity: 100 << 30, snapshot_bytes: 0 };
    let disks = (0..disks).map(|no| DiskHome { disk: format!("d{no}").as_str().into(), datastore: Some("ds-1".into()) });
    let placement = Placement { host: "esx-07".into(), datastores: vec![store], disks: disks.collect() };
    Located { placement, host_disks_max: Some(8) }
}

fn wish(kind: Kind) -> Wish {
    Wish { kind, standing: Standing::New, since: NOW, disks_left: None }
}

fn join(fleet: &Arc<Fleet>, name: &str) -> Member {
    with_reins(fleet, name, &Reins::default())
}

fn with_reins(fleet: &Arc<Fleet>, name: &str, reins: &Reins) -> Member {
    fleet.join(&name.into(), name, &Vm::default(), reins.clone())
}

fn told(member: &Member) -> bool {
    member.told().now_or_never().is_some()
}

#[test]
fn a_seat_is_told_of_and_comes_back_when_its_holder_is_gone() {
    let fleet = fleet(Limits::default());
    let (first, second) = (join(&fleet, "first"), join(&fleet, "second"));
    first.ask("vc", &located(8), wish(Kind::Initial), NOW);
    assert!(told(&first));
    assert_eq!(first.seat(), Seat::Held { disks: 8 });
    second.ask("vc", &located(2), wish(Kind::Initial), NOW);
    assert!(second.waits() && !told(&second));
    let Some(Waiting::Limit(shortage)) = fleet.why(&"second".into()) else { panic!("it waits for nothing") };
    assert_eq!((shortage.in_use, shortage.max), (8, Some(8)));
    // Its task has died.
    drop(first);
    assert!(told(&second));
    assert_eq!((second.seat(), fleet.why(&"second".into())), (Seat::Held { disks: 2 }, None));
}

#[test]
fn a_place_among_the_vms_is_kept_for_whom_the_journal_knows() {
    let fleet = fleet(Limits { vms: 1, ..Limits::default() });
    fleet.reserve(&"away".into(), "away");
    let new = join(&fleet, "new");
    new.ask("vc", &located(1), wish(Kind::Initial), NOW);
    assert!(new.waits());
    // Not wanted any longer.
    fleet.give_up(&"away".into());
    assert!(told(&new));
    // Whose task runs is not given up.
    fleet.give_up(&"new".into());
    assert_eq!(new.seat(), Seat::Held { disks: 1 });
}

#[test]
fn a_source_that_names_no_host_and_no_datastore_has_the_appliances_limits_only() {
    let fleet = fleet(Limits { disks: 2, ..Limits::default() });
    let (first, second) = (join(&fleet, "first"), join(&fleet, "second"));
    for member in [&first, &second] {
        member.ask("images", &Located::default(), wish(Kind::Initial), NOW);
        assert_eq!(member.seat(), Seat::Held { disks: 1 });
    }
}

#[test]
fn a_final_cycle_that_waits_goes_before_the_delta_that_it_was() {
    let fleet = fleet(Limits { disks: 1, ..Limits::default() });
    let members = ["runs", "other", "urgent"].map(|name| join(&fleet, name));
    let replicating = |kind| Wish { standing: Standing::Replicating, ..wish(kind) };
    for member in &members {
        member.ask("vc", &located(1), replicating(Kind::Delta), NOW);
    }
    members[2].ask("vc", &located(1), replicating(Kind::Final), NOW);
    members[0].keep(SeatNeed::Nothing, NOW);
    assert_eq!(members.each_ref().map(Member::seat), [Seat::None, Seat::None, Seat::Held { disks: 1 }]);
}

#[test]
fn limits_change_while_vms_wait() {
    let fleet = fleet(Limits { disks: 1, ..Limits::default() });
    let (first, second) = (join(&fleet, "first"), join(&fleet, "second"));
    first.ask("vc", &located(1), wish(Kind::Initial), NOW);
    second.ask("vc", &located(1), wish(Kind::Initial), NOW);
    assert!(second.waits());
    fleet.set_limits(Limits { disks: 2, ..Limits::default() }, Rules::default());
    assert!(told(&second));
}

#[test]
fn a_datastore_that_fills_lets_vms_in_one_by_one_and_then_closes_what_is_open() {
    let fleet = fleet(Limits::default());
    let [runs, second] = ["runs", "second"].map(|name| join(&fleet, name));
    let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
    runs.ask("vc", &with_free(1, 9), wish(Kind::Initial), at(0));
    second.ask("vc", &with_free(1, 9), wish(Kind::Initial), at(0));
    let space = |free: u64| Tight::Space { free: free << 30, reserve: 5 << 30 };
    let waits = |tight, takes| Some(Waiting::Datastore { name: "fast".into(), tight, takes });
    assert_eq!(fleet.why(&"second".into()), waits(space(9), Takes::OneVm));
    assert!(runs.look("vc", &with_free(1, 8), at(0), at(2)).is_some(), "half a GiB a minute: six minutes are left");
    runs.keep(SeatNeed::Nothing, at(3));
    // What made it fill is gone, and there is no more than twice its reserve.
    second.ask("vc", &with_free(1, 9), wish(Kind::Initial), at(4));
    assert_eq!(fleet.why(&"second".into()), waits(space(9), Takes::None));
    second.ask("vc", &with_free(1, 90), wish(Kind::Initial), at(9));
    assert_eq!(second.seat(), Seat::Held { disks: 1 });
}

/// The snapshot that could not be closed was counted as the one VM whose turn it was: nobody on its datastore had a turn any more.
#[test]
fn a_snapshot_that_nobody_can_close_takes_nobodys_turn() {
    let fleet = fleet(Limits { datastore_snapshots: 3, ..Limits::default() });
    let [stuck, first, second, large] = ["stuck", "first", "second", "large"].map(|name| join(&fleet, name));
    stuck.ask("vc", &located(1), wish(Kind::Initial), NOW);
    stuck.keep(SeatNeed::Snapshots, NOW);
    stuck.unmerged("vc", &located(1), Unmerged::Yes);
    let waits = |member: &Member| member.waits();
    first.ask("vc", &located(1), wish(Kind::Initial), NOW);
    second.ask("vc", &located(1), wish(Kind::Initial), NOW);
    assert_eq!([&first, &second].map(waits), [false, true]);
    first.keep(SeatNeed::Nothing, NOW);
    assert!(!second.waits());
    second.keep(SeatNeed::Nothing, NOW);
    // The datastore's own limit holds all the same.
    large.ask("vc", &located(3), wish(Kind::Initial), NOW);
    assert!(large.waits());
    stuck.unmerged("vc", &located(1), Unmerged::No);
    stuck.keep(SeatNeed::Nothing, NOW);
    assert!(!large.waits());
}

/// After a restart nobody knew where it was, until it asked for a seat; and one that only closes its snapshot never asks.
#[test]
fn a_snapshot_that_is_open_since_before_a_restart_counts_before_anybody_enters() {
    let fleet = fleet(Limits { datastore_snapshots: 3, ..Limits::default() });
    let [closes, other] = ["closes", "other"].map(|name| join(&fleet, name));
    fleet.change(|admission| admission.expect(closes.vm));
    closes.keep(SeatNeed::Snapshots, NOW);
    other.ask("vc", &located(2), wish(Kind::Initial), NOW);
    assert!(matches!(fleet.why(&"other".into()), Some(Waiting::Returning { vms: 1 })), "where it lies is not known");
    closes.holds("vc", &located(2), NOW);
    closes.keep(SeatNeed::Snapshots, NOW);
    let Some(Waiting::Limit(shortage)) = fleet.why(&"other".into()) else { panic!("it has entered") };
    assert_eq!((shortage.in_use, shortage.max), (2, Some(3)));
    closes.keep(SeatNeed::Nothing, NOW);
    assert!(!other.waits());
}

#[test]
fn where_a_snapshot_is_not_closed_others_go_one_by_one() {
    let fleet = fleet(Limits::default());
    let [stuck, first, second] = ["stuck", "first", "second"].map(|name| join(&fleet, name));
    stuck.unmerged("vc", &located(1), Unmerged::Yes);
    first.ask("vc", &located(1), wish(Kind::Initial), NOW);
    second.ask("vc", &located(1), wish(Kind::Initial), NOW);
    assert_eq!([&first, &second].map(|member| member.waits()), [false, true]);
    stuck.unmerged("vc", &located(1), Unmerged::No);
    assert!(!second.waits());
}

#[test]
fn copies_stand_still_while_a_final_cycle_of_another_vm_has_a_seat_or_waits_for_one() {
    let fleet = fleet(Limits { disks: 9, ..Limits::default() });
    let reins = [Reins::default(), Reins::default(), Reins::default()];
    let [copies, elsewhere, last] = [0, 1, 2].map(|number| with_reins(&fleet, ["copies", "elsewhere", "last"][number], &reins[number]));
    let orders = || reins.each_ref().map(Reins::order);
    let on = |host: &str, disks| {
        let located = located(disks);
        Located { placement: Placement { host: host.to_owned(), ..located.placement }, ..located }
    };
    copies.ask("vc", &on("esx-1", 8), wish(Kind::Initial), NOW);
    elsewhere.ask("vc", &on("esx-2", 1), wish(Kind::Initial), NOW);
    assert_eq!(orders(), [Order::Go; 3]);
    // All nine places of the appliance are taken: whatever frees one goes on.
    last.ask("vc", &on("esx-3", 1), wish(Kind::Final), NOW);
    assert!(last.waits() && orders() == [Order::Go; 3]);
    copies.keep(SeatNeed::Seat { disks_left: Some(7) }, NOW);
    assert_eq!((last.seat(), orders()), (Seat::Held { disks: 1 }, [Order::Hold, Order::Hold, Order::Go]));
    assert_eq!(reins[0].holders(), [Holder::Final]);
    assert_eq!(fleet.why(&"copies".into()), Some(Waiting::FinalCycle { of: "last".to_owned() }));
    // Whose task ends is held by nobody.
    drop(copies);
    assert_eq!(orders(), [Order::Go, Order::Hold, Order::Go]);
    last.keep(SeatNeed::Snapshots, NOW);
    assert_eq!(orders(), [Order::Go; 3]);
}
