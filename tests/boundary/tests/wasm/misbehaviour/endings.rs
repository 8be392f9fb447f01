//! Calls that come to no answer.

use std::time::Duration;

use transload::model::FaultKind;
use transload::pipeline::source::Source;

use super::super::setup::World;
use super::super::source::vm;
use super::{Works, ends, preflight, said};

#[tokio::test]
async fn a_trap_ends_the_call_with_the_guests_own_words() {
    let world = World::start().await;
    let (kind, message) = preflight(&world.source().await, "trap").await;
    assert_eq!(kind, FaultKind::Internal);
    assert!(message.starts_with("plugin src failed in preflight: thread "), "{message}");
    assert!(message.contains(" on purpose"), "{message}");
}

#[tokio::test]
async fn a_trap_without_words_is_told_in_the_engines() {
    let world = World::start().await;
    assert_eq!(
        preflight(&world.source().await, "abort").await,
        said(FaultKind::Internal, "plugin src failed in preflight: wasm trap: wasm `unreachable` instruction executed")
    );
}

#[tokio::test]
async fn recursion_without_end_ends_with_its_stack() {
    let world = World::start().await;
    assert_eq!(
        preflight(&world.source().await, "recursion").await,
        said(FaultKind::Internal, "plugin src failed in preflight: wasm trap: call stack exhausted")
    );
}

#[tokio::test]
async fn a_guest_that_exits_ends_itself_alone() {
    let world = World::start().await;
    assert_eq!(
        preflight(&world.source().await, "exit").await,
        said(FaultKind::Internal, "plugin src failed in preflight: Exited with i32 exit status 1")
    );
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_limit() {
    let world = World::start().await;
    world.hurry_source();
    assert_eq!(preflight(&world.source().await, "loop").await, said(FaultKind::Unavailable, "plugin src did not answer preflight in time"));
}

#[tokio::test]
async fn a_guest_that_sleeps_ends_at_the_same_limit() {
    let world = World::start().await;
    world.hurry_source();
    assert_eq!(
        preflight(&world.source().await, "sleep").await,
        said(FaultKind::Unavailable, "plugin src did not answer preflight in time")
    );
}

#[tokio::test]
async fn a_guest_that_loops_or_traps_before_anything_is_asked_is_ended_by_name() {
    let world = World::start().await;
    world.hurry_source();
    let source = world.source_that("loop-at-start").await;
    for _ in 0..3 {
        let fault = ends(source.inventory(None)).await.unwrap_err();
        assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Unavailable, "plugin src did not start in time"));
    }
    let fault = ends(world.source_that("trap-at-start").await.inventory(None)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Internal);
    assert!(fault.message.starts_with("plugin src failed in its start: thread "), "{fault}");
    assert!(fault.message.contains(" before anything was asked"), "{fault}");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_broken_instance_behind() {
    let world = World::start().await;
    let source = world.source().await;
    for _ in 0..4 {
        let looping = vm("loop");
        assert!(tokio::time::timeout(Duration::from_millis(50), source.preflight(&looping)).await.is_err());
    }
    ends(source.works()).await;
}

/// The words of a call that went well were kept, and explained how a later one ended.
#[tokio::test]
async fn what_a_guest_said_in_an_earlier_call_does_not_explain_how_a_later_one_ended() {
    let world = World::start().await;
    let source = world.source().await;
    ends(source.preflight(&vm("mutter a certificate is about to expire"))).await.unwrap();
    let fault = ends(source.preflight(&vm("abort"))).await.unwrap_err();
    assert_eq!(fault.message, "plugin src failed in preflight: wasm trap: wasm `unreachable` instruction executed");
}
