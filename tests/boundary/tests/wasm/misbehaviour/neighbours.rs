//! While one plugin misbehaves, others in the same process go on, and what they bring is right.

use futures::future::{Either, join_all, select};
use transload::log::sink::Sink;
use transload::model::Extent;
use transload::pipeline::source::Source;
use transload::wasm::{PluginSink, PluginSource};

use super::super::server::disk;
use super::super::setup::World;
use super::super::sink::sealed;
use super::super::source::{open, vm};
use super::{Works, ends};

const BLOCK: u64 = 64 * 1024;

/// Reads all of a disk, as a copy does: several requests at once, each for a part.
async fn read_all(source: &PluginSource) {
    let blocks = (0..16).map(async |block| {
        let mut buffer = vec![0; BLOCK as usize];
        open(source, "disk", block * BLOCK, BLOCK).await.fetch(0, &mut buffer).await.unwrap();
        buffer
    });
    assert_eq!(join_all(blocks).await.concat(), disk());
}

/// Stores objects and reads them back, each under a name of its own.
async fn store_all(sink: &PluginSink, round: usize) {
    join_all((0..8).map(async |number| {
        let (key, body) = (format!("vm/{round}/{number}"), sealed(&[number; 10_000]));
        sink.put(&key, body.clone()).await.unwrap();
        assert_eq!(sink.get(&key, None).await.unwrap(), body.whole());
    }))
    .await;
}

/// In every seat of the pool for control calls and in one for data, over and over.
async fn misbehave(source: &PluginSource, misdeed: &str) {
    let (misdeed, snapshot, trapping) = (vm(misdeed), "snap".into(), "trap".into());
    loop {
        let data = source.open_range(&snapshot, &trapping, Extent::new(0, 512));
        let (first, second, data) = tokio::join!(source.preflight(&misdeed), source.preflight(&misdeed), data);
        assert!(first.is_err() && second.is_err() && data.is_err());
        tokio::task::yield_now().await;
    }
}

/// All of another source's bytes come, and objects are stored, before anything that misbehaves has come to an end.
async fn others_go_on(misdeed: &str) {
    let world = World::start().await;
    // Longer than the test may take: nobody is helped by the end of what misbehaves.
    world.reinstall_source("call = \"20 s\"", "call = \"300 s\"");
    let (bad, good, sink) = world.neighbours().await;
    let work = async {
        for round in 0..3 {
            read_all(&good).await;
            store_all(&sink, round).await;
        }
    };
    match ends(select(Box::pin(misbehave(&bad, misdeed)), Box::pin(work))).await {
        Either::Left(_) => panic!("the misdeed came to an end"),
        Either::Right(((), _)) => {}
    }
    // Its calls went away with the first half of the choice, and it can be called again.
    ends(bad.works()).await;
}

#[tokio::test]
async fn reads_of_another_source_go_on_while_a_plugin_loops() {
    others_go_on("loop").await;
}

#[tokio::test]
async fn reads_of_another_source_go_on_while_a_plugin_sleeps() {
    others_go_on("sleep").await;
}

#[tokio::test]
async fn reads_of_another_source_go_on_while_a_plugin_hoards_memory_again_and_again() {
    others_go_on("hoard").await;
}

#[tokio::test]
async fn reads_of_another_source_go_on_while_a_plugin_traps_again_and_again() {
    others_go_on("trap").await;
}

#[tokio::test]
async fn reads_of_another_source_go_on_while_a_plugin_recurses_again_and_again() {
    others_go_on("recursion").await;
}

/// The data calls of a plugin do not wait behind its own control calls.
#[tokio::test]
async fn reads_of_the_same_source_go_on_while_its_control_calls_loop() {
    let world = World::start().await;
    world.reinstall_source("call = \"20 s\"", "call = \"300 s\"");
    let source = world.source().await;
    let looping = vm("loop");
    let both = futures::future::join(source.preflight(&looping), source.preflight(&looping));
    match ends(select(Box::pin(both), Box::pin(read_all(&source)))).await {
        Either::Left(_) => panic!("the loops came to an end"),
        Either::Right(((), _)) => {}
    }
}
