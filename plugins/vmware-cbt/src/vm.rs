//! A VM, found and proven to be the one that was meant. Every verb starts here.

use transload_guest::fault::Fault;
use transload_guest::source::{PowerState, VmRef};

use crate::moref::Moref;
use crate::properties::Object;
use crate::session::Vcenter;
use crate::snapshots::{self, Snapshot};

pub const INSTANCE_UUID: &str = "config.instanceUuid";
const NAME: &str = "name";

impl Vcenter<'_> {
    /// Reads properties of exactly this VM, or says `conflict` when another VM answers to its reference now.
    pub fn proven(&self, vm: &VmRef, doing: &str, paths: &[&str]) -> Result<Object, Fault> {
        let mut wanted = vec![INSTANCE_UUID, NAME];
        wanted.extend(paths.iter().filter(|path| **path != NAME));
        let object = self.read(doing, &Moref::vm(&vm.id), &wanted)?;
        let found = object.text(INSTANCE_UUID).unwrap_or_default();
        if found.is_empty() || !found.eq_ignore_ascii_case(&vm.fingerprint) {
            return Err(Fault::conflict(format!(
                "{} is another VM now, {:?}: its instance UUID is {}, not {}. It was not touched.",
                self.called(&vm.id),
                object.text(NAME).unwrap_or("without a name"),
                if found.is_empty() { "unknown" } else { found },
                vm.fingerprint
            )));
        }
        self.remember_name(&vm.id, object.text(NAME).unwrap_or_default());
        Ok(object)
    }

    /// The snapshots of exactly this VM.
    pub fn snapshots(&self, vm: &VmRef) -> Result<Vec<Snapshot>, Fault> {
        let object = self.proven(vm, &format!("list the snapshots of {}", self.called(&vm.id)), &["snapshot"])?;
        Ok(snapshots::all(object.element("snapshot")))
    }
}

pub fn power_state(object: &Object) -> Result<PowerState, Fault> {
    match object.text("runtime.powerState") {
        Some("poweredOn") => Ok(PowerState::On),
        Some("poweredOff") => Ok(PowerState::Off),
        Some("suspended") => Ok(PowerState::Suspended),
        other => Err(Fault::corrupt(format!(
            "vCenter reports the power state {other:?} for {}.",
            object.text(NAME).unwrap_or(&object.moref.value)
        ))),
    }
}
