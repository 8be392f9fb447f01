//! Somebody with access to the store changes, moves, replays or removes things. Each is detected, nothing of the cycle is written, the
//! reason is named, the marker stays, and the next cycle repairs. Without the key nothing else is possible: what can be done with the
//! key is in completeness.rs.

use bytes::Bytes;
use sim::by_hand::{CELL, MIB};
use sim::scenario::Scene;
use transload::log::layout;
use transload::log::seal::{DataKey, Role, Sealer};
use transload::model::commit::{Commit, RejectCode};
use transload::model::{CycleNumber, Epoch};
use transload::policy::vm::EndedAs;
use transload::random::Random;

/// Cycle 2 is a delta of six blocks, one cell each, in two segments; its commit stands in the store and nobody has judged it.
async fn committed() -> Scene {
    let scene = Scene::calm(&[8 * MIB]);
    scene.applied().await;
    for block in 1..7 {
        scene.write(&scene.disk(0), block * MIB, CELL);
    }
    scene.until(&["gateway committed"]).await;
    assert!(objects(&scene, "/seg-").len() >= 2);
    scene
}

/// Objects of cycle 2 of a kind.
fn objects(scene: &Scene, kind: &str) -> Vec<String> {
    let ours = format!("vm/{}/0000000002.", scene.vm);
    scene.sink.keys(&ours).into_iter().filter(|key| key.contains(kind)).collect()
}

fn change(scene: &Scene, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = scene.sink.object(key).unwrap().to_vec();
    change(&mut bytes);
    scene.sink.tamper(key, Some(bytes.into()));
}

