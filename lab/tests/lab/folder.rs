//! Reading datastore files over HTTPS.

use crate::support::{Fixture, MIB, encode, start};
use lab::vcenter::{DiskSpec, FolderFault, Spoil, VmSpec};
use reqwest::StatusCode;

const DISK: i32 = 2000;
const CAPACITY: u64 = 8 * MIB + 512;

/// A running VM with a snapshot, so that its base file may be read.
async fn frozen() -> (Fixture, String) {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    fixture.create_snapshot(&vm, "frozen").await.unwrap();
    let url = fixture.folder_url("web/web-flat.vmdk");
    (fixture, url)
}

#[tokio::test]
async fn ranges_are_answered_exactly() {
    let (fixture, url) = frozen().await;
    let whole = fixture.lab.vcenter().read("web", DISK, 0, CAPACITY as usize).await.unwrap();
    for (range, start, end) in [
        ("bytes=0-511", 0, 512),
        ("bytes=1048570-1048579", 1048570, 1048580),
        ("bytes=8388608-", 8 * MIB, CAPACITY),
        ("bytes=-16", CAPACITY - 16, CAPACITY),
        ("bytes=8388608-99999999", 8 * MIB, CAPACITY),
    ] {
        let reply = fixture.get(&url, Some(range)).await.unwrap();
        assert_eq!(reply.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(reply.headers()["content-range"], format!("bytes {start}-{}/{CAPACITY}", end - 1).as_str());
        assert_eq!(reply.content_length(), Some(end - start));
        assert_eq!(reply.bytes().await.unwrap(), whole[start as usize..end as usize], "{range}");
    }
    let beyond = fixture.get(&url, Some("bytes=8389120-")).await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{CAPACITY}").as_str());
    let all = fixture.get(&url, None).await.unwrap();
    assert_eq!(all.status(), StatusCode::OK);
    assert_eq!(all.bytes().await.unwrap(), whole);
    assert!(fixture.lab.vcenter().counters().folder_bytes >= CAPACITY);
}

#[tokio::test]
async fn a_head_tells_the_size_and_costs_nothing() {
    let (fixture, url) = frozen().await;
    let cookie = fixture.cookie.lock().unwrap().clone().unwrap();
    let head = fixture.client.head(&url).header("Cookie", cookie).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], CAPACITY.to_string().as_str());
    assert_eq!(head.headers()["accept-ranges"], "bytes");
    assert_eq!(fixture.lab.vcenter().counters().folder_bytes, 0);
}

