//! Export leases: who may read what, how long, and that it is the frozen disk.

use crate::support::{Fixture, MIB, between, skip, start};
use crate::vmdk::followed;
use lab::Workload;
use lab::vcenter::TaskFault;
use std::path::PathBuf;
use std::process::Command;

const DISK: i32 = 2000;
/// More than one table of grains (32 MiB each), of which the second holds nothing, and a last grain that is cut short.
const CAPACITY: u64 = 70 * MIB + 3 * 512;

impl Fixture {
    async fn export_snapshot(&self, snapshot: &str) -> String {
        let reply = self.call("ExportSnapshot", "VirtualMachineSnapshot", snapshot, "").await.unwrap();
        between(&reply, "<returnval type=\"HttpNfcLease\">", "<").unwrap().to_owned()
    }

    async fn lease(&self, method: &str, lease: &str, arguments: &str) -> Result<String, crate::support::Refusal> {
        self.call(method, "HttpNfcLease", lease, arguments).await
    }

    async fn lease_becomes(&self, lease: &str, wanted: &str) {
        loop {
            let state = self.property("HttpNfcLease", lease, "state").await.unwrap();
            if state == wanted {
                return;
            }
            assert!(["initializing", "ready"].contains(&state.as_str()), "{state} will not become {wanted}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The address of the lease's only disk, at this lab.
    async fn lease_url(&self, lease: &str) -> String {
        self.lease_becomes(lease, "ready").await;
        let info = self.property("HttpNfcLease", lease, "info").await.unwrap();
        let url = between(&info, "<url>", "<").unwrap();
        let host = self.lab.vcenter().url();
        url.replace('*', host.strip_prefix("https://").unwrap())
    }
}

/// A VM with files at the front of its disk, a few sectors in its last grain, and nothing between.
async fn machine(fixture: &Fixture) -> String {
    let spec = lab::vcenter::VmSpec::new("web", vec![lab::vcenter::DiskSpec::blank(CAPACITY)]);
    let vm = fixture.lab.vcenter().add_vm(spec).await.unwrap();
    for (offset, seed) in [(0, 1), (3 * MIB + 512, 2), (CAPACITY - 1024, 3)] {
        fixture.lab.vcenter().write(&vm, DISK, offset, vec![seed; 1024]).await.unwrap();
    }
    fixture.lab.vcenter().run_workload(&vm, DISK, &Workload::Scattered { writes: 3, bytes: 4096 }, 7).await.unwrap();
    // Written and all zero: a grain that need not be there.
    fixture.lab.vcenter().write(&vm, DISK, 5 * MIB, vec![0; MIB as usize]).await.unwrap();
    vm
}

async fn live(fixture: &Fixture, vm: &str) -> Vec<u8> {
    fixture.lab.vcenter().read(vm, DISK, 0, CAPACITY as usize).await.unwrap()
}

/// Exports a snapshot of a running VM whose guest goes on writing. Answers the stream and what it must hold.
async fn exported(fixture: &Fixture) -> (Vec<u8>, Vec<u8>) {
    let vm = machine(fixture).await;
    fixture.create_snapshot(&vm, "older").await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 2 * MIB, vec![9; 4096]).await.unwrap();
    let frozen = live(fixture, &vm).await;
    let snapshot = fixture.create_snapshot(&vm, "ours").await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 0, vec![8; 4096]).await.unwrap();
    let lease = fixture.export_snapshot(&snapshot).await;
    let url = fixture.lease_url(&lease).await;
    let stream = fixture.client.get(&url).send().await.unwrap();
    assert_eq!((stream.status().as_u16(), stream.content_length()), (200, None), "its length is not known before it was made");
    let stream = stream.bytes().await.unwrap().to_vec();
    fixture.lease("HttpNfcLeaseProgress", &lease, "<percent>100</percent>").await.unwrap();
    fixture.lease("HttpNfcLeaseComplete", &lease, "").await.unwrap();
    fixture.lease_becomes(&lease, "done").await;
    assert_eq!(fixture.client.get(&url).send().await.unwrap().status(), 404);
    (stream, frozen)
}

#[tokio::test]
async fn a_snapshot_is_exported_as_a_stream_that_holds_the_frozen_bytes() {
    let fixture = start().await;
    let (stream, frozen) = exported(&fixture).await;
    assert!(followed(&stream) == frozen, "the stream holds another disk");
    assert!(stream.len() < 2 * MIB as usize, "zeros are not sent: {} bytes", stream.len());
}

#[tokio::test]
async fn qemu_img_finds_the_same_bytes_by_the_tables_at_the_end() {
    let Some(program) = qemu_img() else { return skip("qemu-img is not installed (Debian: qemu-utils)") };
    let fixture = start().await;
    let (stream, frozen) = exported(&fixture).await;
    let place = |name: &str| fixture.lab.directory().join(name);
    std::fs::write(place("disk.vmdk"), stream).unwrap();
    let mut command = Command::new(program);
    command.args(["convert", "-f", "vmdk", "-O", "raw"]).args([place("disk.vmdk"), place("disk.raw")]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read(place("disk.raw")).unwrap() == frozen, "qemu-img found another disk");
}

fn qemu_img() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("qemu-img")).find(|program| program.exists())
}

