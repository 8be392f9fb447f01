//! The replica equals the snapshot, whatever the guest did. `Scene::applied` holds replica and every recovery point against what the
//! source froze.

use sim::by_hand::{CELL, MIB};
use sim::scenario::Scene;
use transload::log::chain::Chain;
use transload::model::CycleNumber;
use transload::model::commit::{Mode, RejectCode};

async fn copied(sizes: &[u64]) -> Scene {
    let scene = Scene::calm(sizes);
    scene.applied().await;
    scene
}

#[tokio::test(start_paused = true)]
async fn equals_after_an_initial() {
    let scene = Scene::calm(&[3 * MIB, MIB + 5 * 512, 512]);
    let modes = scene.applied().await;
    assert!(modes.len() == 3 && modes.values().all(|mode| *mode == Mode::Initial));
}

#[tokio::test(start_paused = true)]
async fn equals_after_three_deltas_while_writes_go_on() {
    let scene = copied(&[5 * MIB + 512]).await;
    let disk = scene.disk(0);
    for round in 0..3 {
        scene.write(&disk, round * MIB + 700, 300_000);
        // The next writes come while the snapshot is being read: they belong to the next cycle.
        let source = scene.source.clone();
        scene.world.when("gateway disk-planned", move || source.churn());
        assert_eq!(scene.applied().await[&disk], Mode::Delta);
    }
    assert_eq!(scene.vm().await.point.unwrap().commit.cycle.0, 4);
}

#[tokio::test(start_paused = true)]
async fn equals_after_writes_to_every_other_sector() {
    let scene = copied(&[2 * MIB]).await;
    for sector in (0..2 * MIB / 512).step_by(2) {
        scene.source.write(&scene.disk(0), sector * 512, &[sector as u8; 512]);
    }
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
}

