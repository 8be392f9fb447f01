//! A virtual machine and its snapshots.

use super::super::inventory::{Snapshot, State, Vm, fixed};
use super::hardware;
use crate::soap::{Moref, Object, Value};

pub(super) fn virtual_machine(state: &State, vm: &Vm) -> Object {
    let datastores: Vec<_> = state.datastore(&vm.datastore).into_iter().map(|datastore| Moref::new("Datastore", &datastore.id)).collect();
    let resources =
        || Object::new("ResourceAllocationInfo").with("reservation", 0i64).with("expandableReservation", false).with("limit", -1i64);
    Object::new("VirtualMachine")
        .with("name", &vm.name)
        .with("parent", Moref::new("Folder", fixed::VM_FOLDER))
        .with("overallStatus", Value::Enum("ManagedEntityStatus", "green".into()))
        .with("capability", capability(vm))
        .with("config", config(vm, hardware::of_vm(vm)))
        .with("runtime", runtime(vm))
        .with("guest", guest(vm))
        .with("summary", summary(vm))
        .with("datastore", Value::morefs(datastores))
        .with("network", Value::morefs([Moref::new("Network", fixed::NETWORK)]))
        .with("snapshot", snapshot_info(vm))
        .with("rootSnapshot", Value::morefs(vm.snapshots.first().map(moref)))
        .with("resourcePool", Moref::new("ResourcePool", fixed::POOL))
        .with("resourceConfig", Object::new("ResourceConfigSpec").with("cpuAllocation", resources()).with("memoryAllocation", resources()))
        .with("recentTask", Value::morefs(vm.recent_tasks.iter().map(|id| Moref::new("Task", id))))
        .with("guestHeartbeatStatus", Value::Enum("ManagedEntityStatus", if vm.tools { "green" } else { "gray" }.into()))
        .with("storage", storage(state, vm))
        .with("layoutEx", layout(vm))
        .without("parentVApp")
}

fn capability(vm: &Vm) -> Object {
    Object::new("VirtualMachineCapability")
        .with("snapshotOperationsSupported", true)
        .with("multipleSnapshotsSupported", true)
        .with("snapshotConfigSupported", true)
        .with("poweredOffSnapshotsSupported", true)
        .with("memorySnapshotsSupported", true)
        .with("quiescedSnapshotsSupported", true)
        .with("changeTrackingSupported", vm.tracking_supported)
}

fn config(vm: &Vm, hardware: Object) -> Object {
    let files = Object::new("VirtualMachineFileInfo")
        .with("vmPathName", vm.file_name(&format!("{}/{}.vmx", vm.directory, vm.name)))
        .with("snapshotDirectory", vm.file_name(&format!("{}/", vm.directory)))
        .with("logDirectory", vm.file_name(&format!("{}/", vm.directory)));
    Object::new("VirtualMachineConfigInfo")
        .with("changeVersion", "2026-01-01T00:00:00.000000Z")
        .with("modified", jiff::Timestamp::UNIX_EPOCH)
        .with("name", &vm.name)
        .with("guestFullName", &vm.guest_id)
        .with("version", "vmx-19")
        .with("uuid", &vm.bios_uuid)
        .with("instanceUuid", &vm.instance_uuid)
        .with("template", false)
        .with("guestId", &vm.guest_id)
        .with("alternateGuestName", "")
        .without("annotation")
        .with("files", files)
        .with("hardware", hardware)
        .with("extraConfig", Value::list::<Object>("OptionValue", []))
        .with(
            "bootOptions",
            Object::new("VirtualMachineBootOptions")
                .with("bootDelay", 0i64)
                .with("enterBIOSSetup", false)
                .with("efiSecureBootEnabled", vm.secure_boot)
                .with("bootRetryEnabled", false)
                .with("bootRetryDelay", 10000i64),
        )
        .with("changeTrackingEnabled", vm.tracking_enabled)
        .with("firmware", &vm.firmware)
        .without("keyId")
        .without("ftInfo")
        .without("managedBy")
}

fn runtime(vm: &Vm) -> Object {
    Object::new("VirtualMachineRuntimeInfo")
        .with("host", Moref::new("HostSystem", &vm.host))
        .with("connectionState", Value::Enum("VirtualMachineConnectionState", "connected".into()))
        .with("powerState", vm.power.value())
        .with("toolsInstallerMounted", false)
        .without("question")
        .with("consolidationNeeded", vm.consolidation_needed)
}

fn guest(vm: &Vm) -> Object {
    let running = vm.tools && vm.power == super::super::inventory::Power::On;
    Object::new("GuestInfo")
        .with("toolsStatus", Value::Enum("VirtualMachineToolsStatus", if running { "toolsOk" } else { "toolsNotRunning" }.into()))
        .with("toolsRunningStatus", if running { "guestToolsRunning" } else { "guestToolsNotRunning" })
        .with("toolsVersionStatus2", if vm.tools { "guestToolsUnmanaged" } else { "guestToolsNotInstalled" })
        .with("guestId", running.then(|| vm.guest_id.clone()))
        .without("hostName")
        .without("ipAddress")
        .with("guestState", if running { "running" } else { "notRunning" })
}

