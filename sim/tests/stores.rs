//! Segments spread over several stores: every recovery point is right whatever the stores do, and a store that is not there is said by name.

use std::sync::Arc;

use sim::by_hand::MIB;
use sim::files::MemoryFiles;
use sim::further::FurtherPlan;
use sim::scenario::{Plan, Scene, run};
use sim::sink::SinkTrouble;
use sim::world::World;
use transload::cpu::Cpu;
use transload::driver::stores::missing;
use transload::files::Files;
use transload::log::chain::Chain;
use transload::log::store::Log;
use transload::log::stores::Stores;
use transload::model::{Fault, FaultKind};
use transload::random::Random;
use transload::receiver::rebuild;

/// Slow, and one request at a time.
fn slow() -> FurtherPlan {
    FurtherPlan { name: "slow", weight: 1, trouble: SinkTrouble::default(), puts_at_once: Some(1) }
}

/// Refuses much, loses replies, and answers some puts twice.
fn failing() -> FurtherPlan {
    let trouble = SinkTrouble { refused: 0.3, reply_lost: 0.1, damaged: 0.0, doubled: 0.1 };
    FurtherPlan { name: "failing", weight: 2, trouble, puts_at_once: None }
}

fn well(name: &'static str) -> FurtherPlan {
    FurtherPlan { name, weight: 1, trouble: SinkTrouble::default(), puts_at_once: None }
}

fn calm(further: Vec<FurtherPlan>) -> Scene {
    Scene::new(&Plan { further, ..Plan::calm(vec![16 * MIB, 3 * MIB], 0) })
}

/// Fills the first disk with what does not compress.
fn fill(scene: &Scene) {
    scene.write(&scene.disk(0), 0, 16 * MIB);
}

/// How the newest point of the VM is read by somebody with these stores.
async fn restored(scene: &Scene, log: &Log) -> Result<(), Fault> {
    let point = scene.vm().await.point.unwrap().commit;
    let chain = Chain::read(log, &scene.vm, point.cycle).await?;
    let files = MemoryFiles::new(World::new(0));
    for disk in &chain.point().disks {
        let file = files.open_sized(disk.disk.as_str(), disk.size.bytes()).await?;
        rebuild::restore(log, &chain, &disk.disk, &*file).await?;
    }
    Ok(())
}

/// Under crashes and with all that can go wrong at the home store as well.
#[test]
fn points_are_right_over_a_slow_and_a_failing_store_under_crashes() {
    let mut segments = [0; 3];
    for seed in 0..60 {
        let plan = Plan { further: vec![slow(), failing()], ..Plan::from_seed(seed) };
        let played = run(&plan).unwrap_or_else(|what| panic!("{what}"));
        let count = |objects: &std::collections::BTreeMap<String, bytes::Bytes>| objects.keys().filter(|key| key.contains("/seg-")).count();
        for (total, objects) in segments.iter_mut().zip(std::iter::once(&played.objects).chain(&played.further)) {
            *total += count(objects);
        }
        for further in &played.further {
            let others = further.keys().filter(|key| !key.contains("/seg-")).collect::<Vec<_>>();
            assert!(others.iter().all(|key| *key == "bound.json"), "seed {seed}: {others:?}");
        }
    }
    let [home, slow, failing] = segments;
    // Histories are short and full of deaths, and a new process knows nothing of its stores yet: each is tried in each.
    assert!(home > slow && slow > 50 && failing > 50, "home {home}, slow {slow}, failing {failing}");
}

#[test]
fn the_same_seed_does_the_same_with_several_stores() {
    let plan = Plan { further: vec![slow(), failing()], ..Plan::from_seed(11) };
    assert!(run(&plan).unwrap() == run(&plan).unwrap());
}