#[tokio::test(start_paused = true)]
async fn equals_after_the_same_place_was_overwritten_between_cycles() {
    let scene = copied(&[2 * MIB]).await;
    for length in [400_000, 100, 200_000, 64 * 1024] {
        scene.write(&scene.disk(0), 300_000, length);
        scene.write(&scene.disk(0), 300_000, length / 2);
        scene.applied().await;
    }
    // And with zeros, in part and in whole cells.
    scene.source.write(&scene.disk(0), 310_000, &[0; 150_000]);
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn a_block_that_changes_and_changes_back_across_a_rejected_cycle_is_right() {
    let scene = copied(&[3 * MIB]).await;
    let disk = scene.disk(0);
    let before = scene.replica_bytes().pop_first().unwrap().1;
    scene.write(&disk, MIB, 2 * CELL);
    scene.until(&["gateway committed"]).await;
    let segment = scene.sink.keys("vm/").into_iter().rfind(|key| key.contains("0000000002.") && key.contains("/seg-")).unwrap();
    scene.sink.tamper(&segment, None);
    scene.rejected(RejectCode::Damaged).await;
    // Back to what it was: the next cycle finds the cells named and the same, and the replica must not hold the rejected ones.
    scene.source.write(&disk, MIB, &before[MIB as usize..(MIB + 2 * CELL) as usize]);
    assert_eq!(scene.applied().await[&disk], Mode::Delta);
    assert_eq!(scene.replica_bytes().pop_first().unwrap().1, before);
    let ended = scene.vm().await.history.pop().unwrap();
    assert_eq!((ended.disks[0].stats.planned, ended.disks[0].stats.sent), (2 * CELL, 0));
}

#[tokio::test(start_paused = true)]
async fn a_disk_with_nothing_changed_is_a_delta_of_nothing() {
    let scene = copied(&[2 * MIB, MIB]).await;
    scene.write(&scene.disk(0), 0, 512);
    let modes = scene.applied().await;
    assert!(modes.values().all(|mode| *mode == Mode::Delta));
    let ended = scene.vm().await.history.pop().unwrap();
    let still = ended.disks.iter().find(|disk| disk.disk == scene.disk(1)).unwrap();
    assert_eq!((still.stats.planned, still.stats.read, still.stats.stored), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn more_than_two_thousand_extents_are_carried() {
    let scene = copied(&[256 * MIB + 512]).await;
    for extent in 0..2_048 {
        scene.source.write(&scene.disk(0), extent * 2 * CELL + 1024, &[1 | extent as u8; 512]);
    }
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
    let ended = scene.vm().await.history.pop().unwrap();
    assert_eq!(ended.disks[0].reported_bytes, 2_048 * CELL);
}

#[tokio::test(start_paused = true)]
async fn an_empty_window_in_mid_disk_hides_nothing_behind_it() {
    let scene = copied(&[6 * MIB]).await;
    // The source describes changes a MiB at a time: the windows between these two are empty pages.
    scene.write(&scene.disk(0), 512, 512);
    scene.write(&scene.disk(0), 5 * MIB + 512, 512);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
}

#[tokio::test(start_paused = true)]
async fn a_write_in_the_last_sector_arrives() {
    for size in [MIB, MIB + 512, 3 * MIB - 512, MIB + CELL] {
        let scene = copied(&[size]).await;
        scene.write(&scene.disk(0), size - 512, 512);
        assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_added_between_cycles_is_the_only_initial() {
    let scene = copied(&[2 * MIB]).await;
    let added = scene.source.add_disk(MIB + 512);
    scene.write(&scene.disk(0), 0, 512);
    for (disk, mode) in scene.applied().await {
        assert_eq!(mode, if disk == added { Mode::Initial } else { Mode::Delta });
    }
    scene.write(&added, 512, 512);
    assert!(scene.applied().await.values().all(|mode| *mode == Mode::Delta));
}

#[tokio::test(start_paused = true)]
async fn a_disk_removed_between_cycles_leaves_the_others_alone() {
    let scene = copied(&[2 * MIB, MIB]).await;
    scene.source.remove_disk(&scene.disk(0));
    let modes = scene.applied().await;
    assert_eq!(modes.into_values().collect::<Vec<_>>(), [Mode::Delta]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_grown_between_cycles_is_the_only_resync() {
    let scene = copied(&[2 * MIB + 512, MIB]).await;
    scene.source.grow(&scene.disk(0), MIB + 3 * 512);
    scene.write(&scene.disk(0), 2 * MIB + 5 * 512, 200_000);
    let modes = scene.applied().await;
    assert_eq!((modes[&scene.disk(0)], modes[&scene.disk(1)]), (Mode::Resync, Mode::Delta));
    let ended = scene.vm().await.history.pop().unwrap();
    assert!(ended.disks[0].stats.sent < MIB, "what the base holds already was sent again: {:?}", ended.disks[0].stats);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
}

#[tokio::test(start_paused = true)]
async fn tracking_that_began_anew_is_a_resync_that_sends_only_what_differs() {
    let scene = copied(&[3 * MIB]).await;
    scene.write(&scene.disk(0), MIB, 3 * CELL);
    scene.source.reset();
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Resync);
    let stats = scene.vm().await.history.pop().unwrap().disks[0].stats;
    assert_eq!((stats.planned, stats.sent), (3 * MIB, 3 * CELL));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_says_what_the_chain_below_it_says() {
    let scene = copied(&[4 * MIB + 512, MIB]).await;
    for round in 0..2 {
        scene.write(&scene.disk(0), round * MIB + 100, 400_000);
        scene.source.write(&scene.disk(0), 3 * MIB, &[0; 200_000]);
        scene.source.reset();
        scene.applied().await;
    }
    scene.until(&["gateway cycle-began"]).await;
    let log = scene.quiet_log().await.unwrap();
    let read = async || {
        let chain = Chain::read(&log, &scene.vm, CycleNumber(3)).await.unwrap();
        let mut blocks = Vec::new();
        for disk in scene.source.disk_ids() {
            let mut fold = chain.fold(&log, &disk).unwrap();
            while let Some(mut block) = fold.next().await.unwrap() {
                block.pieces.sort_by_key(|piece| (piece.body.segment, piece.body.offset));
                blocks.push((disk.clone(), block));
            }
        }
        blocks
    };
    let short = read().await;
    let checkpoint = scene.sink.keys(&format!("vm/{}/checkpoint/0000000003/", scene.vm));
    assert!(checkpoint.len() >= 3, "two disks and the end");
    checkpoint.iter().for_each(|key| scene.sink.tamper(key, None));
    let long = read().await;
    assert_eq!(long.len(), 6);
    assert!(short == long);
}
