//! What things are called in sentences: a person knows "db01" and not "vm-1001".
//!
//! ```text
//!   proven(vm) ─▶ name ─▶ remembered, one entry for all VMs ─▶ called(vm) = "db01 (vm-1001)"
//!                                                                  └ not remembered: "vm-1001"
//! ```
//!
//! Calls and tokens carry references only, so the names of VMs are kept as they pass by. A name is for sentences and decides nothing: one
//! that is forgotten, or that changed since, costs a sentence its name.

use crate::moref::Moref;
use crate::session::Vcenter;
use crate::soap::{Refusal, SoapFault};

const NAMES: &str = "names";

/// What the volatile store takes in one entry, less some room. It holds the names of some 300 VMs; the oldest are forgotten first.
const BYTES_MAX: usize = 15 << 10;

impl Vcenter<'_> {
    /// The VM of this reference: by its name and, to find it among others of that name, its reference.
    pub fn called(&self, vm: &str) -> String {
        self.known_name(vm).map_or_else(|| vm.to_owned(), |name| format!("{name} ({vm})"))
    }

    /// Losing a race costs a name, and the next call brings it again.
    pub fn remember_name(&self, vm: &str, name: &str) {
        let (version, mut names) = self.names();
        if name.is_empty() || names.iter().any(|(known, called)| known == vm && called == name) {
            return;
        }
        names.retain(|(known, _)| known != vm);
        names.push((vm.to_owned(), name.to_owned()));
        while let Ok(value) = serde_json::to_vec(&names)
            && !names.is_empty()
        {
            if value.len() <= BYTES_MAX {
                let _ = self.sessions.compare_and_set(NAMES, version, &value);
                return;
            }
            names.remove(0);
        }
    }

    fn known_name(&self, vm: &str) -> Option<String> {
        self.names().1.into_iter().find(|(known, _)| known == vm).map(|(_, name)| name)
    }

    /// References and names, those seen last at the end.
    fn names(&self) -> (Option<u64>, Vec<(String, String)>) {
        match self.sessions.get(NAMES) {
            Some(entry) => (Some(entry.version), serde_json::from_slice(&entry.value).unwrap_or_default()),
            None => (None, Vec::new()),
        }
    }

    /// A role lacks a right on an object, and whoever mends that must find the object in vCenter's client.
    pub fn with_object_named(&self, mut fault: SoapFault) -> SoapFault {
        if fault.kind == "NoPermission" {
            fault.object = fault.detail.child("object").and_then(Moref::read).map(|object| self.object_called(&object, &fault.doing));
        }
        fault
    }

    pub fn explained(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Soap(fault) => Refusal::Soap(Box::new(self.with_object_named(*fault))),
            other => other,
        }
    }

    fn object_called(&self, object: &Moref, doing: &str) -> String {
        let reference = &object.value;
        let looked_up = || {
            let found = self.read_many("read the name of an object", &object.kind, std::slice::from_ref(object), &["name"]).ok()?;
            found.first()?.text("name").map(str::to_owned).filter(|name| !name.is_empty())
        };
        match self.known_name(reference).or_else(looked_up) {
            // The sentence has the reference already.
            Some(name) if doing.contains(&format!("{name} ({reference})")) => name,
            Some(name) => format!("{name} ({reference})"),
            None => reference.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Scene, objects, prop, soap_fault_with, vm, vm_ref};
    use transload_guest::ports::Sessions;
    use transload_guest::source::{Quiesce, Source};

    const NAMED: &str = "RetrievePropertiesEx:config.instanceUuid";

    fn scene() -> Scene {
        Scene::new().on(NAMED, &vm(&prop("name", "db01")))
    }

    #[test]
    fn a_vm_is_called_by_its_reference_until_its_name_passed_by_and_by_its_new_name_afterwards() {
        let scene = scene().on(NAMED, &vm(&prop("name", "db02")));
        let look = || scene.run(|vcenter| vcenter.proven(&vm_ref(), "look", &[]).map(|_| vcenter.called("vm-1"))).unwrap();
        assert_eq!(scene.run(|vcenter| vcenter.called("vm-1")), "vm-1");
        assert_eq!(look(), "db01 (vm-1)");
        assert_eq!(look(), "db02 (vm-1)");
        assert_eq!(scene.run(|vcenter| vcenter.called("vm-10")), "vm-10", "a reference is no prefix");
    }

    #[test]
    fn the_oldest_names_are_forgotten_before_the_store_is_full() {
        let scene = Scene::new();
        let long = "é".repeat(80);
        scene.run(|vcenter| (0..300).for_each(|vm| vcenter.remember_name(&format!("vm-{vm}"), &long)));
        assert!(scene.memory.get(NAMES).unwrap().value.len() <= 16 << 10, "the store takes 16 KiB");
        assert_eq!(scene.run(|vcenter| vcenter.called("vm-299")), format!("{long} (vm-299)"));
        assert_eq!(scene.run(|vcenter| vcenter.called("vm-0")), "vm-0");
    }

    #[test]
    fn a_right_that_is_lacking_names_the_vm_once_with_its_reference() {
        let denied = "<object type='VirtualMachine'>vm-1</object><privilegeId>VirtualMachine.State.CreateSnapshot</privilegeId>";
        let scene = scene().answer("CreateSnapshot_Task", soap_fault_with("NoPermission", "no", denied));
        let fault = scene.run(|vcenter| vcenter.open_snapshot(&vm_ref(), "transload-1", Quiesce::Wanted)).unwrap_err();
        assert_eq!(
            fault.message,
            "vCenter did not open a snapshot of db01 (vm-1): svc@x lacks VirtualMachine.State.CreateSnapshot on db01. Give the account's \
             role that privilege."
        );
    }

    #[test]
    fn a_right_that_is_lacking_elsewhere_names_that_object() {
        let denied = "<object type='Datastore'>datastore-7</object><privilegeId>Datastore.AllocateSpace</privilegeId>";
        let answer = || soap_fault_with("NoPermission", "no", denied);
        let scene = scene()
            .answer("CreateSnapshot_Task", answer())
            .on("RetrievePropertiesEx:datastore-7", &objects(&[("Datastore", "datastore-7", &prop("name", "nfs01"))]));
        let fault = scene.run(|vcenter| vcenter.open_snapshot(&vm_ref(), "transload-1", Quiesce::Wanted)).unwrap_err();
        assert!(fault.message.contains("lacks Datastore.AllocateSpace on nfs01 (datastore-7)."), "{}", fault.message);
        // An object that may not even be seen keeps its reference.
        let hidden = self::scene().answer("CreateSnapshot_Task", answer()).fails("RetrievePropertiesEx:datastore-7", "NoPermission");
        let fault = hidden.run(|vcenter| vcenter.open_snapshot(&vm_ref(), "transload-1", Quiesce::Wanted)).unwrap_err();
        assert!(fault.message.contains("lacks Datastore.AllocateSpace on datastore-7."), "{}", fault.message);
    }
}