#[tokio::test]
async fn a_lease_says_what_it_covers_and_how_long_it_lives() {
    let fixture = start().await;
    let vm = machine(&fixture).await;
    let snapshot = fixture.create_snapshot(&vm, "ours").await.unwrap();
    let lease = fixture.export_snapshot(&snapshot).await;
    fixture.lease_url(&lease).await;
    let info = fixture.property("HttpNfcLease", &lease, "info").await.unwrap();
    for part in [
        format!("<entity type=\"VirtualMachine\">{vm}</entity>"),
        format!("<key>/{snapshot}/ParaVirtualSCSIController0:0</key>"),
        "<disk>true</disk><targetId>disk-0.vmdk</targetId>".to_owned(),
        format!("<totalDiskCapacityInKB>{}</totalDiskCapacityInKB><leaseTimeout>300</leaseTimeout>", CAPACITY / 1024),
    ] {
        assert!(info.contains(&part), "{part} is not in {info}");
    }
}

#[tokio::test]
async fn while_a_lease_is_held_its_vm_takes_no_other_task_and_an_abort_ends_it() {
    let fixture = start().await;
    let vm = machine(&fixture).await;
    let refusal = fixture.call("ExportVm", "VirtualMachine", &vm, "").await.unwrap_err();
    assert_eq!(refusal.kind, "InvalidPowerState");
    fixture.lab.vcenter().power_off(&vm).await.unwrap();
    let reply = fixture.call("ExportVm", "VirtualMachine", &vm, "").await.unwrap();
    let lease = between(&reply, "<returnval type=\"HttpNfcLease\">", "<").unwrap();
    let url = fixture.lease_url(lease).await;
    assert_eq!(fixture.call("PowerOnVM_Task", "VirtualMachine", &vm, "").await.unwrap_err().kind, "TaskInProgress");
    assert_eq!(fixture.call("ExportVm", "VirtualMachine", &vm, "").await.unwrap_err().kind, "TaskInProgress");
    let stream = fixture.client.get(&url).send().await.unwrap().bytes().await.unwrap();
    assert!(followed(&stream) == live(&fixture, &vm).await);
    fixture.lease("HttpNfcLeaseAbort", lease, "").await.unwrap();
    fixture.lease_becomes(lease, "error").await;
    assert_eq!(fixture.client.get(&url).send().await.unwrap().status(), 404);
    assert_eq!(fixture.lease("HttpNfcLeaseComplete", lease, "").await.unwrap_err().kind, "InvalidState");
    fixture.task("PowerOnVM_Task", "VirtualMachine", &vm, "").await.unwrap();
}

#[tokio::test]
async fn a_lease_that_nobody_keeps_alive_ends_in_an_error_and_its_address_with_it() {
    let fixture = start().await;
    let vm = machine(&fixture).await;
    let snapshot = fixture.create_snapshot(&vm, "ours").await.unwrap();
    fixture.lab.vcenter().set_knobs(|knobs| knobs.lease_timeout_milliseconds = 60_500);
    let lease = fixture.export_snapshot(&snapshot).await;
    let url = fixture.lease_url(&lease).await;
    assert!(fixture.property("HttpNfcLease", &lease, "info").await.unwrap().contains("<leaseTimeout>61</leaseTimeout>"));
    fixture.lab.vcenter().expire_leases();
    fixture.lease_becomes(&lease, "error").await;
    let error = fixture.property("HttpNfcLease", &lease, "error").await.unwrap();
    assert!(error.contains("<fault xsi:type=\"Timedout\">"), "{error}");
    assert_eq!(fixture.client.get(&url).send().await.unwrap().status(), 404);
    for (method, arguments) in [("HttpNfcLeaseProgress", "<percent>1</percent>"), ("HttpNfcLeaseComplete", "")] {
        assert_eq!(fixture.lease(method, &lease, arguments).await.unwrap_err().kind, "Timedout", "{method}");
    }
    fixture.remove_snapshot(&snapshot).await.unwrap();
}