#[tokio::test(start_paused = true)]
async fn segments_go_to_all_stores_and_come_back_from_them() {
    let scene = calm(vec![well("second"), well("third")]);
    fill(&scene);
    scene.applied().await;
    assert!(
        scene.further.iter().all(|store| store.segments() >= 4),
        "{:?}",
        scene.further.iter().map(|s| s.segments()).collect::<Vec<_>>()
    );
    restored(&scene, &scene.quiet_log().await.unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_vm_uses_only_the_stores_it_may() {
    let mut scene = calm(vec![well("second"), well("third")]);
    scene.stores_of_vm = Some(vec!["third".to_owned()]);
    fill(&scene);
    scene.applied().await;
    let home = scene.sink.keys("vm/").into_iter().filter(|key| key.contains("/seg-")).count();
    assert_eq!((home, scene.further[0].segments()), (0, 0));
    assert!(scene.further[1].segments() > 10);
}

#[tokio::test(start_paused = true)]
async fn replication_goes_on_without_a_store_and_its_points_wait_for_it_by_name() {
    let scene = calm(vec![well("second")]);
    fill(&scene);
    scene.applied().await;
    let before = scene.further[0].segments();
    scene.further[0].sink.set_away(true);
    // What is written now stands in the home store, and needs nothing else.
    scene.write(&scene.disk(1), 0, MIB);
    let ended = scene.cycle().await;
    assert_eq!(ended.outcome, transload::policy::vm::EndedAs::Applied);
    assert_eq!(scene.further[0].segments(), before);
    // The newest point needs what is in the other one.
    let without = scene.quiet_log().await.unwrap().with_stores(Stores::default());
    let fault = restored(&scene, &without).await.unwrap_err();
    assert!(fault.kind == FaultKind::Unavailable && fault.message.contains("add a [[store]] with name = \"second\""), "{fault}");
    assert_eq!(missing(&without).await.unwrap(), ["second"]);
    scene.further[0].sink.set_away(false);
    scene.applied().await;
}

/// A receiver that was lost is rebuilt from all stores; while one is away it waits, and rejects nothing.
#[tokio::test(start_paused = true)]
async fn a_receiver_waits_for_a_store_that_is_away_and_rejects_nothing() {
    let scene = calm(vec![well("second")]);
    fill(&scene);
    scene.until(&["gateway committed"]).await;
    assert!(scene.replica_state().await.unwrap().judged.is_none());
    let away = scene.further[0].sink.clone();
    away.set_away(true);
    let back = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(1800)).await;
        away.set_away(false);
    });
    scene.applied().await;
    assert!(back.is_finished(), "nothing could be applied before the store came back");
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_is_said_by_name_and_never_begun_again() {
    let scene = calm(vec![well("second")]);
    fill(&scene);
    scene.applied().await;
    scene.further[0].sink.lose();
    let told = scene.try_until(&["gateway applied"]).await.unwrap_err();
    assert!(told.contains("the store second (") && told.contains("is gone"), "{told}");
    assert!(scene.further[0].sink.objects().is_empty(), "nothing was begun in its place");
}

#[tokio::test(start_paused = true)]
async fn two_stores_that_are_swapped_are_said_by_name() {
    let mut scene = calm(vec![well("second"), well("third")]);
    fill(&scene);
    scene.applied().await;
    let (second, third) = (scene.further[0].sink.clone(), scene.further[1].sink.clone());
    (scene.further[0].sink, scene.further[1].sink) = (third, second);
    let told = scene.try_until(&["gateway applied"]).await.unwrap_err();
    assert!(told.contains("the store second is another one: it is the store third"), "{told}");
}

/// The home store and a further one are mixed up, and the agent is new: it has no journal that would know better.
#[tokio::test(start_paused = true)]
async fn a_further_store_is_not_taken_for_a_home_store() {
    let scene = calm(vec![well("second")]);
    fill(&scene);
    scene.applied().await;
    let fresh = Scene::calm(&[MIB]);
    let fault = fresh.log(Arc::new(scene.further[0].sink.clone()), Random::from_seed(1)).await.map(drop).unwrap_err();
    assert!(fault.kind == FaultKind::Conflict && fault.message.contains("bound.json"), "{fault}");
    assert_eq!(scene.further[0].sink.keys("store.json").len(), 0);
}

/// A segment that only the further store has lost is a bad block, is named, and is sent again.
#[tokio::test(start_paused = true)]
async fn a_segment_that_is_lost_in_a_further_store_is_repaired() {
    let scene = calm(vec![well("second")]);
    fill(&scene);
    let sink = scene.further[0].sink.clone();
    scene.world.when("gateway committed", move || {
        let lost = sink.keys("vm/").remove(0);
        sink.tamper(&lost, None);
    });
    let why = scene.rejected(transload::model::commit::RejectCode::Damaged).await;
    assert!(why.contains("in the store second"), "{why}");
    scene.applied().await;
    let log = scene.quiet_log().await.unwrap();
    assert!(matches!(log.cpu(), Cpu::Inline));
    restored(&scene, &log).await.unwrap();
}
