//! Taking, removing and merging snapshots, and what a stun does to change tracking.

use super::Datacentre;
use super::inventory::{Disk, FrozenDisk, Power, Snapshot, State, Vm};
use crate::disk::{Layer, Tracker};
use crate::soap::{Fault, Moref};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Freezes the disks of a VM. Independent disks are left out, as vCenter does.
pub(super) async fn create(
    centre: Arc<Datacentre>,
    vm_id: String,
    name: String,
    description: String,
    quiesce: bool,
) -> Result<Option<Moref>, Fault> {
    let gate = centre.gate(&vm_id)?;
    let exclusive = gate.write_owned().await;
    let id = {
        let mut state = centre.state();
        let number = state.next_number();
        let id = format!("snapshot-{number}");
        let vm = state.vms.get_mut(&vm_id).ok_or_else(|| Fault::not_found(&vm_id))?;
        refuse_impossible(vm)?;
        let directory = centre.datastore_directory(&vm.datastore);
        let redo_number = vm.next_redo_log;
        vm.next_redo_log += 1;
        let datastore = vm.datastore.clone();
        let mut disks = Vec::new();
        for disk in vm.disks.iter_mut().filter(|disk| disk.mode == "persistent") {
            disks.push(freeze(disk, redo_number, &directory).map_err(Fault::lab)?);
        }
        let frozen = disks.len();
        vm.snapshots.push(Snapshot {
            id: id.clone(),
            number: number as i32,
            name,
            description,
            created: jiff::Timestamp::now(),
            quiesced: quiesce && vm.tools && vm.power == Power::On,
            power: vm.power,
            disks,
        });
        state.counters.snapshots_created += 1;
        state.load.snapshot_taken(&vm_id, &datastore, frozen);
        id
    };
    if centre.options.digest_every_snapshot {
        // Shared from here on: guests write again, but nobody merges before the digest is done.
        super::digests::start(&centre, &id, exclusive.downgrade());
    }
    Ok(Some(Moref::new("VirtualMachineSnapshot", &id)))
}

fn refuse_impossible(vm: &Vm) -> Result<(), Fault> {
    if vm.disks.iter().any(|disk| disk.raw_device) {
        return Err(Fault::new(
            "NotSupported",
            "The virtual machine has a raw device mapping in physical mode, which cannot be part of a snapshot.",
        ));
    }
    if vm.bus_sharing != "noSharing" {
        return Err(Fault::new("NotSupported", "A virtual machine with a shared SCSI bus cannot have a snapshot."));
    }
    if vm.snapshots.len() >= 32 {
        return Err(Fault::new("TooManySnapshotLevels", "Snapshot hierarchy is too deep."));
    }
    Ok(())
}

fn freeze(disk: &mut Disk, redo_number: u32, datastore_directory: &std::path::Path) -> std::io::Result<FrozenDisk> {
    let base = disk.chain.layers[0].descriptor.trim_end_matches(".vmdk").to_owned();
    let descriptor = format!("{base}-{redo_number:06}.vmdk");
    let file = datastore_directory.join(crate::disk::content_name(&descriptor, false));
    let redo_log = Layer::redo_log(descriptor, file, disk.chain.capacity)?;
    let frozen = FrozenDisk {
        key: disk.key,
        unit: disk.unit,
        uuid: disk.uuid.clone(),
        mode: disk.mode.clone(),
        capacity: disk.chain.capacity,
        descriptor: disk.chain.top().descriptor.clone(),
        parent: disk.chain.layers.iter().rev().nth(1).map(|layer| layer.descriptor.clone()),
        change_id: disk.tracker.as_mut().map(Tracker::freeze),
    };
    disk.chain.freeze_under(redo_log);
    Ok(frozen)
}

/// Whether the snapshots above go too.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Children {
    Keep,
    Remove,
}

/// Whether the redo logs are merged at once.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Merge {
    Now,
    Later,
}

