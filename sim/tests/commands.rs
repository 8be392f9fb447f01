//! An operator among crashes, lost replies and busy guests: whatever is asked in whatever moment, every recovery point is what its snapshot
//! froze, nothing that was published is lost to a pause, and nothing is left open. SIM_SEEDS raises the number of histories.

use sim::by_hand::{CELL, MIB};
use sim::scenario::{Lived, Plan, Scene, run};
use tokio::sync::mpsc;
use transload::driver::order::{self, Order, Trial};
use transload::model::CycleNumber;
use transload::model::commit::Mode;
use transload::policy::vm::command::{Command, Verdict};
use transload::policy::vm::{AtCutover, Running, Vm};

fn share(number: u64) {
    let seeds: u64 = std::env::var("SIM_SEEDS").map_or(80, |text| text.parse().expect("SIM_SEEDS is a number"));
    let mut said = 0;
    for seed in (number..seeds).step_by(4) {
        match run(&Plan::with_an_operator(seed)) {
            Ok(played) => said += played.trace.iter().filter(|line| line.ends_with(": accepted")).count(),
            Err(what) => panic!("{what}"),
        }
    }
    assert!(said > 2 * (seeds / 4) as usize, "only {said} commands were accepted: the operator comes too late");
}

#[test]
fn the_first_share_of_operated_seeds_ends_well() {
    share(0);
}

#[test]
fn the_second_share_of_operated_seeds_ends_well() {
    share(1);
}

#[test]
fn the_third_share_of_operated_seeds_ends_well() {
    share(2);
}

#[test]
fn the_fourth_share_of_operated_seeds_ends_well() {
    share(3);
}

#[test]
fn same_seed_same_bytes_with_an_operator_in_it() {
    for seed in [5, 77] {
        let (one, other) = (run(&Plan::with_an_operator(seed)).unwrap(), run(&Plan::with_an_operator(seed)).unwrap());
        assert_eq!(one.trace, other.trace);
        assert!(one == other, "seed {seed}: the same history left other objects behind");
    }
}

const BLOCKS: u64 = 24;

/// A disk of 24 blocks in a store that takes its time: about ten segments and six pages.
fn slow(disks: u64) -> Scene {
    let sizes = (0..disks).map(|_| BLOCKS * MIB).collect();
    let scene = Scene::new(&Plan { paced: true, ..Plan::calm(sizes, 0) });
    for number in 0..disks as usize {
        for block in 0..BLOCKS {
            scene.write(&scene.disk(number), block * MIB + 3 * CELL, 2 * CELL);
        }
    }
    scene
}

fn segment_bytes(scene: &Scene) -> u64 {
    let keys = scene.sink.keys("vm/").into_iter().filter(|key| key.contains("/seg-"));
    keys.map(|key| scene.sink.object(&key).unwrap().len() as u64).sum()
}

fn pages(scene: &Scene) -> usize {
    scene.sink.keys("vm/").iter().filter(|key| key.contains("/page-")).count()
}

async fn say(orders: &mpsc::Sender<Order>, command: Command) {
    let verdict = order::ask(orders, command.clone(), Trial::No).await.unwrap();
    assert!(matches!(verdict, Verdict::Accepted(_)), "{command:?}: {verdict:?}");
}

