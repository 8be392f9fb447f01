//! Recovery points are dropped and orphans collected while cycles go on, processes die, replies are lost and other agents come. The oracle:
//! every kept point restores to what its snapshot froze, nothing that a kept commit names is missing, and at the end nothing else is left.

use std::collections::BTreeMap;
use std::time::Duration;

use sim::by_hand::{CELL, MIB};
use sim::retention::eager;
use sim::scenario::{Plan, Scene, run};
use sim::weather::Weather;
use transload::driver::retention::Outcome;
use transload::driver::{gateway, judge};
use transload::log::chain::Chain;
use transload::log::dropped::Records;
use transload::log::layout;
use transload::log::lease::{Lease, Leases, SKEW, TERM};
use transload::log::mark::Mark;
use transload::log::seal::Role;
use transload::model::commit::Mode;
use transload::model::{CycleNumber, FaultKind};
use transload::policy::replica::ReplicaState;
use transload::policy::vm::EndedAs;

/// A history in which points are dropped every second cycle and the journal is folded every few facts.
fn eager_plan(seed: u64) -> Plan {
    let plan = Plan::from_seed(seed);
    let calm = Plan { weather: Weather::default(), rival: None, ..plan };
    Plan { points: calm.points + 3, retention: Some(eager()), facts_kept: 7, ..calm }
}

fn share(number: u64) {
    let seeds: u64 = std::env::var("SIM_SEEDS").map_or(120, |text| text.parse().expect("SIM_SEEDS is a number"));
    for seed in (number..seeds).step_by(2) {
        if let Err(what) = run(&eager_plan(seed)) {
            panic!("{what}");
        }
    }
}

#[test]
fn the_first_half_of_seeds_keeps_every_kept_point_and_leaves_no_orphan() {
    share(0);
}

#[test]
fn the_second_half_of_seeds_keeps_every_kept_point_and_leaves_no_orphan() {
    share(1);
}

#[test]
fn same_seed_same_bytes() {
    let (one, other) = (run(&eager_plan(5)).unwrap(), run(&eager_plan(5)).unwrap());
    assert!(one == other);
}

/// Nothing goes wrong but one death, at every effect in turn: between the checkpoint and the record, the record and the commits, in
/// the middle of a snapshot of the journal.
fn dies_at_every_effect(parity: u64) {
    let calm = || Plan { seed: 9, retention: Some(eager()), facts_kept: 9, ..Plan::calm(vec![MIB + 3 * 512], 5) };
    let played = run(&calm()).unwrap();
    let removed = played.trace.iter().filter(|line| line.ends_with("turn-ended")).count();
    let folded = played.trace.iter().filter(|line| line.ends_with("compacted")).count();
    assert!(removed >= 2 && folded >= 2, "{removed} turns and {folded} snapshots of the journal are no history");
    for effect in (0..played.effects).filter(|effect| effect % 2 == parity) {
        let plan = Plan { crashes: 1, die_at: Some(effect), ..calm() };
        if let Err(what) = run(&plan) {
            panic!("died at effect {effect}: {what}");
        }
    }
}

#[test]
fn dies_at_every_even_effect_and_finishes() {
    dies_at_every_effect(0);
}

#[test]
fn dies_at_every_odd_effect_and_finishes() {
    dies_at_every_effect(1);
}

/// So many applied cycles by hand, none of them pruned yet.
async fn scene(cycles: u64) -> Scene {
    let mut scene = Scene::calm(&[4 * MIB]);
    for cycle in 0..cycles {
        scene.write(&scene.disk(0), (cycle % 4) * MIB, 2 * CELL);
        scene.applied().await;
    }
    scene.retention = Some(eager());
    scene
}

async fn commits(scene: &Scene) -> Vec<u64> {
    let log = scene.quiet_log().await.unwrap();
    log.commits_after(&scene.vm, CycleNumber(0)).await.unwrap().into_iter().map(|cycle| cycle.0).collect()
}

