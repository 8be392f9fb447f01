//! Creating VMs and disks, changing their hardware, and switching them on and off.

use super::Datacentre;
use super::inventory::{Disk, Power, Vm};
use super::specification::{DiskSpec, VmSpec};
use crate::disk::{Chain, Layer, SECTOR, Tracker, content_name, create_sparse};
use crate::guest;
use crate::soap::{Fault, Moref, Value};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::sync::Arc;

/// The keys of disks start here in every VM; the next is one higher.
const DISK_KEY_FIRST: i32 = 2000;

/// Builds the disks and then shows the VM in the inventory. Answers its moref.
pub(super) async fn add(centre: &Arc<Datacentre>, spec: VmSpec) -> Result<String> {
    let mut vm = empty(centre, &spec)?;
    for disk in &spec.disks {
        let unit = vm.next_disk;
        vm.next_disk += 1;
        let built = build_disk(centre, &Place::of(&vm), unit, disk).await?;
        vm.disks.push(built);
    }
    let id = vm.id.clone();
    centre.state().vms.insert(id.clone(), vm);
    if spec.tracking {
        centre.stun(&id).map_err(message)?;
    }
    Ok(id)
}

fn empty(centre: &Datacentre, spec: &VmSpec) -> Result<Vm> {
    ensure!(!spec.disks.is_empty(), "a VM needs a disk");
    let mut state = centre.state();
    ensure!(state.datastore(&spec.datastore).is_some(), "there is no datastore {}", spec.datastore);
    let number = state.next_number();
    let host = match &spec.host {
        None => state.hosts.get(number as usize % state.hosts.len().max(1)),
        Some(name) => state.hosts.iter().find(|host| host.name == *name),
    };
    let host = host.with_context(|| format!("there is no host {}", spec.host.as_deref().unwrap_or("at all")))?.id.clone();
    let mac: [u8; 3] = state.random_bytes();
    let twins = state.vms.values().filter(|vm| vm.name == spec.name && vm.datastore == spec.datastore).count();
    // A second VM of the same name gets a folder with a number, as vCenter does.
    let directory = if twins == 0 { spec.name.clone() } else { format!("{}_{twins}", spec.name) };
    Ok(Vm {
        id: format!("vm-{number}"),
        name: spec.name.clone(),
        directory,
        datastore: spec.datastore.clone(),
        host,
        bios_uuid: spec.bios_uuid.clone().unwrap_or_else(|| state.uuid()),
        instance_uuid: state.uuid(),
        guest_id: spec.guest_id.clone(),
        firmware: spec.firmware.clone(),
        secure_boot: spec.secure_boot,
        cpus: spec.cpus,
        memory_mebibytes: spec.memory_mebibytes,
        mac: format!("00:50:56:{:02x}:{:02x}:{:02x}", mac[0] & 0x3f, mac[1], mac[2]),
        bus_sharing: spec.bus_sharing.clone(),
        tools: spec.tools,
        power: if spec.powered_on { Power::On } else { Power::Off },
        tracking_supported: spec.tracking_supported,
        tracking_enabled: spec.tracking,
        tracking_corrupt: false,
        consolidation_needed: false,
        merging: false,
        disks: Vec::new(),
        snapshots: Vec::new(),
        recent_tasks: Vec::new(),
        busy: None,
        next_redo_log: 1,
        next_disk: 0,
        gate: Arc::default(),
    })
}

/// Where a VM's files go.
struct Place {
    name: String,
    directory: String,
    datastore: String,
}

impl Place {
    fn of(vm: &Vm) -> Place {
        Place { name: vm.name.clone(), directory: vm.directory.clone(), datastore: vm.datastore.clone() }
    }
}

