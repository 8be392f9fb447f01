//! Change tracking tells exactly what changed, in the forms that a real one uses.

use crate::support::{Fixture, MIB, start};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use std::collections::BTreeSet;

const DISK: i32 = 2000;
const CELL: u64 = 64 * 1024;
const CAPACITY: u64 = 16 * MIB + 3 * 512;

fn cells(extents: &[(u64, u64)]) -> BTreeSet<u64> {
    extents.iter().flat_map(|(start, length)| start / CELL..(start + length).div_ceil(CELL)).collect()
}

async fn content(fixture: &Fixture, vm: &str) -> Vec<u8> {
    fixture.lab.vcenter().read(vm, DISK, 0, CAPACITY as usize).await.unwrap()
}

async fn all(fixture: &Fixture, vm: &str, snapshot: &str, since: &str, capacity: u64) -> Vec<(u64, u64)> {
    let pages = fixture.changes(vm, snapshot, DISK, since, capacity).await.unwrap();
    pages.into_iter().flat_map(|page| page.extents).collect()
}

#[tokio::test]
async fn the_reported_areas_are_those_whose_bytes_differ() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let workloads = [
        Workload::Scattered { writes: 20, bytes: 4096 },
        Workload::Clustered { writes: 10, bytes: 100 * 512 },
        Workload::EveryOtherSector { start: 3 * MIB, sectors: 200 },
        Workload::LastSector,
        Workload::Overwrite { start: MIB, bytes: 512 },
    ];
    let mut before = fixture.create_snapshot(&vm, "base").await.unwrap();
    let mut old = content(&fixture, &vm).await;
    for (number, workload) in workloads.iter().enumerate() {
        let since = fixture.change_id(&before).await.unwrap();
        fixture.remove_snapshot(&before).await.unwrap();
        fixture.lab.vcenter().run_workload(&vm, DISK, workload, number as u64).await.unwrap();
        let after = fixture.create_snapshot(&vm, "next").await.unwrap();
        let new = content(&fixture, &vm).await;
        let differing: BTreeSet<u64> = (0..CAPACITY.div_ceil(CELL))
            .filter(|cell| {
                let range = (cell * CELL) as usize..((cell + 1) * CELL).min(CAPACITY) as usize;
                old[range.clone()] != new[range]
            })
            .collect();
        assert!(!differing.is_empty());
        let extents = all(&fixture, &vm, &after, &since, CAPACITY).await;
        assert_eq!(cells(&extents), differing, "{workload:?}");
        assert!(extents.iter().all(|(start, length)| start + length <= CAPACITY));
        (before, old) = (after, new);
    }
}

#[tokio::test]
async fn writes_after_the_freeze_belong_to_the_next_snapshot() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let first = fixture.create_snapshot(&vm, "first").await.unwrap();
    let since = fixture.change_id(&first).await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 2 * MIB, vec![9; 512]).await.unwrap();
    assert_eq!(all(&fixture, &vm, &first, &since, CAPACITY).await, []);
    fixture.remove_snapshot(&first).await.unwrap();
    let second = fixture.create_snapshot(&vm, "second").await.unwrap();
    assert_eq!(all(&fixture, &vm, &second, &since, CAPACITY).await, [(2 * MIB, CELL)]);
}

#[tokio::test]
async fn more_than_two_thousand_extents_come_in_pages() {
    let fixture = start().await;
    let spec = VmSpec { tracking: true, ..VmSpec::new("wide", vec![DiskSpec::blank(600 * MIB)]) };
    let vm = fixture.lab.vcenter().add_vm(spec).await.unwrap();
    let first = fixture.create_snapshot(&vm, "first").await.unwrap();
    let since = fixture.change_id(&first).await.unwrap();
    fixture.lab.vcenter().run_workload(&vm, DISK, &Workload::EveryOtherCell { start: 0, writes: 4500 }, 1).await.unwrap();
    fixture.remove_snapshot(&first).await.unwrap();
    let second = fixture.create_snapshot(&vm, "second").await.unwrap();
    let pages = fixture.changes(&vm, &second, DISK, &since, 600 * MIB).await.unwrap();
    let sizes: Vec<usize> = pages.iter().map(|page| page.extents.len()).collect();
    assert_eq!(sizes, [2000, 2000, 500]);
    assert_eq!(cells(&all(&fixture, &vm, &second, &since, 600 * MIB).await).len(), 4500);
}

#[tokio::test]
async fn a_window_may_be_empty_while_a_later_one_is_not() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    fixture.lab.vcenter().set_knobs(|knobs| knobs.changes_window_bytes = Some(4 * MIB));
    let first = fixture.create_snapshot(&vm, "first").await.unwrap();
    let since = fixture.change_id(&first).await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 0, vec![1; 512]).await.unwrap();
    fixture.lab.vcenter().run_workload(&vm, DISK, &Workload::LastSector, 1).await.unwrap();
    fixture.remove_snapshot(&first).await.unwrap();
    let second = fixture.create_snapshot(&vm, "second").await.unwrap();
    let pages = fixture.changes(&vm, &second, DISK, &since, CAPACITY).await.unwrap();
    let sizes: Vec<usize> = pages.iter().map(|page| page.extents.len()).collect();
    assert_eq!(sizes, [1, 0, 0, 0, 1]);
    assert_eq!(pages[4].extents, [(16 * MIB, 3 * 512)]);
}

