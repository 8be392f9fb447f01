//! The virtual hardware: controllers, disks, network cards.

use super::super::inventory::{Disk, FrozenDisk, Snapshot, Vm, fixed};
use crate::disk::Tracker;
use crate::soap::{Moref, Object, Value};

const SCSI_CONTROLLER: i32 = 1000;
const NETWORK_CARD: i32 = 4000;

pub(super) fn of_vm(vm: &Vm) -> Object {
    hardware(vm, vm.disks.iter().map(|disk| view_of_live(vm, disk)).collect())
}

pub(super) fn of_snapshot(vm: &Vm, snapshot: &Snapshot) -> Object {
    hardware(vm, snapshot.disks.iter().map(|disk| view_of_frozen(vm, disk)).collect())
}

/// What a disk device shows, live or frozen.
struct DiskView {
    key: i32,
    unit: i32,
    uuid: String,
    mode: String,
    raw_device: bool,
    capacity: u64,
    /// The file at the top, then what lies under it.
    files: Vec<String>,
    change_id: Option<String>,
}

fn view_of_live(vm: &Vm, disk: &Disk) -> DiskView {
    DiskView {
        key: disk.key,
        unit: disk.unit,
        uuid: disk.uuid.clone(),
        mode: disk.mode.clone(),
        raw_device: disk.raw_device,
        capacity: disk.chain.capacity,
        files: disk.chain.layers.iter().rev().map(|layer| vm.file_name(&layer.descriptor)).collect(),
        change_id: disk.tracker.as_ref().map(Tracker::change_id),
    }
}

fn view_of_frozen(vm: &Vm, disk: &FrozenDisk) -> DiskView {
    DiskView {
        key: disk.key,
        unit: disk.unit,
        uuid: disk.uuid.clone(),
        mode: disk.mode.clone(),
        raw_device: false,
        capacity: disk.capacity,
        files: [Some(&disk.descriptor), disk.parent.as_ref()].into_iter().flatten().map(|file| vm.file_name(file)).collect(),
        change_id: disk.change_id.clone(),
    }
}

fn hardware(vm: &Vm, disks: Vec<DiskView>) -> Object {
    let mut devices = vec![controller(vm, &disks)];
    devices.extend(disks.iter().map(|disk| device(vm, disk)));
    devices.push(network_card(vm));
    Object::new("VirtualHardware")
        .with("numCPU", vm.cpus)
        .with("numCoresPerSocket", 1)
        .with("memoryMB", vm.memory_mebibytes)
        .with("virtualICH7MPresent", false)
        .with("virtualSMCPresent", false)
        .with("device", Value::list("VirtualDevice", devices))
}

fn described(label: &str, summary: &str) -> Object {
    Object::new("Description").with("label", label).with("summary", summary)
}

fn controller(vm: &Vm, disks: &[DiskView]) -> Object {
    Object::subtype("ParaVirtualSCSIController")
        .with("key", SCSI_CONTROLLER)
        .with("deviceInfo", described("SCSI controller 0", "VMware paravirtual SCSI"))
        .with("controllerKey", 100)
        .with("unitNumber", 3)
        .with("busNumber", 0)
        .with("device", Value::list("int", disks.iter().map(|disk| disk.key)))
        .with("hotAddRemove", true)
        .with("sharedBus", Value::Enum("VirtualSCSISharing", vm.bus_sharing.clone()))
        .with("scsiCtlrUnitNumber", 7)
}

fn device(vm: &Vm, disk: &DiskView) -> Object {
    let backing = if disk.raw_device { raw_device_backing(disk) } else { flat_backing(disk) };
    let summary = format!("{} KB", disk.capacity / 1024);
    Object::subtype("VirtualDisk")
        .with("key", disk.key)
        .with("deviceInfo", described(&format!("Hard disk {}", disk.key - 1999), &summary))
        .with("backing", backing)
        .with("controllerKey", SCSI_CONTROLLER)
        .with("unitNumber", disk.unit)
        .with("capacityInKB", disk.capacity / 1024)
        .with("capacityInBytes", disk.capacity)
        .with("diskObjectId", format!("{}-{}", vm.id.trim_start_matches("vm-"), disk.key))
}

/// The chain from the top down: each backing holds its parent's. Only the top has a changeId.
fn flat_backing(disk: &DiskView) -> Object {
    let bottom_up = disk.files.iter().enumerate().rev();
    let backing = bottom_up.fold(None, |parent: Option<Object>, (depth, file)| {
        let change_id = disk.change_id.clone().filter(|_| depth == 0);
        let backing = Object::subtype("VirtualDiskFlatVer2BackingInfo")
            .with("fileName", file)
            .with("diskMode", &disk.mode)
            .with("split", false)
            .with("writeThrough", false)
            .with("thinProvisioned", true)
            .with("uuid", &disk.uuid)
            .with("contentId", format!("{:0>32}", disk.key))
            .with("changeId", change_id)
            .with("parent", parent)
            .with("digestEnabled", false)
            .with("sharing", "sharingNone");
        Some(backing)
    });
    backing.expect("a disk has a file")
}

fn raw_device_backing(disk: &DiskView) -> Object {
    Object::subtype("VirtualDiskRawDiskMappingVer1BackingInfo")
        .with("fileName", &disk.files[0])
        .with("lunUuid", &disk.uuid)
        .with("deviceName", format!("vml.{}", disk.uuid.replace('-', "").to_lowercase()))
        .with("compatibilityMode", "physicalMode")
        .with("diskMode", &disk.mode)
        .with("uuid", &disk.uuid)
}

fn network_card(vm: &Vm) -> Object {
    let backing = Object::subtype("VirtualEthernetCardNetworkBackingInfo")
        .with("deviceName", "VM Network")
        .with("network", Moref::new("Network", fixed::NETWORK));
    let connectable = Object::new("VirtualDeviceConnectInfo")
        .with("startConnected", true)
        .with("allowGuestControl", true)
        .with("connected", true)
        .with("status", "ok");
    Object::subtype("VirtualVmxnet3")
        .with("key", NETWORK_CARD)
        .with("deviceInfo", described("Network adapter 1", "VM Network"))
        .with("backing", backing)
        .with("connectable", connectable)
        .with("controllerKey", 100)
        .with("unitNumber", 7)
        .with("addressType", "assigned")
        .with("macAddress", &vm.mac)
        .with("wakeOnLanEnabled", true)
}
