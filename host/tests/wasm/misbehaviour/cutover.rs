//! What a cutover does wrong.

use transload::cutover::Cutover;
use transload::model::FaultKind;
use transload::wasm::PluginCutover;

use super::super::cutover::{step, wave};
use super::super::setup::World;
use super::{ends, refused, said};

async fn planning(cutover: &PluginCutover) -> (FaultKind, String) {
    refused(cutover, async |cutover| cutover.plan(&wave()).await).await
}

#[tokio::test]
async fn a_plan_that_asks_the_world_is_denied_and_nothing_leaves_this_host() {
    for misdeed in ["asks-in-plan", "gets-in-plan", "asks-in-plan-and-goes-on"] {
        let world = World::start().await;
        let cutover = world.cutover_that(misdeed).await;
        let planned = ends(cutover.plan(&wave())).await;
        match misdeed {
            "asks-in-plan-and-goes-on" => assert_eq!(planned.unwrap().len(), 2),
            _ => assert_eq!(
                planned.map_err(|fault| (fault.kind, fault.message)),
                Err(said(FaultKind::Denied, "plan reaches nothing: what it answers follows from its arguments and the settings alone"))
            ),
        }
        assert!(world.server.lines().is_empty(), "{misdeed}: {:?}", world.server.lines());
        // The same instance may reach the world again in its next call.
        assert_eq!(cutover.check(&step("web", "198.51.100.1")).await.unwrap(), "192.0.2.1");
    }
}

#[tokio::test]
async fn a_plan_that_never_ends_or_traps_or_repeats_itself_is_no_plan() {
    let world = World::start().await;
    assert_eq!(
        planning(&world.cutover_that("plans-without-end").await).await,
        said(FaultKind::Unavailable, "plugin names did not answer plan in time")
    );
    assert_eq!(
        planning(&world.cutover_that("plans-twice").await).await,
        said(FaultKind::Corrupt, "the plugin planned step switch:web twice")
    );
    let (kind, message) = planning(&world.cutover_that("traps-in-plan").await).await;
    assert_eq!(kind, FaultKind::Internal);
    assert!(message.starts_with("plugin names failed in plan: thread ") && message.contains("on purpose"), "{message}");
}

#[tokio::test]
async fn what_was_there_before_must_fit_into_the_journal() {
    let world = World::start().await;
    let cutover = world.cutover_that("long-before").await;
    assert_eq!(
        refused(&cutover, async |cutover| cutover.check(&step("web", "198.51.100.1")).await).await,
        said(FaultKind::Corrupt, "the plugin gave a state before a step of 65537 bytes; at most 65536 are allowed")
    );
}
