//! From what a guest says to the model's words, and back. Nothing passes unchecked: what breaks a rule of wit/ is `corrupt`.
//!
//! What one call cannot show (that the pages of `changed` tile the disk) is checked by whoever pages.

pub mod cutover;

use std::collections::BTreeSet;
use std::time::Duration;

use super::bindings::sink::exports::transload::plugin::sink as store;
use super::bindings::source::exports::transload::plugin::source as guest;
use super::bindings::source::transload::plugin::machine;
use super::bindings::types;
use crate::log::sink::{CreateGuarantee, EntriesPage, Entry, SinkDescription};
use crate::model::{DiskId, DiskSize, Extent, Fault, FaultKind, Marker, SnapshotToken, VmRef, check_extents};
use crate::pipeline::source::*;

const TEXT_BYTES_MAX: usize = 64 * 1024;
const LIST_ITEMS_MAX: usize = 65_536;
const KEY_BYTES_MAX: usize = 512;
/// Asking more often than this helps nobody; asking less often than this forgets.
const POLL_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));

pub fn fault_to_guest(fault: Fault) -> types::Fault {
    let kind = match fault.kind {
        FaultKind::Denied => types::FaultKind::Denied,
        FaultKind::Auth => types::FaultKind::Auth,
        FaultKind::NotFound => types::FaultKind::NotFound,
        FaultKind::Conflict => types::FaultKind::Conflict,
        FaultKind::Invalid => types::FaultKind::Invalid,
        FaultKind::Corrupt => types::FaultKind::Corrupt,
        FaultKind::Unsupported => types::FaultKind::Unsupported,
        FaultKind::Throttled => types::FaultKind::Throttled,
        FaultKind::Unavailable => types::FaultKind::Unavailable,
        FaultKind::Full => types::FaultKind::Full,
        FaultKind::Cancelled => types::FaultKind::Cancelled,
        FaultKind::Internal => types::FaultKind::Internal,
    };
    types::Fault { kind, message: fault.message, retry_after_ms: fault.retry_after_ms }
}

pub fn fault_from_guest(fault: types::Fault) -> Fault {
    let kind = match fault.kind {
        types::FaultKind::Denied => FaultKind::Denied,
        types::FaultKind::Auth => FaultKind::Auth,
        types::FaultKind::NotFound => FaultKind::NotFound,
        types::FaultKind::Conflict => FaultKind::Conflict,
        types::FaultKind::Invalid => FaultKind::Invalid,
        types::FaultKind::Corrupt => FaultKind::Corrupt,
        types::FaultKind::Unsupported => FaultKind::Unsupported,
        types::FaultKind::Throttled => FaultKind::Throttled,
        types::FaultKind::Unavailable => FaultKind::Unavailable,
        types::FaultKind::Full => FaultKind::Full,
        types::FaultKind::Cancelled => FaultKind::Cancelled,
        types::FaultKind::Internal => FaultKind::Internal,
    };
    Fault { kind, message: fault.message, retry_after_ms: fault.retry_after_ms }
}

// ---- checks that every value passes -----------------------------------------------------------------------------------------------

fn text(text: String, what: &str) -> Result<String, Fault> {
    match text.len() <= TEXT_BYTES_MAX {
        true => Ok(text),
        false => Err(Fault::corrupt(format!("the plugin gave a {what} of {} bytes; at most {TEXT_BYTES_MAX} are allowed", text.len()))),
    }
}

/// A text that names something and so must not be empty.
fn name(given: String, what: &str) -> Result<String, Fault> {
    match given.is_empty() {
        true => Err(Fault::corrupt(format!("the plugin gave an empty {what}"))),
        false => text(given, what),
    }
}

fn list<T, U>(given: Vec<T>, what: &str, convert: impl FnMut(T) -> Result<U, Fault>) -> Result<Vec<U>, Fault> {
    match given.len() <= LIST_ITEMS_MAX {
        true => given.into_iter().map(convert).collect(),
        false => Err(Fault::corrupt(format!("the plugin gave {} {what}; at most {LIST_ITEMS_MAX} are allowed", given.len()))),
    }
}

