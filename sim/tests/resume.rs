//! What a death costs: at most what was in flight, and what changed since. Nothing is begun anew that is in the store already.

use sim::by_hand::{CELL, MIB};
use sim::scenario::{Plan, Scene};
use transload::model::commit::Mode;
use transload::pipeline::limits::CopyLimits;

const BLOCKS: u64 = 24;

/// A disk of 24 blocks with 128 KiB of random bytes in each: about ten segments and six pages.
fn scene() -> Scene {
    filled(Scene::calm(&[BLOCKS * MIB]))
}

fn filled(scene: Scene) -> Scene {
    for block in 0..BLOCKS {
        scene.write(&scene.disk(0), block * MIB + 3 * CELL, 2 * CELL);
    }
    scene
}

fn segment_bytes(scene: &Scene) -> u64 {
    let keys = scene.sink.keys("vm/").into_iter().filter(|key| key.contains("/seg-"));
    keys.map(|key| scene.sink.object(&key).unwrap().len() as u64).sum()
}

/// Segments of the page on its way and of the next one, those on their way themselves, and the one that is being filled.
fn window(limits: &CopyLimits) -> u64 {
    2 * limits.page_bytes + (limits.segments_at_once as u64 + 2) * limits.segment_bytes
}

/// What an initial stores that nobody disturbs, and how many effects it takes.
async fn undisturbed(scene: Scene) -> (u64, u64) {
    scene.applied().await;
    (segment_bytes(&scene), scene.world.effects())
}

async fn killed_anywhere(scene: impl Fn() -> Scene, deaths: usize) {
    let (alone, effects) = undisturbed(scene()).await;
    let mut most = 0;
    for death in (10..effects).step_by(effects as usize / deaths) {
        let scene = scene();
        scene.world.light_fuse(death);
        scene.until(&[]).await;
        scene.crash_files();
        scene.applied().await;
        let again = segment_bytes(&scene) - alone;
        assert!(again <= window(&scene.limits), "died at effect {death}: {again} bytes were sent again, {alone} are needed");
        most = most.max(again);
    }
    assert!(most > 0, "no death ever cost anything: the test kills at the wrong places");
    assert!(alone > window(&scene().limits), "the bound means something only for a disk that is larger");
}

#[tokio::test(start_paused = true)]
async fn an_initial_killed_anywhere_sends_again_at_most_the_window() {
    killed_anywhere(scene, 40).await;
}

#[tokio::test(start_paused = true)]
async fn an_initial_into_a_slow_store_killed_anywhere_sends_again_at_most_the_window() {
    killed_anywhere(|| filled(Scene::new(&Plan { paced: true, ..Plan::calm(vec![BLOCKS * MIB], 0) })), 20).await;
}

#[tokio::test(start_paused = true)]
async fn a_delta_killed_again_and_again_still_ends() {
    let scene = scene();
    scene.applied().await;
    for block in 0..BLOCKS {
        scene.write(&scene.disk(0), block * MIB + 5 * CELL, 2 * CELL);
    }
    let before = segment_bytes(&scene);
    let deaths = 30;
    for death in 0..deaths {
        scene.world.light_fuse(15 + 3 * death);
        scene.until(&["gateway applied"]).await;
        scene.crash_files();
    }
    while scene.vm().await.point.unwrap().commit.cycle.0 < 2 {
        scene.cycle().await;
    }
    scene.sound().await;
    assert!(segment_bytes(&scene) - before < BLOCKS * 2 * (CELL + 40) + deaths * window(&scene.limits));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_lost_in_mid_initial_keeps_what_was_published() {
    let (alone, _) = undisturbed(scene()).await;
    for pages in [1, 3, 5] {
        let scene = scene();
        // The process dies and the snapshot with it, when so many pages are in the store.
        let mut fuse = 0;
        while scene.sink.keys("vm/").iter().filter(|key| key.contains("/page-")).count() < pages {
            fuse += 5;
            scene.world.light_fuse(fuse);
            scene.until(&[]).await;
            assert!(fuse < 2000, "the pages do not come");
        }
        let before = segment_bytes(&scene);
        scene.source.lose_snapshots();
        scene.write(&scene.disk(0), 0, CELL);
        scene.write(&scene.disk(0), (BLOCKS - 1) * MIB, CELL);
        assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Initial);
        let commit = scene.quiet_log().await.unwrap().commit(&scene.vm, scene.vm().await.point.unwrap().commit.cycle).await.unwrap().0;
        assert_eq!(commit.disks[0].layers.len(), 2, "the second attempt builds on the first");
        let after = segment_bytes(&scene) - before;
        let published = (pages as u64) * scene.limits.page_bytes;
        assert!(after <= alone - published + 2 * (CELL + 40) + window(&scene.limits), "{pages} pages: {after} of {alone} were sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_lost_everything_goes_on_by_delta() {
    let scene = scene();
    scene.applied().await;
    scene.write(&scene.disk(0), MIB, CELL);
    let before = segment_bytes(&scene);
    let other = scene.another_agent();
    assert_eq!(other.applied().await[&scene.disk(0)], Mode::Delta);
    assert_eq!(segment_bytes(&scene) - before, CELL + 40);
    assert_eq!(other.replica_bytes().len(), 1, "the replica was made anew out of the store");
}

#[tokio::test(start_paused = true)]
async fn an_agent_lost_between_commit_and_receipt_is_taken_over_there() {
    let scene = scene();
    scene.applied().await;
    scene.write(&scene.disk(0), MIB, CELL);
    scene.until(&["gateway committed"]).await;
    let other = scene.another_agent();
    other.applied().await;
    assert_eq!(other.vm().await.point.unwrap().commit.cycle.0, 2, "the commit that stood there was judged, not made again");
    assert_eq!(other.applied().await[&scene.disk(0)], Mode::Delta);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_lost_everything_makes_the_replica_anew() {
    let scene = scene();
    scene.applied().await;
    scene.write(&scene.disk(0), MIB, 3 * CELL);
    scene.applied().await;
    let before = segment_bytes(&scene);
    scene.replicas.lose();
    scene.work.lose();
    scene.journal.forget(&transload::driver::judge::aggregate(&scene.vm));
    scene.write(&scene.disk(0), 2 * MIB, CELL);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Delta);
    assert_eq!(segment_bytes(&scene) - before, CELL + 40);
}

#[tokio::test(start_paused = true)]
async fn lost_digest_tables_are_made_out_of_the_log() {
    let scene = scene();
    scene.applied().await;
    scene.work.lose();
    scene.source.reset();
    scene.write(&scene.disk(0), MIB, CELL);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Resync);
    assert_eq!(scene.vm().await.history.pop().unwrap().disks[0].stats.sent, CELL);
}
