//! Code that runs while an instance is made. Nobody called it, so it reaches nothing.

use transload::cutover::Cutover;
use transload::model::{Fault, FaultKind};
use transload::pipeline::source::Source;

use super::super::cutover::step;
use super::super::server::disk;
use super::super::setup::World;
use super::{Works, ends};

fn is_refused(plugin: &str, misdeed: &str, fault: &Fault) {
    assert_eq!(fault.kind, FaultKind::Internal, "{misdeed}: {fault}");
    assert!(fault.message.starts_with(&format!("plugin {plugin} failed in its start: thread ")), "{misdeed}: {fault}");
    assert!(fault.message.contains(" an instance that starts reaches nothing: nobody has called it yet"), "{misdeed}: {fault}");
}

#[tokio::test]
async fn a_source_whose_start_reaches_out_is_refused_by_name_and_nothing_leaves_this_host() {
    let world = World::start().await;
    std::fs::write(world.exports().join("disk"), disk()).unwrap();
    for misdeed in ["ask-at-start", "name-bytes-at-start", "open-file-at-start", "list-files-at-start", "leave-session-at-start"] {
        let source = world.source_that(misdeed).await;
        for _ in 0..3 {
            is_refused("src", misdeed, &ends(source.inventory(None)).await.unwrap_err());
        }
    }
    // One that hides the refusal has reached nothing either, and does its work afterwards.
    let source = world.source_that("ask-at-start-and-go-on").await;
    ends(source.works()).await;
    assert!(world.server.lines().iter().all(|line| line == "GET /disk"), "{:?}", world.server.lines());
}

#[tokio::test]
async fn a_cutover_whose_start_reaches_out_is_refused_by_name_and_nothing_leaves_this_host() {
    let world = World::start().await;
    for misdeed in ["connects-at-start", "filters-at-start", "lists-at-start", "gets-at-start"] {
        let cutover = world.cutover_that(misdeed).await;
        is_refused("names", misdeed, &ends(cutover.check(&step("web", "198.51.100.1"))).await.unwrap_err());
    }
    assert!(world.server.lines().is_empty(), "{:?}", world.server.lines());
    world.line.set_nonblocking(true).unwrap();
    assert!(world.line.accept().is_err(), "somebody connected");
}
