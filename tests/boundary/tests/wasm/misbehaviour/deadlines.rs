//! Every call has an end, and what the host does for it beside the guest gives the guest no time to hold it up in.

use std::time::Duration;

use tokio::time::Instant;
use transload::log::sink::Sink;
use transload::model::{Extent, FaultKind};
use transload::wasm::PluginSink;

use super::super::setup::{World, plugin_host_of_its_own};
use super::super::sink::sealed;
use super::super::source::open;
use super::{Works, ends, refused, said};

/// Time to move as much in is over a minute.
const LARGE: usize = 1 << 20;
/// Far from that, and far from the two seconds of a call, on a machine that does much else.
const SOON: Duration = Duration::from_secs(30);

async fn hasty(world: &World) -> PluginSink {
    world.reinstall_sink("call = \"2 s\"\ninstances = 2");
    world.sink().await
}

/// It had the time that a body of its size may take to move: over an hour, for the largest object.
#[tokio::test]
async fn a_guest_that_loops_beside_a_large_body_ends_at_the_limit_of_a_small_one() {
    let world = World::start().await;
    let (sink, body) = (hasty(&world).await, sealed(&vec![7; LARGE]));
    for key in ["bad/loop", "bad/loop-after"] {
        let begun = Instant::now();
        let fault = ends(sink.put(key, body.clone())).await.unwrap_err();
        assert_eq!((fault.kind, fault.message), said(FaultKind::Unavailable, "plugin store did not answer put in time"));
        assert!(begun.elapsed() < SOON, "{key}: {:?}", begun.elapsed());
        ends(sink.works()).await;
    }
}

#[tokio::test]
async fn a_body_that_moves_slowly_has_its_time_on_top_of_the_calls() {
    let world = World::start().await;
    let (sink, body) = (hasty(&world).await, sealed(&vec![7; LARGE]));
    let begun = Instant::now();
    ends(sink.put("slow", body.clone())).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2), "longer than a call may take otherwise");
    assert_eq!(ends(sink.get("slow", Some(Extent::new(0, LARGE as u64)))).await.unwrap(), body.whole().slice(..LARGE));
}

#[tokio::test]
async fn a_guest_that_sends_its_body_without_end_ends_when_one_would_have_been_sent() {
    let world = World::start().await;
    let sink = hasty(&world).await;
    assert_eq!(
        refused(&sink, async |sink| sink.put("bad/again-slow", sealed(&vec![7; 64 << 10])).await).await,
        said(FaultKind::Unavailable, "plugin store did not answer put in time")
    );
}

/// Each had a deadline of its own, and there may be a quarter of a million.
#[tokio::test]
async fn the_pieces_of_a_range_have_a_deadline_together() {
    let world = World::start().await;
    world.hurry_source();
    let source = world.source().await;
    assert_eq!(
        refused(&source, async |source| open(source, "many-late", 0, 512).await.fetch(0, &mut [0; 512]).await).await,
        said(FaultKind::Unavailable, "512 bytes (64 pieces) did not come within 1 s")
    );
}

/// A component of some hundred kilobytes that takes a compiler minutes: each of many values lives through each of many branches.
fn slow_to_compile() -> Vec<u8> {
    const VALUES: usize = 600;
    const BRANCHES: usize = 6000;
    let branch = |at: usize| {
        let (one, other) = (at % VALUES, at * 7 % VALUES);
        format!("(if (local.get {one}) (then (local.set {other} (i32.add (local.get {one}) (i32.const {at})))))")
    };
    let branches: String = (0..BRANCHES).map(branch).collect();
    let sum: String = (0..VALUES).map(|value| format!("(local.get {value}) i32.add ")).collect();
    let locals = "i32 ".repeat(VALUES);
    let function =
        format!("(func (export \"f\") (result i32) (local {locals}) (loop {branches} (br_if 0 (local.get 0))) (i32.const 0) {sum})");
    wat::parse_str(format!("(component (core module {function}))")).unwrap()
}

#[tokio::test]
async fn a_component_that_takes_too_long_to_compile_is_refused_in_time_and_holds_up_nobody() {
    let world = World::start().await;
    let other = world.sink().await;
    world.replace_source(&slow_to_compile());
    let host = plugin_host_of_its_own().compiling_within(Duration::from_millis(500));
    let begun = Instant::now();
    let config = world.config(&world.usual_endpoint());
    let (refused, ()) = ends(futures::future::join(host.source(&config.sources[0]), other.works())).await;
    assert_eq!(
        refused.err().unwrap().reasons,
        ["its component was not compiled within 0.5 s: no honest one takes so long; ask its vendor"]
    );
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}