fn summary(vm: &Vm) -> Object {
    let config = Object::new("VirtualMachineConfigSummary")
        .with("name", &vm.name)
        .with("template", false)
        .with("vmPathName", vm.file_name(&format!("{}/{}.vmx", vm.directory, vm.name)))
        .with("memorySizeMB", vm.memory_mebibytes)
        .with("numCpu", vm.cpus)
        .with("numEthernetCards", 1)
        .with("numVirtualDisks", vm.disks.len() as i32)
        .with("uuid", &vm.bios_uuid)
        .with("instanceUuid", &vm.instance_uuid)
        .with("guestId", &vm.guest_id)
        .with("guestFullName", &vm.guest_id);
    let storage = Object::new("VirtualMachineStorageSummary")
        .with("committed", vm.committed_bytes())
        .with("uncommitted", vm.capacity_bytes().saturating_sub(vm.committed_bytes()))
        .with("unshared", vm.committed_bytes())
        .with("timestamp", jiff::Timestamp::now());
    Object::new("VirtualMachineSummary")
        .with("vm", Moref::new("VirtualMachine", &vm.id))
        .with("runtime", runtime(vm))
        .with("config", config)
        .with("storage", storage)
        .with("quickStats", Object::new("VirtualMachineQuickStats").with("uptimeSeconds", 0))
        .with("overallStatus", Value::Enum("ManagedEntityStatus", "green".into()))
}

/// The files of every disk: one unit of the chain a layer, base first, with what each occupies.
fn layout(vm: &Vm) -> Object {
    let layers = || vm.disks.iter().flat_map(|disk| &disk.chain.layers);
    let files = layers().enumerate().map(|(key, layer)| {
        Object::new("VirtualMachineFileLayoutExFileInfo")
            .with("key", key as i32)
            .with("name", vm.file_name(&layer.descriptor))
            .with("type", "diskExtent")
            .with("size", layer.allocated_bytes())
    });
    let mut next_key = 0i32;
    let disks = vm.disks.iter().map(|disk| {
        let chain = disk.chain.layers.iter().map(|_| {
            next_key += 1;
            Object::new("VirtualMachineFileLayoutExDiskUnit").with("fileKey", next_key - 1)
        });
        let chain: Vec<Object> = chain.collect();
        Object::new("VirtualMachineFileLayoutExDiskLayout")
            .with("key", disk.key)
            .with("chain", Value::list("VirtualMachineFileLayoutExDiskUnit", chain))
    });
    let disks: Vec<Object> = disks.collect();
    Object::new("VirtualMachineFileLayoutEx")
        .with("file", Value::list("VirtualMachineFileLayoutExFileInfo", files))
        .with("disk", Value::list("VirtualMachineFileLayoutExDiskLayout", disks))
        .with("timestamp", jiff::Timestamp::now())
}

fn storage(state: &State, vm: &Vm) -> Object {
    let usage = state.datastore(&vm.datastore).map(|datastore| {
        Object::new("VirtualMachineUsageOnDatastore")
            .with("datastore", Moref::new("Datastore", &datastore.id))
            .with("committed", vm.committed_bytes())
            .with("uncommitted", vm.capacity_bytes().saturating_sub(vm.committed_bytes()))
            .with("unshared", vm.committed_bytes())
    });
    Object::new("VirtualMachineStorageInfo")
        .with("perDatastoreUsage", Value::list("VirtualMachineUsageOnDatastore", usage))
        .with("timestamp", jiff::Timestamp::now())
}

fn moref(snapshot: &Snapshot) -> Moref {
    Moref::new("VirtualMachineSnapshot", &snapshot.id)
}

/// The tree, or nothing while there are no snapshots.
fn snapshot_info(vm: &Vm) -> Option<Object> {
    let current = vm.snapshots.last()?;
    let tree = tree(vm, &vm.snapshots);
    Some(
        Object::new("VirtualMachineSnapshotInfo")
            .with("currentSnapshot", moref(current))
            .with("rootSnapshotList", Value::list("VirtualMachineSnapshotTree", tree)),
    )
}

fn tree(vm: &Vm, snapshots: &[Snapshot]) -> Option<Object> {
    let (first, above) = snapshots.split_first()?;
    let node = Object::new("VirtualMachineSnapshotTree")
        .with("snapshot", moref(first))
        .with("vm", Moref::new("VirtualMachine", &vm.id))
        .with("name", &first.name)
        .with("description", &first.description)
        .with("id", first.number)
        .with("createTime", first.created)
        .with("state", first.power.value())
        .with("quiesced", first.quiesced)
        .with("childSnapshotList", Value::list("VirtualMachineSnapshotTree", tree(vm, above)))
        .with("replaySupported", false);
    Some(node)
}

pub(super) fn snapshot(vm: &Vm, snapshot: &Snapshot) -> Object {
    let place = vm.snapshots.iter().position(|known| known.id == snapshot.id).unwrap_or(0);
    Object::new("VirtualMachineSnapshot")
        .with("config", config(vm, hardware::of_snapshot(vm, snapshot)))
        .with("childSnapshot", Value::morefs(vm.snapshots.get(place + 1).map(moref)))
        .with("vm", Moref::new("VirtualMachine", &vm.id))
}