async fn build_disk(centre: &Arc<Datacentre>, vm: &Place, unit: i32, spec: &DiskSpec) -> Result<Disk> {
    ensure!(
        spec.capacity > 0 && spec.capacity.is_multiple_of(SECTOR),
        "a disk's capacity is a multiple of {SECTOR}, not {}",
        spec.capacity
    );
    ensure!(["persistent", "independent_persistent"].contains(&spec.mode.as_str()), "unknown disk mode {}", spec.mode);
    let stem = if unit == 0 { vm.name.clone() } else { format!("{}_{unit}", vm.name) };
    let descriptor = format!("{}/{stem}.vmdk", vm.directory);
    let path = centre.datastore_directory(&vm.datastore).join(content_name(&descriptor, true));
    let uuid = centre.state().uuid().to_uppercase();
    let seed = centre.options.seed ^ u64::from_le_bytes(centre.state().random_bytes());
    let (data_bytes, capacity, target) = (spec.data_bytes, spec.capacity, path.clone());
    tokio::task::spawn_blocking(move || build_file(&target, capacity, data_bytes, seed)).await??;
    Ok(Disk {
        key: DISK_KEY_FIRST + unit,
        // Unit 7 is the controller itself.
        unit: if unit < 7 { unit } else { unit + 1 },
        uuid,
        mode: spec.mode.clone(),
        raw_device: spec.raw_device,
        chain: Chain::new(Layer::base(descriptor, path)?, capacity),
        tracker: None,
    })
}

fn build_file(path: &Path, capacity: u64, data_bytes: u64, seed: u64) -> Result<()> {
    std::fs::create_dir_all(path.parent().context("a disk lies in a folder")?)?;
    let file = create_sparse(path, capacity).with_context(|| format!("create {}", path.display()))?;
    if data_bytes > 0 {
        guest::build(&file, capacity, data_bytes, seed)?;
    }
    Ok(())
}

/// Plugs in a fresh disk; its key and UUID were never used before. Tracked at once if the VM's other disks are.
pub(super) async fn add_disk(centre: &Arc<Datacentre>, vm_id: &str, spec: DiskSpec) -> Result<i32> {
    let gate = centre.gate(vm_id).map_err(message)?;
    let _exclusive = gate.write_owned().await;
    let (unit, place) = {
        let mut state = centre.state();
        let vm = state.vms.get_mut(vm_id).context("the VM is gone")?;
        let unit = vm.next_disk;
        vm.next_disk += 1;
        (unit, Place::of(vm))
    };
    let mut disk = build_disk(centre, &place, unit, &spec).await?;
    let mut state = centre.state();
    let tracking_uuid = state.random_bytes();
    let vm = state.vms.get_mut(vm_id).context("the VM is gone")?;
    if vm.disks.iter().any(|other| other.tracker.is_some()) && disk.mode == "persistent" {
        disk.tracker = Some(Tracker::new(tracking_uuid));
    }
    let key = disk.key;
    vm.disks.push(disk);
    Ok(key)
}

/// Unplugs a disk and deletes its file. Refused while snapshots exist, because they would need it.
pub(super) async fn remove_disk(centre: &Arc<Datacentre>, vm_id: &str, key: i32) -> Result<()> {
    let gate = centre.gate(vm_id).map_err(message)?;
    let _exclusive = gate.write_owned().await;
    let mut state = centre.state();
    let vm = state.vms.get_mut(vm_id).context("the VM is gone")?;
    ensure!(vm.snapshots.is_empty(), "a disk cannot be removed while the VM has snapshots");
    let place = vm.disks.iter().position(|disk| disk.key == key).with_context(|| format!("there is no disk {key}"))?;
    let disk = vm.disks.remove(place);
    for layer in &disk.chain.layers {
        std::fs::remove_file(&layer.file_path)?;
    }
    Ok(())
}

