//! The table of the lab's own digests: what each snapshot really held.

use super::Datacentre;
use super::inventory::{DigestRecord, FrozenDisk, Snapshot, Vm};
use crate::disk::Chain;
use anyhow::{Context, Result};
use std::sync::Arc;
use tokio::sync::OwnedRwLockReadGuard;

/// Starts to digest a snapshot that was just taken. The guard keeps the chain from being merged meanwhile.
pub(super) fn start(centre: &Arc<Datacentre>, snapshot: &str, guard: OwnedRwLockReadGuard<()>) {
    let Some(pending) = enter(centre, snapshot) else { return };
    let centre = centre.clone();
    tokio::task::spawn_blocking(move || {
        for (record, chain) in pending {
            match chain.digest() {
                Ok(digest) => record_digest(&centre, &record, digest),
                Err(error) => tracing::error!(%error, snapshot = record.snapshot, "the lab could not digest a snapshot"),
            }
        }
        drop(guard);
    });
}

/// Digests a snapshot that still exists and answers its records.
pub(super) async fn compute(centre: &Arc<Datacentre>, snapshot: &str) -> Result<Vec<DigestRecord>> {
    let vm_id =
        centre.state().snapshot(snapshot).map(|(vm, _)| vm.id.clone()).with_context(|| format!("there is no snapshot {snapshot}"))?;
    let gate = centre.gate(&vm_id).map_err(|fault| anyhow::anyhow!(fault.message))?;
    let guard = gate.read_owned().await;
    let pending = enter(centre, snapshot).with_context(|| format!("there is no snapshot {snapshot}"))?;
    let (worker, name) = (centre.clone(), snapshot.to_owned());
    tokio::task::spawn_blocking(move || -> Result<()> {
        let _guard = guard;
        for (record, chain) in pending {
            record_digest(&worker, &record, chain.digest()?);
        }
        Ok(())
    })
    .await??;
    Ok(centre.state().digests.iter().filter(|record| record.snapshot == name).cloned().collect())
}

/// Enters a snapshot's disks into the table, unless they stand there, and says what is still to be computed.
fn enter(centre: &Datacentre, snapshot: &str) -> Option<Vec<(DigestRecord, Chain)>> {
    let mut state = centre.state();
    let (vm, frozen) = state.snapshot(snapshot)?;
    let entries: Vec<_> = frozen.disks.iter().filter_map(|disk| Some((record(vm, frozen, disk), chain(vm, disk)?))).collect();
    for (record, _) in &entries {
        if !state.digests.iter().any(|known| same(known, record)) {
            state.digests.push(record.clone());
        }
    }
    Some(entries)
}

fn record(vm: &Vm, snapshot: &Snapshot, disk: &FrozenDisk) -> DigestRecord {
    DigestRecord {
        vm: vm.id.clone(),
        vm_name: vm.name.clone(),
        snapshot: snapshot.id.clone(),
        snapshot_name: snapshot.name.clone(),
        disk_key: disk.key,
        disk_uuid: disk.uuid.clone(),
        capacity: disk.capacity,
        digest: None,
    }
}

/// The files as a frozen disk sees them.
pub(super) fn chain(vm: &Vm, disk: &FrozenDisk) -> Option<Chain> {
    let mut chain = vm.disk(disk.key)?.chain.up_to(&disk.descriptor)?;
    chain.capacity = disk.capacity;
    Some(chain)
}

fn record_digest(centre: &Datacentre, record: &DigestRecord, digest: String) {
    if let Some(known) = centre.state().digests.iter_mut().find(|known| same(known, record)) {
        known.digest = Some(digest);
    }
}

fn same(left: &DigestRecord, right: &DigestRecord) -> bool {
    left.snapshot == right.snapshot && left.disk_key == right.disk_key
}
