//! Opening a snapshot, once per tag however often it is asked for.
//!
//! ```text
//!   a create task runs? ─yes─▶ pending(that task)
//!      │ no                                            poll: task ended
//!   our tag stands in the tree? ─yes─▶ opened             │ tag in the tree ─▶ opened
//!      │ no                                               │ the guest could not quiesce ─▶ create again, crash-consistent
//!   another snapshot stands there? ─yes─▶ conflict        │ it was another's task ─▶ from the top
//!      │ no                                               ▼ failed ─▶ fault
//!   CreateSnapshot_Task ─▶ pending(task)
//! ```
//!
//! Tasks are looked at before the tree: a task that ends in between has its snapshot in the tree by then.

use transload_guest::fault::Fault;
use transload_guest::source::{Opened, Outcome, Quiesce, VmRef};

use crate::moref::Moref;
use crate::session::Vcenter;
use crate::settings::Quiescing;
use crate::snapshots::Snapshot;
use crate::soap::{Call, SoapFault};
use crate::tasks::TaskState;
use crate::tokens::{self, Asking, Operation, Origin, SnapshotToken, Work};

const POLL_MS: u32 = 500;

pub fn open(vcenter: &Vcenter<'_>, vm: &VmRef, tag: &str, quiesce: Quiesce) -> Result<Outcome, Fault> {
    let asking = match (quiesce, vcenter.settings.quiesce) {
        (Quiesce::Unwanted, _) | (_, Quiescing::Never) => Asking::CrashConsistent,
        (Quiesce::Wanted, Quiescing::Require) => Asking::Required,
        (Quiesce::Wanted, Quiescing::Fallback) => Asking::Quiesced,
    };
    begin(vcenter, vm, tag, asking)
}

/// Tokens of this VM's snapshots whose name starts with `prefix`.
pub fn leftovers(vcenter: &Vcenter<'_>, vm: &VmRef, prefix: &str) -> Result<Vec<String>, Fault> {
    let ours = vcenter.snapshots(vm)?.into_iter().filter(|snapshot| snapshot.name.starts_with(prefix));
    Ok(ours.map(|snapshot| token(vm, &snapshot)).collect())
}

pub fn poll(vcenter: &Vcenter<'_>, vm: &VmRef, tag: &str, task: &str, asking: Asking, origin: Origin) -> Result<Outcome, Fault> {
    let ended = match vcenter.task(&doing(vcenter, vm), task)? {
        TaskState::Running => return Ok(pending(vm, tag, task, asking, origin)),
        ended => ended,
    };
    if let Some(snapshot) = named(&vcenter.snapshots(vm)?, tag) {
        return Ok(opened(vm, &snapshot, asking));
    }
    match (ended, origin) {
        (_, Origin::Met) => begin(vcenter, vm, tag, asking),
        (TaskState::Failed(fault), Origin::Ours) if asking == Asking::Quiesced && guest_could_not(&fault) => {
            begin(vcenter, vm, tag, Asking::CrashConsistent)
        }
        (TaskState::Failed(fault), Origin::Ours) => Err(fault.explain()),
        _ => {
            let vm = vcenter.called(&vm.id);
            Err(Fault::not_found(format!("The snapshot {tag} of {vm} is gone: somebody removed it after it was made.")))
        }
    }
}

fn begin(vcenter: &Vcenter<'_>, vm: &VmRef, tag: &str, asking: Asking) -> Result<Outcome, Fault> {
    if let Some(task) = vcenter.running_task(vm, "VirtualMachine.createSnapshot")? {
        return Ok(pending(vm, tag, &task, asking, Origin::Met));
    }
    let standing = vcenter.snapshots(vm)?;
    if let Some(snapshot) = named(&standing, tag) {
        return Ok(opened(vm, &snapshot, asking));
    }
    if let Some(other) = standing.first() {
        let whose = if other.name.starts_with(&vcenter.settings.tag_prefix) { "an earlier one of this agent" } else { "not this agent's" };
        return Err(Fault::conflict(format!(
            "{} has the snapshot \"{}\" already ({whose}); on top of it the frozen disk would be a chain of files that cannot be read.",
            vcenter.called(&vm.id),
            other.name
        )));
    }
    let call = Call::new("CreateSnapshot_Task", &Moref::vm(&vm.id))
        .text("name", tag)
        .text("description", "Made by Transload to replicate this VM. It is removed by itself; remove it if Transload is gone.")
        .flag("memory", false)
        .flag("quiesce", asking != Asking::CrashConsistent);
    let task = vcenter.start(&doing(vcenter, vm), &call)?;
    Ok(pending(vm, tag, &task, asking, Origin::Ours))
}

fn doing(vcenter: &Vcenter<'_>, vm: &VmRef) -> String {
    format!("open a snapshot of {}", vcenter.called(&vm.id))
}

fn named(snapshots: &[Snapshot], tag: &str) -> Option<Snapshot> {
    snapshots.iter().find(|snapshot| snapshot.name == tag).cloned()
}

/// Quiesced only if it was asked for and vCenter says so: it ignores the wish without a word when the tools are absent.
fn opened(vm: &VmRef, snapshot: &Snapshot, asking: Asking) -> Outcome {
    Outcome::Opened(Opened { token: token(vm, snapshot), quiesced: snapshot.quiesced && asking != Asking::CrashConsistent })
}

fn token(vm: &VmRef, snapshot: &Snapshot) -> String {
    tokens::write(&SnapshotToken {
        vm: vm.id.clone(),
        uuid: vm.fingerprint.clone(),
        tag: snapshot.name.clone(),
        snapshot: snapshot.moref.value.clone(),
    })
}

fn pending(vm: &VmRef, tag: &str, task: &str, asking: Asking, origin: Origin) -> Outcome {
    let work = Work::Open { tag: tag.to_owned(), task: task.to_owned(), asking, origin };
    Outcome::Pending { operation: tokens::write(&Operation::of(vm, work)), poll_after_ms: POLL_MS }
}

fn guest_could_not(fault: &SoapFault) -> bool {
    matches!(fault.kind.as_str(), "ApplicationQuiesceFault" | "FilesystemQuiesceFault" | "ToolsUnavailable")
}

#[cfg(test)]
mod tests;
