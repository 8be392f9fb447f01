//! Closing a snapshot: remove it, then consolidate what vCenter could not merge. Closed already is closed.
//!
//! ```text
//!   in the tree? ─yes─▶ RemoveSnapshot_Task ─▶ pending ─▶ (poll) look again
//!      │ no
//!   consolidationNeeded? ─yes─▶ ConsolidateVMDisks_Task ─▶ pending ─▶ (poll) look again
//!      │ no
//!   closed
//! ```
//!
//! Only this one snapshot is ever named; there is no call here that removes all.

use transload_guest::fault::{Fault, FaultKind};
use transload_guest::source::Outcome;

use crate::devices;
use crate::moref::Moref;
use crate::recall::Recall;
use crate::session::Vcenter;
use crate::snapshots;
use crate::soap::{Call, SoapFault};
use crate::tasks::TaskState;
use crate::tokens::{self, ClosePhase, Operation, SnapshotToken, Work};

/// A merge takes minutes to hours; asking more often only loads vCenter.
const POLL_MS: u32 = 1000;

pub fn close(vcenter: &Vcenter<'_>, token: &SnapshotToken) -> Result<Outcome, Fault> {
    let vm = token.vm_ref();
    let paths = ["snapshot", "runtime.consolidationNeeded", "config.hardware.device"];
    let object = match vcenter.proven(&vm, &doing(vcenter, token), &paths) {
        // The VM was deleted, and its snapshots with it.
        Err(fault) if fault.kind == FaultKind::NotFound => return Ok(Outcome::Closed(Vec::new())),
        other => other?,
    };
    // Nobody reads from it any more.
    for disk in devices::disks(object.items("config.hardware.device")).unwrap_or_default() {
        Recall::of(vcenter.sessions, token, &disk.id).forget();
    }
    let standing = snapshots::all(object.element("snapshot"));
    let by_reference = standing.iter().find(|snapshot| snapshot.moref.value == token.snapshot);
    if let Some(other) = by_reference.filter(|snapshot| snapshot.name != token.tag) {
        return Err(Fault::conflict(format!(
            "{} of {} is the snapshot \"{}\" now, not \"{}\". It was not touched.",
            token.snapshot,
            vcenter.called(&token.vm),
            other.name,
            token.tag
        )));
    }
    // A VM that was registered anew has new references; the tag is ours alone, so it still names the snapshot.
    if let Some(snapshot) = by_reference.or_else(|| standing.iter().find(|snapshot| snapshot.name == token.tag)) {
        let call = Call::new("RemoveSnapshot_Task", &snapshot.moref).flag("removeChildren", false).flag("consolidate", true);
        return started(vcenter, token, ClosePhase::Removing, &call);
    }
    if object.flag("runtime.consolidationNeeded") == Some(true) {
        let call = Call::new("ConsolidateVMDisks_Task", &Moref::vm(&token.vm));
        return started(vcenter, token, ClosePhase::Consolidating, &call);
    }
    Ok(Outcome::Closed(Vec::new()))
}

pub fn poll(vcenter: &Vcenter<'_>, token: &SnapshotToken, phase: ClosePhase, task: Option<&str>) -> Result<Outcome, Fault> {
    let Some(task) = task else { return close(vcenter, token) };
    match vcenter.task(&doing(vcenter, token), task)? {
        TaskState::Running => Ok(pending(token, phase, Some(task.to_owned()))),
        TaskState::Forgotten => close(vcenter, token),
        TaskState::Succeeded if phase == ClosePhase::Consolidating => consolidated(vcenter, token),
        TaskState::Succeeded => close(vcenter, token),
        TaskState::Failed(fault) if is_busy(&fault) => close(vcenter, token),
        // It left the tree but its files were not merged: that is what consolidation is for.
        TaskState::Failed(_) if phase == ClosePhase::Removing && !stands(vcenter, token)? => close(vcenter, token),
        TaskState::Failed(fault) => Err(fault.explain()),
    }
}

/// After a consolidation that succeeded, the flag must be down; otherwise this would go round for ever.
fn consolidated(vcenter: &Vcenter<'_>, token: &SnapshotToken) -> Result<Outcome, Fault> {
    let object = vcenter.proven(&token.vm_ref(), &doing(vcenter, token), &["runtime.consolidationNeeded"])?;
    match object.flag("runtime.consolidationNeeded") {
        Some(true) => {
            Err(Fault::unavailable(format!("{} still needs its disks consolidated after vCenter did so.", vcenter.called(&token.vm))))
        }
        _ => Ok(Outcome::Closed(Vec::new())),
    }
}

fn stands(vcenter: &Vcenter<'_>, token: &SnapshotToken) -> Result<bool, Fault> {
    let standing = vcenter.snapshots(&token.vm_ref())?;
    Ok(standing.iter().any(|snapshot| snapshot.moref.value == token.snapshot || snapshot.name == token.tag))
}

fn started(vcenter: &Vcenter<'_>, token: &SnapshotToken, phase: ClosePhase, call: &Call) -> Result<Outcome, Fault> {
    match vcenter.start(&doing(vcenter, token), call) {
        Ok(task) => Ok(pending(token, phase, Some(task))),
        Err(refusal) if refusal.is("TaskInProgress") || refusal.is("ManagedObjectNotFound") => Ok(pending(token, phase, None)),
        Err(refusal) => Err(refusal.into()),
    }
}

fn is_busy(fault: &SoapFault) -> bool {
    fault.kind == "TaskInProgress"
}

fn doing(vcenter: &Vcenter<'_>, token: &SnapshotToken) -> String {
    format!("close the snapshot {} of {}", token.tag, vcenter.called(&token.vm))
}

fn pending(token: &SnapshotToken, phase: ClosePhase, task: Option<String>) -> Outcome {
    let work = Work::Close { tag: token.tag.clone(), snapshot: token.snapshot.clone(), phase, task };
    Outcome::Pending { operation: tokens::write(&Operation::of(&token.vm_ref(), work)), poll_after_ms: POLL_MS }
}

#[cfg(test)]
mod tests;