async fn damaged_and_repaired(scene: Scene) -> String {
    let message = scene.rejected(RejectCode::Damaged).await;
    scene.applied().await;
    message
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_anywhere_in_a_segment_is_found() {
    for place in [0, 23, 24, 30_000, 65_575, 65_576, 140_000] {
        let scene = committed().await;
        change(&scene, &objects(&scene, "/seg-")[0], |bytes| bytes[place] ^= 4);
        let message = damaged_and_repaired(scene).await;
        assert!(message.contains("one block is missing or damaged") && message.contains("does not open"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_segment_is_found() {
    for length in [0, 1, 65_576, 65_577] {
        let scene = committed().await;
        change(&scene, &objects(&scene, "/seg-")[0], |bytes| bytes.truncate(length));
        damaged_and_repaired(scene).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_segment_is_found_and_every_bad_block_is_named() {
    let scene = committed().await;
    scene.sink.tamper(&objects(&scene, "/seg-")[0], None);
    scene.rejected(RejectCode::Damaged).await;
    let EndedAs::Rejected(rejection) = scene.vm().await.history.pop().unwrap().outcome else { panic!("it was rejected") };
    assert_eq!(rejection.bad_blocks[0].blocks, [1, 2, 3]);
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn swapped_blocks_within_a_segment_are_found() {
    let scene = committed().await;
    let sealed = CELL as usize + 40;
    change(&scene, &objects(&scene, "/seg-")[0], |bytes| bytes[..2 * sealed].rotate_left(sealed));
    let message = damaged_and_repaired(scene).await;
    assert!(message.starts_with("2 blocks"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn swapped_blocks_between_segments_are_found() {
    let scene = committed().await;
    let keys = objects(&scene, "/seg-");
    let sealed = CELL as usize + 40;
    let (one, other) = (scene.sink.object(&keys[0]).unwrap(), scene.sink.object(&keys[1]).unwrap());
    change(&scene, &keys[0], |bytes| bytes[..sealed].copy_from_slice(&other[..sealed]));
    change(&scene, &keys[1], |bytes| bytes[..sealed].copy_from_slice(&one[..sealed]));
    let message = damaged_and_repaired(scene).await;
    assert!(message.starts_with("2 blocks"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_replayed_old_segment_is_found() {
    let scene = committed().await;
    scene.cycle().await;
    // The same blocks once more, so that old and new segments have the same form.
    for block in 1..7 {
        scene.write(&scene.disk(0), block * MIB, CELL);
    }
    scene.until(&["gateway committed"]).await;
    let segments = |cycle: &str| scene.sink.keys("vm/").into_iter().find(|key| key.contains(cycle) && key.contains("/seg-")).unwrap();
    let (old, new) = (segments("/0000000002."), segments("/0000000003."));
    assert_eq!(scene.sink.object(&old).unwrap().len(), scene.sink.object(&new).unwrap().len());
    scene.sink.tamper(&new, scene.sink.object(&old));
    let message = damaged_and_repaired(scene).await;
    assert!(message.contains("changed or moved"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_missing_or_exchanged_page_is_found() {
    for spoil in ["flip", "remove", "exchange"] {
        let scene = committed().await;
        let pages = objects(&scene, "/page-");
        assert!(pages.len() >= 2);
        match spoil {
            "flip" => change(&scene, &pages[0], |bytes| *bytes.last_mut().unwrap() ^= 1),
            "remove" => scene.sink.tamper(&pages[1], None),
            _ => scene.sink.tamper(&pages[0], scene.sink.object(&pages[1])),
        }
        damaged_and_repaired(scene).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_missing_or_replayed_plan_is_found() {
    for spoil in ["flip", "remove", "replay"] {
        let scene = committed().await;
        let planned = objects(&scene, "/planned-").remove(0);
        let older = planned.replace("0000000002.", "0000000001.");
        match spoil {
            "flip" => change(&scene, &planned, |bytes| bytes[50] ^= 1),
            "remove" => scene.sink.tamper(&planned, None),
            _ => scene.sink.tamper(&planned, Some(scene.sink.object(&older).unwrap())),
        }
        damaged_and_repaired(scene).await;
    }
}

fn sealed_with_another_key(scene: &Scene, role: Role, key: &str, plain: &[u8], ours: &Sealer) -> Bytes {
    let random = Random::from_seed(4242);
    let sealer = Sealer::new(&DataKey::random(&mut random.fork()), ours.store_id(), ours.key_id());
    let _ = scene;
    sealer.seal_object(role, key, plain, &mut random.fork()).whole()
}

/// What may stand where the commit of cycle 2 belongs.
async fn forged_commits(scene: &Scene) -> Vec<(&'static str, Bytes)> {
    let log = scene.quiet_log().await.unwrap();
    let (commit, _) = log.commit(&scene.vm, CycleNumber(1)).await.unwrap();
    let key = layout::commit(&scene.vm, CycleNumber(2));
    let forged = Commit { cycle: CycleNumber(2), ..commit };
    vec![
        ("garbage", Bytes::from_static(b"not a commit at all")),
        ("nothing", Bytes::new()),
        ("the commit before, replayed", scene.sink.object(&layout::commit(&scene.vm, CycleNumber(1))).unwrap()),
        ("sealed with another key", sealed_with_another_key(scene, Role::Commit, &key, &forged.encode(), log.sealer())),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_commit_exchanged_after_it_was_written_is_refused() {
    for number in 0..4 {
        let scene = committed().await;
        let (what, bytes) = forged_commits(&scene).await.remove(number);
        scene.sink.tamper(&layout::commit(&scene.vm, CycleNumber(2)), Some(bytes));
        let message = scene.rejected(RejectCode::Damaged).await;
        assert!(message.contains("does not open"), "{what}: {message}");
        scene.applied().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_forged_before_ours_is_refused_and_its_number_left_alone() {
    for number in 0..4 {
        let scene = Scene::calm(&[3 * MIB]);
        scene.applied().await;
        let (replicas, point) = (scene.replica_bytes(), scene.vm().await.point);
        let (what, bytes) = forged_commits(&scene).await.remove(number);
        scene.sink.tamper(&layout::commit(&scene.vm, CycleNumber(2)), Some(bytes));
        scene.write(&scene.disk(0), MIB, CELL);
        let ended = scene.cycle().await;
        let EndedAs::Failed(fault) = ended.outcome else { panic!("{what}: {:?}", ended.outcome) };
        assert!(fault.message.contains("does not open"), "{what}: {fault}");
        assert!(scene.replica_bytes() == replicas && scene.vm().await.point == point, "{what}");
        scene.applied().await;
        assert_eq!(scene.vm().await.point.unwrap().commit.cycle, CycleNumber(3));
    }
}

#[tokio::test(start_paused = true)]
async fn forged_and_replayed_receipts_are_passed_over() {
    for forgery in ["garbage", "replayed", "another key"] {
        let scene = committed().await;
        let log = scene.quiet_log().await.unwrap();
        let key = layout::receipt(&scene.vm, CycleNumber(2), 0);
        let first = layout::receipt(&scene.vm, CycleNumber(1), 0);
        let bytes = match forgery {
            "garbage" => Bytes::from_static(b"applied, believe me"),
            "replayed" => scene.sink.object(&first).unwrap(),
            _ => sealed_with_another_key(&scene, Role::Receipt, &key, &log.read(Role::Receipt, &first).await.unwrap(), log.sealer()),
        };
        scene.sink.tamper(&key, Some(bytes));
        scene.applied().await;
        assert!(scene.sink.object(&layout::receipt(&scene.vm, CycleNumber(2), 1)).is_some(), "{forgery}: the true one is the second copy");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_vm_was_taken_over_is_refused_before_it_touches_anything() {
    let scene = Scene::calm(&[3 * MIB]);
    scene.applied().await;
    scene.applied().await;
    let other = scene.another_agent();
    scene.write(&scene.disk(0), MIB, CELL);
    other.applied().await;
    let (objects, read) = (scene.sink.objects(), scene.source.bytes_read());
    let what = scene.try_until(&[]).await.unwrap_err();
    assert!(what.contains("owned by another agent (epoch 2, ours is 1)"), "{what}");
    assert!(scene.sink.objects() == objects && scene.source.bytes_read() == read && scene.source.open_snapshots() == 0);
    other.applied().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_changes_in_mid_cycle_stops_the_commit() {
    let scene = Scene::calm(&[3 * MIB]);
    scene.applied().await;
    let (sink, vm) = (scene.sink.clone(), scene.vm.clone());
    scene.world.when("gateway snapshot-closed", move || sink.tamper(&layout::owner(&vm, Epoch(2)), Some(Bytes::new())));
    let what = scene.try_until(&["gateway committed"]).await.unwrap_err();
    assert!(what.contains("owned by another agent"), "{what}");
    assert!(scene.sink.object(&layout::commit(&scene.vm, CycleNumber(2))).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_store_older_than_the_journal_halts_the_agent() {
    let scene = Scene::calm(&[2 * MIB]);
    scene.applied().await;
    let older = scene.sink.objects();
    scene.applied().await;
    let replicas = scene.replica_bytes();
    for key in scene.sink.keys("") {
        scene.sink.tamper(&key, older.get(&key).cloned());
    }
    let what = scene.try_until(&[]).await.unwrap_err();
    assert!(what.contains("the store does not hold the commit of cycle 2"), "{what}");
    assert!(scene.sink.objects() == older && scene.replica_bytes() == replicas && scene.source.open_snapshots() == 0);
}

#[tokio::test(start_paused = true)]
async fn an_emptied_store_is_never_begun_anew() {
    let scene = Scene::calm(&[2 * MIB]);
    scene.applied().await;
    for key in scene.sink.keys("") {
        scene.sink.tamper(&key, None);
    }
    let what = scene.try_until(&[]).await.unwrap_err();
    assert!(what.contains("is gone: store.json is missing"), "{what}");
    assert!(scene.sink.objects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_store_is_never_written_to() {
    let scene = Scene::calm(&[2 * MIB]);
    scene.applied().await;
    let stranger = Scene::new(&sim::scenario::Plan { seed: 77, ..sim::scenario::Plan::calm(vec![MIB], 0) });
    stranger.applied().await;
    for key in scene.sink.keys("") {
        scene.sink.tamper(&key, None);
    }
    for (key, bytes) in stranger.sink.objects() {
        scene.sink.tamper(&key, Some(bytes));
    }
    let objects = scene.sink.objects();
    let what = scene.try_until(&[]).await.unwrap_err();
    assert!(what.contains("this agent replicates into the store"), "{what}");
    assert!(scene.sink.objects() == objects);
}
