//! What a cutover plugin does through the host.

use std::time::Duration;

use transload::cutover::{Context, Cutover, MovedVm, Phase, Step};
use transload::kit::{Outcome, cutover};
use transload::model::FaultKind;
use transload::random::Random;

use super::setup::World;

pub fn wave() -> Context {
    let vm = |name: &str, target: &str| MovedVm {
        name: name.to_owned(),
        source_addresses: vec!["192.0.2.1".parse().unwrap()],
        target_addresses: vec![target.parse().unwrap()],
    };
    Context { wave: "trial".to_owned(), vms: vec![vm("web", "198.51.100.1"), vm("db", "198.51.100.2")], settings: "{}".to_owned() }
}

pub fn step(vm: &str, target: &str) -> Step {
    Step {
        id: format!("switch:{vm}"),
        phase: Phase::Switch,
        summary: format!("{vm} becomes {target}"),
        detail: target.to_owned(),
        settle: Duration::ZERO,
    }
}

#[tokio::test]
async fn a_plan_is_carried_out_and_taken_back_step_by_step() {
    let world = World::start().await;
    let cutover = world.cutover_that("").await;
    let plan = cutover.plan(&wave()).await.unwrap();
    assert_eq!(plan, [step("web", "198.51.100.1"), step("db", "198.51.100.2")]);
    assert!(world.server.lines().is_empty(), "a plan reaches nothing");
    let before = cutover.check(&plan[0]).await.unwrap();
    assert_eq!((before.as_str(), cutover.verify(&plan[0]).await), ("192.0.2.1", Ok(false)));
    for _ in 0..2 {
        cutover.apply(&plan[0], &before, "once").await.unwrap();
    }
    assert_eq!(cutover.verify(&plan[0]).await, Ok(true));
    let foreign = cutover.apply(&step("web", "198.51.100.9"), &before, "other").await.unwrap_err();
    assert_eq!((foreign.kind, foreign.message.as_str()), (FaultKind::Conflict, "it is 198.51.100.1, and was 192.0.2.1"));
    cutover.undo(&plan[0], &before).await.unwrap();
    assert_eq!(cutover.check(&plan[0]).await.unwrap(), before);
}

#[tokio::test]
async fn the_kit_finds_nothing_in_a_plugin_that_does_all_of_it_right_and_its_broken_twin_at_its_claim() {
    for (misdeed, failed) in [("", &[][..]), ("takes-others-back", &[10, 11][..]), ("asks-in-plan-and-goes-on", &[][..])] {
        let world = World::start().await;
        let (plugin, other) = (world.cutover_that(misdeed).await, world.cutover_that(misdeed).await);
        let never = Box::pin(std::future::pending());
        let cutover::Ended { judged, left } =
            cutover::judge(&plugin, &other, wave(), Random::from_system(), never, &mut |_| {}).await.unwrap();
        assert_eq!(left, None, "{misdeed}");
        let fails: Vec<usize> =
            judged.iter().filter(|judged| matches!(judged.outcome, Outcome::Fails(_))).map(|judged| judged.number).collect();
        assert_eq!(fails, failed, "{misdeed}: {judged:?}");
    }
}