#[tokio::test]
async fn a_stream_breaks_when_its_lease_ends() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", 160 * MIB).await;
    let noise = |seed: u64| {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
    };
    // More than sockets hold, so that the lease ends before the stream was made.
    for part in 0..6 {
        let bytes: Vec<u8> = noise(part).take(16 * MIB as usize).collect();
        fixture.lab.vcenter().write(&vm, DISK, part * 16 * MIB, bytes).await.unwrap();
    }
    let snapshot = fixture.create_snapshot(&vm, "ours").await.unwrap();
    let lease = fixture.export_snapshot(&snapshot).await;
    let url = fixture.lease_url(&lease).await;
    let mut response = fixture.client.get(&url).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    fixture.lab.vcenter().expire_leases();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "a stream that ends early must not look whole");
    fixture.remove_snapshot(&snapshot).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_cannot_be_prepared_says_why() {
    let fixture = start().await;
    let vm = machine(&fixture).await;
    let snapshot = fixture.create_snapshot(&vm, "ours").await.unwrap();
    let fault = TaskFault { method: "ExportSnapshot".into(), fault: "InsufficientResourcesFault".into() };
    fixture.lab.vcenter().set_knobs(|knobs| knobs.task_faults = vec![fault]);
    let lease = fixture.export_snapshot(&snapshot).await;
    fixture.lease_becomes(&lease, "error").await;
    let error = fixture.property("HttpNfcLease", &lease, "error").await.unwrap();
    assert!(error.contains("InsufficientResourcesFault"), "{error}");
    assert_eq!(fixture.property("HttpNfcLease", &lease, "info").await.unwrap(), "");
}

#[tokio::test]
async fn what_does_not_belong_into_a_request_is_refused() {
    let fixture = start().await;
    let vm = machine(&fixture).await;
    let snapshot = fixture.create_snapshot(&vm, "ours").await.unwrap();
    let extra = fixture.call("ExportSnapshot", "VirtualMachineSnapshot", &snapshot, "<extra/>").await.unwrap_err();
    assert!(extra.kind == "InvalidRequest" && extra.message.contains("&lt;extra&gt;"), "{extra:?}");
    fixture.lab.vcenter().set_knobs(|knobs| knobs.denied_privileges = vec!["VApp.Export".into()]);
    let denied = fixture.call("ExportSnapshot", "VirtualMachineSnapshot", &snapshot, "").await.unwrap_err();
    assert_eq!(denied.kind, "NoPermission");
    fixture.lab.vcenter().set_knobs(|knobs| {
        knobs.denied_privileges.clear();
        knobs.task_milliseconds = 3_600_000;
    });
    let slow = fixture.export_snapshot(&snapshot).await;
    assert_eq!(fixture.property("HttpNfcLease", &slow, "state").await.unwrap(), "initializing");
    assert_eq!(fixture.lease("HttpNfcLeaseComplete", &slow, "").await.unwrap_err().kind, "InvalidState");
    fixture.lease("HttpNfcLeaseAbort", &slow, "").await.unwrap();
    fixture.lab.vcenter().set_knobs(|knobs| knobs.task_milliseconds = 0);

    let lease = fixture.export_snapshot(&snapshot).await;
    let url = fixture.lease_url(&lease).await;
    for (arguments, kind) in
        [("", "InvalidRequest"), ("<percent>101</percent>", "InvalidArgument"), ("<percent>1</percent><extra/>", "InvalidRequest")]
    {
        assert_eq!(fixture.lease("HttpNfcLeaseProgress", &lease, arguments).await.unwrap_err().kind, kind, "{arguments}");
    }
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(fixture.client.get(format!("{url}?dcPath=x"))).await, 400);
    assert_eq!(status(fixture.client.get(&url).header("Range", "bytes=0-511")).await, 501);
    assert_eq!(status(fixture.client.put(&url).body("x")).await, 501);
    assert_eq!(status(fixture.client.get(url.replace("disk-0", "disk-1"))).await, 404);
    assert_eq!(status(fixture.client.get(format!("{}/nfc/", fixture.lab.vcenter().url()))).await, 404);
}
