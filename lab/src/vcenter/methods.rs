//! The calls that the vCenter understands, each with its parameters in the order of the schema.

use super::changes::{self, Query};
use super::properties;
use super::session::Session;
use super::snapshots::{self, Children, Merge};
use super::{Datacentre, collector, lease, machines, task, updates};
use crate::soap::{Arguments, Fault, Moref, Object, Request, Value};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Fault>;

/// Calls that work without a session. Login and Logout are the caller's, because they change the cookie.
pub(super) fn anonymous(request: &Request) -> bool {
    request.method == "RetrieveServiceContent"
}

pub(super) fn retrieve_service_content(request: Request) -> Result<Option<Value>> {
    this(&request, "ServiceInstance")?;
    request.arguments.finish()?;
    Ok(Some(properties::service_content().into()))
}

/// Performs a call for a session.
pub(super) async fn perform(centre: &Arc<Datacentre>, session: &Session, request: Request) -> Result<Option<Value>> {
    if request.method == "Fetch" {
        return fetch(centre, session, request);
    }
    let this_kind = expected_this(&request.method).ok_or_else(|| Fault::unimplemented(&format!("the method {}", request.method)))?;
    this(&request, this_kind)?;
    exists(centre, session, &request.this)?;
    if let Some(privilege) = needed_privilege(&request.method) {
        centre.demand(privilege, &request.this)?;
    }
    let Request { method, this, arguments } = request;
    let key = session.key.as_str();
    let page_max = centre.with_knobs(|knobs| knobs.page_objects_max);
    match method.as_str() {
        "CurrentTime" => no_arguments(arguments).map(|()| Some(jiff::Timestamp::now().into())),
        "RetrievePropertiesEx" => collector::retrieve_ex(&mut centre.state(), key, arguments, page_max),
        "ContinueRetrievePropertiesEx" => collector::go_on(&mut centre.state(), key, arguments),
        "CancelRetrievePropertiesEx" => collector::cancel(&mut centre.state(), key, arguments),
        "RetrieveProperties" => collector::retrieve(&mut centre.state(), key, arguments),
        "CreateFilter" => updates::create_filter(&mut centre.state(), key, arguments),
        "DestroyPropertyFilter" => {
            no_arguments(arguments)?;
            centre.state().watches.remove(&this.id);
            Ok(None)
        }
        "WaitForUpdates" | "WaitForUpdatesEx" => updates::wait(centre, key, arguments).await,
        "CreateContainerView" => create_container_view(centre, arguments),
        "DestroyView" => {
            no_arguments(arguments)?;
            centre.state().views.remove(&this.id);
            Ok(None)
        }
        "HasPrivilegeOnEntities" => has_privilege_on_entities(centre, session, arguments),
        "CreateSnapshot_Task" => create_snapshot(centre, this.id, arguments),
        "RemoveSnapshot_Task" => remove_snapshot(centre, &this.id, arguments),
        "ConsolidateVMDisks_Task" => {
            no_arguments(arguments)?;
            let vm = this.id.clone();
            task::start(centre, &this.id, "ConsolidateVMDisks_Task", "VirtualMachine.consolidateDisks", |centre| {
                snapshots::consolidate(centre, vm)
            })
            .map(Some)
        }
        "ReconfigVM_Task" => reconfigure(centre, this.id, arguments),
        "PowerOnVM_Task" => power_on(centre, this.id, arguments),
        "PowerOffVM_Task" => {
            no_arguments(arguments)?;
            let vm = this.id.clone();
            task::start(centre, &this.id, "PowerOffVM_Task", "VirtualMachine.powerOff", |centre| machines::power_off(centre, vm)).map(Some)
        }
        "ShutdownGuest" => {
            no_arguments(arguments)?;
            machines::shut_down_guest(centre, &this.id).map(|()| None)
        }
        "QueryChangedDiskAreas" => query_changed_disk_areas(centre, this.id, arguments).await,
        "ExportVm" => lease::export(centre, "ExportVm", this, arguments),
        "ExportSnapshot" => lease::export(centre, "ExportSnapshot", this, arguments),
        "HttpNfcLeaseProgress" => lease::progress(centre, &this.id, arguments),
        "HttpNfcLeaseComplete" => lease::complete(centre, &this.id, arguments),
        "HttpNfcLeaseAbort" => lease::abort(centre, &this.id, arguments),
        other => Err(Fault::unimplemented(&format!("the method {other}"))),
    }
}

