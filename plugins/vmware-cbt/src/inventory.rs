//! All VMs, page by page, in the order of their references.
//!
//! vCenter's own paging token dies with the session, so it cannot be a cursor that the host keeps. Each page therefore lists the
//! references anew (cheap) and reads the details of its own share (not so cheap) only.

use std::collections::BTreeMap;

use transload_guest::fault::Fault;
use transload_guest::paging::{Page, cut};
use transload_guest::source::{DiskSummary, InventoryPage, VmRef, VmSummary};

use crate::devices;
use crate::moref::Moref;
use crate::properties::Object;
use crate::session::Vcenter;
use crate::vm::{INSTANCE_UUID, power_state};

const PAGE: usize = 250;

const DETAILS: [&str; 9] = [
    INSTANCE_UUID,
    "name",
    "config.template",
    "config.guestFullName",
    "config.hardware.device",
    "runtime.powerState",
    "runtime.host",
    "parent",
    "parentVApp",
];

pub fn page(vcenter: &Vcenter<'_>, cursor: Option<&str>) -> Result<InventoryPage, Fault> {
    page_of(vcenter, cursor, PAGE)
}

fn page_of(vcenter: &Vcenter<'_>, cursor: Option<&str>, size: usize) -> Result<InventoryPage, Fault> {
    let doing = "list the VMs";
    let all = vcenter.read_all(doing, "VirtualMachine", &["config.template"])?;
    let machines = all.into_iter().filter(|vm| vm.flag("config.template") != Some(true));
    let Page { items, next } = cut(machines.map(|vm| vm.moref).collect(), cursor, size, |moref| moref.value.as_str());
    let mut details = vcenter.read_many(doing, "VirtualMachine", &items, &DETAILS)?;
    details.sort_by(|a, b| a.moref.cmp(&b.moref));
    let hosts = named(vcenter, "HostSystem", details.iter().filter_map(|vm| vm.moref_at("runtime.host")))?;
    let folders = Folders::above(vcenter, &details)?;
    let vms = details.iter().filter_map(|vm| summary(vm, &hosts, &folders).transpose()).collect::<Result<_, _>>()?;
    Ok(InventoryPage { vms, next })
}

/// None for a VM that vCenter cannot describe now (its host is away): it has no identity to speak of.
fn summary(vm: &Object, hosts: &BTreeMap<Moref, String>, folders: &Folders) -> Result<Option<VmSummary>, Fault> {
    let Some(uuid) = vm.text(INSTANCE_UUID).filter(|uuid| !uuid.is_empty()) else { return Ok(None) };
    let disks = devices::disks(vm.items("config.hardware.device"))?;
    Ok(Some(VmSummary {
        vm: VmRef { id: vm.moref.value.clone(), fingerprint: uuid.to_owned() },
        name: vm.text("name").unwrap_or_default().to_owned(),
        folder: folders.path(vm),
        power: power_state(vm)?,
        host: vm.moref_at("runtime.host").and_then(|host| hosts.get(&host).cloned()).unwrap_or_default(),
        guest_os: vm.text("config.guestFullName").unwrap_or_default().to_owned(),
        disks: disks.into_iter().map(|disk| DiskSummary { id: disk.id, label: disk.label, size: disk.size }).collect(),
    }))
}

fn named(vcenter: &Vcenter<'_>, kind: &str, morefs: impl Iterator<Item = Moref>) -> Result<BTreeMap<Moref, String>, Fault> {
    let mut morefs: Vec<Moref> = morefs.collect();
    morefs.sort();
    morefs.dedup();
    let objects = vcenter.read_many("read names", kind, &morefs, &["name"])?;
    Ok(objects.into_iter().map(|object| (object.moref.clone(), object.text("name").unwrap_or_default().to_owned())).collect())
}

/// The names of all folders above the VMs of a page, read level by level.
struct Folders {
    known: BTreeMap<Moref, (String, Option<Moref>)>,
}

