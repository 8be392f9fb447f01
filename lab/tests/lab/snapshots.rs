//! Snapshots freeze, merge, and are digested.

use crate::support::{Fixture, MIB, between, start, start_with};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use sha2::{Digest, Sha256};

const DISK: i32 = 2000;
const CAPACITY: u64 = 12 * MIB + 3 * 512;

async fn live(fixture: &Fixture, vm: &str) -> Vec<u8> {
    fixture.lab.vcenter().read(vm, DISK, 0, CAPACITY as usize).await.unwrap()
}

async fn scatter(fixture: &Fixture, vm: &str, seed: u64) {
    fixture.lab.vcenter().run_workload(vm, DISK, &Workload::Scattered { writes: 50, bytes: 1536 }, seed).await.unwrap();
}

/// The digest as its documentation words it, written a second time.
fn documented_digest(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    for (number, block) in bytes.chunks(MIB as usize).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            hash.update((number as u64).to_le_bytes());
            hash.update(block);
        }
    }
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_frozen_file_stays_still_while_the_guest_writes() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let before = live(&fixture, &vm).await;
    fixture.create_snapshot(&vm, "frozen").await.unwrap();
    scatter(&fixture, &vm, 1).await;
    let frozen = fixture.get(&fixture.folder_url("web/web-flat.vmdk"), None).await.unwrap().bytes().await.unwrap();
    assert_eq!(frozen, before);
    assert_ne!(live(&fixture, &vm).await, before);
}

#[tokio::test]
async fn merging_keeps_the_live_content_whatever_is_removed_first() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let fixture = start().await;
        let vm = fixture.add_vm("web", CAPACITY).await;
        let mut snapshots = Vec::new();
        for seed in 0..3 {
            snapshots.push(fixture.create_snapshot(&vm, &format!("s{seed}")).await.unwrap());
            scatter(&fixture, &vm, seed).await;
        }
        let expected = live(&fixture, &vm).await;
        let mut left: Vec<String> = snapshots.clone();
        for index in order {
            let mut digests = Vec::new();
            left.retain(|snapshot| *snapshot != snapshots[index]);
            for snapshot in &left {
                digests.push(fixture.lab.vcenter().digest_snapshot(snapshot).await.unwrap()[0].digest.clone());
            }
            fixture.remove_snapshot(&snapshots[index]).await.unwrap();
            assert_eq!(live(&fixture, &vm).await, expected, "{order:?}");
            for (snapshot, before) in left.iter().zip(digests) {
                assert_eq!(fixture.lab.vcenter().digest_snapshot(snapshot).await.unwrap()[0].digest, before, "{order:?}");
            }
        }
        let view = fixture.lab.vcenter().vm(&vm).unwrap();
        assert_eq!((view.disks[0].files.len(), view.snapshots.len(), view.consolidation_needed), (1, 0, false));
        assert_eq!(std::fs::read(&view.disks[0].files[0]).unwrap(), expected);
    }
}

#[tokio::test]
async fn the_tree_and_the_backing_chain_show_what_is_frozen() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let old = fixture.create_snapshot(&vm, "user").await.unwrap();
    let new = fixture.create_snapshot(&vm, "ours").await.unwrap();
    let tree = fixture.property("VirtualMachine", &vm, "snapshot").await.unwrap();
    assert!(tree.contains(&format!("<currentSnapshot type=\"VirtualMachineSnapshot\">{new}</currentSnapshot>")), "{tree}");
    let child = between(&tree, "<childSnapshotList>", "</childSnapshotList>").unwrap();
    assert!(child.contains("<name>ours</name>") && !child.contains("<name>user</name>"), "{tree}");

    let frozen = fixture.property("VirtualMachineSnapshot", &new, "config.hardware.device").await.unwrap();
    assert!(frozen.contains("<fileName>[SSD pool 01] web/web-000001.vmdk</fileName>"), "{frozen}");
    let parent = between(&frozen, "<parent xsi:type=\"VirtualDiskFlatVer2BackingInfo\">", "</parent>").unwrap();
    assert!(parent.contains("<fileName>[SSD pool 01] web/web.vmdk</fileName>"), "{frozen}");

    fixture.remove_snapshot(&old).await.unwrap();
    let frozen = fixture.property("VirtualMachineSnapshot", &new, "config.hardware.device").await.unwrap();
    assert!(frozen.contains("<fileName>[SSD pool 01] web/web.vmdk</fileName>") && !frozen.contains("<parent"), "{frozen}");
}