/// The kind of object each method is called on. A method that is not here does not exist in the lab.
fn expected_this(method: &str) -> Option<&'static str> {
    Some(match method {
        "CurrentTime" => "ServiceInstance",
        "RetrievePropertiesEx"
        | "ContinueRetrievePropertiesEx"
        | "CancelRetrievePropertiesEx"
        | "RetrieveProperties"
        | "CreateFilter"
        | "WaitForUpdates"
        | "WaitForUpdatesEx" => "PropertyCollector",
        "DestroyPropertyFilter" => "PropertyFilter",
        "CreateContainerView" => "ViewManager",
        "DestroyView" => "ContainerView",
        "HasPrivilegeOnEntities" => "AuthorizationManager",
        "RemoveSnapshot_Task" | "ExportSnapshot" => "VirtualMachineSnapshot",
        "HttpNfcLeaseProgress" | "HttpNfcLeaseComplete" | "HttpNfcLeaseAbort" => "HttpNfcLease",
        "ExportVm"
        | "CreateSnapshot_Task"
        | "ConsolidateVMDisks_Task"
        | "ReconfigVM_Task"
        | "PowerOnVM_Task"
        | "PowerOffVM_Task"
        | "ShutdownGuest"
        | "QueryChangedDiskAreas" => "VirtualMachine",
        _ => return None,
    })
}

fn needed_privilege(method: &str) -> Option<&'static str> {
    Some(match method {
        "CreateSnapshot_Task" => "VirtualMachine.State.CreateSnapshot",
        "RemoveSnapshot_Task" | "ConsolidateVMDisks_Task" => "VirtualMachine.State.RemoveSnapshot",
        "ReconfigVM_Task" => "VirtualMachine.Config.ChangeTracking",
        "PowerOnVM_Task" => "VirtualMachine.Interact.PowerOn",
        "PowerOffVM_Task" | "ShutdownGuest" => "VirtualMachine.Interact.PowerOff",
        "QueryChangedDiskAreas" => "VirtualMachine.Provisioning.DiskRandomRead",
        "ExportVm" | "ExportSnapshot" => "VApp.Export",
        _ => return None,
    })
}

pub(super) fn this(request: &Request, kind: &str) -> Result<()> {
    if request.this.kind == kind {
        return Ok(());
    }
    Err(Fault::request(format!("{} is a method of {kind}, not of {}", request.method, request.this.kind)))
}

fn exists(centre: &Datacentre, session: &Session, moref: &Moref) -> Result<()> {
    properties::of(&mut centre.state(), &session.key, moref).map(drop)
}

/// One property of any object. Undocumented, and what pyVmomi uses for every attribute.
fn fetch(centre: &Datacentre, session: &Session, request: Request) -> Result<Option<Value>> {
    let mut arguments = request.arguments;
    let path = arguments.text("prop")?;
    arguments.finish()?;
    let object = properties::of(&mut centre.state(), &session.key, &request.this)?;
    Ok(properties::walk(&object, &path)?.map(Value::any))
}

fn no_arguments(arguments: Arguments) -> Result<()> {
    arguments.finish()
}

fn create_container_view(centre: &Datacentre, mut arguments: Arguments) -> Result<Option<Value>> {
    let container = arguments.moref("container")?;
    let kinds = arguments.texts("type")?;
    let deep = arguments.boolean("recursive")?;
    arguments.finish()?;
    let mut state = centre.state();
    let members = properties::below(&state, &container, &kinds, deep)?;
    let id = format!("session[{}]{}", state.uuid(), state.uuid());
    state.views.insert(id.clone(), members);
    Ok(Some(Moref::new("ContainerView", &id).into()))
}

