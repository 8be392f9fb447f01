//! The component's door: generated types on one side, our own words on the other.

use transload_guest::bindings::transload::plugin as wit;
use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Request, Response};
use transload_guest::imports::{self, Imports, config_json, to_extent, to_fault, to_request};
use transload_guest::ports::Http;

use crate::bindings::exports::transload::plugin::source;
use crate::bindings::transload::plugin::machine;
use crate::location::Peek;
use crate::session::Vcenter;
use crate::settings::Settings;
use crate::words;

type Answer<T> = Result<T, wit::types::Fault>;

fn with_vcenter<T>(work: impl FnOnce(&Vcenter<'_>) -> Result<T, Fault>) -> Answer<T> {
    let run = || {
        let settings = Settings::parse(&config_json())?;
        work(&Vcenter { http: &Imports, sessions: &Imports, settings: &settings })
    };
    run().map_err(to_fault)
}

/// The host's HTTP with the one bulk form that a probe needs: a ranged GET whose body is dropped unread.
struct Peeking;

impl Http for Peeking {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        Imports.send(request, body)
    }
}

impl Peek for Peeking {
    fn peek_range(&self, request: &Request, range: Extent) -> Result<Response, Fault> {
        let incoming = wit::http::get(&to_request(request), Some(to_extent(range))).map_err(imports::fault)?;
        let wanted = ["content-range", "retry-after"];
        let headers = wanted.iter().filter_map(|name| Some((name.to_string(), incoming.header(name)?)));
        Ok(Response { status: incoming.status(), headers: headers.collect(), body: Vec::new() })
    }
}

struct Component;

impl source::Guest for Component {
    fn describe() -> Answer<source::Description> {
        with_vcenter(|vcenter| {
            let description = vcenter.describe()?;
            Ok(source::Description { product: description.product, disks_per_host_max: description.disks_per_host_max })
        })
    }

    fn inventory(cursor: Option<String>) -> Answer<source::InventoryPage> {
        with_vcenter(|vcenter| {
            let page = vcenter.inventory(cursor.as_deref())?;
            Ok(source::InventoryPage { vms: page.vms.into_iter().map(vm_summary).collect(), next: page.next })
        })
    }

    fn preflight(vm: source::VmRef) -> Answer<Vec<source::Finding>> {
        with_vcenter(|vcenter| Ok(vcenter.preflight(&vm_ref(vm))?.into_iter().map(finding).collect()))
    }

    fn definition(vm: source::VmRef) -> Answer<machine::VmDefinition> {
        with_vcenter(|vcenter| vcenter.definition(&vm_ref(vm)).map(definition))
    }

    fn placement(vm: source::VmRef) -> Answer<source::VmPlacement> {
        with_vcenter(|vcenter| vcenter.placement(&vm_ref(vm)).map(placement))
    }

    fn enable_tracking(vm: source::VmRef) -> Answer<source::Outcome> {
        with_vcenter(|vcenter| vcenter.enable_tracking(&vm_ref(vm)).map(outcome))
    }

    fn reset_tracking(vm: source::VmRef) -> Answer<source::Outcome> {
        with_vcenter(|vcenter| vcenter.reset_tracking(&vm_ref(vm)).map(outcome))
    }

    fn open_snapshot(vm: source::VmRef, tag: String, quiesce: source::Quiesce) -> Answer<source::Outcome> {
        let quiesce = match quiesce {
            source::Quiesce::Wanted => words::Quiesce::Wanted,
            source::Quiesce::Unwanted => words::Quiesce::Unwanted,
        };
        with_vcenter(|vcenter| vcenter.open_snapshot(&vm_ref(vm), &tag, quiesce).map(outcome))
    }

    /// vSphere keeps its tracking beside the disk, not in the snapshot: both ways of closing are one.
    fn close_snapshot(token: String, _: source::Closing) -> Answer<source::Outcome> {
        with_vcenter(|vcenter| vcenter.close_snapshot(&token).map(outcome))
    }

    /// vSphere keeps nothing per marker.
    fn release_markers(_: source::VmRef, _: Vec<source::DiskMarker>) -> Answer<()> {
        Ok(())
    }

    fn leftovers(vm: source::VmRef, tag_prefix: String) -> Answer<Vec<String>> {
        with_vcenter(|vcenter| vcenter.leftovers(&vm_ref(vm), &tag_prefix))
    }

    fn disks(token: String) -> Answer<Vec<source::SnapshotDisk>> {
        with_vcenter(|vcenter| Ok(vcenter.disks(&token)?.into_iter().map(snapshot_disk).collect()))
    }

    fn changed(token: String, disk: String, since: String, cursor: Option<String>) -> Answer<source::Changes> {
        with_vcenter(|vcenter| vcenter.changed(&token, &disk, &since, cursor.as_deref()).map(changes))
    }

    fn open_range(token: String, disk: String, offset: u64, length: u64) -> Answer<wit::bulk::ByteSource> {
        with_vcenter(|vcenter| {
            let lazy = vcenter.open_range(&Peeking, &token, &disk, Extent::new(offset, length))?;
            let expect = wit::http::Expectation { range: to_extent(lazy.range) };
            wit::http::lazy(&to_request(&lazy.request), expect).map_err(imports::fault)
        })
    }

