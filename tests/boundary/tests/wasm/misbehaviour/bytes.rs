//! Byte sources that are not what was asked for, and handles that are nobody's.

use transload::model::{DiskId, Extent, Fault, FaultKind, SnapshotToken};
use transload::pipeline::source::{ByteSource, Source};
use transload::wasm::PluginSource;

use super::super::setup::World;
use super::super::source::open as opened;
use super::{Works, definition, ends, refused, said};

const ASKED: Extent = Extent { offset: 512, length: 1024 };

async fn open(source: &PluginSource, disk: &str) -> Result<Box<dyn ByteSource>, Fault> {
    source.open_range(&SnapshotToken::from("snap"), &DiskId::from(disk), ASKED).await
}

#[tokio::test]
async fn a_byte_source_of_another_length_is_refused() {
    let world = World::start().await;
    let source = world.source().await;
    for (disk, length) in [("short", 1023), ("long", 1025), ("empty", 0)] {
        assert_eq!(
            refused(&source, async |source| open(source, disk).await).await,
            said(FaultKind::Corrupt, &format!("the plugin answered 1024 bytes with a source of {length}"))
        );
    }
}

#[tokio::test]
async fn a_part_past_the_end_of_a_source_is_refused() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(
        refused(&source, async |source| open(source, "past-its-end").await).await,
        said(FaultKind::Invalid, "1+1024 reaches past the end of 1024 bytes")
    );
    assert_eq!(
        refused(&source, async |source| open(source, "endless").await).await,
        said(FaultKind::Invalid, "a byte source cannot be longer than 2^64 bytes")
    );
}

#[tokio::test]
async fn a_source_that_yields_other_bytes_than_it_names_is_refused_when_it_is_read() {
    let world = World::start().await;
    let (source, url) = (world.source().await, world.url());
    for (disk, kind, sentence) in [
        ("more", FaultKind::Corrupt, format!("{url} sent more than the 1024 bytes asked for")),
        ("fewer", FaultKind::Corrupt, format!("{url} sent 1023 of 1024 bytes")),
        ("other-range", FaultKind::Corrupt, format!("reading 512+1024 from {url}: the answer is for \"bytes 513-1536/1048576\"")),
        (
            "whole",
            FaultKind::Unsupported,
            format!("reading 512+1024 from {url}: the other side ignores ranges and answered 200 with the whole"),
        ),
    ] {
        let fault = refused(&source, async |source| opened(source, disk, 512, 1024).await.fetch(0, &mut [0; 1024]).await).await;
        assert_eq!(fault, (kind, sentence), "{disk}");
    }
}

#[tokio::test]
async fn a_forged_handle_ends_the_instance() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(
        definition(&source, "bytes forge").await,
        said(FaultKind::Internal, "plugin src failed in definition: unknown handle index 4711")
    );
    assert_eq!(
        refused(&source, async |source| open(source, "forged").await).await,
        said(FaultKind::Internal, "plugin src failed in open-range: unknown handle index 4711")
    );
}

#[tokio::test]
async fn a_handle_that_is_given_twice_ends_the_instance() {
    let world = World::start().await;
    let source = world.source().await;
    for _ in 0..3 {
        let first = ends(open(&source, "twice")).await.unwrap();
        let fault = ends(open(&source, "twice")).await.err().unwrap();
        assert_eq!(fault.kind, FaultKind::Internal);
        assert!(fault.message.starts_with("plugin src failed in open-range: unknown handle index "), "{fault}");
        // What was given the first time is the host's, whatever the guest did afterwards.
        ends(first.fetch(0, &mut [0; 1024])).await.unwrap();
    }
    ends(source.works()).await;
}
