//! A datastore that fills while a snapshot is open: it is closed before that, what was copied is kept, and the VM waits until there is space.

use std::time::Duration;

use sim::by_hand::{CELL, MIB};
use sim::scenario::{Plan, Scene};
use transload::model::commit::Mode;
use transload::policy::vm::Stage;

const BLOCKS: u64 = 160;
const GIB: u64 = 1 << 30;

/// A disk whose copy takes some minutes, because each put of the store takes its time.
fn scene() -> Scene {
    let scene = Scene::new(&Plan { paced: true, ..Plan::calm(vec![BLOCKS * MIB], 0) });
    for block in 0..BLOCKS {
        scene.write(&scene.disk(0), block * MIB + 3 * CELL, 2 * CELL);
    }
    scene
}

fn segment_bytes(scene: &Scene) -> u64 {
    let keys = scene.sink.keys("vm/").into_iter().filter(|key| key.contains("/seg-"));
    keys.map(|key| scene.sink.object(&key).unwrap().len() as u64).sum()
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_closed_before_its_datastore_is_full_and_the_vm_waits_for_space() {
    let undisturbed = scene();
    undisturbed.applied().await;
    let alone = segment_bytes(&undisturbed);

    let scene = scene();
    let source = scene.source.clone();
    // Of 2 TiB 5 % are kept.
    scene.world.when("gateway disk-planned", move || source.set_free(90 * GIB));
    scene.until(&["gateway abandoned"]).await;
    assert_eq!(scene.source.open_snapshots(), 0, "it was given up, and is closed");
    let vm = scene.vm().await;
    assert!(matches!(vm.cycle.as_ref().unwrap().stage, Stage::NeedsSnapshot { .. }), "{:?}", vm.cycle);
    assert!(!vm.salvage.is_empty(), "what was copied is kept");

    // Hours later there is no space yet, and nothing is opened.
    let waited = tokio::time::timeout(Duration::from_secs(6 * 3600), scene.live(|_| false)).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(scene.source.open_snapshots(), 0);
    let attempts = |scene: &Scene| scene.world.trace().iter().filter(|line| line.contains("gateway snapshot-opened")).count();
    assert_eq!(attempts(&scene), 1, "\n{}", scene.world.trace().join("\n"));

    scene.source.set_free(900 * GIB);
    assert_eq!(scene.applied().await.into_values().collect::<Vec<_>>(), [Mode::Initial]);
    assert_eq!(attempts(&scene), 2);
    let (again, window) = (segment_bytes(&scene) - alone, 6 * scene.limits.segment_bytes + 2 * scene.limits.page_bytes);
    assert!(again <= window, "{again} bytes were sent again of {alone}");
}