fn checked(result: Result<(), String>) {
    result.unwrap_or_else(|what| panic!("{what}"));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_point_is_refused_by_name_and_the_kept_ones_restore() {
    let scene = scene(6).await;
    assert_eq!(commits(&scene).await, [1, 2, 3, 4, 5, 6]);
    let Ok(Outcome::Done(freed)) = scene.prune().await else { panic!("nothing is in the way") };
    assert!(freed.objects > 0 && freed.bytes > 0);
    let left = commits(&scene).await;
    assert!(left.len() < 6 && left.ends_with(&[5, 6]), "{left:?}");
    scene.sound().await;
    checked(scene.check_collected().await);
    let log = scene.quiet_log().await.unwrap();
    let fault = Chain::read(&log, &scene.vm, CycleNumber(1)).await.err().expect("point 1 is gone");
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert!(fault.message.starts_with("recovery point 1 of sim-vm-1 was dropped by retention on "), "{}", fault.message);

    let before = scene.sink.keys("");
    assert_eq!(scene.prune().await.unwrap(), Outcome::Done(Default::default()), "there is nothing more to do");
    assert_eq!(scene.sink.keys(""), before);
    scene.write(&scene.disk(0), 0, CELL);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_point_and_the_newest_verified_one_stay() {
    let scene = scene(7).await;
    let log = scene.quiet_log().await.unwrap();
    for (cycle, key) in [(2, layout::pin(&scene.vm, CycleNumber(2))), (3, layout::verification(&scene.vm, CycleNumber(3)))] {
        let (_, point) = log.commit(&scene.vm, CycleNumber(cycle)).await.unwrap();
        Mark::new(point, scene.clock.now()).put(&log, &key).await.unwrap();
    }
    scene.prune().await.unwrap();
    let left = commits(&scene).await;
    assert!(left.starts_with(&[2, 3]) && left.ends_with(&[6, 7]), "{left:?}");
    scene.sound().await;
}

/// The one that lost the VM may be in the middle of a turn: it deletes nothing more.
#[tokio::test(start_paused = true)]
async fn an_agent_that_lost_the_vm_deletes_nothing() {
    let scene = scene(6).await;
    let other = scene.another_agent();
    other.write(&other.disk(0), 0, CELL);
    other.applied().await;
    let before = scene.sink.keys("");
    let fault = scene.prune().await.expect_err("another agent owns the VM");
    assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
    assert_eq!(scene.sink.keys(""), before);
    checked(other.collect().await);
    other.sound().await;
    checked(other.check_collected().await);
    assert!(commits(&other).await.ends_with(&[6, 7]));
}

/// A new appliance learns from the store where the VM stands, also when most of its past is gone, and finishes what the old one began.
#[tokio::test(start_paused = true)]
async fn an_agent_that_lost_everything_finishes_what_was_being_dropped() {
    for effects in [60, 75, 90, 105, 120] {
        let scene = scene(6).await;
        scene.world.light_fuse(effects);
        let died = tokio::select! {
            biased;
            () = scene.world.crashed() => true,
            _ = scene.prune() => false,
        };
        scene.world.revive();
        let other = scene.another_agent();
        other.write(&other.disk(0), MIB, CELL);
        assert_eq!(other.applied().await[&other.disk(0)], Mode::Delta, "died after {effects} effects: {died}");
        checked(other.collect().await);
        other.sound().await;
        checked(other.check_collected().await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_stays_until_it_is_read_to_the_end() {
    let scene = scene(6).await;
    let log = scene.quiet_log().await.unwrap();
    let leases = Leases::new(log.clone(), scene.clock.clone());
    let (disk, vm) = (scene.disk(0), scene.vm.clone());
    // A restore that takes two hours: the chain is read at first, and pages as they are needed.
    let slow = leases.hold(&vm, CycleNumber(2), "a restore", async {
        let chain = Chain::read(&log, &vm, CycleNumber(2)).await?;
        let mut fold = chain.fold(&log, &disk)?;
        let mut blocks = 0;
        while fold.next().await?.is_some() {
            blocks += 1;
            scene.clock.sleep(Duration::from_secs(1800)).await;
        }
        Ok(blocks)
    });
    let meanwhile = async {
        scene.clock.sleep(Duration::from_secs(3600)).await;
        scene.prune().await.unwrap();
        commits(&scene).await
    };
    let (read, left) = tokio::join!(slow, meanwhile);
    assert_eq!(read.unwrap(), 4);
    assert!(left.starts_with(&[1, 2]), "what the restore needs was dropped: {left:?}");
    assert!(scene.sink.keys(&layout::leases(&vm)).is_empty(), "a lease was left");
    scene.prune().await.unwrap();
    assert!(!commits(&scene).await.contains(&1));
    checked(scene.check_collected().await);
}

/// Its reader died. It holds for its term, and for what clocks may differ.
#[tokio::test(start_paused = true)]
async fn a_lease_whose_holder_died_ends_by_itself() {
    let scene = scene(6).await;
    let log = scene.quiet_log().await.unwrap();
    let now = scene.clock.now();
    let lease = Lease::new("a restore".to_owned(), CycleNumber(3), now, now.checked_add(TERM).unwrap());
    log.create(Role::Lease, &layout::lease(&scene.vm, 7, 0), &lease.encode()).await.unwrap();
    scene.prune().await.unwrap();
    assert!(commits(&scene).await.starts_with(&[1, 2, 3]));
    tokio::time::sleep(TERM + SKEW - Duration::from_secs(10)).await;
    scene.prune().await.unwrap();
    assert!(commits(&scene).await.starts_with(&[1, 2, 3]), "its clock may be slow");
    tokio::time::sleep(Duration::from_secs(20)).await;
    scene.prune().await.unwrap();
    assert!(!commits(&scene).await.contains(&1));
    checked(scene.check_collected().await);
}

/// It was there before the record, and was not seen when the plan was made.
#[tokio::test(start_paused = true)]
async fn a_reader_who_came_before_the_record_is_waited_for() {
    let scene = scene(6).await;
    let log = scene.quiet_log().await.unwrap();
    let record = layout::dropped_record(&scene.vm, 1);
    for effects in 1.. {
        scene.world.light_fuse(effects);
        tokio::select! {
            biased;
            () = scene.world.crashed() => {}
            _ = scene.prune() => panic!("the record never stood alone"),
        }
        scene.world.revive();
        if scene.sink.object(&record).is_some() {
            break;
        }
    }
    let before = scene.sink.keys("");
    let now = scene.clock.now();
    let lease = Lease::new("a restore".to_owned(), CycleNumber(1), now, now.checked_add(TERM).unwrap());
    log.create(Role::Lease, &layout::lease(&scene.vm, 7, 0), &lease.encode()).await.unwrap();
    let waits = Outcome::Waits { readers: vec!["a restore of recovery point 1".to_owned()] };
    assert_eq!(scene.prune().await.unwrap(), waits);
    assert!(before.iter().all(|key| scene.sink.object(key).is_some()), "something was deleted under a reader");
    let leases = Leases::new(log.clone(), scene.clock.clone());
    let refused = leases.hold(&scene.vm, CycleNumber(1), "another", async { Ok(()) }).await;
    assert!(refused.unwrap_err().message.contains("was dropped by retention"), "who comes later is told");
    scene.sink.tamper(&layout::lease(&scene.vm, 7, 0), None);
    checked(scene.collect().await);
    scene.sound().await;
    checked(scene.check_collected().await);
}

/// A receiver whose machine was put back from a copy: the cycles it knows nothing of are gone. It takes the newest point and goes on.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_fell_behind_what_is_kept_is_made_anew() {
    let mut scene = Scene::calm(&[4 * MIB]);
    scene.applied().await;
    let replica = judge::aggregate(&scene.vm);
    let copy = scene.journal.copy_of(&replica);
    for cycle in 0..6 {
        scene.write(&scene.disk(0), cycle % 4 * MIB, CELL);
        scene.applied().await;
    }
    scene.retention = Some(eager());
    scene.prune().await.unwrap();
    assert!(!commits(&scene).await.contains(&2));
    scene.journal.put_back(&replica, copy);
    scene.write(&scene.disk(0), 0, CELL);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
    assert!(matches!(scene.replica_state().await.unwrap().state, ReplicaState::At(point) if point.cycle.0 == 8));
}

/// A refused initial is repaired by the next cycle, which builds on its pages. A turn in between must leave them.
#[tokio::test(start_paused = true)]
async fn what_the_next_cycle_builds_on_is_not_collected() {
    let mut scene = Scene::calm(&[4 * MIB]);
    scene.retention = Some(eager());
    for block in 0..4 {
        scene.write(&scene.disk(0), block * MIB, 2 * CELL);
    }
    scene.until(&["gateway committed"]).await;
    let segment = scene.sink.keys("vm/").into_iter().find(|key| key.contains("/seg-")).unwrap();
    let mut bytes = scene.sink.object(&segment).unwrap().to_vec();
    bytes[1000] ^= 1;
    scene.sink.tamper(&segment, Some(bytes.into()));
    assert!(matches!(scene.cycle().await.outcome, EndedAs::Rejected(_)));
    checked(scene.collect().await);
    scene.applied().await;
    let log = scene.quiet_log().await.unwrap();
    let (commit, _) = log.commit(&scene.vm, CycleNumber(2)).await.unwrap();
    assert_eq!(commit.disks[0].layers.len(), 2, "the repair built on what was refused");
    checked(scene.collect().await);
    assert_eq!(commits(&scene).await, [2]);
    scene.sound().await;
    checked(scene.check_collected().await);
}

/// The journal of an agent that ran for a long time is no longer than that of a young one, and says the same.
#[tokio::test(start_paused = true)]
async fn the_journal_stays_short_however_many_cycles_there_were() {
    let plan = Plan { facts_kept: 20, ..Plan::calm(vec![MIB], 0) };
    let scene = Scene::new(&plan);
    for _ in 0..30 {
        scene.write(&scene.disk(0), 0, CELL);
        scene.applied().await;
    }
    let counts: BTreeMap<String, (usize, u64)> = [gateway::aggregate(&scene.vm), judge::aggregate(&scene.vm)]
        .into_iter()
        .map(|name| (name.clone(), scene.journal.counts(&name)))
        .collect();
    for (name, (facts, folded)) in counts {
        assert!(facts < 20 && folded > 20, "{name}: {facts} facts behind a snapshot of {folded}");
    }
    let vm = scene.vm().await;
    assert_eq!((vm.history.len(), vm.point.unwrap().commit.cycle.0), (30, 30));
}

/// Damaged or forged, it says nothing: points that are left are dropped again, and no kept one is lost.
#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_open_costs_nothing_but_its_words() {
    let mut scene = scene(6).await;
    scene.prune().await.unwrap();
    let retention = scene.retention.take();
    let record = layout::dropped_record(&scene.vm, 1);
    scene.sink.tamper(&record, Some(vec![7; 100].into()));
    for cycle in 0..3 {
        scene.write(&scene.disk(0), cycle * MIB, CELL);
        scene.applied().await;
    }
    scene.retention = retention;
    scene.prune().await.unwrap();
    let log = scene.quiet_log().await.unwrap();
    let records = Records::read(&log, &scene.vm).await.unwrap();
    assert!(records.numbers == [2] && records.drops(CycleNumber(1)), "{records:?}");
    scene.sound().await;
    checked(scene.check_collected().await);
}