#[tokio::test]
async fn names_must_be_encoded_twice() {
    let (fixture, url) = frozen().await;
    assert_eq!(fixture.get(&url, Some("bytes=0-0")).await.unwrap().status(), StatusCode::PARTIAL_CONTENT);
    let vcenter = fixture.lab.vcenter();
    let once = format!(
        "{}/folder/web/web-flat.vmdk?dcPath={}&dsName={}",
        vcenter.url(),
        encode(&vcenter.datacenter_path()),
        encode("SSD pool 01")
    );
    assert_eq!(fixture.get(&once, None).await.unwrap().status(), StatusCode::NOT_FOUND);
    let half = format!(
        "{}/folder/web/web-flat.vmdk?dcPath={}&dsName={}",
        vcenter.url(),
        encode(&encode(&vcenter.datacenter_path())),
        encode("SSD pool 01")
    );
    assert_eq!(fixture.get(&half, None).await.unwrap().status(), StatusCode::NOT_FOUND);
    let missing = url.replace("web-flat", "other-flat");
    assert_eq!(fixture.get(&missing, None).await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_cookie_or_basic_is_needed_and_basic_opens_sessions() {
    let (fixture, url) = frozen().await;
    let plain = fixture.client.get(&url).send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::UNAUTHORIZED);
    assert!(plain.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    let before = fixture.lab.vcenter().counters().sessions_live;
    let (user, password) = (fixture.lab.vcenter().user(), fixture.lab.vcenter().password());
    let basic = fixture.client.get(&url).basic_auth(user, Some(password)).header("Range", "bytes=0-9").send().await.unwrap();
    assert_eq!(basic.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(fixture.lab.vcenter().counters().sessions_live, before + 1);
    let wrong = fixture.client.get(&url).basic_auth(user, Some("wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    fixture.lab.vcenter().expire_sessions();
    assert_eq!(fixture.get(&url, None).await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_file_that_a_running_vm_writes_is_locked() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let url = fixture.folder_url("web/web-flat.vmdk");
    let status = async || fixture.get(&url, Some("bytes=0-9")).await.unwrap().status();
    assert_eq!(status().await, StatusCode::INTERNAL_SERVER_ERROR);
    let snapshot = fixture.create_snapshot(&vm, "frozen").await.unwrap();
    assert_eq!(status().await, StatusCode::PARTIAL_CONTENT);
    fixture.lab.vcenter().set_knobs(|knobs| knobs.folder_locks_running = true);
    assert_eq!(status().await, StatusCode::INTERNAL_SERVER_ERROR);
    fixture.remove_snapshot(&snapshot).await.unwrap();
    fixture.lab.vcenter().power_off(&vm).await.unwrap();
    assert_eq!(status().await, StatusCode::PARTIAL_CONTENT);
}

#[tokio::test]
async fn descriptors_are_text_and_redo_logs_are_not_shown() {
    let (fixture, url) = frozen().await;
    let base = fixture.get(&url.replace("-flat", ""), None).await.unwrap().text().await.unwrap();
    assert!(base.contains("RW 16385 VMFS \"web-flat.vmdk\"") && base.contains("parentCID=ffffffff"), "{base}");
    let redo = fixture.get(&url.replace("-flat", "-000001"), None).await.unwrap().text().await.unwrap();
    assert!(redo.contains("parentFileNameHint=\"web.vmdk\""), "{redo}");
    let content = fixture.get(&url.replace("-flat", "-000001-delta"), None).await.unwrap();
    assert_eq!(content.status(), StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn reads_fail_as_planned_and_then_work_again() {
    let (fixture, url) = frozen().await;
    let whole = fixture.get(&url, None).await.unwrap().bytes().await.unwrap();
    let plan = |spoil| FolderFault { after: 1, times: 1, spoil };
    let read = async || fixture.get(&url, Some("bytes=0-1048575")).await;
    for spoil in [Spoil::Status(503), Spoil::Truncate, Spoil::Close, Spoil::FlipBit] {
        fixture.lab.vcenter().set_knobs(|knobs| knobs.folder_faults = vec![plan(spoil)]);
        assert_eq!(read().await.unwrap().bytes().await.unwrap(), whole[..MIB as usize]);
        match (spoil, read().await) {
            (Spoil::Status(_), reply) => assert_eq!(reply.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE),
            (Spoil::Truncate, reply) => assert!(reply.unwrap().bytes().await.is_err()),
            (Spoil::Close, reply) => assert!(reply.is_err()),
            (Spoil::FlipBit, reply) => {
                let bytes = reply.unwrap().bytes().await.unwrap();
                let wrong = bytes.iter().zip(&whole).filter(|(left, right)| left != right).count();
                assert_eq!((bytes.len(), wrong), (MIB as usize, 1));
            }
        }
        assert_eq!(read().await.unwrap().bytes().await.unwrap(), whole[..MIB as usize]);
    }
    fixture.lab.vcenter().set_knobs(|knobs| knobs.folder_ignores_range = true);
    let reply = read().await.unwrap();
    assert_eq!((reply.status(), reply.content_length()), (StatusCode::OK, Some(CAPACITY)));
}

#[tokio::test]
async fn a_denied_privilege_is_forbidden() {
    let (fixture, url) = frozen().await;
    fixture.lab.vcenter().set_knobs(|knobs| knobs.denied_privileges = vec!["Datastore.FileManagement".into()]);
    assert_eq!(fixture.get(&url, None).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn two_vms_of_one_name_have_folders_of_their_own() {
    let fixture = start().await;
    for _ in 0..2 {
        let spec = VmSpec { powered_on: false, ..VmSpec::new("twin", vec![DiskSpec::blank(MIB)]) };
        fixture.lab.vcenter().add_vm(spec).await.unwrap();
    }
    for file in ["twin/twin-flat.vmdk", "twin_1/twin-flat.vmdk"] {
        assert_eq!(fixture.get(&fixture.folder_url(file), None).await.unwrap().status(), StatusCode::OK, "{file}");
    }
}