/// A cursor that leads back to where it came from would be followed for ever.
fn next(next: Option<String>, cursor: Option<&str>) -> Result<Option<String>, Fault> {
    match next {
        Some(next) if cursor == Some(next.as_str()) => Err(Fault::corrupt("the plugin answered with the cursor that it was given")),
        other => other.map(|cursor| name(cursor, "cursor")).transpose(),
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a DiskId>) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Fault::corrupt(format!("the plugin gave disk {name} twice")));
        }
    }
    Ok(())
}

// ---- source -------------------------------------------------------------------------------------------------------------------------

pub fn vm_ref(vm: &VmRef) -> guest::VmRef {
    guest::VmRef { id: vm.id.clone(), fingerprint: vm.fingerprint.clone() }
}

pub fn source_description(given: guest::Description) -> Result<SourceDescription, Fault> {
    if given.disks_per_host_max == Some(0) {
        return Err(Fault::corrupt("the plugin says that no disk at all may be read"));
    }
    Ok(SourceDescription { product: text(given.product, "product")?, disks_per_host_max: given.disks_per_host_max })
}

pub fn inventory_page(given: guest::InventoryPage, cursor: Option<&str>) -> Result<InventoryPage, Fault> {
    Ok(InventoryPage { vms: list(given.vms, "VMs", vm_summary)?, next: next(given.next, cursor)? })
}

fn vm_summary(given: guest::VmSummary) -> Result<VmSummary, Fault> {
    let disks = list(given.disks, "disks", |disk| {
        Ok(DiskSummary { id: DiskId(name(disk.id, "disk id")?), label: text(disk.label, "label")?, size: disk.size })
    })?;
    unique(disks.iter().map(|disk| &disk.id))?;
    Ok(VmSummary {
        vm: VmRef { id: name(given.vm.id, "VM id")?, fingerprint: name(given.vm.fingerprint, "VM fingerprint")? },
        name: text(given.name, "VM name")?,
        folder: text(given.folder, "folder")?,
        power: power_state(given.power),
        host: text(given.host, "host")?,
        guest_os: text(given.guest_os, "guest system")?,
        disks,
    })
}

pub fn power_state(given: guest::PowerState) -> PowerState {
    match given {
        guest::PowerState::On => PowerState::On,
        guest::PowerState::Off => PowerState::Off,
        guest::PowerState::Suspended => PowerState::Suspended,
    }
}

pub fn power_action(action: PowerAction) -> guest::PowerAction {
    match action {
        PowerAction::On => guest::PowerAction::On,
        PowerAction::Off => guest::PowerAction::Off,
        PowerAction::Shutdown => guest::PowerAction::Shutdown,
    }
}

pub fn quiesce(quiesce: Quiesce) -> guest::Quiesce {
    match quiesce {
        Quiesce::Wanted => guest::Quiesce::Wanted,
        Quiesce::Unwanted => guest::Quiesce::Unwanted,
    }
}

pub fn closing(closing: Closing) -> guest::Closing {
    match closing {
        Closing::KeepMarkers => guest::Closing::KeepMarkers,
        Closing::DiscardMarkers => guest::Closing::DiscardMarkers,
    }
}

pub fn findings(given: Vec<guest::Finding>) -> Result<Vec<Finding>, Fault> {
    list(given, "findings", |finding| {
        let severity = match finding.severity {
            guest::Severity::Info => Severity::Info,
            guest::Severity::Warning => Severity::Warning,
            guest::Severity::Blocking => Severity::Blocking,
        };
        let code = name(finding.code, "finding code")?;
        if !code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(Fault::corrupt(format!("the plugin gave {code:?} as the code of a finding")));
        }
        Ok(Finding {
            code,
            severity,
            subject: text(finding.subject, "subject")?,
            message: text(finding.message, "message")?,
            remedy: text(finding.remedy, "remedy")?,
        })
    })
}

