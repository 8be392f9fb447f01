//! The whole path as a careful client walks it, while the guest never stops writing.

use crate::support::{Fixture, MIB, start_with};
use lab::Workload;
use lab::vcenter::DiskSpec;
use lab::vcenter::VmSpec;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const DISK: i32 = 2000;
const CAPACITY: u64 = 64 * MIB + 3 * 512;

/// Writes without a pause until it is aborted.
async fn busy_guest(fixture: Arc<Fixture>, vm: String) {
    for seed in 0.. {
        let workload = match seed % 3 {
            0 => Workload::Scattered { writes: 20, bytes: 4096 },
            1 => Workload::Clustered { writes: 5, bytes: 64 * 1024 },
            _ => Workload::LastSector,
        };
        fixture.lab.vcenter().run_workload(&vm, DISK, &workload, seed).await.unwrap();
        tokio::task::yield_now().await;
    }
}

async fn copy(fixture: &Fixture, replica: &std::fs::File, start: u64, length: u64) {
    let range = format!("bytes={start}-{}", start + length - 1);
    let reply = fixture.get(&fixture.folder_url("busy/busy-flat.vmdk"), Some(&range)).await.unwrap();
    assert_eq!(reply.status().as_u16(), 206);
    replica.write_all_at(&reply.bytes().await.unwrap(), start).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_copy_and_deltas_reproduce_every_frozen_snapshot() {
    let fixture = Arc::new(start_with(|options| options.vcenter.digest_every_snapshot = true).await);
    let spec = VmSpec { tracking: true, ..VmSpec::new("busy", vec![DiskSpec::with_files(CAPACITY, 20_000_000)]) };
    let vm = fixture.lab.vcenter().add_vm(spec).await.unwrap();
    fixture.lab.vcenter().set_knobs(|knobs| {
        knobs.changes_window_bytes = Some(5 * MIB);
        knobs.changes_extents_max = 7;
        knobs.changes_widen_cells = 1;
    });
    let guest = tokio::spawn(busy_guest(fixture.clone(), vm.clone()));

    let path = fixture.lab.directory().join("replica");
    let replica = std::fs::File::create(&path).unwrap();
    replica.set_len(CAPACITY).unwrap();
    let mut since: Option<String> = None;
    for cycle in 0..5 {
        let snapshot = fixture.create_snapshot(&vm, &format!("cycle {cycle}")).await.unwrap();
        match &since {
            None => copy(&fixture, &replica, 0, CAPACITY).await,
            Some(change_id) => {
                for page in fixture.changes(&vm, &snapshot, DISK, change_id, CAPACITY).await.unwrap() {
                    for (start, length) in page.extents {
                        copy(&fixture, &replica, start, length).await;
                    }
                }
            }
        }
        since = fixture.change_id(&snapshot).await;
        fixture.remove_snapshot(&snapshot).await.unwrap();
        let record = fixture.lab.vcenter().digests().await.into_iter().find(|record| record.snapshot == snapshot).unwrap();
        assert_eq!(lab::sparse_digest(&path).unwrap(), record.digest.unwrap(), "cycle {cycle}");
    }
    guest.abort();
    let counters = fixture.lab.vcenter().counters();
    assert_eq!((counters.snapshots_created, counters.snapshots_removed), (5, 5));
}
