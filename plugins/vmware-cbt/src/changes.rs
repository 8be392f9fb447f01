//! What changed since a marker: one reply of `QueryChangedDiskAreas` is one page.
//!
//! ```text
//!   marker = UUID / sequence          UUID differs ─▶ the tracker started anew ─▶ resync
//!
//!   offset 0 ──▶ reply covers [0, a) ──▶ cursor a ──▶ reply covers [a, b) ──▶ … ──▶ size
//!                  at most some 2,000 areas; none at all is an answer too
//! ```
//!
//! The next offset is the reply's own start plus its length. A reply that makes no progress, or that speaks of another place than the
//! one asked about, is `corrupt`: peers have lost data by believing such replies.

use transload_guest::fault::Fault;
use transload_guest::http::Extent;
use transload_guest::source::{ChangedPage, Changes, ReadablePart, SnapshotDisk};
use transload_guest::xml::Element;

use crate::devices::{self, Disk};
use crate::moref::Moref;
use crate::session::Vcenter;
use crate::soap::{Call, Refusal};
use crate::tokens::{self, AreasCursor, SnapshotToken};
use crate::vm::INSTANCE_UUID;

/// The disks as the snapshot froze them.
pub fn frozen_disks(vcenter: &Vcenter<'_>, token: &SnapshotToken) -> Result<Vec<Disk>, Fault> {
    let doing = format!("read the disks in snapshot {} of {}", token.tag, vcenter.called(&token.vm));
    let snapshot = Moref::new("VirtualMachineSnapshot", &token.snapshot);
    let object = vcenter.read(&doing, &snapshot, &["config.hardware.device", INSTANCE_UUID])?;
    if let Some(uuid) = object.text(INSTANCE_UUID)
        && !uuid.eq_ignore_ascii_case(&token.uuid)
    {
        return Err(Fault::conflict(format!("{} is a snapshot of another VM now ({uuid}, not {}).", token.snapshot, token.uuid)));
    }
    devices::disks(object.items("config.hardware.device"))
}

pub fn disks(vcenter: &Vcenter<'_>, token: &SnapshotToken) -> Result<Vec<SnapshotDisk>, Fault> {
    let disks = frozen_disks(vcenter, token)?.into_iter().map(|disk| SnapshotDisk {
        fingerprint: disk.fingerprint(),
        id: disk.id,
        label: disk.label,
        size: disk.size,
        marker: disk.backing.change_id,
        readable: ReadablePart::WholeDisk,
    });
    Ok(disks.collect())
}

/// One of the disks as the snapshot froze them.
pub fn frozen_disk(vcenter: &Vcenter<'_>, token: &SnapshotToken, id: &str) -> Result<Disk, Fault> {
    let found = frozen_disks(vcenter, token)?.into_iter().find(|disk| disk.id == id);
    found.ok_or_else(|| Fault::not_found(format!("Snapshot {} of {} has no disk {id}.", token.tag, vcenter.called(&token.vm))))
}

