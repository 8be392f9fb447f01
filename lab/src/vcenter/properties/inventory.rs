//! Folders, datacentre, cluster, hosts, datastores.

use super::super::inventory::{Datastore, State, fixed};
use super::is_a;
use crate::soap::{Fault, Moref, Object, Value};

/// Parent first: the fixed tree, without VMs and datastores.
fn fixed_tree(state: &State) -> Vec<(Moref, Option<Moref>, String)> {
    let folder = |id: &str| Moref::new("Folder", id);
    let datacenter = Moref::new("Datacenter", fixed::DATACENTER);
    let cluster = Moref::new("ClusterComputeResource", fixed::CLUSTER);
    let mut tree = vec![(folder(fixed::ROOT), None, "Datacenters".to_owned())];
    let mut above = folder(fixed::ROOT);
    if let Some(site) = &state.names.datacenter_folder {
        tree.push((folder(fixed::SITE), Some(above), site.clone()));
        above = folder(fixed::SITE);
    }
    tree.push((datacenter.clone(), Some(above), state.names.datacenter.clone()));
    for (id, name) in
        [(fixed::VM_FOLDER, "vm"), (fixed::HOST_FOLDER, "host"), (fixed::DATASTORE_FOLDER, "datastore"), (fixed::NETWORK_FOLDER, "network")]
    {
        tree.push((folder(id), Some(datacenter.clone()), name.to_owned()));
    }
    tree.push((cluster.clone(), Some(folder(fixed::HOST_FOLDER)), "Lab Cluster".to_owned()));
    tree.push((Moref::new("ResourcePool", fixed::POOL), Some(cluster.clone()), "Resources".to_owned()));
    for host in &state.hosts {
        tree.push((Moref::new("HostSystem", &host.id), Some(cluster.clone()), host.name.clone()));
    }
    tree.push((Moref::new("Network", fixed::NETWORK), Some(folder(fixed::NETWORK_FOLDER)), "VM Network".to_owned()));
    tree
}

/// Every object with its parent, parents first.
fn tree(state: &State) -> Vec<(Moref, Option<Moref>, String)> {
    let mut tree = fixed_tree(state);
    for datastore in &state.datastores {
        let folder = Moref::new("Folder", fixed::DATASTORE_FOLDER);
        tree.push((Moref::new("Datastore", &datastore.id), Some(folder), datastore.name.clone()));
    }
    for vm in state.vms.values() {
        let folder = Moref::new("Folder", fixed::VM_FOLDER);
        tree.push((Moref::new("VirtualMachine", &vm.id), Some(folder), vm.name.clone()));
    }
    tree
}

pub(super) fn below(state: &State, container: &Moref, kinds: &[String], deep: bool) -> Result<Vec<Moref>, Fault> {
    let tree = tree(state);
    if !tree.iter().any(|(moref, ..)| moref == container) {
        return Err(Fault::not_found(&container.id).with("obj", container));
    }
    let mut inside = vec![container.clone()];
    let mut found = Vec::new();
    for (moref, parent, _) in tree {
        if !parent.is_some_and(|parent| inside.contains(&parent)) {
            continue;
        }
        if deep {
            inside.push(moref.clone());
        }
        if kinds.is_empty() || kinds.iter().any(|kind| is_a(&moref.kind, kind)) {
            found.push(moref);
        }
    }
    Ok(found)
}

pub(in super::super) fn datacenter_path(state: &State) -> String {
    match &state.names.datacenter_folder {
        Some(folder) => format!("{folder}/{}", state.names.datacenter),
        None => state.names.datacenter.clone(),
    }
}

