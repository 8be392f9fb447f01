use std::time::Duration;

use transload::model::{DiskId, Extent, FaultKind, Marker, SnapshotToken, VmRef};
use transload::pipeline::source::{ByteSource, Changes, Ended, Outcome, PowerAction, PowerState, Quiesce, Source};
use transload::wasm::PluginSource;

use super::server::disk;
use super::setup::World;

pub fn vm(id: &str) -> VmRef {
    VmRef { id: id.to_owned(), fingerprint: "f".to_owned() }
}

pub async fn open(source: &PluginSource, disk: &str, offset: u64, length: u64) -> Box<dyn ByteSource> {
    source.open_range(&SnapshotToken::from("snap"), &DiskId::from(disk), Extent::new(offset, length)).await.unwrap()
}

#[tokio::test]
async fn an_inventory_is_read_page_by_page() {
    let world = World::start().await;
    let source = world.source().await;
    let first = source.inventory(None).await.unwrap();
    assert_eq!((first.vms[0].name.as_str(), first.next.is_some()), ("name of vm-1", true));
    let second = source.inventory(first.next).await.unwrap();
    assert_eq!((second.vms[0].vm.fingerprint.as_str(), second.next), ("uuid-vm-2", None));
}

#[tokio::test]
async fn operations_come_back_in_the_words_of_the_pipeline() {
    let world = World::start().await;
    let source = world.source().await;
    let Outcome::Done(opened) = source.open_snapshot(&vm("vm-1"), "tag", Quiesce::Wanted).await.unwrap() else { panic!() };
    assert_eq!(opened.token.as_str(), "vm-1/tag");
    let closing = source.close_snapshot(&opened.token, transload::pipeline::source::Closing::KeepMarkers).await.unwrap();
    assert_eq!(closing, Outcome::Pending { operation: "task-7".to_owned(), poll_after: Duration::from_millis(100) });
    assert_eq!(source.poll("task-7").await.unwrap(), Outcome::Done(Ended::Closed(Vec::new())));
    assert_eq!(source.power(&vm("vm-1"), PowerAction::Off).await.unwrap(), Outcome::Done(PowerState::Off));
    assert_eq!(source.leftovers(&vm("vm-1"), "tag").await.unwrap(), [SnapshotToken::from("tag-1")]);
    assert_eq!(source.enable_tracking(&vm("vm-1")).await.unwrap(), Outcome::Done(()));
    assert_eq!(source.reset_tracking(&vm("vm-1")).await.unwrap_err().kind, FaultKind::Corrupt);
    assert_eq!(source.placement(&vm("vm-1")).await.unwrap_err().kind, FaultKind::Unsupported);
}

#[tokio::test]
async fn a_range_is_requested_when_it_is_fetched_and_only_the_part_that_is_fetched() {
    let world = World::start().await;
    let source = world.source().await;
    let range = open(&source, "disk", 4096, 65536).await;
    assert_eq!((range.length(), world.server.asked().len()), (65536, 0));

    let mut buffer = vec![0; 1000];
    range.fetch(100, &mut buffer).await.unwrap();
    assert_eq!(buffer, disk()[4196..5196]);
    let asked = world.server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].headers.contains(&("range".to_owned(), "bytes=4196-5195".to_owned())));

    assert_eq!(range.fetch(65536, &mut buffer[..1]).await.unwrap_err().kind, FaultKind::Invalid);
    assert_eq!(world.server.asked().len(), 1);
}

#[tokio::test]
async fn gathered_pieces_and_zeros_are_one_source() {
    let world = World::start().await;
    let source = world.source().await;
    let range = open(&source, "gathered", 512, 3000).await;
    let mut buffer = vec![7; 3000];
    range.fetch(0, &mut buffer).await.unwrap();
    let disk = disk();
    assert_eq!(buffer, [&disk[512..1512], &[0; 1000], &disk[512..1512]].concat());
    let mut middle = vec![7; 1002];
    range.fetch(999, &mut middle).await.unwrap();
    assert_eq!(middle, buffer[999..2001]);
}

#[tokio::test]
async fn many_ranges_of_one_plugin_are_read_at_one_time() {
    let world = World::start().await;
    let source = world.source().await;
    let reads = (0..64).map(|block| {
        let source = &source;
        async move {
            let range = open(source, "disk", block * 16384, 16384).await;
            let mut buffer = vec![0; 16384];
            range.fetch(0, &mut buffer).await.unwrap();
            buffer
        }
    });
    assert_eq!(futures::future::join_all(reads).await.concat(), disk());
}

#[tokio::test]
async fn an_answer_that_is_not_the_very_range_is_refused_by_its_kind() {
    let world = World::start().await;
    let source = world.try_source(&world.hasty_endpoint()).await.unwrap();
    for (disk, kind) in [
        ("whole", FaultKind::Unsupported),
        ("other-range", FaultKind::Corrupt),
        ("cut", FaultKind::Unavailable),
        ("expired", FaultKind::Auth),
        ("gone", FaultKind::NotFound),
        ("busy", FaultKind::Throttled),
        ("moved", FaultKind::Unsupported),
        ("never", FaultKind::Unavailable),
        ("drip", FaultKind::Unavailable),
    ] {
        let range = open(&source, disk, 512, 1024).await;
        let fault = range.fetch(0, &mut [0; 1024]).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{disk}: {fault}");
        assert_eq!(fault.retry_after_ms.is_some(), disk == "busy");
    }
    let past_the_end = open(&source, "disk", (1 << 20) - 512, 1024).await;
    assert_eq!(past_the_end.fetch(0, &mut [0; 1024]).await.unwrap_err().kind, FaultKind::Invalid);
    assert!(world.server.lines().iter().all(|line| !line.contains("elsewhere")));
}

#[tokio::test]
async fn changes_are_read_page_by_page() {
    let world = World::start().await;
    let source = world.source().await;
    let (token, since) = (SnapshotToken::from("snap"), Marker::from("m"));
    let Changes::Page(page) = source.changed(&token, &"disk".into(), &since, None).await.unwrap() else { panic!() };
    assert_eq!((page.covers, page.extents), (Extent::new(0, 4096), vec![Extent::new(0, 512)]));
    let Changes::Page(page) = source.changed(&token, &"disk".into(), &since, page.next).await.unwrap() else { panic!() };
    assert_eq!((page.covers, page.extents), (Extent::new(4096, 4096), vec![Extent::new(4096, 512)]));
}

#[tokio::test]
async fn a_session_outlives_the_instance_that_opened_it() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(source.definition(&vm("session one")).await.unwrap().name, " then 1");
    source.preflight(&vm("trap")).await.unwrap_err();
    assert_eq!(source.definition(&vm("session two")).await.unwrap().name, "one then 2");
}

#[tokio::test]
async fn plain_http_is_spoken_when_the_operator_says_so_and_never_else() {
    let world = World::start_plain().await;
    let refused = world.try_source_without_endpoint().await.err().unwrap();
    assert_eq!(
        refused.reasons,
        [format!("{} would be reached without TLS: use https://, or write plaintext = true at its endpoint if that is meant", world.url())]
    );
    let source = world.try_source("plaintext = true\naddress = \"127.0.0.1\"").await.unwrap();
    let mut buffer = vec![0; 512];
    open(&source, "disk", 512, 512).await.fetch(0, &mut buffer).await.unwrap();
    assert_eq!(buffer, disk()[512..1024]);
}
