//! vCenter's tasks: what became of one, and whether one of a kind is under way.

use transload_guest::fault::Fault;
use transload_guest::source::VmRef;
use transload_guest::xml::Element;

use crate::moref::Moref;
use crate::session::Vcenter;
use crate::soap::{Call, Refusal, SoapFault};

#[derive(Debug, Clone, PartialEq)]
pub enum TaskState {
    Running,
    Succeeded,
    Failed(Box<SoapFault>),
    /// vCenter forgets tasks some minutes after their end. What they did must be seen from the VM.
    Forgotten,
}

impl Vcenter<'_> {
    /// Starts an operation that answers with a task.
    pub fn start(&self, doing: &str, call: &Call) -> Result<String, Refusal> {
        let reply = self.call(doing, |_| call.clone())?;
        let task = reply.child("returnval").map(Element::text).filter(|task| !task.is_empty());
        task.map(str::to_owned).ok_or_else(|| Fault::corrupt(format!("vCenter started to {doing} without naming a task.")).into())
    }

    pub fn task(&self, doing: &str, task: &str) -> Result<TaskState, Fault> {
        let object = match self.read(doing, &Moref::new("Task", task), &["info"]) {
            Err(refusal) if refusal.is("ManagedObjectNotFound") => return Ok(TaskState::Forgotten),
            other => other?,
        };
        let info = object.element("info");
        let state = info.and_then(|info| info.text_of("state")).unwrap_or_default();
        Ok(match state {
            "queued" | "running" => TaskState::Running,
            "success" => TaskState::Succeeded,
            "error" => {
                let error = info.and_then(|info| info.child("error")).cloned().unwrap_or_default();
                TaskState::Failed(Box::new(self.with_object_named(SoapFault::of_task(&error, doing, &self.settings.username))))
            }
            other => return Err(Fault::corrupt(format!("vCenter reports the state {other:?} for {task}."))),
        })
    }

    /// A queued or running task of this VM, by what it does ("VirtualMachine.createSnapshot"). A lost reply leaves one behind.
    pub fn running_task(&self, vm: &VmRef, what: &str) -> Result<Option<String>, Fault> {
        let doing = format!("look for tasks of {}", self.called(&vm.id));
        let recent = self.proven(vm, &doing, &["recentTask"])?.morefs("recentTask");
        let tasks = self.read_many(&doing, "Task", &recent, &["info.descriptionId", "info.state"])?;
        let ours = tasks
            .into_iter()
            .find(|task| task.text("info.descriptionId") == Some(what) && matches!(task.text("info.state"), Some("queued" | "running")));
        Ok(ours.map(|task| task.moref.value))
    }
}
