//! Changed block tracking: switching it on, and starting it anew.
//!
//! ```text
//!   enable:  clear ─▶ set(true) ─▶ stun ─▶ unstun ─▶ done
//!   reset:   clear ─▶ set(false) ─▶ stun ─▶ unstun ─▶ set(true) ─▶ stun ─▶ unstun ─▶ done
//! ```
//!
//! `clear` removes a stun snapshot that a lost reply left: nothing may be set while one stands.
//!
//! The setting becomes live only when the VM's disks are opened anew; creating and removing a snapshot does that while it runs.
//! Each step looks first whether it is done already, so that a step whose reply was lost is not done twice.

use transload_guest::fault::Fault;
use transload_guest::source::{Outcome, VmRef};

use crate::moref::Moref;
use crate::session::Vcenter;
use crate::snapshots::{self, Snapshot};
use crate::soap::Call;
use crate::tasks::TaskState;
use crate::tokens::{self, Goal, Operation, Work};

const POLL_MS: u32 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Set(bool),
    Stun,
    Unstun,
}

fn steps(goal: Goal) -> &'static [Step] {
    match goal {
        Goal::Enable => &[Step::Unstun, Step::Set(true), Step::Stun, Step::Unstun],
        Goal::Reset => &[Step::Unstun, Step::Set(false), Step::Stun, Step::Unstun, Step::Set(true), Step::Stun, Step::Unstun],
    }
}

/// The VM as each step finds it.
struct Seen {
    enabled: bool,
    supported: bool,
    stun: Option<Snapshot>,
    others: Vec<Snapshot>,
}

pub fn enable(vcenter: &Vcenter<'_>, vm: &VmRef) -> Result<Outcome, Fault> {
    let seen = refuse_unless_free(vcenter, vm)?;
    match (seen.stun, seen.enabled) {
        // An earlier call got as far as this snapshot.
        (Some(_), true) => advance(vcenter, vm, Goal::Enable, 3),
        (None, true) => Ok(Outcome::Done),
        (_, false) => advance(vcenter, vm, Goal::Enable, 0),
    }
}

pub fn reset(vcenter: &Vcenter<'_>, vm: &VmRef) -> Result<Outcome, Fault> {
    // Always from the start: what an earlier call left half done cannot be told from what `enable` leaves.
    refuse_unless_free(vcenter, vm)?;
    advance(vcenter, vm, Goal::Reset, 0)
}

pub fn poll(vcenter: &Vcenter<'_>, vm: &VmRef, goal: Goal, step: usize, task: Option<&str>) -> Result<Outcome, Fault> {
    let Some(task) = task else { return advance(vcenter, vm, goal, step) };
    match vcenter.task(&doing(vcenter, vm, goal), task)? {
        TaskState::Running => Ok(pending(vm, goal, step, Some(task.to_owned()))),
        TaskState::Succeeded => advance(vcenter, vm, goal, step + 1),
        TaskState::Forgotten => advance(vcenter, vm, goal, step),
        TaskState::Failed(fault) if fault.kind == "TaskInProgress" => Ok(pending(vm, goal, step, None)),
        TaskState::Failed(fault) => Err(fault.explain()),
    }
}

/// Does the first step from `step` on that is not done yet.
fn advance(vcenter: &Vcenter<'_>, vm: &VmRef, goal: Goal, step: usize) -> Result<Outcome, Fault> {
    let seen = see(vcenter, vm, &doing(vcenter, vm, goal))?;
    let all = steps(goal);
    let mut at = step.min(all.len());
    while let Some(next) = all.get(at) {
        let call = match next {
            Step::Set(wanted) if seen.enabled == *wanted => None,
            Step::Set(wanted) => {
                Some(Call::new("ReconfigVM_Task", &Moref::vm(&vm.id)).within("spec", |call| call.flag("changeTrackingEnabled", *wanted)))
            }
            Step::Stun if seen.stun.is_some() => None,
            Step::Stun => Some(
                Call::new("CreateSnapshot_Task", &Moref::vm(&vm.id))
                    .text("name", &stun_name(vcenter))
                    .text("description", "Made by Transload so that change tracking becomes live. It is removed at once.")
                    .flag("memory", false)
                    .flag("quiesce", false),
            ),
            Step::Unstun => seen
                .stun
                .as_ref()
                .map(|snapshot| Call::new("RemoveSnapshot_Task", &snapshot.moref).flag("removeChildren", false).flag("consolidate", true)),
        };
        if let Some(call) = call {
            return match vcenter.start(&doing(vcenter, vm, goal), &call) {
                Ok(task) => Ok(pending(vm, goal, at, Some(task))),
                Err(refusal) if refusal.is("TaskInProgress") => Ok(pending(vm, goal, at, None)),
                Err(refusal) => Err(refusal.into()),
            };
        }
        at += 1;
    }
    // What was set is read back: a host may accept the wish and not follow it.
    match seen.enabled {
        true => Ok(Outcome::Done),
        false => {
            let vm = vcenter.called(&vm.id);
            Err(Fault::unsupported(format!("vCenter accepted change tracking for {vm} but did not switch it on.")))
        }
    }
}

fn refuse_unless_free(vcenter: &Vcenter<'_>, vm: &VmRef) -> Result<Seen, Fault> {
    let seen = see(vcenter, vm, &format!("look at change tracking of {}", vcenter.called(&vm.id)))?;
    if let Some(other) = seen.others.first() {
        return Err(Fault::conflict(format!(
            "{} has the snapshot \"{}\": change tracking that is switched on over a snapshot loses changes without a word. Remove the snapshot first.",
            vcenter.called(&vm.id),
            other.name
        )));
    }
    if !seen.supported {
        let vm = vcenter.called(&vm.id);
        return Err(Fault::unsupported(format!("{vm} cannot track changed blocks: its hardware version or its host is too old.")));
    }
    Ok(seen)
}

fn see(vcenter: &Vcenter<'_>, vm: &VmRef, doing: &str) -> Result<Seen, Fault> {
    let paths = ["config.changeTrackingEnabled", "capability.changeTrackingSupported", "snapshot"];
    let object = vcenter.proven(vm, doing, &paths)?;
    let ours = stun_name(vcenter);
    let (stun, others): (Vec<_>, Vec<_>) =
        snapshots::all(object.element("snapshot")).into_iter().partition(|snapshot| snapshot.name == ours);
    Ok(Seen {
        enabled: object.flag("config.changeTrackingEnabled") == Some(true),
        supported: object.flag("capability.changeTrackingSupported") != Some(false),
        stun: stun.into_iter().next(),
        others,
    })
}

fn stun_name(vcenter: &Vcenter<'_>) -> String {
    format!("{}change-tracking", vcenter.settings.tag_prefix)
}

fn doing(vcenter: &Vcenter<'_>, vm: &VmRef, goal: Goal) -> String {
    let vm = vcenter.called(&vm.id);
    match goal {
        Goal::Enable => format!("switch change tracking on for {vm}"),
        Goal::Reset => format!("start change tracking of {vm} anew"),
    }
}

fn pending(vm: &VmRef, goal: Goal, step: usize, task: Option<String>) -> Outcome {
    let work = Work::Track { goal, step, task };
    Outcome::Pending { operation: tokens::write(&Operation::of(vm, work)), poll_after_ms: POLL_MS }
}

#[cfg(test)]
mod tests;