/// One life, in which a command is given when so many pages are in the store, and which goes on until the VM is there.
async fn told_at(scene: &Scene, pages_there: usize, command: Command, there: impl Fn(&Vm) -> bool) {
    let lived = scene
        .live_among(
            |view| view.steps.is_empty() && there(&view.vm),
            |orders| async move {
                while pages(scene) < pages_there {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                say(&orders, command).await;
                std::future::pending().await
            },
        )
        .await;
    assert_eq!(lived, Ok(Lived::Enough), "{}", scene.world.trace().join("\n"));
}

fn rests(vm: &Vm) -> bool {
    vm.is_paused() && vm.cycle.as_ref().is_none_or(|cycle| cycle.needs_a_snapshot())
}

fn window(scene: &Scene) -> u64 {
    2 * scene.limits.page_bytes + (scene.limits.segments_at_once as u64 + 2) * scene.limits.segment_bytes
}

#[tokio::test(start_paused = true)]
async fn a_pause_in_mid_initial_closes_the_snapshot_and_a_resume_sends_again_at_most_the_window() {
    let alone = slow(1);
    alone.applied().await;
    let needed = segment_bytes(&alone);
    let scene = slow(1);
    told_at(&scene, 3, Command::Pause, rests).await;
    assert_eq!(scene.source.open_snapshots(), 0);
    let before = segment_bytes(&scene);
    assert!(before < needed, "it was paused in the middle: {before} of {needed}");
    // The guest goes on meanwhile.
    scene.write(&scene.disk(0), 0, CELL);
    // A delta follows the first copy at once.
    told_at(&scene, 0, Command::Resume, |vm| !vm.history.is_empty() && vm.cycle.is_none()).await;
    scene.sound().await;
    let commit = scene.quiet_log().await.unwrap().commit(&scene.vm, CycleNumber(1)).await.unwrap().0;
    assert_eq!(commit.disks[0].layers.len(), 2, "the same cycle, built on what the first attempt published");
    let again = segment_bytes(&scene) - needed;
    assert!(again <= window(&scene) + CELL + 40, "{again} bytes were sent again, {needed} are needed");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_leaves_in_mid_initial_closes_the_snapshot_and_the_next_start_goes_on() {
    let scene = slow(1);
    let lived = scene
        .live_among(
            |_| false,
            |orders| {
                let scene = &scene;
                async move {
                    while pages(scene) < 3 {
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    }
                    orders.send(Order::Leave).await.unwrap();
                    std::future::pending().await
                }
            },
        )
        .await;
    assert_eq!(lived, Ok(Lived::Left));
    assert_eq!(scene.source.open_snapshots(), 0);
    let vm = scene.vm().await;
    assert!(!vm.salvage.is_empty() && vm.cycle.as_ref().is_some_and(|cycle| cycle.needs_a_snapshot() && cycle.failed == 0));
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Initial);
    assert!(scene.vm().await.history[0].cycle.0 == 1, "the cycle went on");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_vm_that_is_replicated_again_compares_and_sends_what_differs() {
    let scene = slow(1);
    scene.applied().await;
    told_at(&scene, 0, Command::Stop { running: Running::Finish }, Vm::is_stopped).await;
    scene.write(&scene.disk(0), 5 * MIB, CELL);
    let (before, cycles) = (segment_bytes(&scene), scene.vm().await.history.len());
    told_at(&scene, 0, Command::Restart, |vm| vm.history.len() > cycles && vm.cycle.is_none()).await;
    scene.sound().await;
    let row = scene.vm().await.history[cycles].disks.remove(0);
    assert_eq!((row.mode, row.stats.sent), (Mode::Resync, CELL));
    assert_eq!(segment_bytes(&scene) - before, CELL + 40);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_was_left_out_of_a_point_comes_back_whole() {
    let scene = slow(2);
    let (kept, left_out) = (scene.disk(0), scene.disk(1));
    scene.applied().await;
    let exclude = Command::ExcludeDisk { disk: left_out.to_string(), at_cutover: AtCutover::AttachLater };
    told_at(&scene, 0, exclude, |vm| vm.history.len() >= 2 && vm.cycle.is_none()).await;
    scene.sound().await;
    assert_eq!(scene.vm().await.point.unwrap().disks.keys().collect::<Vec<_>>(), [&kept]);
    // Both change; what was written to the disk meanwhile is in no marker that is asked.
    scene.write(&left_out, 7 * MIB, 3 * CELL);
    let cycles = scene.vm().await.history.len();
    let include = Command::IncludeDisk { disk: left_out.to_string() };
    told_at(&scene, 0, include, |vm| vm.history.len() > cycles && vm.cycle.is_none()).await;
    scene.sound().await;
    let row = scene.vm().await.history.remove(cycles);
    let modes: Vec<(String, Mode)> = row.disks.iter().map(|row| (row.disk.to_string(), row.mode)).collect();
    assert_eq!(modes, [(kept.to_string(), Mode::Delta), (left_out.to_string(), Mode::Initial)]);
}

/// A first copy of two disks, of which one is left out while both are read.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_excluded_in_mid_initial_is_not_copied_on() {
    let scene = slow(2);
    let exclude = Command::ExcludeDisk { disk: scene.disk(1).to_string(), at_cutover: AtCutover::Leave };
    told_at(&scene, 3, exclude, |vm| !vm.history.is_empty() && vm.cycle.is_none()).await;
    scene.sound().await;
    assert_eq!(scene.vm().await.point.unwrap().disks.len(), 1);
}
