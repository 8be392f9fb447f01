//! The verbs of a source, one line each: which file does what, and where a token's work is taken up again.

use transload_guest::fault::Fault;
use transload_guest::http::Extent;
use transload_guest::imports::Imports;
use transload_guest::machine::VmDefinition;
use transload_guest::source::{
    ByteSource, Changes, Closing, Description, Finding, InventoryPage, Outcome, PowerAction, Quiesce, SnapshotDisk, Source, VmPlacement,
    VmRef,
};

use crate::session::Vcenter;
use crate::settings::Settings;
use crate::soap::Call;
use crate::tokens::{self, Operation, SnapshotToken, Work};
use crate::{changes, closing, definition, inventory, moref::Moref, opening, placement, power, preflight, reading, tracking};

transload_guest::export_source!(Vcenter<'static>);

/// vSphere keeps its tracking beside the disk: nothing for a marker, which is why `release_markers` is left as it is.
impl Source for Vcenter<'_> {
    fn open(settings: &str) -> Result<Self, Fault> {
        Ok(Vcenter { http: &Imports, sessions: &Imports, settings: Settings::parse(settings)? })
    }

    /// Who answers. Proves the login, for a product's name alone is told to everybody.
    fn describe(&self) -> Result<Description, Fault> {
        let product = self.in_session(|held| {
            let root = held.login.root_folder.clone();
            self.read("read the root folder", &root, &["name"])?;
            Ok(held.login.product.clone())
        })?;
        Ok(Description { product, disks_per_host_max: Some(self.settings.disks_per_host_max) })
    }

    fn inventory(&self, cursor: Option<&str>) -> Result<InventoryPage, Fault> {
        inventory::page(self, cursor)
    }

    fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault> {
        preflight::check(self, vm)
    }

    fn definition(&self, vm: &VmRef) -> Result<VmDefinition, Fault> {
        definition::read(self, vm)
    }

    fn placement(&self, vm: &VmRef) -> Result<VmPlacement, Fault> {
        placement::read(self, vm)
    }

    fn enable_tracking(&self, vm: &VmRef) -> Result<Outcome, Fault> {
        tracking::enable(self, vm)
    }

    fn reset_tracking(&self, vm: &VmRef) -> Result<Outcome, Fault> {
        tracking::reset(self, vm)
    }

    fn open_snapshot(&self, vm: &VmRef, tag: &str, quiesce: Quiesce) -> Result<Outcome, Fault> {
        opening::open(self, vm, tag, quiesce)
    }

    /// Markers are not in the snapshot: both ways of closing are one.
    fn close_snapshot(&self, token: &str, _: Closing) -> Result<Outcome, Fault> {
        closing::close(self, &tokens::read(token)?)
    }

    fn leftovers(&self, vm: &VmRef, tag_prefix: &str) -> Result<Vec<String>, Fault> {
        opening::leftovers(self, vm, tag_prefix)
    }

    fn disks(&self, token: &str) -> Result<Vec<SnapshotDisk>, Fault> {
        changes::disks(self, &tokens::read(token)?)
    }

    fn changed(&self, token: &str, disk: &str, since: &str, cursor: Option<&str>) -> Result<Changes, Fault> {
        changes::changed(self, &tokens::read(token)?, disk, since, cursor)
    }

    fn open_range(&self, token: &str, disk: &str, range: Extent) -> Result<ByteSource, Fault> {
        let lazy = reading::open_range(self, &Imports, &tokens::read(token)?, disk, range)?;
        Imports.lazy(&lazy.request, lazy.range)
    }

    fn power(&self, vm: &VmRef, action: PowerAction) -> Result<Outcome, Fault> {
        power::bring(self, vm, action)
    }

    fn poll(&self, operation: &str) -> Result<Outcome, Fault> {
        let operation: Operation = tokens::read(operation)?;
        let vm = operation.vm_ref();
        match operation.work {
            Work::Open { tag, task, asking, origin } => opening::poll(self, &vm, &tag, &task, asking, origin),
            Work::Close { tag, snapshot, phase, task } => {
                let token = SnapshotToken { vm: operation.vm, uuid: operation.uuid, tag, snapshot };
                closing::poll(self, &token, phase, task.as_deref())
            }
            Work::Track { goal, step, task } => tracking::poll(self, &vm, goal, step, task.as_deref()),
            Work::Power { action, task } => power::poll(self, &vm, action, task.as_deref()),
        }
    }

    /// Asks vCenter to give the task up. It may say that it cannot; then polling tells how it ends.
    fn cancel(&self, operation: &str) -> Result<(), Fault> {
        let task = match tokens::read::<Operation>(operation)?.work {
            Work::Open { task, .. } => Some(task),
            Work::Track { task, .. } | Work::Power { task, .. } => task,
            // A merge that is broken off leaves files for the next consolidation; there is nothing to gain.
            Work::Close { .. } => None,
        };
        let Some(task) = task else { return Ok(()) };
        match self.call("give a task up", |_| Call::new("CancelTask", &Moref::new("Task", &task))) {
            Err(refusal) if ["NotSupported", "InvalidState", "ManagedObjectNotFound"].iter().any(|kind| refusal.is(kind)) => Ok(()),
            Err(refusal) => Err(refusal.into()),
            Ok(_) => Ok(()),
        }
    }
}