impl Folders {
    fn above(vcenter: &Vcenter<'_>, vms: &[Object]) -> Result<Folders, Fault> {
        let mut folders = Folders { known: BTreeMap::new() };
        let mut level: Vec<Moref> = vms.iter().filter_map(parent).collect();
        // vCenter's tree is a few levels deep; the bound only keeps a broken one from holding us.
        for _ in 0..64 {
            level.retain(|moref| !folders.known.contains_key(moref));
            level.sort();
            level.dedup();
            if level.is_empty() {
                break;
            }
            let mut above = Vec::new();
            for kind in level.iter().map(|moref| moref.kind.clone()).collect::<std::collections::BTreeSet<_>>() {
                let same: Vec<Moref> = level.iter().filter(|moref| moref.kind == kind).cloned().collect();
                // Only vApps have a folder of their own beside their parent.
                let paths: &[&str] = if kind == "VirtualApp" { &["name", "parent", "parentFolder"] } else { &["name", "parent"] };
                for object in vcenter.read_many("read the folders", &kind, &same, paths)? {
                    let up = object.moref_at("parentFolder").or_else(|| object.moref_at("parent"));
                    above.extend(up.clone());
                    folders.known.insert(object.moref.clone(), (object.text("name").unwrap_or_default().to_owned(), up));
                }
            }
            // What could not be read is not asked for again.
            for moref in level {
                folders.known.entry(moref).or_insert_with(|| (String::new(), None));
            }
            level = above;
        }
        Ok(folders)
    }

    /// "DC1/vm/web", without the root folder, which every VM has.
    fn path(&self, vm: &Object) -> String {
        let mut names = Vec::new();
        let mut at = parent(vm);
        while let Some(moref) = at {
            let Some((name, up)) = self.known.get(&moref) else { break };
            if up.is_some() && !name.is_empty() {
                names.push(name.as_str());
            }
            if names.len() > 64 {
                break;
            }
            at = up.clone();
        }
        names.reverse();
        names.join("/")
    }
}

fn parent(vm: &Object) -> Option<Moref> {
    vm.moref_at("parent").or_else(|| vm.moref_at("parentVApp"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Scene, objects, prop, vm_props};

    fn scene() -> Scene {
        Scene::new()
            .on("CreateContainerView", r#"<returnval type="ContainerView">view-1</returnval>"#)
            .on(
                "RetrievePropertiesEx:config.template",
                &objects(&[
                    ("VirtualMachine", "vm-3", &prop("config.template", "true")),
                    ("VirtualMachine", "vm-2", &prop("config.template", "false")),
                    ("VirtualMachine", "vm-1", ""),
                ]),
            )
            .on("DestroyView", "")
    }

    #[test]
    fn two_vms_with_one_name_and_one_bios_uuid_stay_two() {
        let scene = scene().on(
            "RetrievePropertiesEx:config.guestFullName",
            &objects(&[
                ("VirtualMachine", "vm-1", &vm_props("web", "uuid-1", "bios-same")),
                ("VirtualMachine", "vm-2", &vm_props("web", "uuid-2", "bios-same")),
            ]),
        );
        let page = scene.run(|vcenter| page(vcenter, None)).unwrap();
        let ids: Vec<_> = page.vms.iter().map(|vm| (vm.name.as_str(), vm.vm.id.as_str(), vm.vm.fingerprint.as_str())).collect();
        assert_eq!(ids, [("web", "vm-1", "uuid-1"), ("web", "vm-2", "uuid-2")]);
        assert_eq!(page.next, None);
        assert!(scene.bodies("RetrievePropertiesEx").iter().all(|body| !body.contains("config.uuid<")), "the BIOS UUID is not even read");
    }

    #[test]
    fn pages_follow_each_other_by_reference_and_leave_templates_out() {
        let first =
            scene().on("RetrievePropertiesEx:config.guestFullName", &objects(&[("VirtualMachine", "vm-1", &vm_props("a", "u1", "b"))]));
        let page = first.run(|vcenter| page_of(vcenter, None, 1)).unwrap();
        assert_eq!((page.vms.len(), page.next.as_deref()), (1, Some("vm-1")));
        let second =
            scene().on("RetrievePropertiesEx:config.guestFullName", &objects(&[("VirtualMachine", "vm-2", &vm_props("b", "u2", "b"))]));
        let page = second.run(|vcenter| page_of(vcenter, Some("vm-1"), 1)).unwrap();
        assert_eq!((page.vms[0].vm.id.as_str(), page.next), ("vm-2", None));
        let asked = second.bodies("RetrievePropertiesEx:config.guestFullName");
        assert!(asked[0].contains("vm-2") && !asked[0].contains("vm-1") && !asked[0].contains("vm-3"), "{asked:?}");
    }
}
