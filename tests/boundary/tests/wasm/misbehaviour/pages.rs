//! Pages that do not follow each other, lists that do not end, and extents that are none. Followed as the pipeline follows them.

use transload::agent;
use transload::model::{DiskId, DiskSize, FaultKind, Marker, SnapshotToken};
use transload::pipeline::plan::{Changed, changed_since};
use transload::wasm::PluginSource;

use super::super::setup::World;
use super::{Works, ends, refused, said};

/// Four pages of the guest.
const SIZE: u64 = 4 * 4096;

/// What asking for all changes of the disk that misbehaves so ends in.
async fn changes(source: &PluginSource, disk: &str) -> (FaultKind, String) {
    let (token, since, disk) = (SnapshotToken::from("snap"), Marker::from("m"), DiskId::from(disk));
    let size = DiskSize::new(SIZE).unwrap();
    refused(source, async |source| changed_since(source, &token, &disk, size, &since).await).await
}

#[tokio::test]
async fn extents_that_are_none_never_reach_the_plan() {
    let world = World::start().await;
    let source = world.source().await;
    let wrong = "is empty, out of order, overlapping or outside";
    for (disk, extent) in [
        ("overlapping", "512+512"),
        ("unsorted", "0+512"),
        ("outside", "3584+1024"),
        ("nothing", "512+0"),
        ("wrapping", "18446744073709551104+1024"),
    ] {
        assert_eq!(changes(&source, disk).await, said(FaultKind::Corrupt, &format!("extent {extent} {wrong} 0+4096")), "{disk}");
    }
}

#[tokio::test]
async fn extents_without_number_are_refused() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(changes(&source, "too-many").await, said(FaultKind::Corrupt, "the plugin gave 65537 extents; at most 65536 are allowed"));
    assert_eq!(
        changes(&source, "flood").await,
        said(FaultKind::Internal, "plugin src failed in changed: it handed over more than 8 MiB in one call")
    );
}

#[tokio::test]
async fn pages_that_do_not_tile_the_disk_are_refused() {
    let world = World::start().await;
    let source = world.source().await;
    for (disk, sentence) in [
        ("no-part", "a page of changes covers 0+0, which is no part of a disk"),
        ("late", "a page of changes starts at 4096: only the first one starts at 0"),
        ("beyond", "a page of changes covers 0+1099511627776, but should start at 0 and stay inside 16384 bytes"),
        ("gap", "a page of changes covers 8192+4096, but should start at 4096 and stay inside 16384 bytes"),
        ("back", "a page of changes covers 4096+4096, but should start at 8192 and stay inside 16384 bytes"),
        ("restart", "a page of changes starts at 0: only the first one starts at 0"),
        ("stops", "the source described changes up to byte 8192 of disk stops and then stopped; the disk has 16384 bytes"),
        ("endless", "a page of changes covers 16384+4096, but should start at 16384 and stay inside 16384 bytes"),
    ] {
        assert_eq!(changes(&source, disk).await, said(FaultKind::Corrupt, sentence), "{disk}");
    }
}

#[tokio::test]
async fn cursors_that_lead_nowhere_are_refused() {
    let world = World::start().await;
    let source = world.source().await;
    for (disk, sentence) in [
        ("circle", "the plugin answered with the cursor that it was given"),
        ("empty-cursor", "the plugin gave an empty cursor"),
        ("long-cursor", "the plugin gave a cursor of 65537 bytes; at most 65536 are allowed"),
    ] {
        assert_eq!(changes(&source, disk).await, said(FaultKind::Corrupt, sentence), "{disk}");
    }
}

#[tokio::test]
async fn what_behaves_is_planned() {
    let world = World::start().await;
    let source = world.source().await;
    let size = DiskSize::new(SIZE).unwrap();
    let changed = changed_since(&source, &"snap".into(), &"disk".into(), size, &"m".into()).await.unwrap();
    let Changed::Cells(cells, _) = changed else { panic!("{changed:?}") };
    assert_eq!(cells.sectors(), SIZE / 512);
}

/// Two cursors that lead to each other were followed for ever: the one that came back was not the one that had been given.
#[tokio::test]
async fn an_inventory_that_does_not_end_is_given_up() {
    let world = World::start().await;
    for (misdeed, sentence) in [
        ("inventory-on-the-spot", "the plugin answered with the cursor that it was given"),
        ("inventory-in-circles", "the plugin's list of VMs does not end: after 10000 pages with 10000 there are more"),
        ("inventory-without-end", "the plugin's list of VMs does not end: after 10000 pages with 0 there are more"),
    ] {
        let source = world.source_that(misdeed).await;
        let fault = ends(agent::find(&source, "db01")).await.unwrap_err();
        assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::Corrupt, sentence), "{misdeed}");
        if misdeed != "inventory-without-end" {
            ends(source.works()).await;
        }
    }
}