pub fn definition(given: machine::VmDefinition) -> Result<VmDefinition, Fault> {
    if given.cpus == 0 || given.memory_mib == 0 {
        return Err(Fault::corrupt("the plugin gave a VM without processors or memory"));
    }
    let disks = list(given.disks, "disks", |place| {
        Ok(DiskPlace {
            disk: DiskId(name(place.disk, "disk id")?),
            controller: text(place.controller, "controller")?,
            controller_number: place.controller_number,
            unit: place.unit,
        })
    })?;
    unique(disks.iter().map(|place| &place.disk))?;
    Ok(VmDefinition {
        name: text(given.name, "VM name")?,
        cpus: given.cpus,
        memory_mib: given.memory_mib,
        firmware: match given.firmware {
            machine::Firmware::Bios => Firmware::Bios,
            machine::Firmware::Efi => Firmware::Efi,
        },
        secure_boot: given.secure_boot,
        guest_os: text(given.guest_os, "guest system")?,
        nics: list(given.nics, "network cards", |nic| {
            Ok(Nic {
                label: text(nic.label, "label")?,
                mac: text(nic.mac, "MAC address")?,
                network: text(nic.network, "network")?,
                model: text(nic.model, "model")?,
                connected: nic.connected,
            })
        })?,
        disks,
    })
}

pub fn placement(given: guest::VmPlacement) -> Result<Placement, Fault> {
    let datastores: Vec<Datastore> = list(given.datastores, "datastores", |datastore| {
        if datastore.free > datastore.capacity {
            return Err(Fault::corrupt(format!("datastore {} has more free space than space", datastore.name)));
        }
        Ok(Datastore {
            id: name(datastore.id, "datastore id")?,
            name: text(datastore.name, "datastore name")?,
            free: datastore.free,
            capacity: datastore.capacity,
            snapshot_bytes: datastore.snapshot_bytes,
        })
    })?;
    let disks: Vec<DiskHome> = list(given.disks, "disks", |home| match &home.datastore {
        Some(id) if !datastores.iter().any(|datastore| datastore.id == *id) => {
            Err(Fault::corrupt(format!("disk {} lies on datastore {id:?}, which the plugin does not describe", home.disk)))
        }
        _ => Ok(DiskHome { disk: DiskId(name(home.disk, "disk id")?), datastore: home.datastore }),
    })?;
    unique(disks.iter().map(|home| &home.disk))?;
    Ok(Placement { host: text(given.host, "host")?, datastores, disks })
}

/// The end that this call can have, or when to ask again; any other end is `corrupt`.
pub fn outcome<T>(given: guest::Outcome, call: &str, fits: impl FnOnce(Ended) -> Option<T>) -> Result<Outcome<T>, Fault> {
    let ended = match given {
        guest::Outcome::Pending(pending) => {
            let poll_after = Duration::from_millis(pending.poll_after_ms.into()).clamp(POLL_AFTER.0, POLL_AFTER.1);
            return Ok(Outcome::Pending { operation: name(pending.operation, "operation token")?, poll_after });
        }
        guest::Outcome::Opened(opened) => {
            Ended::Opened(OpenedSnapshot { token: SnapshotToken(name(opened.token, "snapshot token")?), quiesced: opened.quiesced })
        }
        guest::Outcome::Closed(markers) => Ended::Closed(list(markers, "markers", disk_marker)?),
        guest::Outcome::Power(state) => Ended::Power(power_state(state)),
        guest::Outcome::Done => Ended::Done,
    };
    let misfit = || Fault::corrupt(format!("the plugin answered {call} with an outcome that belongs to another call"));
    fits(ended).map(Outcome::Done).ok_or_else(misfit)
}

fn disk_marker(given: guest::DiskMarker) -> Result<DiskMarker, Fault> {
    Ok(DiskMarker { disk: DiskId(name(given.disk, "disk id")?), marker: Marker(name(given.marker, "marker")?) })
}

pub fn markers(markers: &[DiskMarker]) -> Vec<guest::DiskMarker> {
    markers.iter().map(|one| guest::DiskMarker { disk: one.disk.0.clone(), marker: one.marker.0.clone() }).collect()
}

pub fn tokens(given: Vec<String>) -> Result<Vec<SnapshotToken>, Fault> {
    list(given, "snapshots", |token| Ok(SnapshotToken(name(token, "snapshot token")?)))
}

