//! The properties of every managed object, built on demand as one tree per object.
//!
//! A property of the schema that an object does not have is listed as unset. A property that is not listed is one the
//! lab does not know, and asking for it is refused by name: a client must never take our ignorance for an empty value.

mod hardware;
mod inventory;
mod machine;
mod services;

pub(super) use services::{content as service_content, user_session};

use super::inventory::State;
use crate::soap::{Fault, Moref, Object, Value};

/// All properties of an object, or the fault that it is not there.
pub(super) fn of(state: &mut State, session: &str, moref: &Moref) -> Result<Object, Fault> {
    let found = match moref.kind.as_str() {
        "VirtualMachine" => state.vms.get(&moref.id).map(|vm| machine::virtual_machine(state, vm)),
        "VirtualMachineSnapshot" => state.snapshot(&moref.id).map(|(vm, snapshot)| machine::snapshot(vm, snapshot)),
        "Task" => state.tasks.get_mut(&moref.id).map(|task| Object::new("Task").with("info", task.info())),
        "HttpNfcLease" => state.leases.get(&moref.id).map(|lease| lease.object()),
        "ContainerView" => {
            state.views.get(&moref.id).map(|members| Object::new("ContainerView").with("view", Value::morefs(members.iter().cloned())))
        }
        "PropertyFilter" => state.watches.get(&moref.id).map(|_| Object::new("PropertyFilter")),
        "Folder" | "Datacenter" | "ClusterComputeResource" | "HostSystem" | "ResourcePool" | "Network" | "Datastore" => {
            inventory::object(state, moref)
        }
        _ => services::object(state, session, moref),
    };
    found.ok_or_else(|| Fault::not_found(&moref.id).with("obj", moref))
}

/// Follows a path such as `config.hardware.device`. `None`: the object has no such value.
pub(super) fn walk(object: &Object, path: &str) -> Result<Option<Value>, Fault> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let unknown = || {
        let message = format!("the lab knows no property {name} of {} (asked for {path})", object.kind);
        Fault::new("InvalidProperty", message).with("name", path)
    };
    match (object.get(name).ok_or_else(unknown)?, rest) {
        (Value::Unset, _) => Ok(None),
        (value, None) => Ok(Some(value.clone())),
        (Value::Object(inner), Some(rest)) => walk(inner, rest),
        (_, Some(_)) => Err(unknown()),
    }
}

/// Whether an object of `kind` is a `wanted`.
pub(super) fn is_a(kind: &str, wanted: &str) -> bool {
    let bases: &[&str] = match kind {
        "VirtualMachine" | "Folder" | "Datacenter" | "HostSystem" | "ResourcePool" | "Network" | "Datastore" => &["ManagedEntity"],
        "ClusterComputeResource" => &["ComputeResource", "ManagedEntity"],
        "ContainerView" => &["ManagedObjectView", "View"],
        _ => &[],
    };
    kind == wanted || wanted == "ManagedObject" || wanted == "ExtensibleManagedObject" && !bases.is_empty() || bases.contains(&wanted)
}

/// The members of a container view: everything of these kinds below a container.
pub(super) fn below(state: &State, container: &Moref, kinds: &[String], deep: bool) -> Result<Vec<Moref>, Fault> {
    inventory::below(state, container, kinds, deep)
}

/// The inventory path of the datacentre, as `/folder` wants it in `dcPath`.
pub(super) use inventory::datacenter_path;
