//! What a sink does wrong.

use transload::log::sink::Sink;
use transload::model::{Extent, FaultKind};
use transload::wasm::PluginSink;

use super::super::setup::World;
use super::super::sink::sealed;
use super::{Works, ends, refused, said};

/// With a deadline that a test can wait for.
async fn hasty(world: &World) -> PluginSink {
    world.reinstall_sink("call = \"2 s\"\ninstances = 2");
    world.sink().await
}

#[tokio::test]
async fn a_put_that_traps_or_never_ends_costs_that_object_alone() {
    let world = World::start().await;
    let sink = hasty(&world).await;
    let (kind, message) = refused(&sink, async |sink| sink.put("bad/trap", sealed(b"a")).await).await;
    assert_eq!(kind, FaultKind::Internal);
    assert!(message.starts_with("plugin store failed in put: thread ") && message.contains(" on purpose"), "{message}");
    assert_eq!(
        refused(&sink, async |sink| sink.put("bad/loop", sealed(b"a")).await).await,
        said(FaultKind::Unavailable, "plugin store did not answer put in time")
    );
    assert!(world.server.lines().iter().all(|line| !line.contains("/o/bad/")));
}

#[tokio::test]
async fn a_guest_that_holds_all_places_for_transfers_gives_them_back_when_it_ends() {
    let world = World::start().await;
    assert_eq!(
        refused(&hasty(&world).await, async |sink| sink.get("bad/hoard", Some(Extent::new(0, 1))).await).await,
        said(FaultKind::Unavailable, "plugin store did not answer get in time")
    );
}

#[tokio::test]
async fn an_answer_that_is_not_the_object_is_refused() {
    let world = World::start().await;
    let sink = world.sink().await;
    ends(sink.put("bad/range", sealed(b"object"))).await.unwrap();
    for (key, sentence) in [
        ("bad/range", "reading object bad/range: the plugin answered with another range than it was asked for"),
        ("bad/status", "reading object bad/status: the plugin took status 404 for an object"),
        ("bad/huge", "reading object bad/huge: an object is longer than 67108864 bytes"),
        ("bad/endless", "reading object bad/endless: an object is longer than 67108864 bytes"),
    ] {
        assert_eq!(refused(&sink, async |sink| sink.get(key, None).await).await, said(FaultKind::Corrupt, sentence));
    }
}

#[tokio::test]
async fn a_guest_never_sees_the_body_of_an_object() {
    let world = World::start().await;
    let sink = world.sink().await;
    ends(sink.put("bad/curious", sealed(b"object"))).await.unwrap();
    assert_eq!(
        refused(&sink, async |sink| sink.get("bad/curious", None).await).await,
        said(FaultKind::Denied, "the body of a response that succeeded stays in the host")
    );
}

#[tokio::test]
async fn a_forged_response_ends_the_instance() {
    let world = World::start().await;
    assert_eq!(
        refused(&world.sink().await, async |sink| sink.get("bad/forged", None).await).await,
        said(FaultKind::Internal, "plugin store failed in get: unknown handle index 4711")
    );
}

#[tokio::test]
async fn a_listing_that_is_none_is_refused() {
    let world = World::start().await;
    let sink = world.sink().await;
    let long = format!("bad/long/{}", "x".repeat(512));
    for (prefix, sentence) in [
        ("bad/", "the plugin listed \"bad/b\" before \"bad/a\"".to_owned()),
        ("bad/twice/", "the plugin listed \"bad/twice/a\" before \"bad/twice/a\"".to_owned()),
        ("bad/elsewhere/", "the plugin listed \"key/a\" below \"bad/elsewhere/\"".to_owned()),
        ("bad/long/", format!("the plugin listed {long:?} below \"bad/long/\"")),
        ("bad/many/", "the plugin gave 65537 entries; at most 65536 are allowed".to_owned()),
    ] {
        assert_eq!(refused(&sink, async |sink| sink.entries(prefix, None).await).await, said(FaultKind::Corrupt, &sentence));
    }
}

/// Only a cursor that came back at once was noticed; two that lead to each other, and keys that begin again, were followed for ever.
#[tokio::test]
async fn a_listing_that_goes_back_or_does_not_end_is_given_up() {
    let world = World::start().await;
    let sink = world.sink().await;
    for (prefix, sentence) in [
        ("bad/spot/", "the plugin answered with the cursor that it was given"),
        ("bad/back/", "the plugin listed \"bad/back/c\" on one page and \"bad/back/a\" on a later one"),
        ("bad/circle/", "the plugin's list of entries does not end: after 10000 pages with 0 there are more"),
        ("bad/endless/", "the plugin's list of entries does not end: after 10000 pages with 10000 there are more"),
    ] {
        assert_eq!(ends(refused_list(&sink, prefix)).await, said(FaultKind::Corrupt, sentence));
        ends(sink.works()).await;
    }
}

/// What following a listing to its end ends in.
async fn refused_list(sink: &PluginSink, prefix: &str) -> (FaultKind, String) {
    let mut cursor = None;
    loop {
        match sink.entries(prefix, cursor).await {
            Ok(page) => cursor = Some(page.next.expect("a listing without end came to an end")),
            Err(fault) => return (fault.kind, fault.message),
        }
    }
}

#[tokio::test]
async fn results_that_do_not_match_the_keys_are_refused() {
    let world = World::start().await;
    let keys = ["vm/a", "bad/forgotten"].map(str::to_owned);
    assert_eq!(
        refused(&world.sink().await, async |sink| sink.delete(&keys).await).await,
        said(FaultKind::Corrupt, "the plugin answered 2 deletions with 1 results")
    );
}

#[tokio::test]
async fn a_key_is_derived_only_as_deep_and_from_what_is_granted() {
    let world = World::start().await;
    for (misdeed, kind, sentence) in [
        ("short-chain", FaultKind::Denied, "secret \"key\" is granted for chains of at least 2 steps; this one has 1"),
        ("other-prefix", FaultKind::Denied, "secret \"key\" is granted for chains with the prefix \"ECHO\" only"),
        ("other-secret", FaultKind::Denied, "no secret \"root\" is granted to this plugin"),
        ("endless-chain", FaultKind::Invalid, "a chain has at most 16 steps of at most 64 KiB"),
    ] {
        let sink = world.sink_that(misdeed).await;
        assert_eq!(refused(&sink, async |sink| sink.describe().await).await, said(kind, sentence));
    }
}

#[tokio::test]
async fn a_description_that_cannot_be_is_refused() {
    let world = World::start().await;
    for (misdeed, sentence) in [
        ("no-room", "the plugin says that objects cannot hold a single byte"),
        ("long-product", "the plugin gave a product of 65537 bytes; at most 65536 are allowed"),
    ] {
        let sink = world.sink_that(misdeed).await;
        assert_eq!(refused(&sink, async |sink| sink.describe().await).await, said(FaultKind::Corrupt, sentence));
    }
}