#[tokio::test]
async fn a_failed_consolidation_leaves_the_redo_log_until_it_works() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let snapshot = fixture.create_snapshot(&vm, "ours").await.unwrap();
    scatter(&fixture, &vm, 3).await;
    let expected = live(&fixture, &vm).await;
    fixture.lab.vcenter().set_knobs(|knobs| knobs.consolidation_fails = true);
    fixture.remove_snapshot(&snapshot).await.unwrap();
    assert_eq!(fixture.property("VirtualMachine", &vm, "runtime.consolidationNeeded").await.unwrap(), "true");
    assert!(fixture.lab.vcenter().snapshots().is_empty());
    assert!(fixture.task("ConsolidateVMDisks_Task", "VirtualMachine", &vm, "").await.is_err());
    fixture.lab.vcenter().set_knobs(|knobs| knobs.consolidation_fails = false);
    fixture.task("ConsolidateVMDisks_Task", "VirtualMachine", &vm, "").await.unwrap();
    assert_eq!(fixture.property("VirtualMachine", &vm, "runtime.consolidationNeeded").await.unwrap(), "false");
    assert_eq!(live(&fixture, &vm).await, expected);
    assert_eq!(fixture.lab.vcenter().vm(&vm).unwrap().disks[0].files.len(), 1);
}

#[tokio::test]
async fn digests_are_those_of_the_frozen_content_and_outlive_the_snapshot() {
    let fixture = start_with(|options| options.vcenter.digest_every_snapshot = true).await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let mut expected = Vec::new();
    for seed in 0..3 {
        expected.push(documented_digest(&live(&fixture, &vm).await));
        let snapshot = fixture.create_snapshot(&vm, &format!("s{seed}")).await.unwrap();
        scatter(&fixture, &vm, seed).await;
        fixture.remove_snapshot(&snapshot).await.unwrap();
    }
    let records = fixture.lab.vcenter().digests().await;
    let found: Vec<String> = records.iter().map(|record| record.digest.clone().unwrap()).collect();
    assert_eq!(found, expected);
    assert_eq!(records[2].snapshot_name, "s2");
    let content = live(&fixture, &vm).await;
    let copy = fixture.lab.directory().join("replica");
    std::fs::write(&copy, &content).unwrap();
    assert_eq!(lab::sparse_digest(&copy).unwrap(), documented_digest(&content));
    assert_eq!(fixture.lab.vcenter().live_digest(&vm, DISK).await.unwrap(), documented_digest(&content));
}

#[tokio::test]
async fn independent_disks_are_left_out_and_shared_or_raw_ones_refuse() {
    let fixture = start().await;
    let independent = DiskSpec { mode: "independent_persistent".into(), ..DiskSpec::blank(MIB) };
    let vm = fixture.lab.vcenter().add_vm(VmSpec::new("mixed", vec![DiskSpec::blank(MIB), independent])).await.unwrap();
    let snapshot = fixture.create_snapshot(&vm, "a").await.unwrap();
    let devices = fixture.property("VirtualMachineSnapshot", &snapshot, "config.hardware.device").await.unwrap();
    assert_eq!(devices.matches("\"VirtualDisk\"").count(), 1);

    let raw = DiskSpec { raw_device: true, ..DiskSpec::blank(MIB) };
    let vm = fixture.lab.vcenter().add_vm(VmSpec::new("raw", vec![raw])).await.unwrap();
    assert_eq!(fixture.create_snapshot(&vm, "a").await.unwrap_err().kind, "NotSupported");
    let shared = VmSpec { bus_sharing: "physicalSharing".into(), ..VmSpec::new("shared", vec![DiskSpec::blank(MIB)]) };
    let vm = fixture.lab.vcenter().add_vm(shared).await.unwrap();
    assert_eq!(fixture.create_snapshot(&vm, "a").await.unwrap_err().kind, "NotSupported");
}

#[tokio::test]
async fn disks_come_go_and_grow_between_snapshots() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let vcenter = fixture.lab.vcenter();
    let added = vcenter.add_disk(&vm, DiskSpec::blank(MIB)).await.unwrap();
    vcenter.remove_disk(&vm, added).await.unwrap();
    let again = vcenter.add_disk(&vm, DiskSpec::blank(MIB)).await.unwrap();
    assert!(again > added);
    vcenter.grow_disk(&vm, again, 2 * MIB).await.unwrap();
    let view = vcenter.vm(&vm).unwrap();
    assert_eq!(view.disks.iter().map(|disk| disk.capacity).collect::<Vec<_>>(), [CAPACITY, 2 * MIB]);
    assert!(view.disks[1].change_id.is_some());
    fixture.create_snapshot(&vm, "a").await.unwrap();
    assert!(vcenter.grow_disk(&vm, again, 3 * MIB).await.is_err());
    assert!(vcenter.remove_disk(&vm, again).await.is_err());
}

#[tokio::test]
async fn snapshot_growth_costs_free_space() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let free = async || fixture.property("Datastore", "datastore-20", "summary.freeSpace").await.unwrap().parse::<u64>().unwrap();
    fixture.create_snapshot(&vm, "a").await.unwrap();
    let before = free().await;
    fixture.lab.vcenter().write(&vm, DISK, 0, vec![1; 4 * MIB as usize]).await.unwrap();
    assert!(before - free().await >= 4 * MIB);
}