pub fn changed(vcenter: &Vcenter<'_>, token: &SnapshotToken, disk: &str, since: &str, cursor: Option<&str>) -> Result<Changes, Fault> {
    let at = match cursor {
        Some(cursor) => tokens::read::<AreasCursor>(cursor)?,
        None => {
            let disk = frozen_disk(vcenter, token, disk)?;
            if let Some(resync) = distrust(since, disk.backing.change_id.as_deref(), &disk.label) {
                return Ok(resync);
            }
            AreasCursor { offset: 0, key: disk.key, size: disk.size }
        }
    };
    if at.offset >= at.size {
        // vCenter answers InvalidArgument there, and there is nothing to ask.
        return Err(Fault::invalid(format!("The cursor stands at {}, and the disk ends at {}.", at.offset, at.size)));
    }
    let doing = format!("say what changed on disk {} of {}", at.key, vcenter.called(&token.vm));
    let call = Call::new("QueryChangedDiskAreas", &Moref::vm(&token.vm))
        .object("snapshot", &Moref::new("VirtualMachineSnapshot", &token.snapshot))
        .number("deviceKey", at.key)
        .number("startOffset", at.offset)
        .text("changeId", since);
    match vcenter.call(&doing, |_| call.clone()) {
        Ok(reply) => page(reply.child("returnval"), &at).map(Changes::Page),
        Err(refusal) if cannot_say(&refusal) => Ok(Changes::Resync {
            code: "marker-unknown",
            message: format!("vCenter knows nothing about the marker {since} any more: {}", Fault::from(refusal).message),
        }),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Judges the two markers before vCenter is asked: newer versions answer questions about a broken tracker without an error.
fn distrust(since: &str, now: Option<&str>, label: &str) -> Option<Changes> {
    let resync = |code, message: String| Some(Changes::Resync { code, message });
    let Some((since_uuid, since_sequence)) = split(since) else {
        return resync("marker-unknown", format!("\"{since}\" is no marker of change tracking."));
    };
    let Some((now_uuid, now_sequence)) = now.and_then(split) else {
        return resync("tracking-reset", format!("Change tracking is not active on {label}."));
    };
    if !since_uuid.eq_ignore_ascii_case(now_uuid) {
        return resync("tracking-reset", format!("Change tracking of {label} started anew since the last cycle."));
    }
    if since_sequence > now_sequence {
        return resync("marker-unknown", format!("{label} went back to an earlier state: its marker is older than the last cycle's."));
    }
    None
}

/// "52 de c0 …/81" as UUID and sequence.
fn split(marker: &str) -> Option<(&str, u64)> {
    let (uuid, sequence) = marker.rsplit_once('/')?;
    Some((uuid, sequence.parse().ok()?)).filter(|(uuid, _)| !uuid.is_empty())
}

fn cannot_say(refusal: &Refusal) -> bool {
    let Refusal::Soap(fault) = refusal else { return false };
    match fault.kind.as_str() {
        "FileFault" | "FileNotFound" | "CannotAccessFile" => true,
        "InvalidArgument" => fault.detail.text_of("invalidProperty") == Some("changeId"),
        _ => false,
    }
}

fn page(reply: Option<&Element>, at: &AreasCursor) -> Result<ChangedPage, Fault> {
    let strange = |what: &str| Fault::corrupt(format!("vCenter's answer about changes from {} on {what}.", at.offset));
    let reply = reply.ok_or_else(|| strange("is empty"))?;
    let number = |element: &Element, name: &str| element.text_of(name).and_then(|text| text.parse::<i64>().ok());
    let start = number(reply, "startOffset").ok_or_else(|| strange("does not say where it starts"))?;
    let length = number(reply, "length").ok_or_else(|| strange("does not say how far it reaches"))?;
    if u64::try_from(start).ok() != Some(at.offset) {
        return Err(strange(&format!("starts at {start}")));
    }
    let length = u64::try_from(length).ok().filter(|length| *length > 0).ok_or_else(|| strange(&format!("has the length {length}")))?;
    let end = at.offset.saturating_add(length).min(at.size);
    let mut areas = Vec::new();
    for area in reply.children_named("changedArea") {
        let start = number(area, "start").and_then(|start| u64::try_from(start).ok());
        let length = number(area, "length").and_then(|length| u64::try_from(length).ok());
        let (Some(start), Some(length)) = (start, length) else { return Err(strange("has an area without a place")) };
        let area = Extent::new(start, length);
        if start < at.offset || area.end().min(at.size) > end {
            return Err(strange(&format!("has an area of {length} bytes at {start}, which it does not cover")));
        }
        areas.push(area);
    }
    let next = AreasCursor { offset: end, ..at.clone() };
    Ok(ChangedPage {
        covers: Extent::new(at.offset, end - at.offset),
        extents: merged(areas, end),
        next: (end < at.size).then(|| tokens::write(&next)),
    })
}

/// Sorted, clipped at `end`, and without two that touch.
fn merged(mut areas: Vec<Extent>, end: u64) -> Vec<Extent> {
    areas.sort_by_key(|area| area.offset);
    let mut merged: Vec<Extent> = Vec::new();
    for area in areas {
        let stop = area.end().min(end);
        if stop <= area.offset {
            continue;
        }
        match merged.last_mut() {
            Some(last) if last.end() >= area.offset => last.length = last.end().max(stop) - last.offset,
            _ => merged.push(Extent::new(area.offset, stop - area.offset)),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