pub fn snapshot_disks(given: Vec<guest::SnapshotDisk>) -> Result<Vec<SnapshotDisk>, Fault> {
    let disks = list(given, "disks", |disk| {
        let id = DiskId(name(disk.id, "disk id")?);
        // Such a disk's cells are not whole, so their digests could not be compared; reading it as a whole would read what is not there.
        if disk.readable == guest::ReadablePart::ChangesOnly {
            return Err(Fault::unsupported(format!("the source can give disk {id} only as changes, and this version copies whole cells")));
        }
        Ok(SnapshotDisk {
            label: text(disk.label, "label")?,
            fingerprint: name(disk.fingerprint, "disk fingerprint")?,
            size: DiskSize::new(disk.size).map_err(|fault| Fault::corrupt(format!("disk {id}: {}", fault.message)))?,
            marker: disk.marker.map(|marker| name(marker, "marker").map(Marker)).transpose()?,
            id,
        })
    })?;
    unique(disks.iter().map(|disk| &disk.id))?;
    Ok(disks)
}

pub fn changes(given: guest::Changes, cursor: Option<&str>) -> Result<Changes, Fault> {
    let page = match given {
        guest::Changes::Resync(reason) => {
            return Ok(Changes::Resync(ResyncReason { code: name(reason.code, "reason")?, message: text(reason.message, "message")? }));
        }
        guest::Changes::Page(page) => page,
    };
    let covers = Extent::new(page.covers.offset, page.covers.length);
    let inside_a_disk = covers.offset.checked_add(covers.length).is_some_and(|end| end <= DiskSize::MAX);
    if covers.length == 0 || !inside_a_disk {
        return Err(Fault::corrupt(format!("a page of changes covers {}+{}, which is no part of a disk", covers.offset, covers.length)));
    }
    if cursor.is_none() != (covers.offset == 0) {
        return Err(Fault::corrupt(format!("a page of changes starts at {}: only the first one starts at 0", covers.offset)));
    }
    let extents = list(page.extents, "extents", |extent| Ok(Extent::new(extent.offset, extent.length)))?;
    check_extents(&extents, covers)?;
    Ok(Changes::Page(ChangedPage { covers, extents, next: next(page.next, cursor)? }))
}

// ---- sink ---------------------------------------------------------------------------------------------------------------------------

/// Keys are the host's own, so a wrong one is the host's mistake: `invalid`.
pub fn check_key(key: &str) -> Result<(), Fault> {
    match is_key(key) {
        true => Ok(()),
        false => Err(Fault::invalid(format!("{key:?} is no object key"))),
    }
}

fn is_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(plain) && key.split('/').all(|part| !["", ".", ".."].contains(&part))
}

pub fn sink_description(given: store::Description) -> Result<SinkDescription, Fault> {
    if given.object_bytes_max == 0 {
        return Err(Fault::corrupt("the plugin says that objects cannot hold a single byte"));
    }
    let create = match given.create {
        store::CreateGuarantee::Atomic => CreateGuarantee::Atomic,
        store::CreateGuarantee::Advisory => CreateGuarantee::Advisory,
    };
    Ok(SinkDescription { product: text(given.product, "product")?, create, object_bytes_max: given.object_bytes_max })
}

pub fn entries_page(given: store::EntriesPage, prefix: &str, cursor: Option<&str>) -> Result<EntriesPage, Fault> {
    let entries = list(given.entries, "entries", |entry| Ok(Entry { key: entry.key, size: entry.size }))?;
    if let Some(entry) = entries.iter().find(|entry| !entry.key.starts_with(prefix) || entry.key.len() > KEY_BYTES_MAX) {
        return Err(Fault::corrupt(format!("the plugin listed {:?} below {prefix:?}", entry.key)));
    }
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].key.as_bytes() >= pair[1].key.as_bytes()) {
        return Err(Fault::corrupt(format!("the plugin listed {:?} before {:?}", pair[0].key, pair[1].key)));
    }
    Ok(EntriesPage { entries, next: next(given.next, cursor)? })
}

#[cfg(test)]
mod tests;
