//! The receiver fills the file beside the replica while the gateway still reads. It may only ever save time: whatever happens to what it
//! wrote, the replica is what the commit says.

use std::sync::{Arc, Mutex};

use sim::by_hand::{CELL, MIB};
use sim::scenario::{Plan, Scene};
use transload::model::commit::{Mode, RejectCode};
use transload::receiver::places;

const BLOCKS: u64 = 12;

/// Four cells of random bytes in each block, and a store whose puts take time.
fn scene() -> Scene {
    let scene = Scene::new(&Plan { paced: true, ..Plan::calm(vec![BLOCKS * MIB], 0) });
    for block in 0..BLOCKS {
        scene.write(&scene.disk(0), block * MIB + CELL, 4 * CELL);
    }
    scene
}

fn filling(scene: &Scene) -> String {
    places::filling(&scene.vm, &scene.disk(0))
}

/// Blocks of the file beside the replica that hold anything.
fn filled_blocks(scene: &Scene) -> usize {
    let held = scene.replicas.content(&filling(scene)).unwrap_or_default();
    held.chunks(MIB as usize).filter(|block| block.iter().any(|byte| *byte != 0)).count()
}

/// Lives that each end a little later, until one has brought it about.
async fn lives_until(scene: &Scene, reached: impl Fn() -> bool) {
    let mut fuse = 0;
    while !reached() {
        fuse += 5;
        scene.world.light_fuse(fuse);
        scene.until(&[]).await;
        assert!(fuse < 4000, "it never comes about");
    }
}

#[tokio::test(start_paused = true)]
async fn most_of_an_initial_stands_when_its_commit_is_written() {
    let scene = scene();
    let at_commit = Arc::new(Mutex::new(0));
    let (replicas, name, seen) = (scene.replicas.clone(), filling(&scene), at_commit.clone());
    scene.world.when("gateway committed", move || {
        let held = replicas.content(&name).unwrap_or_default();
        *seen.lock().unwrap() = held.chunks(MIB as usize).filter(|block| block.iter().any(|byte| *byte != 0)).count();
    });
    scene.applied().await;
    let at_commit = *at_commit.lock().unwrap();
    assert!(at_commit >= BLOCKS as usize * 2 / 3, "only {at_commit} of {BLOCKS} blocks stood when the commit was written");
}

#[tokio::test(start_paused = true)]
async fn what_stands_is_not_fetched_a_second_time() {
    let scene = scene();
    let at_commit = Arc::new(Mutex::new(0));
    let (sink, seen) = (scene.sink.clone(), at_commit.clone());
    scene.world.when("gateway committed", move || *seen.lock().unwrap() = sink.segment_reads());
    scene.applied().await;
    let ahead = *at_commit.lock().unwrap();
    let after = scene.sink.segment_reads() - ahead;
    // The oracle of `applied` reads through a sink of its own.
    assert!(ahead > 0 && after <= ahead / 2, "{ahead} reads before the commit, {after} after it");
}