    fn power(vm: source::VmRef, action: source::PowerAction) -> Answer<source::Outcome> {
        let action = match action {
            source::PowerAction::On => words::PowerAction::On,
            source::PowerAction::Off => words::PowerAction::Off,
            source::PowerAction::Shutdown => words::PowerAction::Shutdown,
        };
        with_vcenter(|vcenter| vcenter.power(&vm_ref(vm), action).map(outcome))
    }

    fn poll(operation: String) -> Answer<source::Outcome> {
        with_vcenter(|vcenter| vcenter.poll(&operation).map(outcome))
    }

    fn cancel(operation: String) -> Answer<()> {
        with_vcenter(|vcenter| vcenter.cancel(&operation))
    }
}

fn vm_ref(vm: source::VmRef) -> words::VmRef {
    words::VmRef { id: vm.id, fingerprint: vm.fingerprint }
}

fn vm_summary(vm: words::VmSummary) -> source::VmSummary {
    let disks = vm.disks.into_iter().map(|disk| source::DiskSummary { id: disk.id, label: disk.label, size: disk.size });
    source::VmSummary {
        vm: source::VmRef { id: vm.vm.id, fingerprint: vm.vm.fingerprint },
        name: vm.name,
        folder: vm.folder,
        power: power_state(vm.power),
        host: vm.host,
        guest_os: vm.guest_os,
        disks: disks.collect(),
    }
}

fn power_state(state: words::PowerState) -> source::PowerState {
    match state {
        words::PowerState::On => source::PowerState::On,
        words::PowerState::Off => source::PowerState::Off,
        words::PowerState::Suspended => source::PowerState::Suspended,
    }
}

fn finding(finding: words::Finding) -> source::Finding {
    let severity = match finding.severity {
        words::Severity::Info => source::Severity::Info,
        words::Severity::Warning => source::Severity::Warning,
        words::Severity::Blocking => source::Severity::Blocking,
    };
    let code = finding.code.to_owned();
    source::Finding { code, severity, subject: finding.subject, message: finding.message, remedy: finding.remedy }
}

fn definition(vm: words::VmDefinition) -> machine::VmDefinition {
    let nic =
        |nic: words::Nic| machine::Nic { label: nic.label, mac: nic.mac, network: nic.network, model: nic.model, connected: nic.connected };
    let place = |place: words::DiskPlace| machine::DiskPlace {
        disk: place.disk,
        controller: place.controller,
        controller_number: place.controller_number,
        unit: place.unit,
    };
    machine::VmDefinition {
        name: vm.name,
        cpus: vm.cpus,
        memory_mib: vm.memory_mib,
        firmware: match vm.firmware {
            words::Firmware::Bios => machine::Firmware::Bios,
            words::Firmware::Efi => machine::Firmware::Efi,
        },
        secure_boot: vm.secure_boot,
        guest_os: vm.guest_os,
        nics: vm.nics.into_iter().map(nic).collect(),
        disks: vm.disks.into_iter().map(place).collect(),
    }
}

fn placement(placement: words::Placement) -> source::VmPlacement {
    let datastore = |store: words::Datastore| source::Datastore {
        id: store.id,
        name: store.name,
        free: store.free,
        capacity: store.capacity,
        snapshot_bytes: store.snapshot_bytes,
    };
    let home = |home: words::DiskHome| source::DiskHome { disk: home.disk, datastore: home.datastore };
    source::VmPlacement {
        host: placement.host,
        datastores: placement.datastores.into_iter().map(datastore).collect(),
        disks: placement.disks.into_iter().map(home).collect(),
    }
}

fn snapshot_disk(disk: words::SnapshotDisk) -> source::SnapshotDisk {
    source::SnapshotDisk {
        id: disk.id,
        label: disk.label,
        fingerprint: disk.fingerprint,
        size: disk.size,
        marker: disk.marker,
        readable: source::ReadablePart::WholeDisk,
    }
}

fn changes(changes: words::Changes) -> source::Changes {
    match changes {
        words::Changes::Page(page) => source::Changes::Page(source::ChangedPage {
            covers: to_extent(page.covers),
            extents: page.extents.into_iter().map(to_extent).collect(),
            next: page.next,
        }),
        words::Changes::Resync { code, message } => source::Changes::Resync(source::ResyncReason { code: code.to_owned(), message }),
    }
}

fn outcome(outcome: words::Outcome) -> source::Outcome {
    match outcome {
        words::Outcome::Pending { operation, poll_after_ms } => source::Outcome::Pending(wit::types::Pending { operation, poll_after_ms }),
        words::Outcome::Opened(opened) => source::Outcome::Opened(source::Opened { token: opened.token, quiesced: opened.quiesced }),
        words::Outcome::Closed => source::Outcome::Closed(Vec::new()),
        words::Outcome::Power(state) => source::Outcome::Power(power_state(state)),
        words::Outcome::Done => source::Outcome::Done,
    }
}

crate::bindings::export!(Component with_types_in crate::bindings);
