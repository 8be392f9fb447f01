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
async fn what_stands_is_not_fetched_again_and_segments_may_even_be_gone() {
    let scene = scene();
    scene.until(&["gateway committed"]).await;
    let before = filled_blocks(&scene);
    let first = scene.sink.keys("vm/").into_iter().find(|key| key.contains("/seg-00000000-")).unwrap();
    scene.sink.tamper(&first, None);
    assert!(before > 0);
    scene.cycle().await;
    scene.check_replica().await.unwrap();
    assert!(scene.vm().await.point.is_some(), "the replica holds all of it");
}

/// Whatever stands there was not written by us, or not only: it is found by reading it back.
#[tokio::test(start_paused = true)]
async fn what_was_changed_in_the_file_is_found_and_fetched() {
    for change in ["a bit", "a hole", "rubbish everywhere", "gone", "larger"] {
        let scene = scene();
        scene.until(&["gateway committed"]).await;
        assert!(filled_blocks(&scene) > 0);
        scene.replicas.tamper(&filling(&scene), |bytes| match change {
            "a bit" => bytes[(MIB + CELL) as usize + 17] ^= 1,
            "a hole" => bytes[MIB as usize..2 * MIB as usize].fill(0),
            "rubbish everywhere" => bytes.iter_mut().for_each(|byte| *byte ^= 0x5a),
            "gone" => bytes.clear(),
            _ => bytes.extend_from_slice(&[1; 512]),
        });
        assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Initial, "{change}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_flushed_when_the_power_failed_is_fetched_again() {
    for page in [1, 2, 4] {
        let scene = scene();
        let mut fuse = 0;
        while filled_blocks(&scene) < page * 3 {
            fuse += 3;
            scene.world.light_fuse(fuse);
            scene.until(&[]).await;
            assert!(fuse < 2000, "nothing is filled");
        }
        scene.crash_files();
        scene.applied().await;
    }
}

/// The first attempt filled cells that the second one found to be zeros.
#[tokio::test(start_paused = true)]
async fn a_later_attempt_wins_over_what_an_earlier_one_filled() {
    let scene = scene();
    let mut fuse = 0;
    while filled_blocks(&scene) < 6 {
        fuse += 5;
        scene.world.light_fuse(fuse);
        scene.until(&[]).await;
        assert!(fuse < 2000, "nothing is filled");
    }
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
    let forged = format!("vm/{}/initial/0000000009.0001/x", scene.vm);
    scene.sink.tamper(&forged, Some(bytes::Bytes::from_static(b"forged")));
    let (sink, vm) = (scene.sink.clone(), scene.vm.clone());
    scene.world.when("gateway disk-planned", move || {
        let key = sink.keys(&format!("vm/{vm}/initial/0000000001.")).remove(0);
        sink.tamper(&key, Some(bytes::Bytes::from_static(b"damaged")));
    });
    scene.applied().await;
}
