use transload_guest::fault::FaultKind;

use super::*;
use crate::script::{Scene, disk_xml, objects, prop, raw_prop, soap_fault_with};

const SIZE: u64 = 10 << 20;
const NOW: &str = "52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/81";
const BEFORE: &str = "52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/80";

fn token() -> SnapshotToken {
    SnapshotToken { vm: "vm-1".into(), uuid: "uuid-1".into(), tag: "t".into(), snapshot: "snapshot-9".into() }
}

/// vCenter with one disk whose marker in the snapshot is `now`.
fn scene(now: Option<&str>) -> Scene {
    let device = disk_xml(2000, 1000, 0, SIZE, "6000c29a", "[ds] a/a.vmdk", now);
    let props = [prop("config.instanceUuid", "uuid-1"), raw_prop("config.hardware.device", &device)].concat();
    Scene::new().on("RetrievePropertiesEx", &objects(&[("VirtualMachineSnapshot", "snapshot-9", &props)]))
}

fn reply(start: u64, length: i64, areas: &[(u64, u64)]) -> String {
    let areas: String =
        areas.iter().map(|(start, length)| format!("<changedArea><start>{start}</start><length>{length}</length></changedArea>")).collect();
    format!("<returnval><startOffset>{start}</startOffset><length>{length}</length>{areas}</returnval>")
}

fn at(offset: u64) -> String {
    format!("QueryChangedDiskAreas:<startOffset>{offset}</startOffset>")
}

fn ask(scene: &Scene, since: &str, cursor: Option<&str>) -> Result<Changes, Fault> {
    scene.run(|vcenter| changed(vcenter, &token(), "6000c29a", since, cursor))
}

fn one_page(reply: &str) -> Result<ChangedPage, Fault> {
    match ask(&scene(Some(NOW)).on("QueryChangedDiskAreas", reply), BEFORE, None)? {
        Changes::Page(page) => Ok(page),
        other => panic!("{other:?} is no page"),
    }
}

/// Follows the cursors to the end, as a host does.
fn all_pages(scene: &Scene) -> Vec<ChangedPage> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let Changes::Page(page) = ask(scene, BEFORE, cursor.as_deref()).unwrap() else { panic!("no page") };
        cursor = page.next.clone();
        pages.push(page);
        if cursor.is_none() {
            return pages;
        }
    }
}

fn resync_code(changes: Result<Changes, Fault>) -> &'static str {
    match changes {
        Ok(Changes::Resync { code, .. }) => code,
        other => panic!("{other:?} is no resync"),
    }
}

#[test]
fn pages_tile_the_disk_and_an_empty_window_does_not_end_it() {
    let scene = scene(Some(NOW))
        .on(&at(0), &reply(0, 1 << 20, &[(0, 65536)]))
        .on(&at(1 << 20), &reply(1 << 20, 4 << 20, &[]))
        .on(&at(5 << 20), &reply(5 << 20, 5 << 20, &[((10 << 20) - 512, 512)]));
    let pages = all_pages(&scene);
    let covers: Vec<_> = pages.iter().map(|page| (page.covers.offset, page.covers.end())).collect();
    assert_eq!(covers, [(0, 1 << 20), (1 << 20, 5 << 20), (5 << 20, 10 << 20)]);
    assert!(pages[1].extents.is_empty());
    assert_eq!(pages[2].extents, [Extent::new((10 << 20) - 512, 512)]);
    // The cursor remembers key and size, so only the first page looks at the snapshot.
    assert_eq!(scene.count("RetrievePropertiesEx"), 1);
}

#[test]
fn two_thousand_areas_and_more_come_in_several_pages_without_loss() {
    let areas = |from: u64, count: u64| (from..from + count).map(|n| (n * 4096, 512)).collect::<Vec<_>>();
    let scene = scene(Some(NOW))
        .on(&at(0), &reply(0, 2000 * 4096, &areas(0, 2000)))
        .on(&at(2000 * 4096), &reply(2000 * 4096, (SIZE - 2000 * 4096) as i64, &areas(2000, 400)));
    let pages = all_pages(&scene);
    assert_eq!(pages.iter().map(|page| page.extents.len()).collect::<Vec<_>>(), [2000, 400]);
    assert_eq!(pages[1].extents[0], Extent::new(2000 * 4096, 512));
}

#[test]
fn the_request_names_snapshot_key_offset_and_marker_in_the_schemas_order() {
    let scene = scene(Some(NOW)).on("QueryChangedDiskAreas", &reply(0, SIZE as i64, &[]));
    ask(&scene, BEFORE, None).unwrap();
    let body = scene.bodies("QueryChangedDiskAreas").remove(0);
    let wanted = format!(
        r#"<_this type="VirtualMachine">vm-1</_this><snapshot type="VirtualMachineSnapshot">snapshot-9</snapshot><deviceKey>2000</deviceKey><startOffset>0</startOffset><changeId>{BEFORE}</changeId>"#
    );
    assert!(body.contains(&wanted), "{body}");
}

#[test]
fn areas_are_sorted_merged_and_clipped_to_the_disk() {
    let page = one_page(&reply(0, SIZE as i64 + 65536, &[(131072, 65536), (0, 65536), (65536, 65536), (SIZE - 512, 65536)])).unwrap();
    assert_eq!(page.extents, [Extent::new(0, 196608), Extent::new(SIZE - 512, 512)]);
    assert_eq!((page.covers, page.next), (Extent::new(0, SIZE), None));
}