/// A receipt says of the log, too, that it holds the point. Equal bytes that came from segments of an earlier attempt do not prove that.
#[tokio::test(start_paused = true)]
async fn a_segment_that_was_never_seen_whole_is_not_taken_for_good_because_its_bytes_stand_already() {
    let scene = scene();
    lives_until(&scene, || filled_blocks(&scene) >= 6).await;
    // Nothing can be built on: the next attempt sends all of it once more, and the first of its segments is damaged on its way.
    scene.source.lose_snapshots();
    scene.source.reset();
    let (sink, vm) = (scene.sink.clone(), scene.vm.clone());
    let segments = move || sink.keys(&format!("vm/{vm}/0")).into_iter().filter(|key| key.contains("/seg-")).collect::<Vec<_>>();
    let before = segments();
    let sink = scene.sink.clone();
    scene.world.when("gateway snapshot-closed", move || {
        let all = segments();
        let key = all.iter().find(|key| !before.contains(key)).unwrap_or_else(|| panic!("nothing new: {all:?}")).clone();
        let mut bytes = sink.object(&key).unwrap().to_vec();
        bytes[100] ^= 1;
        sink.tamper(&key, Some(bytes.into()));
    });
    scene.until(&["gateway snapshot-closed"]).await;
    scene.rejected(RejectCode::Damaged).await;
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn what_memory_shows_after_a_failed_flush_is_not_believed() {
    let scene = scene();
    let replicas = scene.replicas.clone();
    scene.world.when("gateway committed", move || replicas.fail_next_flush());
    scene.applied().await;
    assert!(scene.world.trace().iter().any(|line| line == "a flush fails"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_beside_the_replica_of_a_disk_that_came_and_went() {
    let scene = Scene::new(&Plan { paced: true, ..Plan::calm(vec![BLOCKS * MIB, BLOCKS * MIB], 0) });
    for (disk, block) in (0..2).flat_map(|disk| (0..BLOCKS).map(move |block| (disk, block))) {
        scene.write(&scene.disk(disk), block * MIB + CELL, 4 * CELL);
    }
    let gone = scene.disk(1);
    lives_until(&scene, || scene.replicas.content(&places::filling(&scene.vm, &gone)).is_some()).await;
    scene.source.lose_snapshots();
    scene.source.remove_disk(&gone);
    scene.applied().await;
    assert!(scene.replicas.names().iter().all(|name| !name.ends_with(".filling")), "{:?}", scene.replicas.names());
}

/// Whatever stands there was not written by us, or not only: it is found by reading it back.
#[tokio::test(start_paused = true)]
async fn what_was_changed_in_the_file_is_found_and_fetched() {
    for change in ["a bit", "a hole", "rubbish everywhere", "gone", "larger"] {
        let scene = scene();
        let (replicas, name) = (scene.replicas.clone(), filling(&scene));
        scene.world.when("gateway committed", move || {
            replicas.tamper(&name, |bytes| match change {
                "a bit" => bytes[(MIB + CELL) as usize + 17] ^= 1,
                "a hole" => bytes[MIB as usize..2 * MIB as usize].fill(0),
                "rubbish everywhere" => bytes.iter_mut().for_each(|byte| *byte ^= 0x5a),
                "gone" => bytes.clear(),
                _ => bytes.extend_from_slice(&[1; 512]),
            });
        });
        assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Initial, "{change}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_flushed_when_the_power_failed_is_fetched_again() {
    for page in [1, 2, 4] {
        let scene = scene();
        lives_until(&scene, || filled_blocks(&scene) >= page * 3).await;
        scene.crash_files();
        scene.applied().await;
    }
}

/// The first attempt filled cells that the second one found to be zeros.
#[tokio::test(start_paused = true)]
async fn a_later_attempt_wins_over_what_an_earlier_one_filled() {
    let scene = scene();
    lives_until(&scene, || filled_blocks(&scene) >= 6).await;
    scene.source.lose_snapshots();
    scene.source.write(&scene.disk(0), CELL, &vec![0; 4 * CELL as usize]);
    scene.write(&scene.disk(0), MIB + 2 * CELL, CELL);
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_passed_over_and_named_by_the_verdict() {
    let scene = scene();
    scene.sink.spoil_next_segment();
    let (sink, vm) = (scene.sink.clone(), scene.vm.clone());
    scene.world.when("gateway snapshot-closed", move || {
        let key = sink.keys(&format!("vm/{vm}/0000000001.")).into_iter().rfind(|key| key.contains("/seg-")).unwrap();
        let mut bytes = sink.object(&key).unwrap().to_vec();
        bytes[100] ^= 1;
        sink.tamper(&key, Some(bytes.into()));
    });
    scene.rejected(RejectCode::Damaged).await;
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn forged_announcements_and_pages_hold_nothing_up() {
    let scene = scene();
    for name in ["0000000009.0001/x".to_owned(), format!("0000000001.0001/{}", scene.disk(0))] {
        let key = format!("vm/{}/initial/{name}", scene.vm);
        scene.sink.tamper(&key, Some(bytes::Bytes::from_static(b"forged")));
    }
    scene.applied().await;
    assert_eq!(scene.vm().await.point.unwrap().commit.cycle.0, 1, "the first cycle is applied");
    assert!(scene.replicas.names().iter().all(|name| !name.ends_with(".filling")), "{:?}", scene.replicas.names());
}