/// Takes a snapshot out of the tree and merges what nobody holds any more.
pub(super) async fn remove(
    centre: Arc<Datacentre>,
    vm_id: String,
    snapshot: String,
    children: Children,
    merge: Merge,
) -> Result<Option<Moref>, Fault> {
    let gate = centre.gate(&vm_id)?;
    let _exclusive = gate.write_owned().await;
    let (gone, place_of): (usize, String);
    {
        let mut state = centre.state();
        let vm = state.vms.get_mut(&vm_id).ok_or_else(|| Fault::not_found(&vm_id))?;
        let place = vm.snapshots.iter().position(|known| known.id == snapshot).ok_or_else(|| Fault::not_found(&snapshot))?;
        let datastore = vm.datastore.clone();
        let last = if children == Children::Remove { vm.snapshots.len() } else { place + 1 };
        gone = vm.snapshots.drain(place..last).map(|snapshot| snapshot.disks.len()).sum();
        place_of = datastore;
        state.counters.snapshots_removed += (last - place) as u64;
    }
    if merge == Merge::Later || centre.with_knobs(|knobs| knobs.consolidation_fails) {
        // vCenter's removal succeeds as well: what is left behind shows in `consolidationNeeded` only.
        with_vm(&centre, &vm_id, |vm| vm.consolidation_needed = true)?;
    } else {
        merge_all(&centre, &vm_id).await?;
    }
    // Its redo logs are there until they are merged.
    centre.state().load.snapshots_gone(&vm_id, &place_of, gone);
    centre.stun(&vm_id)?;
    Ok(None)
}

/// Merges every redo log that no snapshot needs.
pub(super) async fn consolidate(centre: Arc<Datacentre>, vm_id: String) -> Result<Option<Moref>, Fault> {
    let gate = centre.gate(&vm_id)?;
    let _exclusive = gate.write_owned().await;
    if centre.with_knobs(|knobs| knobs.consolidation_fails) {
        return Err(Fault::new("FileLocked", "Unable to access file since it is locked").with("file", "the redo log"));
    }
    merge_all(&centre, &vm_id).await?;
    Ok(None)
}

async fn merge_all(centre: &Arc<Datacentre>, vm_id: &str) -> Result<(), Fault> {
    with_vm(centre, vm_id, |vm| vm.merging = true)?;
    loop {
        let next = next_merge(&centre.state(), vm_id)?;
        let Some((key, chain, index)) = next else { break };
        let copied = tokio::task::spawn_blocking(move || chain.copy_down(index)).await;
        copied.map_err(Fault::lab)?.map_err(Fault::lab)?;
        with_vm(centre, vm_id, |vm| {
            let Some(disk) = vm.disk_mut(key) else { return };
            let (gone, survivor) = disk.chain.drop_above(index);
            rename_frozen(vm, &gone, &survivor);
        })?;
    }
    with_vm(centre, vm_id, |vm| {
        vm.merging = false;
        vm.consolidation_needed = false;
    })
}

fn next_merge(state: &State, vm_id: &str) -> Result<Option<(i32, crate::disk::Chain, usize)>, Fault> {
    let vm = state.vms.get(vm_id).ok_or_else(|| Fault::not_found(vm_id))?;
    let held: BTreeSet<String> = vm.snapshots.iter().flat_map(|snapshot| &snapshot.disks).map(|disk| disk.descriptor.clone()).collect();
    Ok(vm.disks.iter().find_map(|disk| disk.chain.mergeable(&held).map(|index| (disk.key, disk.chain.clone(), index))))
}

/// A layer was merged away: snapshots that named it find their content under the survivor's name.
fn rename_frozen(vm: &mut Vm, gone: &str, survivor: &str) {
    let chains: Vec<_> = vm.disks.iter().map(|disk| disk.chain.clone()).collect();
    for disk in vm.snapshots.iter_mut().flat_map(|snapshot| &mut snapshot.disks) {
        if disk.descriptor == gone {
            disk.descriptor = survivor.to_owned();
        }
        let below = chains.iter().filter_map(|chain| chain.up_to(&disk.descriptor)).next();
        disk.parent = below.and_then(|chain| chain.layers.iter().rev().nth(1).map(|layer| layer.descriptor.clone()));
    }
}

fn with_vm<T>(centre: &Datacentre, vm_id: &str, act: impl FnOnce(&mut Vm) -> T) -> Result<T, Fault> {
    centre.state().vms.get_mut(vm_id).map(act).ok_or_else(|| Fault::not_found(vm_id))
}

impl Datacentre {
    /// The end of a stun-unstun cycle: change tracking becomes what the configuration says.
    pub(super) fn stun(&self, vm_id: &str) -> Result<(), Fault> {
        let mut state = self.state();
        let uuids: Vec<[u8; 16]> = (0..64).map(|_| state.random_bytes()).collect();
        let vm = state.vms.get_mut(vm_id).ok_or_else(|| Fault::not_found(vm_id))?;
        for (disk, uuid) in vm.disks.iter_mut().zip(uuids) {
            if !vm.tracking_enabled || disk.mode != "persistent" {
                disk.tracker = None;
            } else if disk.tracker.is_none() {
                let mut tracker = Tracker::new(uuid);
                tracker.corrupt = vm.tracking_corrupt;
                disk.tracker = Some(tracker);
            }
        }
        Ok(())
    }
}
