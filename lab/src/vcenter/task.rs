//! Long operations: a task object that a client polls.

use super::inventory::State;
use super::{Datacentre, knobs::Knobs};
use crate::soap::{Fault, Moref, Object, Value};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Task {
    pub id: String,
    /// For example `VirtualMachine.createSnapshot`.
    description: &'static str,
    method: &'static str,
    vm: String,
    vm_name: String,
    queued: jiff::Timestamp,
    completed: Option<jiff::Timestamp>,
    outcome: Option<Result<Option<Moref>, Fault>>,
    polls_left: u32,
}

/// How many tasks a VM lists as recent, and how many the vCenter remembers at all.
const RECENT_MAX: usize = 5;
const KEPT_MAX: usize = 1000;

/// Starts `work` on a VM as a task. Two tasks on one VM at a time are refused, as vCenter does.
pub(super) fn start<F>(
    centre: &Arc<Datacentre>,
    vm_id: &str,
    method: &'static str,
    description: &'static str,
    work: impl FnOnce(Arc<Datacentre>) -> F,
) -> Result<Value, Fault>
where
    F: Future<Output = Result<Option<Moref>, Fault>> + Send + 'static,
{
    let (planned_fault, delay) =
        centre.with_knobs(|knobs: &mut Knobs| (knobs.next_task_fault(method), Duration::from_millis(knobs.task_milliseconds)));
    let id = begin(centre, vm_id, method, description)?;
    let work = work(centre.clone());
    let (centre, vm_id, task_id) = (centre.clone(), vm_id.to_owned(), id.clone());
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let outcome = match planned_fault {
            Some(fault) => Err(named_fault(&fault)),
            None => work.await,
        };
        end(&mut centre.state(), &vm_id, &task_id, outcome);
    });
    Ok(Value::Moref(Moref::new("Task", &id)))
}

/// A task that runs until somebody ends it.
pub(super) fn begin(centre: &Datacentre, vm_id: &str, method: &'static str, description: &'static str) -> Result<String, Fault> {
    let polls_left = centre.with_knobs(|knobs| knobs.task_polls);
    let mut state = centre.state();
    let id = format!("task-{}", state.next_number());
    let vm = state.vms.get_mut(vm_id).ok_or_else(|| Fault::not_found(vm_id))?;
    if let Some(running) = &vm.busy {
        let message = "Another task is already in progress.";
        return Err(Fault::new("TaskInProgress", message).with("task", Moref::new("Task", running)));
    }
    vm.busy = Some(id.clone());
    vm.recent_tasks.insert(0, id.clone());
    vm.recent_tasks.truncate(RECENT_MAX);
    let task = Task {
        id: id.clone(),
        description,
        method,
        vm: vm_id.to_owned(),
        vm_name: vm.name.clone(),
        queued: jiff::Timestamp::now(),
        completed: None,
        outcome: None,
        polls_left,
    };
    remember(&mut state, task);
    Ok(id)
}

pub(super) fn end(state: &mut State, vm_id: &str, task_id: &str, outcome: Result<Option<Moref>, Fault>) {
    if let Some(vm) = state.vms.get_mut(vm_id) {
        vm.busy = None;
    }
    if let Some(task) = state.tasks.get_mut(task_id) {
        task.outcome = Some(outcome);
        task.completed = Some(jiff::Timestamp::now());
    }
}

fn remember(state: &mut State, task: Task) {
    state.tasks.insert(task.id.clone(), task);
    while state.tasks.len() > KEPT_MAX {
        state.tasks.pop_first();
    }
}

/// A fault that a knob names. The list is closed so that a misspelt knob is noticed.
pub(super) fn named_fault(name: &str) -> Fault {
    const KNOWN: [&str; 7] = [
        "ApplicationQuiesceFault",
        "FilesystemQuiesceFault",
        "SnapshotFault",
        "InsufficientResourcesFault",
        "NoDiskSpace",
        "GenericVmConfigFault",
        "FileLocked",
    ];
    match KNOWN.iter().find(|known| **known == name) {
        Some(known) => Fault::new(known, format!("An error occurred while the operation ran: {known}")),
        None => Fault::lab(format!("no fault of the name {name} is known; known are {KNOWN:?}")),
    }
}

impl Task {
    /// The property `info`. Each read counts as a poll.
    pub fn info(&mut self) -> Object {
        let visible = match &self.outcome {
            Some(_) if self.polls_left > 0 => {
                self.polls_left -= 1;
                None
            }
            outcome => outcome.as_ref(),
        };
        let (state, fault, result, progress) = match visible {
            None => ("running", None, None, Some(50)),
            Some(Ok(result)) => ("success", None, result.clone().map(Value::any), None),
            Some(Err(fault)) => ("error", Some(fault.localized()), None, None),
        };
        let reason = Object::subtype("TaskReasonUser").with("userName", "VSPHERE.LOCAL\\Administrator");
        Object::new("TaskInfo")
            .with("key", &self.id)
            .with("task", Moref::new("Task", &self.id))
            .with("name", self.method)
            .with("descriptionId", self.description)
            .with("entity", Moref::new("VirtualMachine", &self.vm))
            .with("entityName", &self.vm_name)
            .with("state", Value::Enum("TaskInfoState", state.to_owned()))
            .with("cancelled", false)
            .with("cancelable", false)
            .with("error", fault)
            .with("result", result)
            .with("progress", progress)
            .with("reason", reason)
            .with("queueTime", self.queued)
            .with("startTime", self.queued)
            .with("completeTime", self.completed.filter(|_| visible.is_some()))
            .with("eventChainId", 1)
    }
}
