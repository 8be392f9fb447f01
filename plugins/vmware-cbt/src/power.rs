//! Power: on, off, and the polite way down.

use transload_guest::fault::Fault;
use transload_guest::source::{Outcome, PowerAction, PowerState, VmRef};

use crate::moref::Moref;
use crate::session::Vcenter;
use crate::soap::Call;
use crate::tasks::TaskState;
use crate::tokens::{self, Operation, Work};
use crate::vm::power_state;

const POLL_MS: u32 = 1000;

pub fn bring(vcenter: &Vcenter<'_>, vm: &VmRef, action: PowerAction) -> Result<Outcome, Fault> {
    let now = now(vcenter, vm, action)?;
    if now == wanted(action) {
        return Ok(Outcome::Power(now));
    }
    let this = Moref::vm(&vm.id);
    match action {
        PowerAction::On => start(vcenter, vm, action, &Call::new("PowerOnVM_Task", &this)),
        PowerAction::Off => start(vcenter, vm, action, &Call::new("PowerOffVM_Task", &this)),
        PowerAction::Shutdown if now == PowerState::Suspended => {
            Err(Fault::conflict(format!("{} is suspended; nothing runs in it that could shut down.", vcenter.called(&vm.id))))
        }
        PowerAction::Shutdown => {
            // There is no task: the guest was asked, and the state tells when it is done.
            match vcenter.call(&doing(vcenter, vm, action), |_| Call::new("ShutdownGuest", &this)) {
                Ok(_) => Ok(pending(vm, action, None)),
                Err(refusal) if refusal.is("TaskInProgress") => Ok(pending(vm, action, None)),
                Err(refusal) if refusal.is("ToolsUnavailable") => Err(Fault::unsupported(format!(
                    "VMware Tools do not run in {}, so its guest cannot be asked to shut down: shut it down from inside, or power it off.",
                    vcenter.called(&vm.id)
                ))),
                Err(refusal) => Err(refusal.into()),
            }
        }
    }
}

pub fn poll(vcenter: &Vcenter<'_>, vm: &VmRef, action: PowerAction, task: Option<&str>) -> Result<Outcome, Fault> {
    let ended = match task {
        Some(task) => vcenter.task(&doing(vcenter, vm, action), task)?,
        None => TaskState::Succeeded,
    };
    if ended == TaskState::Running {
        return Ok(pending(vm, action, task.map(str::to_owned)));
    }
    let now = now(vcenter, vm, action)?;
    match ended {
        _ if now == wanted(action) => Ok(Outcome::Power(now)),
        TaskState::Failed(fault) => Err(fault.explain()),
        // The task is over and the state lags behind, or a guest is still on its way down.
        TaskState::Succeeded => Ok(pending(vm, action, None)),
        _ => Err(Fault::unavailable(format!("vCenter forgot that it was to {}; ask again.", doing(vcenter, vm, action)))),
    }
}

fn start(vcenter: &Vcenter<'_>, vm: &VmRef, action: PowerAction, call: &Call) -> Result<Outcome, Fault> {
    let task = vcenter.start(&doing(vcenter, vm, action), call)?;
    Ok(pending(vm, action, Some(task)))
}

fn now(vcenter: &Vcenter<'_>, vm: &VmRef, action: PowerAction) -> Result<PowerState, Fault> {
    power_state(&vcenter.proven(vm, &doing(vcenter, vm, action), &["runtime.powerState"])?)
}

fn wanted(action: PowerAction) -> PowerState {
    match action {
        PowerAction::On => PowerState::On,
        PowerAction::Off | PowerAction::Shutdown => PowerState::Off,
    }
}

fn doing(vcenter: &Vcenter<'_>, vm: &VmRef, action: PowerAction) -> String {
    let vm = vcenter.called(&vm.id);
    match action {
        PowerAction::On => format!("power {vm} on"),
        PowerAction::Off => format!("power {vm} off"),
        PowerAction::Shutdown => format!("shut the guest of {vm} down"),
    }
}

fn pending(vm: &VmRef, action: PowerAction, task: Option<String>) -> Outcome {
    Outcome::Pending { operation: tokens::write(&Operation::of(vm, Work::Power { action, task })), poll_after_ms: POLL_MS }
}

#[cfg(test)]
mod tests {
    use transload_guest::fault::FaultKind;
    use transload_guest::source::Source;

    use super::*;
    use crate::script::{Scene, prop, task, vm, vm_ref};

    const TASK: &str = r#"<returnval type="Task">task-1</returnval>"#;
    const STATE: &str = "RetrievePropertiesEx:runtime.powerState";
    const INFO: &str = "RetrievePropertiesEx:<pathSet>info<";

    fn is(state: &str) -> String {
        vm(&prop("runtime.powerState", state))
    }

    fn start(scene: &Scene, action: PowerAction) -> Result<Outcome, Fault> {
        scene.run(|vcenter| vcenter.power(&vm_ref(), action))
    }

    fn poll(scene: &Scene, outcome: Result<Outcome, Fault>) -> Result<Outcome, Fault> {
        let Ok(Outcome::Pending { operation, .. }) = outcome else { panic!("{outcome:?} is not pending") };
        scene.run(|vcenter| vcenter.poll(&operation))
    }

    #[test]
    fn a_vm_that_is_there_already_is_left_alone() {
        let scene = Scene::new().on(STATE, &is("poweredOff"));
        assert_eq!(start(&scene, PowerAction::Off), Ok(Outcome::Power(PowerState::Off)));
        assert_eq!(start(&scene, PowerAction::Shutdown), Ok(Outcome::Power(PowerState::Off)));
    }

    #[test]
    fn a_guest_on_its_way_down_is_pending_until_it_is_off() {
        let scene =
            Scene::new().on(STATE, &is("poweredOn")).on(STATE, &is("poweredOn")).on(STATE, &is("poweredOff")).on("ShutdownGuest", "");
        let asked = start(&scene, PowerAction::Shutdown);
        let still = poll(&scene, asked);
        assert_eq!(poll(&scene, still), Ok(Outcome::Power(PowerState::Off)));
        assert_eq!(scene.count("ShutdownGuest"), 1);
    }

    #[test]
    fn a_guest_without_tools_is_never_unplugged_instead() {
        let scene = Scene::new().on(STATE, &is("poweredOn")).fails("ShutdownGuest", "ToolsUnavailable");
        assert_eq!(start(&scene, PowerAction::Shutdown).unwrap_err().kind, FaultKind::Unsupported);
        assert_eq!(scene.count("PowerOffVM_Task"), 0);
    }

    #[test]
    fn a_task_that_failed_is_judged_by_the_state_first() {
        let lost = Scene::new().on(STATE, &is("poweredOff")).on(STATE, &is("poweredOn")).on("PowerOnVM_Task", TASK);
        let lost = lost.on(INFO, &task("error", "InvalidPowerState"));
        let started = start(&lost, PowerAction::On);
        assert_eq!(poll(&lost, started), Ok(Outcome::Power(PowerState::On)), "somebody else switched it on");
        let failed =
            Scene::new().on(STATE, &is("poweredOff")).on("PowerOnVM_Task", TASK).on(INFO, &task("error", "InsufficientResourcesFault"));
        let started = start(&failed, PowerAction::On);
        assert!(poll(&failed, started).is_err());
    }
}
