//! Too much of something: memory, text, items, handles, pieces.

use transload::model::FaultKind;
use transload::pipeline::source::Source;

use super::super::setup::World;
use super::super::source::vm;
use super::{Works, definition, ends, learnt, preflight, said};

#[tokio::test]
async fn a_guest_that_hoards_memory_is_ended_by_name() {
    let world = World::start().await;
    assert_eq!(
        preflight(&world.source().await, "hoard").await,
        said(FaultKind::Internal, "plugin src failed in preflight: it needs more than its 16 MiB of memory")
    );
}

#[tokio::test]
async fn a_guest_that_begins_with_more_memory_than_it_gets_is_not_started() {
    let world = World::start().await;
    world.reinstall_source("16 MiB", "1 MiB");
    let source = world.source().await;
    for _ in 0..3 {
        let fault = ends(source.inventory(None)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal);
        assert_eq!(fault.message, "plugin src failed in its start: it needs more than its 1 MiB of memory");
    }
}

/// A guest that asked for a gibibyte, got none and went on was blamed for its memory when it ended for another reason, calls later.
#[tokio::test]
async fn memory_that_was_refused_in_an_earlier_call_does_not_explain_how_a_later_one_ended() {
    let world = World::start().await;
    let source = world.source().await;
    ends(source.preflight(&vm("grasp"))).await.unwrap();
    let fault = ends(source.preflight(&vm("abort"))).await.unwrap_err();
    assert_eq!(fault.message, "plugin src failed in preflight: wasm trap: wasm `unreachable` instruction executed");
}

#[tokio::test]
async fn a_flood_of_data_into_the_host_is_stopped() {
    let world = World::start().await;
    world.reinstall_source("16 MiB", "256 MiB");
    assert_eq!(
        preflight(&world.source().await, "flood").await,
        said(FaultKind::Internal, "plugin src failed in preflight: it handed over more than 8 MiB in one call")
    );
}

#[tokio::test]
async fn texts_and_lists_have_a_largest_size() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(
        preflight(&source, "long-text").await,
        said(FaultKind::Corrupt, "the plugin gave a message of 65537 bytes; at most 65536 are allowed")
    );
    assert_eq!(
        preflight(&source, "many-findings").await,
        said(FaultKind::Corrupt, "the plugin gave 65537 findings; at most 65536 are allowed")
    );
}

#[tokio::test]
async fn a_small_response_has_a_largest_size() {
    let world = World::start().await;
    let url = world.url();
    assert_eq!(
        definition(&world.source().await, &format!("get {url}/long")).await,
        said(FaultKind::Corrupt, &format!("a response of {url} is longer than the 8388608 bytes that are granted"))
    );
}

#[tokio::test]
async fn what_a_guest_sends_itself_has_a_largest_size() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(definition(&source, "body 1048577").await, said(FaultKind::Invalid, "the body parts together are longer than 1 MiB"));
    assert_eq!(definition(&source, "long-header").await, said(FaultKind::Invalid, "the headers together are longer than 64 KiB"));
    assert!(world.server.lines().iter().all(|line| line == "GET /disk"), "something was sent: {:?}", world.server.lines());
}

#[tokio::test]
async fn a_peek_budget_ends() {
    let world = World::start().await;
    let source = world.source().await;
    let used_up = "the plugin's peek budget of 102400 bytes a call is used up";
    assert_eq!(learnt(&source, "peek 30000").await, format!("90000 {used_up}"));
    assert_eq!(source.bytes_peeked(), 90_000);
    assert_eq!(learnt(&source, "peek 65537").await, "0 a peek reads at most 65536 bytes; 65537 were asked for");
}

#[tokio::test]
async fn handles_that_a_guest_keeps_end_with_its_call() {
    let world = World::start().await;
    let source = world.source().await;
    // Were the instance kept, its table of handles would be full after 4,096 calls.
    for _ in 0..4200 {
        assert_eq!(source.definition(&vm("bytes keep")).await.unwrap().name, "kept");
    }
    ends(source.works()).await;
}

#[tokio::test]
async fn handles_are_counted_within_a_call() {
    let world = World::start().await;
    assert_eq!(learnt(&world.source().await, "bytes hoard").await, "4096 a plugin may hold at most 4096 handles at a time");
}

#[tokio::test]
async fn a_byte_source_that_doubles_has_a_largest_number_of_pieces() {
    let world = World::start().await;
    let refused = "a plugin may hold at most 262144 pieces of byte sources at a time";
    // 2^17 pieces are held, and their double beside them would be more than there may be.
    assert_eq!(learnt(&world.source().await, "bytes double").await, format!("17 {refused}"));
}

/// The pieces were counted when the list had been put together, and this one would have had two thousand million: the host went down with it.
#[tokio::test]
async fn a_short_list_that_stands_for_endless_pieces_is_refused_before_it_is_put_together() {
    let world = World::start().await;
    assert_eq!(
        definition(&world.source().await, "bytes bomb").await,
        said(FaultKind::Denied, "a plugin may hold at most 262144 pieces of byte sources at a time")
    );
}

#[tokio::test]
async fn volatile_logins_are_counted_and_measured() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(
        definition(&source, "long-session").await,
        said(FaultKind::Invalid, "a session's name has 1 to 256 bytes and its value at most 16 KiB")
    );
    assert_eq!(learnt(&source, "many-sessions").await, "256 a plugin keeps at most 256 sessions");
}