fn has_privilege_on_entities(centre: &Datacentre, session: &Session, mut arguments: Arguments) -> Result<Option<Value>> {
    let entities = arguments.morefs("entity")?;
    let asked_session = arguments.text("sessionId")?;
    let privileges = arguments.texts("privId")?;
    arguments.finish()?;
    if entities.is_empty() {
        return Err(Fault::request("HasPrivilegeOnEntities: expected <entity> here, found none"));
    }
    if asked_session != session.key {
        return Err(Fault::invalid_argument("sessionId"));
    }
    for entity in &entities {
        exists(centre, session, entity)?;
    }
    let answer = |entity: Moref| {
        let each = privileges
            .iter()
            .map(|privilege| Object::new("PrivilegeAvailability").with("privId", privilege).with("isGranted", centre.granted(privilege)));
        Object::new("EntityPrivilege").with("entity", entity).with("privAvailability", Value::list("PrivilegeAvailability", each))
    };
    Ok(Some(Value::list("EntityPrivilege", entities.into_iter().map(answer).collect::<Vec<_>>())))
}

fn create_snapshot(centre: &Arc<Datacentre>, vm: String, mut arguments: Arguments) -> Result<Option<Value>> {
    let name = arguments.text("name")?;
    let description = arguments.text_optional("description")?.unwrap_or_default();
    let memory = arguments.boolean("memory")?;
    let quiesce = arguments.boolean("quiesce")?;
    arguments.finish()?;
    if memory {
        return Err(Fault::unimplemented("snapshots with memory"));
    }
    let target = vm.clone();
    let work = |centre| snapshots::create(centre, target, name, description, quiesce);
    task::start(centre, &vm, "CreateSnapshot_Task", "VirtualMachine.createSnapshot", work).map(Some)
}

fn remove_snapshot(centre: &Arc<Datacentre>, snapshot: &str, mut arguments: Arguments) -> Result<Option<Value>> {
    let children = if arguments.boolean("removeChildren")? { Children::Remove } else { Children::Keep };
    let merge = if arguments.boolean_optional("consolidate")?.unwrap_or(true) { Merge::Now } else { Merge::Later };
    arguments.finish()?;
    let vm = centre.state().snapshot(snapshot).map(|(vm, _)| vm.id.clone()).ok_or_else(|| Fault::not_found(snapshot))?;
    let (target, snapshot) = (vm.clone(), snapshot.to_owned());
    let work = move |centre| snapshots::remove(centre, target, snapshot, children, merge);
    task::start(centre, &vm, "RemoveSnapshot_Task", "vim.vm.Snapshot.remove", work).map(Some)
}

/// Of the specification only `changeTrackingEnabled` is understood; anything else is refused by name.
fn reconfigure(centre: &Arc<Datacentre>, vm: String, mut arguments: Arguments) -> Result<Option<Value>> {
    let mut spec = arguments.object("spec")?;
    arguments.finish()?;
    spec.text_optional("changeVersion")?;
    let enabled = spec.boolean("changeTrackingEnabled")?;
    spec.finish()?;
    let target = vm.clone();
    task::start(centre, &vm, "ReconfigVM_Task", "VirtualMachine.reconfigure", move |centre| machines::set_tracking(centre, target, enabled))
        .map(Some)
}

fn power_on(centre: &Arc<Datacentre>, vm: String, mut arguments: Arguments) -> Result<Option<Value>> {
    arguments.moref_optional("host")?;
    arguments.finish()?;
    let target = vm.clone();
    task::start(centre, &vm, "PowerOnVM_Task", "VirtualMachine.powerOn", move |centre| machines::power_on(centre, target)).map(Some)
}

async fn query_changed_disk_areas(centre: &Arc<Datacentre>, vm: String, mut arguments: Arguments) -> Result<Option<Value>> {
    let snapshot = arguments.moref_optional("snapshot")?.map(|moref| moref.id);
    let disk_key = arguments.number("deviceKey")?;
    let start: i64 = arguments.number("startOffset")?;
    let change_id = arguments.text("changeId")?;
    arguments.finish()?;
    let start = u64::try_from(start).map_err(|_| Fault::invalid_argument("startOffset"))?;
    let reply = changes::query(centre, Query { vm, snapshot, disk_key, start, change_id }).await?;
    Ok(Some(reply.into()))
}
