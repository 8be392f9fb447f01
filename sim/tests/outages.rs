//! What is down comes back. Until then it costs time, and neither a cycle nor what was copied.

use std::time::Duration;

use sim::by_hand::{CELL, MIB};
use sim::scenario::{Plan, Scene};
use transload::model::commit::Mode;

const BLOCKS: u64 = 12;
const HOUR: u64 = 3600;

/// A disk full of data, and a store that takes its time, so that a copy can be met half-way.
fn scene() -> Scene {
    let scene = Scene::new(&Plan { paced: true, ..Plan::calm(vec![BLOCKS * MIB], 0) });
    for block in 0..BLOCKS {
        scene.write(&scene.disk(0), block * MIB, 16 * CELL);
    }
    scene
}

/// Once the first copy has published so many pages the store is down, for so long.
fn goes_down(scene: &Scene, pages: usize, seconds: u64) {
    let (sink, world) = (scene.sink.clone(), scene.world.clone());
    scene.world.when("gateway disk-planned", move || {
        tokio::spawn(async move {
            while sink.keys("vm/").iter().filter(|key| key.contains("/page-")).count() < pages {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            world.note("the store goes down".to_owned());
            sink.set_away(true);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            world.note("the store is back".to_owned());
            sink.set_away(false);
        });
    });
}

fn noted(scene: &Scene, what: &str) -> usize {
    scene.world.trace().iter().filter(|line| line.ends_with(what)).count()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_an_hour_costs_neither_the_cycle_nor_its_snapshot() {
    let scene = scene();
    goes_down(&scene, 8, HOUR);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Initial);
    assert_eq!((noted(&scene, "the store is back"), noted(&scene, "gateway attempt-failed")), (1, 0));
    assert_eq!(noted(&scene, "gateway snapshot-opened"), 1);
    assert_eq!(scene.vm().await.history.len(), 1);
}

/// Longer than anybody waits with a snapshot open: it is closed, none is opened before the store answers, and what was published, though the
/// store could not be asked for it, is not sent again.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_a_day_costs_a_snapshot_and_nothing_that_was_copied() {
    let scene = scene();
    goes_down(&scene, 8, 24 * HOUR);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Initial);
    let trace = scene.world.trace();
    let at = |what: &str, nth: usize| trace.iter().enumerate().filter(|(_, line)| line.ends_with(what)).nth(nth).map(|(at, _)| at);
    assert_eq!((noted(&scene, "gateway attempt-failed"), noted(&scene, "gateway snapshot-opened")), (1, 2), "{trace:#?}");
    assert!(at("gateway abandoned", 0) < at("the store is back", 0), "the snapshot did not grow for a day");
    assert!(at("gateway snapshot-opened", 1) > at("the store is back", 0), "and none grew instead of it");
    assert_eq!(scene.vm().await.history.len(), 1, "one cycle, and it did not fail");
    let stored = scene.sink.bytes_stored("vm/");
    assert!(stored < (BLOCKS + 3) * MIB, "{stored} bytes for a disk of {BLOCKS} MiB: what was published was sent again");
}