#[tokio::test]
async fn tracking_begins_only_after_a_stun_and_older_questions_are_file_faults() {
    let fixture = start().await;
    let vm = fixture.lab.vcenter().add_vm(VmSpec::new("web", vec![DiskSpec::blank(8 * MIB)])).await.unwrap();
    let early = fixture.create_snapshot(&vm, "early").await.unwrap();
    assert_eq!(fixture.change_id(&early).await, None);
    assert_eq!(fixture.changes_page(&vm, &early, DISK, 0, "*").await.err().unwrap().kind, "FileFault");
    fixture.remove_snapshot(&early).await.unwrap();

    fixture
        .task("ReconfigVM_Task", "VirtualMachine", &vm, "<spec><changeTrackingEnabled>true</changeTrackingEnabled></spec>")
        .await
        .unwrap();
    assert_eq!(fixture.property("VirtualMachine", &vm, "config.changeTrackingEnabled").await.unwrap(), "true");
    let stun = fixture.create_snapshot(&vm, "stun").await.unwrap();
    assert_eq!(fixture.change_id(&stun).await, None);
    fixture.remove_snapshot(&stun).await.unwrap();
    let live = fixture.create_snapshot(&vm, "live").await.unwrap();
    assert!(fixture.change_id(&live).await.is_some());
}

#[tokio::test]
async fn a_reset_makes_old_markers_worthless() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let first = fixture.create_snapshot(&vm, "first").await.unwrap();
    let since = fixture.change_id(&first).await.unwrap();
    fixture.remove_snapshot(&first).await.unwrap();
    fixture.lab.vcenter().reset_tracking(&vm, DISK).unwrap();
    let second = fixture.create_snapshot(&vm, "second").await.unwrap();
    let now = fixture.change_id(&second).await.unwrap();
    assert_ne!(now.split('/').next(), since.split('/').next());
    assert_eq!(fixture.changes_page(&vm, &second, DISK, 0, &since).await.err().unwrap().kind, "FileFault");
}

#[tokio::test]
async fn the_end_of_the_disk_and_a_wrong_disk_are_invalid_arguments() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let snapshot = fixture.create_snapshot(&vm, "first").await.unwrap();
    let since = fixture.change_id(&snapshot).await.unwrap();
    let end = fixture.changes_page(&vm, &snapshot, DISK, CAPACITY, &since).await.err().unwrap();
    assert!(end.kind == "InvalidArgument" && end.message.ends_with("startOffset"), "{end:?}");
    assert_eq!(fixture.changes_page(&vm, &snapshot, 2001, 0, &since).await.err().unwrap().kind, "InvalidArgument");
}

#[tokio::test]
async fn a_star_asks_for_what_was_ever_written() {
    let fixture = start().await;
    let spec = VmSpec { tracking: true, ..VmSpec::new("web", vec![DiskSpec::blank(64 * MIB)]) };
    let vm = fixture.lab.vcenter().add_vm(spec).await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 40 * MIB, vec![0; 512]).await.unwrap();
    let snapshot = fixture.create_snapshot(&vm, "first").await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 50 * MIB, vec![1; 512]).await.unwrap();
    let extents = all(&fixture, &vm, &snapshot, "*", 64 * MIB).await;
    assert!(cells(&extents).contains(&(40 * MIB / CELL)) && !cells(&extents).contains(&(50 * MIB / CELL)), "{extents:?}");
}

#[tokio::test]
async fn the_tracker_lies_and_exaggerates_on_request() {
    let fixture = start().await;
    let vm = fixture.add_vm("web", CAPACITY).await;
    let first = fixture.create_snapshot(&vm, "first").await.unwrap();
    let since = fixture.change_id(&first).await.unwrap();
    for megabyte in [1, 3, 5] {
        fixture.lab.vcenter().write(&vm, DISK, megabyte * MIB, vec![1; 512]).await.unwrap();
    }
    fixture.remove_snapshot(&first).await.unwrap();
    let second = fixture.create_snapshot(&vm, "second").await.unwrap();
    let honest = all(&fixture, &vm, &second, &since, CAPACITY).await;
    fixture.lab.vcenter().set_knobs(|knobs| knobs.changes_hidden_extents = vec![1]);
    assert_eq!(all(&fixture, &vm, &second, &since, CAPACITY).await, [honest[0], honest[2]]);
    fixture.lab.vcenter().set_knobs(|knobs| {
        knobs.changes_hidden_extents.clear();
        knobs.changes_extents_max = 2;
        knobs.changes_hidden_pages = vec![0];
    });
    assert_eq!(all(&fixture, &vm, &second, &since, CAPACITY).await, [honest[2]]);
    fixture.lab.vcenter().set_knobs(|knobs| {
        knobs.changes_hidden_pages.clear();
        knobs.changes_widen_cells = 1;
    });
    let wide = cells(&all(&fixture, &vm, &second, &since, CAPACITY).await);
    assert!(wide.is_superset(&cells(&honest)) && wide.len() == 9, "{wide:?}");
}

#[tokio::test]
async fn tracking_switched_on_over_a_snapshot_loses_changes_silently() {
    let fixture = start().await;
    let vm = fixture.lab.vcenter().add_vm(VmSpec::new("web", vec![DiskSpec::blank(8 * MIB)])).await.unwrap();
    let user = fixture.create_snapshot(&vm, "user").await.unwrap();
    fixture
        .task("ReconfigVM_Task", "VirtualMachine", &vm, "<spec><changeTrackingEnabled>true</changeTrackingEnabled></spec>")
        .await
        .unwrap();
    fixture.remove_snapshot(&user).await.unwrap();
    let first = fixture.create_snapshot(&vm, "first").await.unwrap();
    let since = fixture.change_id(&first).await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 0, vec![1; 512]).await.unwrap();
    fixture.lab.vcenter().write(&vm, DISK, 4 * MIB, vec![1; 512]).await.unwrap();
    fixture.remove_snapshot(&first).await.unwrap();
    let second = fixture.create_snapshot(&vm, "second").await.unwrap();
    assert_eq!(all(&fixture, &vm, &second, &since, 8 * MIB).await, [(0, CELL)]);
}
