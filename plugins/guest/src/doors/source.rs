//! The door of a source.

use super::{Answer, with};
use crate::bindings::source::exports::transload::plugin::source as wit;
use crate::bindings::transload::plugin::{bulk, machine, types};
use crate::http::Extent;
use crate::imports::to_extent;
use crate::machine::{DiskPlace, Firmware, Nic, VmDefinition};
use crate::source::{
    ChangedPage, Changes, Closing, Datastore, Description, DiskHome, DiskMarker, DiskSummary, Finding, InventoryPage, Outcome, PowerAction,
    PowerState, Quiesce, ReadablePart, Severity, SnapshotDisk, Source, VmPlacement, VmRef, VmSummary,
};

impl<S: Source> wit::Guest for S {
    fn describe() -> Answer<wit::Description> {
        with(S::open, |source| source.describe().map(description))
    }

    fn inventory(cursor: Option<String>) -> Answer<wit::InventoryPage> {
        with(S::open, |source| source.inventory(cursor.as_deref()).map(inventory_page))
    }

    fn preflight(vm: wit::VmRef) -> Answer<Vec<wit::Finding>> {
        with(S::open, |source| source.preflight(&vm_ref(vm)).map(|found| all(found, finding)))
    }

    fn definition(vm: wit::VmRef) -> Answer<machine::VmDefinition> {
        with(S::open, |source| source.definition(&vm_ref(vm)).map(definition))
    }

    fn placement(vm: wit::VmRef) -> Answer<wit::VmPlacement> {
        with(S::open, |source| source.placement(&vm_ref(vm)).map(placement))
    }

    fn enable_tracking(vm: wit::VmRef) -> Answer<wit::Outcome> {
        with(S::open, |source| source.enable_tracking(&vm_ref(vm)).map(outcome))
    }

    fn reset_tracking(vm: wit::VmRef) -> Answer<wit::Outcome> {
        with(S::open, |source| source.reset_tracking(&vm_ref(vm)).map(outcome))
    }

    fn open_snapshot(vm: wit::VmRef, tag: String, wish: wit::Quiesce) -> Answer<wit::Outcome> {
        with(S::open, |source| source.open_snapshot(&vm_ref(vm), &tag, quiesce(wish)).map(outcome))
    }

    fn close_snapshot(token: String, how: wit::Closing) -> Answer<wit::Outcome> {
        with(S::open, |source| source.close_snapshot(&token, closing(how)).map(outcome))
    }

    fn release_markers(vm: wit::VmRef, markers: Vec<wit::DiskMarker>) -> Answer<()> {
        let marker = |marker: wit::DiskMarker| DiskMarker { disk: marker.disk, marker: marker.marker };
        with(S::open, |source| source.release_markers(&vm_ref(vm), &all(markers, marker)))
    }

    fn leftovers(vm: wit::VmRef, tag_prefix: String) -> Answer<Vec<String>> {
        with(S::open, |source| source.leftovers(&vm_ref(vm), &tag_prefix))
    }

    fn disks(token: String) -> Answer<Vec<wit::SnapshotDisk>> {
        with(S::open, |source| source.disks(&token).map(|disks| all(disks, snapshot_disk)))
    }

    fn changed(token: String, disk: String, since: String, cursor: Option<String>) -> Answer<wit::Changes> {
        with(S::open, |source| source.changed(&token, &disk, &since, cursor.as_deref()).map(changes))
    }

    fn open_range(token: String, disk: String, offset: u64, length: u64) -> Answer<bulk::ByteSource> {
        with(S::open, |source| source.open_range(&token, &disk, Extent::new(offset, length)))
    }

    fn power(vm: wit::VmRef, action: wit::PowerAction) -> Answer<wit::Outcome> {
        with(S::open, |source| source.power(&vm_ref(vm), power_action(action)).map(outcome))
    }

    fn poll(operation: String) -> Answer<wit::Outcome> {
        with(S::open, |source| source.poll(&operation).map(outcome))
    }

    fn cancel(operation: String) -> Answer<()> {
        with(S::open, |source| source.cancel(&operation))
    }
}

fn all<T, U>(list: Vec<T>, one: impl FnMut(T) -> U) -> Vec<U> {
    list.into_iter().map(one).collect()
}

fn vm_ref(vm: wit::VmRef) -> VmRef {
    VmRef { id: vm.id, fingerprint: vm.fingerprint }
}

fn quiesce(wish: wit::Quiesce) -> Quiesce {
    match wish {
        wit::Quiesce::Wanted => Quiesce::Wanted,
        wit::Quiesce::Unwanted => Quiesce::Unwanted,
    }
}

fn closing(how: wit::Closing) -> Closing {
    match how {
        wit::Closing::KeepMarkers => Closing::KeepMarkers,
        wit::Closing::DiscardMarkers => Closing::DiscardMarkers,
    }
}