pub(super) fn object(state: &State, moref: &Moref) -> Option<Object> {
    let (_, parent, name) = tree(state).into_iter().find(|(known, ..)| known == moref)?;
    let children = |kinds: &[&str]| {
        let of_kind = |child: &Moref| kinds.is_empty() || kinds.contains(&child.kind.as_str());
        let members = tree(state).into_iter().filter(|(_, parent, _)| parent.as_ref() == Some(moref)).map(|(child, ..)| child);
        Value::morefs(members.filter(of_kind).collect::<Vec<_>>())
    };
    let entity = |kind: &'static str| {
        Object::new(kind)
            .with("name", escaped(&name))
            .with("parent", parent.clone())
            .with("overallStatus", Value::Enum("ManagedEntityStatus", "green".into()))
    };
    let all_datastores = || Value::morefs(state.datastores.iter().map(|datastore| Moref::new("Datastore", &datastore.id)));
    let all_networks = || Value::morefs([Moref::new("Network", fixed::NETWORK)]);
    let all_vms = || Value::morefs(state.vms.keys().map(|id| Moref::new("VirtualMachine", id)));
    match moref.kind.as_str() {
        "Folder" => {
            Some(entity("Folder").with("childEntity", children(&[])).with("childType", Value::list("string", child_types(&moref.id))))
        }
        "Datacenter" => Some(
            entity("Datacenter")
                .with("vmFolder", Moref::new("Folder", fixed::VM_FOLDER))
                .with("hostFolder", Moref::new("Folder", fixed::HOST_FOLDER))
                .with("datastoreFolder", Moref::new("Folder", fixed::DATASTORE_FOLDER))
                .with("networkFolder", Moref::new("Folder", fixed::NETWORK_FOLDER))
                .with("datastore", all_datastores())
                .with("network", all_networks()),
        ),
        "ClusterComputeResource" => Some(
            entity("ClusterComputeResource")
                .with("host", children(&["HostSystem"]))
                .with("resourcePool", Moref::new("ResourcePool", fixed::POOL))
                .with("datastore", all_datastores())
                .with("network", all_networks()),
        ),
        "ResourcePool" => {
            Some(entity("ResourcePool").with("owner", parent.clone()).with("vm", all_vms()).with("resourcePool", Value::morefs([])))
        }
        "HostSystem" => {
            Some(host(state, entity("HostSystem"), &moref.id, &name).with("datastore", all_datastores()).with("network", all_networks()))
        }
        "Network" => Some(entity("Network").with("host", children(&[])).with("vm", all_vms())),
        "Datastore" => {
            state.datastores.iter().find(|datastore| datastore.id == moref.id).map(|found| datastore(state, entity("Datastore"), found))
        }
        _ => None,
    }
}

/// Names in the inventory carry `/`, `\` and `%` escaped.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f").replace('\\', "%5c")
}

fn child_types(folder: &str) -> Vec<&'static str> {
    match folder {
        fixed::VM_FOLDER => vec!["Folder", "VirtualMachine", "VirtualApp"],
        fixed::HOST_FOLDER => vec!["Folder", "ComputeResource"],
        fixed::DATASTORE_FOLDER => vec!["Folder", "Datastore", "StoragePod"],
        fixed::NETWORK_FOLDER => vec!["Folder", "Network", "DistributedVirtualSwitch"],
        _ => vec!["Folder", "Datacenter"],
    }
}

fn host(state: &State, entity: Object, id: &str, name: &str) -> Object {
    let vms = state.vms.values().filter(|vm| vm.host == id).map(|vm| Moref::new("VirtualMachine", &vm.id));
    let runtime = Object::new("HostRuntimeInfo")
        .with("connectionState", Value::Enum("HostSystemConnectionState", "connected".into()))
        .with("powerState", Value::Enum("HostSystemPowerState", "poweredOn".into()))
        .with("inMaintenanceMode", false);
    let product = Object::new("AboutInfo")
        .with("name", "VMware ESXi")
        .with("fullName", "VMware ESXi 8.0.2 build-22380479")
        .with("version", "8.0.2")
        .with("build", "22380479")
        .with("apiVersion", "8.0.2.0");
    let config = Object::new("HostConfigSummary").with("name", name).with("port", 443).with("product", product);
    entity
        .with("vm", Value::morefs(vms))
        .with("runtime", runtime)
        .with("summary", Object::new("HostListSummary").with("host", Moref::new("HostSystem", id)).with("config", config))
}

fn datastore(state: &State, entity: Object, datastore: &Datastore) -> Object {
    let free = datastore.capacity.saturating_sub(state.used_bytes(&datastore.name));
    let url = format!("ds:///vmfs/volumes/{}/", datastore.id);
    let uncommitted: u64 = state
        .vms
        .values()
        .filter(|vm| vm.datastore == datastore.name)
        .map(|vm| vm.capacity_bytes().saturating_sub(vm.committed_bytes()))
        .sum();
    let vms = state.vms.values().filter(|vm| vm.datastore == datastore.name).map(|vm| Moref::new("VirtualMachine", &vm.id));
    let summary = Object::new("DatastoreSummary")
        .with("datastore", Moref::new("Datastore", &datastore.id))
        .with("name", escaped(&datastore.name))
        .with("url", &url)
        .with("capacity", datastore.capacity)
        .with("freeSpace", free)
        .with("uncommitted", uncommitted)
        .with("accessible", true)
        .with("multipleHostAccess", true)
        .with("type", &datastore.kind)
        .with("maintenanceMode", "normal");
    let info = Object::subtype("DatastoreInfo")
        .with("name", escaped(&datastore.name))
        .with("url", &url)
        .with("freeSpace", free)
        .with("maxFileSize", 64i64 << 40);
    entity.with("summary", summary).with("info", info).with("vm", Value::morefs(vms))
}