/// Makes a disk larger. The tracker goes on under the same UUID: that the capacity changed is for the client to see.
pub(super) async fn grow_disk(centre: &Arc<Datacentre>, vm_id: &str, key: i32, capacity: u64) -> Result<()> {
    let gate = centre.gate(vm_id).map_err(message)?;
    let _exclusive = gate.write_owned().await;
    let mut state = centre.state();
    let vm = state.vms.get_mut(vm_id).context("the VM is gone")?;
    ensure!(vm.snapshots.is_empty(), "a disk cannot grow while the VM has snapshots");
    let disk = vm.disk_mut(key).with_context(|| format!("there is no disk {key}"))?;
    if capacity <= disk.chain.capacity || !capacity.is_multiple_of(SECTOR) || disk.chain.layers.len() > 1 {
        bail!("disk {key} cannot grow from {} to {capacity} bytes", disk.chain.capacity);
    }
    disk.chain.top().grow(capacity)?;
    disk.chain.capacity = capacity;
    Ok(())
}

pub(super) async fn power_on(centre: Arc<Datacentre>, vm_id: String) -> Result<Option<Moref>, Fault> {
    switch(&centre, &vm_id, Power::Off, Power::On)?;
    // Opening the disks is a stun of its own kind: tracking begins here too.
    centre.stun(&vm_id)?;
    Ok(None)
}

pub(super) async fn power_off(centre: Arc<Datacentre>, vm_id: String) -> Result<Option<Moref>, Fault> {
    let gate = centre.gate(&vm_id)?;
    let _no_write_is_under_way = gate.write_owned().await;
    switch(&centre, &vm_id, Power::On, Power::Off)?;
    Ok(None)
}

fn switch(centre: &Datacentre, vm_id: &str, from: Power, to: Power) -> Result<(), Fault> {
    let mut state = centre.state();
    let vm = state.vms.get_mut(vm_id).ok_or_else(|| Fault::not_found(vm_id))?;
    if vm.power != from {
        return Err(wrong_power(from, vm.power));
    }
    vm.power = to;
    Ok(())
}

pub(super) fn wrong_power(requested: Power, existing: Power) -> Fault {
    let message = "The attempted operation cannot be performed in the current state.";
    Fault::new("InvalidPowerState", message).with("requestedState", requested.value()).with("existingState", existing.value())
}

impl Power {
    pub fn value(self) -> Value {
        let name = match self {
            Power::On => "poweredOn",
            Power::Off => "poweredOff",
        };
        Value::Enum("VirtualMachinePowerState", name.to_owned())
    }
}

/// Asks the guest to shut down; the VM is off some time later.
pub(super) fn shut_down_guest(centre: &Arc<Datacentre>, vm_id: &str) -> Result<(), Fault> {
    let state = centre.state();
    let vm = state.vms.get(vm_id).ok_or_else(|| Fault::not_found(vm_id))?;
    if vm.power != Power::On {
        return Err(wrong_power(Power::On, vm.power));
    }
    if !vm.tools {
        return Err(Fault::new(
            "ToolsUnavailable",
            "Cannot complete operation because VMware Tools is not running in this virtual machine.",
        ));
    }
    drop(state);
    let delay = centre.with_knobs(|knobs| std::time::Duration::from_millis(knobs.guest_shutdown_milliseconds));
    let (centre, vm_id) = (centre.clone(), vm_id.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        // Somebody else may have switched it off meanwhile; then there is nothing left to do.
        let _ = power_off(centre, vm_id).await;
    });
    Ok(())
}

/// Sets `changeTrackingEnabled`. With snapshots present it is accepted, as since 6.5, and the tracking that begins
/// later is corrupt: it quietly hides every second changed extent.
pub(super) async fn set_tracking(centre: Arc<Datacentre>, vm_id: String, enabled: bool) -> Result<Option<Moref>, Fault> {
    let mut state = centre.state();
    let vm = state.vms.get_mut(&vm_id).ok_or_else(|| Fault::not_found(&vm_id))?;
    if enabled && !vm.tracking_supported {
        return Err(Fault::new("NotSupported", "Change tracking is not supported for this virtual machine."));
    }
    if enabled && !vm.tracking_enabled {
        vm.tracking_corrupt = !vm.snapshots.is_empty();
    }
    vm.tracking_enabled = enabled;
    Ok(None)
}

pub(super) fn message(fault: Fault) -> anyhow::Error {
    anyhow::anyhow!(fault.message)
}