#[test]
fn replies_without_progress_or_about_another_place_are_corrupt() {
    for bad in [
        reply(512, 1024, &[]),
        reply(0, 0, &[]),
        reply(0, -5, &[]),
        reply(0, 4096, &[(8192, 512)]),
        "<returnval><length>5</length></returnval>".to_owned(),
        "<returnval><startOffset>0</startOffset></returnval>".to_owned(),
        String::new(),
    ] {
        assert_eq!(one_page(&bad).unwrap_err().kind, FaultKind::Corrupt, "{bad}");
    }
    let scene = scene(Some(NOW)).on(&at(4096), &reply(4096, 4096, &[(0, 512)]));
    let cursor = tokens::write(&AreasCursor { offset: 4096, key: 2000, size: SIZE });
    assert_eq!(ask(&scene, BEFORE, Some(&cursor)).unwrap_err().kind, FaultKind::Corrupt, "an area before its window");
}

#[test]
fn vcenter_is_never_asked_about_the_end_of_the_disk() {
    let scene = scene(Some(NOW));
    let cursor = tokens::write(&AreasCursor { offset: SIZE, key: 2000, size: SIZE });
    assert_eq!(ask(&scene, BEFORE, Some(&cursor)).unwrap_err().kind, FaultKind::Invalid);
    assert_eq!(scene.count("QueryChangedDiskAreas"), 0);
}

#[test]
fn a_tracker_that_started_anew_is_noticed_before_vcenter_is_asked() {
    let other = BEFORE.replace("52 de", "53 de");
    for (since, now, code) in [
        (other.as_str(), Some(NOW), "tracking-reset"),
        (BEFORE, None, "tracking-reset"),
        ("", Some(NOW), "marker-unknown"),
        ("*", Some(NOW), "marker-unknown"),
        (NOW, Some(BEFORE), "marker-unknown"),
    ] {
        let scene = scene(now);
        assert_eq!(resync_code(ask(&scene, since, None)), code, "{since} → {now:?}");
        assert_eq!(scene.count("QueryChangedDiskAreas"), 0);
    }
}

#[test]
fn a_marker_that_vcenter_does_not_know_leads_to_a_resync() {
    let file = scene(Some(NOW)).fails("QueryChangedDiskAreas", "FileFault");
    assert_eq!(resync_code(ask(&file, BEFORE, None)), "marker-unknown");
    let about = |property: &str| soap_fault_with("InvalidArgument", "bad", &format!("<invalidProperty>{property}</invalidProperty>"));
    let marker = scene(Some(NOW)).answer("QueryChangedDiskAreas", about("changeId"));
    assert_eq!(resync_code(ask(&marker, BEFORE, None)), "marker-unknown");
    let offset = scene(Some(NOW)).answer("QueryChangedDiskAreas", about("startOffset"));
    assert_eq!(ask(&offset, BEFORE, None).unwrap_err().kind, FaultKind::Invalid);
}

#[test]
fn a_session_that_ends_between_pages_is_renewed_and_no_page_is_lost() {
    let expired = crate::script::soap_fault("NotAuthenticated", "The session is not authenticated.");
    let scene = scene(Some(NOW))
        .on(&at(0), &reply(0, 4 << 20, &[(0, 512)]))
        .answer(&at(4 << 20), expired)
        .on(&at(4 << 20), &reply(4 << 20, 6 << 20, &[(4 << 20, 512)]));
    let pages = all_pages(&scene);
    assert_eq!(pages.iter().map(|page| page.extents.len()).sum::<usize>(), 2);
    let cookies: Vec<_> =
        scene.seen.borrow().iter().filter(|seen| seen.verb == "QueryChangedDiskAreas").filter_map(|seen| seen.cookie.clone()).collect();
    let (first, second) = (r#"vmware_soap_session="s1""#, r#"vmware_soap_session="s2""#);
    assert_eq!(cookies, [first, first, second]);
}

#[test]
fn a_simulator_without_change_tracking_is_unsupported_and_says_so() {
    let fault = ask(&scene(Some(NOW)).fails("QueryChangedDiskAreas", "MethodNotFound"), BEFORE, None).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unsupported);
}

#[test]
fn a_snapshot_that_is_gone_is_not_found_and_one_of_another_vm_a_conflict() {
    let gone = Scene::new().fails("RetrievePropertiesEx", "ManagedObjectNotFound");
    assert_eq!(gone.run(|vcenter| disks(vcenter, &token())).unwrap_err().kind, FaultKind::NotFound);
    let other = objects(&[("VirtualMachineSnapshot", "snapshot-9", &prop("config.instanceUuid", "uuid-2"))]);
    let other = Scene::new().on("RetrievePropertiesEx", &other);
    assert_eq!(other.run(|vcenter| disks(vcenter, &token())).unwrap_err().kind, FaultKind::Conflict);
}

#[test]
fn frozen_disks_carry_their_marker_and_what_binds_it() {
    let disks = scene(Some(NOW)).run(|vcenter| disks(vcenter, &token())).unwrap();
    assert_eq!((disks[0].id.as_str(), disks[0].marker.as_deref()), ("6000c29a", Some(NOW)));
    assert_eq!(disks[0].fingerprint, format!("6000c29a/{SIZE}/key2000"));
    assert_eq!(scene(None).run(|vcenter| super::disks(vcenter, &token())).unwrap()[0].marker, None);
}