fn power_action(action: wit::PowerAction) -> PowerAction {
    match action {
        wit::PowerAction::On => PowerAction::On,
        wit::PowerAction::Off => PowerAction::Off,
        wit::PowerAction::Shutdown => PowerAction::Shutdown,
    }
}

fn description(description: Description) -> wit::Description {
    wit::Description { product: description.product, disks_per_host_max: description.disks_per_host_max }
}

fn inventory_page(page: InventoryPage) -> wit::InventoryPage {
    wit::InventoryPage { vms: all(page.vms, vm_summary), next: page.next }
}

fn vm_summary(vm: VmSummary) -> wit::VmSummary {
    let disk = |disk: DiskSummary| wit::DiskSummary { id: disk.id, label: disk.label, size: disk.size };
    wit::VmSummary {
        vm: wit::VmRef { id: vm.vm.id, fingerprint: vm.vm.fingerprint },
        name: vm.name,
        folder: vm.folder,
        power: power_state(vm.power),
        host: vm.host,
        guest_os: vm.guest_os,
        disks: all(vm.disks, disk),
    }
}

fn power_state(state: PowerState) -> wit::PowerState {
    match state {
        PowerState::On => wit::PowerState::On,
        PowerState::Off => wit::PowerState::Off,
        PowerState::Suspended => wit::PowerState::Suspended,
    }
}

fn finding(finding: Finding) -> wit::Finding {
    let severity = match finding.severity {
        Severity::Info => wit::Severity::Info,
        Severity::Warning => wit::Severity::Warning,
        Severity::Blocking => wit::Severity::Blocking,
    };
    let code = finding.code.to_owned();
    wit::Finding { code, severity, subject: finding.subject, message: finding.message, remedy: finding.remedy }
}

fn definition(vm: VmDefinition) -> machine::VmDefinition {
    let firmware = match vm.firmware {
        Firmware::Bios => machine::Firmware::Bios,
        Firmware::Efi => machine::Firmware::Efi,
    };
    machine::VmDefinition {
        name: vm.name,
        cpus: vm.cpus,
        memory_mib: vm.memory_mib,
        firmware,
        secure_boot: vm.secure_boot,
        guest_os: vm.guest_os,
        nics: all(vm.nics, nic),
        disks: all(vm.disks, disk_place),
    }
}

fn nic(nic: Nic) -> machine::Nic {
    machine::Nic { label: nic.label, mac: nic.mac, network: nic.network, model: nic.model, connected: nic.connected }
}

fn disk_place(place: DiskPlace) -> machine::DiskPlace {
    let controller = place.controller;
    machine::DiskPlace { disk: place.disk, controller, controller_number: place.controller_number, unit: place.unit }
}

fn placement(placement: VmPlacement) -> wit::VmPlacement {
    let home = |home: DiskHome| wit::DiskHome { disk: home.disk, datastore: home.datastore };
    wit::VmPlacement { host: placement.host, datastores: all(placement.datastores, datastore), disks: all(placement.disks, home) }
}

fn datastore(store: Datastore) -> wit::Datastore {
    let (free, capacity) = (store.free, store.capacity);
    wit::Datastore { id: store.id, name: store.name, free, capacity, snapshot_bytes: store.snapshot_bytes }
}

fn snapshot_disk(disk: SnapshotDisk) -> wit::SnapshotDisk {
    let readable = match disk.readable {
        ReadablePart::WholeDisk => wit::ReadablePart::WholeDisk,
        ReadablePart::ChangesOnly => wit::ReadablePart::ChangesOnly,
    };
    let (fingerprint, marker) = (disk.fingerprint, disk.marker);
    wit::SnapshotDisk { id: disk.id, label: disk.label, fingerprint, size: disk.size, marker, readable }
}

fn changes(changes: Changes) -> wit::Changes {
    match changes {
        Changes::Page(page) => wit::Changes::Page(changed_page(page)),
        Changes::Resync { code, message } => wit::Changes::Resync(wit::ResyncReason { code: code.to_owned(), message }),
    }
}

fn changed_page(page: ChangedPage) -> wit::ChangedPage {
    wit::ChangedPage { covers: to_extent(page.covers), extents: all(page.extents, to_extent), next: page.next }
}

fn outcome(outcome: Outcome) -> wit::Outcome {
    let marker = |marker: DiskMarker| wit::DiskMarker { disk: marker.disk, marker: marker.marker };
    match outcome {
        Outcome::Pending { operation, poll_after_ms } => wit::Outcome::Pending(types::Pending { operation, poll_after_ms }),
        Outcome::Opened(opened) => wit::Outcome::Opened(wit::Opened { token: opened.token, quiesced: opened.quiesced }),
        Outcome::Closed(markers) => wit::Outcome::Closed(all(markers, marker)),
        Outcome::Power(state) => wit::Outcome::Power(power_state(state)),
        Outcome::Done => wit::Outcome::Done,
    }
}
