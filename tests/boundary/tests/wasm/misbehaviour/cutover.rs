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
    for misdeed in ["asks-in-plan", "gets-in-plan", "connects-in-plan", "filters-in-plan", "lists-in-plan", "asks-in-plan-and-goes-on"] {
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
        world.line.set_nonblocking(true).unwrap();
        assert!(world.line.accept().is_err(), "{misdeed}: somebody connected");
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

#[tokio::test]
async fn a_connection_that_nobody_granted_or_too_many_of_them_are_denied() {
    for (misdeed, sentence) in [
        ("foreign-line", "no stream \"10.0.0.1:22\" is granted to this plugin"),
        ("hoards-lines", "a plugin may hold at most 16 connections at a time"),
    ] {
        let world = World::start().await;
        let cutover = world.cutover_that(misdeed).await;
        assert_eq!(checking(&cutover).await, said(FaultKind::Denied, sentence));
    }
}

#[tokio::test]
async fn a_connection_that_is_left_open_ends_with_the_call() {
    let world = World::start().await;
    let cutover = world.cutover_that("leaks-line").await;
    // More often than connections may be open.
    for _ in 0..20 {
        assert_eq!(ends(cutover.check(&step("web", "198.51.100.1"))).await.unwrap(), "leaked");
        let (mut peer, _) = world.line.accept().unwrap();
        peer.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        assert_eq!(std::io::Read::read(&mut peer, &mut [0; 1]).unwrap(), 0, "it is closed");
    }
}

#[tokio::test]
async fn waiting_for_weeks_ends_with_the_call() {
    let world = World::start().await;
    let cutover = world.cutover_that("waits-on-line").await;
    let (kind, message) = checking(&cutover).await;
    assert_eq!(kind, FaultKind::Unavailable);
    let silent = format!("tcp://{} sent nothing within 2000 ms", world.line.local_addr().unwrap());
    assert!(message == silent || message == "plugin names did not answer check in time", "{message}");
}

/// None of it reaches nft.
#[tokio::test]
async fn commands_outside_its_own_table_are_denied_by_their_names() {
    for (misdeed, kind, beginning) in [
        ("foreign-table", FaultKind::Denied, "command 1 of the ruleset (add rule) is not granted"),
        ("all-tables", FaultKind::Denied, "command 1 of the ruleset (flush ruleset) is not granted"),
        ("no-ruleset", FaultKind::Invalid, "the ruleset is no JSON: "),
    ] {
        let world = World::start().await;
        let (found, message) = checking(&world.cutover_that(misdeed).await).await;
        assert!(found == kind && message.contains(beginning), "{misdeed}: {found} {message}");
    }
}

async fn checking(cutover: &PluginCutover) -> (FaultKind, String) {
    refused(cutover, async |cutover| cutover.check(&step("web", "198.51.100.1")).await).await
}
