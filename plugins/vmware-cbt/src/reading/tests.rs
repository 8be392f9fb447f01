use transload_guest::fault::FaultKind;

use super::*;
use crate::script::{Scene, disk_xml, http, moref_prop, objects, prop, raw_prop, soap_fault, vm};

const SIZE: u64 = 1 << 20;
const FLAT: &str = "https://vc.test/folder/my%20web/web-flat.vmdk?dcPath=Europe/DC%25201&dsName=ds%25201";

fn token() -> SnapshotToken {
    SnapshotToken { vm: "vm-1".into(), uuid: "uuid-1".into(), tag: "transload-1".into(), snapshot: "snapshot-9".into() }
}

fn descriptor() -> String {
    format!("# Disk DescriptorFile\nversion=1\nCID=123\nparentCID=ffffffff\n\nRW {} VMFS \"web-flat.vmdk\"\n", SIZE / 512)
}

/// A datastore in Europe/DC 1, below the root folder.
fn inventory(device: &str) -> Scene {
    let frozen = [prop("config.instanceUuid", "uuid-1"), raw_prop("config.hardware.device", device)].concat();
    let level = |kind: &str, id: &str, name: &str, parent: (&str, &str)| {
        objects(&[(kind, id, &[prop("name", name), moref_prop("parent", parent.0, parent.1)].concat())])
    };
    Scene::new()
        .on("RetrievePropertiesEx:config.hardware.device", &objects(&[("VirtualMachineSnapshot", "snapshot-9", &frozen)]))
        .on(
            "RetrievePropertiesEx:<pathSet>datastore<",
            &vm(&raw_prop("datastore", r#"<ManagedObjectReference type="Datastore">datastore-1</ManagedObjectReference>"#)),
        )
        .on(r#"RetrievePropertiesEx:">datastore-1<"#, &level("Datastore", "datastore-1", "ds 1", ("Folder", "group-s1")))
        .on(r#"RetrievePropertiesEx:">group-s1<"#, &level("Folder", "group-s1", "datastore", ("Datacenter", "datacenter-1")))
        .on(r#"RetrievePropertiesEx:">datacenter-1<"#, &level("Datacenter", "datacenter-1", "DC 1", ("Folder", "group-d2")))
        .on(r#"RetrievePropertiesEx:">group-d2<"#, &level("Folder", "group-d2", "Europe", ("Folder", "group-d1")))
        .on(r#"RetrievePropertiesEx:">group-d1<"#, &objects(&[("Folder", "group-d1", &prop("name", "Datacenters"))]))
}

fn device() -> String {
    disk_xml(2000, 1000, 0, SIZE, "6000c29a", "[ds 1] my web/web.vmdk", None)
}

/// The same with its files served as they should be.
fn scene() -> Scene {
    let length = SIZE.to_string();
    inventory(&device())
        .answer("HEAD:web.vmdk", http(200, &[("content-length", "400")], ""))
        .answer("GET:web.vmdk", http(200, &[], &descriptor()))
        .answer("HEAD:web-flat.vmdk", http(200, &[("content-length", &length)], ""))
        .answer("GET:web-flat.vmdk", http(206, &[("content-range", &format!("bytes 0-0/{length}"))], ""))
}

fn read(scene: &Scene, offset: u64, length: u64) -> Result<LazyRange, Fault> {
    scene.run(|vcenter| open_range(vcenter, scene, &token(), "6000c29a", Extent::new(offset, length)))
}

fn cookie(range: &LazyRange) -> &str {
    &range.request.headers.iter().find(|(name, _)| name == "cookie").unwrap().1
}

#[test]
fn the_flat_file_of_the_frozen_disk_is_found_probed_and_named() {
    let scene = scene();
    let range = read(&scene, 4096, 65536).unwrap();
    assert_eq!((range.request.url.as_str(), range.range), (FLAT, Extent::new(4096, 65536)));
    assert_eq!(cookie(&range), r#"vmware_soap_session="s1""#);
    let seen = scene.seen.borrow();
    let probe = seen.iter().find(|seen| seen.range.is_some()).unwrap();
    assert_eq!((probe.range, probe.url.as_str()), (Some(Extent::new(0, 1)), FLAT));
}

#[test]
fn after_the_first_range_the_network_is_not_asked_again() {
    let scene = scene();
    read(&scene, 0, 4096).unwrap();
    let before = scene.seen.borrow().len();
    for n in 1..50 {
        read(&scene, n * 4096, 4096).unwrap();
    }
    assert_eq!(scene.seen.borrow().len(), before);
}

#[test]
fn a_range_that_is_asked_for_again_renews_a_session_that_has_ended() {
    let scene = scene();
    read(&scene, 0, 4096).unwrap();
    let root = r#"RetrievePropertiesEx:<obj type="Folder">group-d1</obj><skip>false</skip></objectSet></specSet>"#;
    let named = objects(&[("Folder", "group-d1", &prop("name", "Datacenters"))]);
    let scene = scene.answer(root, soap_fault("NotAuthenticated", "ended")).on(root, &named);
    let again = read(&scene, 2048, 2048).unwrap();
    assert_eq!(cookie(&again), r#"vmware_soap_session="s2""#);
    assert_eq!(scene.count("Login"), 2);
}

#[test]
fn a_range_that_is_asked_for_again_under_a_living_session_keeps_it() {
    let scene = scene();
    read(&scene, 0, 4096).unwrap();
    assert_eq!(cookie(&read(&scene, 0, 4096).unwrap()), r#"vmware_soap_session="s1""#);
    assert_eq!(scene.count("Login"), 1);
}

#[test]
fn ranges_outside_the_disk_are_invalid() {
    let scene = scene();
    for (offset, length) in [(0, 0), (SIZE, 1), (SIZE - 1, 2), (u64::MAX, 1)] {
        assert_eq!(read(&scene, offset, length).unwrap_err().kind, FaultKind::Invalid, "{offset}+{length}");
    }
    assert!(read(&scene, SIZE - 1, 1).is_ok());
}

#[test]
fn what_the_probe_finds_decides_and_says_why() {
    use FaultKind::*;
    let length = SIZE.to_string();
    let right = ("content-length", length.as_str());
    let head = |status, header| ("HEAD:web-flat.vmdk", http(status, &[header], ""));
    let byte = |status, range: &str| ("GET:web-flat.vmdk", http(status, &[("content-range", range)], ""));
    let table = [
        (head(500, right), Unsupported, "locked"),
        (head(404, right), NotFound, "vSAN"),
        (head(403, right), Denied, "Datastore.FileManagement"),
        (head(503, right), Throttled, "busy"),
        (head(200, ("content-length", "17")), Corrupt, "17 bytes"),
        (head(200, ("x", "y")), Unsupported, "how long"),
        (byte(200, ""), Unsupported, "ignores ranges"),
        (byte(206, "bytes 0-0/17"), Corrupt, "range"),
        (byte(500, ""), Unsupported, "locked"),
        (("HEAD:web.vmdk", http(200, &[("content-length", "1048576")], "")), Unsupported, "descriptor"),
    ];
    for ((key, reply), kind, word) in table {
        // The rule of the greater length wins, so a key with the datastore in it goes before the sound one.
        let scene = scene().answer(&format!("{key}?dcPath="), reply);
        let fault = read(&scene, 0, 512).unwrap_err();
        assert_eq!(fault.kind, kind, "{key}: {}", fault.message);
        assert!(fault.message.contains(word), "{} lacks {word}", fault.message);
    }
}

#[test]
fn an_ended_session_on_the_folder_is_renewed_during_the_probe() {
    let length = SIZE.to_string();
    let key = "HEAD:web-flat.vmdk?dcPath=";
    let scene = scene().answer(key, http(401, &[], "")).answer(key, http(200, &[("content-length", &length)], ""));
    assert_eq!(cookie(&read(&scene, 0, 512).unwrap()), r#"vmware_soap_session="s2""#);
}

#[test]
fn disks_that_are_no_flat_file_are_refused_by_name() {
    for (from, to, word) in [
        ("VirtualDiskFlatVer2BackingInfo", "VirtualDiskSeSparseBackingInfo", "SeSparse"),
        ("VirtualDiskFlatVer2BackingInfo", "VirtualDiskRawDiskMappingVer1BackingInfo", "raw device"),
        ("<uuid>", "<parent><fileName>[ds 1] my web/base.vmdk</fileName></parent><uuid>", "older snapshot"),
        ("<uuid>", "<keyId><keyId>k</keyId></keyId><uuid>", "encrypted"),
    ] {
        let scene = inventory(&device().replace(from, to));
        let fault = read(&scene, 0, 512).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unsupported);
        assert!(fault.message.contains(word), "{} lacks {word}", fault.message);
    }
}

#[test]
fn a_disk_that_the_snapshot_does_not_hold_is_not_found() {
    let scene = scene();
    let range = scene.run(|vcenter| open_range(vcenter, &scene, &token(), "other", Extent::new(0, 1)));
    assert_eq!(range.unwrap_err().kind, FaultKind::NotFound);
}

#[test]
fn closing_the_snapshot_forgets_where_its_disks_lay() {
    let scene = scene();
    read(&scene, 0, 512).unwrap();
    assert!(Recall::of(&scene.memory, &token(), "6000c29a").location().is_some());
    let look = "RetrievePropertiesEx:<pathSet>runtime.consolidationNeeded<";
    let rules = scene.on(look, &vm(&raw_prop("config.hardware.device", &device())));
    let closed = rules.run(|vcenter| crate::closing::close(vcenter, &token()));
    assert_eq!(closed, Ok(transload_guest::source::Outcome::Closed(Vec::new())));
    assert_eq!(Recall::of(&rules.memory, &token(), "6000c29a").location(), None);
}
