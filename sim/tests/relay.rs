//! Commands between roles that meet only in the store.

use std::sync::Arc;
use std::time::Duration;

use sim::scenario::{Plan, Scene};
use transload::driver::relay::{Ear, ask};
use transload::log::store::Log;
use transload::model::FaultKind;
use transload::random::Random;

async fn scene_and_logs() -> (Scene, Log, Log) {
    let scene = Scene::new(&Plan::calm(vec![1 << 20], 1));
    let gateway = scene.log(Arc::new(scene.sink.clone()), Random::from_seed(1)).await.unwrap();
    let receiver = scene.log(Arc::new(scene.sink.clone()), Random::from_seed(2)).await.unwrap();
    (scene, gateway, receiver)
}

/// Answers so many commands with what was asked, in capitals.
async fn answer(scene: &Scene, log: &Log, count: usize) {
    let mut ear = Ear::open(log.clone(), scene.clock.clone(), Arc::new(scene.journal.clone())).await.unwrap();
    for _ in 0..count {
        let heard = ear.hear().await.unwrap();
        let reply = heard.command.to_uppercase();
        ear.reply(heard, &reply).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_noticed_within_two_seconds_and_its_reply_comes_back() {
    let (scene, gateway, receiver) = scene_and_logs().await;
    let began = scene.clock.monotonic();
    let asking = ask(&gateway, &*scene.clock, "verify db01", Duration::from_secs(60));
    let (reply, ()) = tokio::join!(asking, answer(&scene, &receiver, 1));
    assert_eq!(reply.unwrap(), "VERIFY DB01");
    assert!(scene.clock.monotonic() - began <= Duration::from_secs(2));
    assert!(scene.sink.keys("cmd/").len() == 1 && scene.sink.keys("reply/").len() == 1);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_comes_back_answers_what_it_left_open_and_nothing_twice() {
    let (scene, gateway, receiver) = scene_and_logs().await;
    let first = ask(&gateway, &*scene.clock, "one", Duration::from_secs(60));
    let (first, ()) = tokio::join!(first, answer(&scene, &receiver, 1));
    assert_eq!(first.unwrap(), "ONE");
    // It hears the second one and dies before it replied; the process after it carries it out.
    let second = ask(&gateway, &*scene.clock, "two", Duration::from_secs(60));
    let lives_twice = async {
        let mut ear = Ear::open(receiver.clone(), scene.clock.clone(), Arc::new(scene.journal.clone())).await.unwrap();
        assert_eq!(ear.hear().await.unwrap().command, "two");
        drop(ear);
        answer(&scene, &receiver, 1).await;
    };
    let (second, ()) = tokio::join!(second, lives_twice);
    assert_eq!(second.unwrap(), "TWO");
    assert_eq!(scene.sink.keys("reply/").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forged_command_is_passed_over() {
    let (scene, gateway, receiver) = scene_and_logs().await;
    scene.sink.tamper("cmd/0000000001", Some(vec![7; 200].into()));
    let asking = ask(&gateway, &*scene.clock, "verify db01", Duration::from_secs(60));
    let (reply, ()) = tokio::join!(asking, answer(&scene, &receiver, 1));
    assert_eq!(reply.unwrap(), "VERIFY DB01");
    assert!(scene.sink.object("reply/0000000001").is_none());
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_said_and_not_waited_for_for_ever() {
    let (scene, gateway, _receiver) = scene_and_logs().await;
    let fault = ask(&gateway, &*scene.clock, "verify db01", Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
}
