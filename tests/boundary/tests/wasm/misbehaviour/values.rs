//! Answers whose parts do not fit: together, to the call, or to anything.

use transload::model::{FaultKind, SnapshotToken};
use transload::pipeline::source::{Closing, Quiesce, Source};

use super::super::setup::World;
use super::super::source::vm;
use super::{definition, ends, preflight, refused, said};

#[tokio::test]
async fn disks_that_cannot_be_are_refused() {
    let world = World::start().await;
    let source = world.source().await;
    let size = "is not supported: the size must be a multiple of 512 and at most 64 TiB";
    for (misdeed, sentence) in [
        ("disk-twice", "the plugin gave disk disk-1 twice".to_owned()),
        ("nameless-disk", "the plugin gave an empty disk id".to_owned()),
        ("no-fingerprint", "the plugin gave an empty disk fingerprint".to_owned()),
        ("odd-size", format!("disk disk-1: a disk of 513 bytes {size}")),
        ("no-size", format!("disk disk-1: a disk of 0 bytes {size}")),
        ("endless-disk", format!("disk disk-1: a disk of 18446744073709551104 bytes {size}")),
    ] {
        let token = SnapshotToken::from(misdeed);
        assert_eq!(refused(&source, async |source| source.disks(&token).await).await, said(FaultKind::Corrupt, &sentence));
    }
}

#[tokio::test]
async fn tokens_that_nobody_could_keep_are_refused() {
    let world = World::start().await;
    let source = world.source().await;
    for (misdeed, sentence) in [
        ("no-token", "the plugin gave an empty snapshot token"),
        ("long-token", "the plugin gave a snapshot token of 65537 bytes; at most 65536 are allowed"),
    ] {
        let fault = refused(&source, async |source| source.open_snapshot(&vm(misdeed), "tag", Quiesce::Wanted).await).await;
        assert_eq!(fault, said(FaultKind::Corrupt, sentence));
    }
    let token = SnapshotToken::from("no-operation");
    assert_eq!(
        refused(&source, async |source| source.close_snapshot(&token, Closing::KeepMarkers).await).await,
        said(FaultKind::Corrupt, "the plugin gave an empty operation token")
    );
}

#[tokio::test]
async fn an_end_that_belongs_to_another_call_is_refused() {
    let world = World::start().await;
    assert_eq!(
        refused(&world.source().await, async |source| source.reset_tracking(&vm("vm-1")).await).await,
        said(FaultKind::Corrupt, "the plugin answered reset-tracking with an outcome that belongs to another call")
    );
}

#[tokio::test]
async fn numbers_that_contradict_each_other_are_refused() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(
        refused(&source, async |source| source.placement(&vm("more-free-than-there-is")).await).await,
        said(FaultKind::Corrupt, "datastore ds has more free space than space")
    );
    for (vm_id, what) in [
        ("on-no-datastore", "disk d lies on datastore \"ds-2\", which the plugin does not describe"),
        ("placed-twice", "the plugin gave disk d twice"),
    ] {
        assert_eq!(refused(&source, async |source| source.placement(&vm(vm_id)).await).await, said(FaultKind::Corrupt, what));
    }
    assert_eq!(definition(&source, "machine").await, said(FaultKind::Corrupt, "the plugin gave a VM without processors or memory"));
    let fault = ends(world.source_that("describe no-disks-at-all").await.describe()).await.unwrap_err();
    assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Corrupt, "the plugin says that no disk at all may be read"));
}

#[tokio::test]
async fn text_that_is_none_is_refused() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(preflight(&source, "odd-code").await, said(FaultKind::Corrupt, "the plugin gave \"Odd Code\" as the code of a finding"));
    assert_eq!(
        preflight(&source, "not-text").await,
        said(FaultKind::Internal, "plugin src failed in preflight: invalid utf-8 sequence of 1 bytes from index 0")
    );
}
