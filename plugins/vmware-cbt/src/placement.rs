//! Where a VM runs, on which datastore each of its disks lies, and how much its snapshots weigh there.

use std::collections::BTreeMap;

use transload_guest::fault::Fault;
use transload_guest::source::{Datastore, DiskHome, VmPlacement, VmRef};
use transload_guest::xml::Element;

use crate::devices::{self, Disk};
use crate::folder::DatastorePath;
use crate::session::Vcenter;

pub fn read(vcenter: &Vcenter<'_>, vm: &VmRef) -> Result<VmPlacement, Fault> {
    let doing = || format!("see where {} lies", vcenter.called(&vm.id));
    let object = vcenter.proven(vm, &doing(), &["runtime.host", "datastore", "layoutEx", "config.hardware.device"])?;
    let host = match object.moref_at("runtime.host") {
        Some(host) => vcenter.read(&doing(), &host, &["name"])?.text("name").unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let weights = object.element("layoutEx").map(snapshot_bytes).unwrap_or_default();
    let paths = ["name", "summary.freeSpace", "summary.capacity"];
    let stores = vcenter.read_many(&doing(), "Datastore", &object.morefs("datastore"), &paths)?;
    let datastores: Vec<Datastore> = stores
        .into_iter()
        .map(|store| {
            let name = store.text("name").unwrap_or_default().to_owned();
            Datastore {
                free: store.number("summary.freeSpace").unwrap_or(0),
                capacity: store.number("summary.capacity").unwrap_or(0),
                snapshot_bytes: weights.get(&name).copied().unwrap_or(0),
                id: store.moref.value,
                name,
            }
        })
        .collect();
    let disks = devices::disks(object.items("config.hardware.device"))?.into_iter().map(|disk| home(disk, &datastores)).collect();
    Ok(VmPlacement { host, datastores, disks })
}

/// vSphere writes the file of a snapshot beside the file that it stands on. A disk without a file, or on a datastore that may not be seen,
/// is counted nowhere.
fn home(disk: Disk, datastores: &[Datastore]) -> DiskHome {
    let path = DatastorePath::parse(&disk.backing.file);
    let datastore = path.and_then(|path| datastores.iter().find(|datastore| datastore.name == path.datastore));
    DiskHome { disk: disk.id, datastore: datastore.map(|datastore| datastore.id.clone()) }
}

/// Per datastore: the files of every disk chain above its base, and the snapshots' own files. From `layoutEx`.
pub fn snapshot_bytes(layout: &Element) -> BTreeMap<String, u64> {
    let above_base = layout.children_named("disk").flat_map(|disk| disk.children_named("chain").skip(1));
    let delta_keys: Vec<&str> = above_base.flat_map(|unit| unit.children_named("fileKey")).map(Element::text).collect();
    let mut weights = BTreeMap::new();
    for file in layout.children_named("file") {
        let of_snapshot = matches!(file.text_of("type"), Some("snapshotData" | "snapshotMemory" | "snapshotList"));
        let in_chain = file.text_of("key").is_some_and(|key| delta_keys.contains(&key));
        let path = file.text_of("name").and_then(DatastorePath::parse);
        let size = file.text_of("size").and_then(|size| size.parse::<u64>().ok());
        if let (true, Some(path), Some(size)) = (of_snapshot || in_chain, path, size) {
            let weight: &mut u64 = weights.entry(path.datastore).or_default();
            *weight = weight.saturating_add(size);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{disk_xml, element};

    #[test]
    fn each_disk_lies_where_its_file_is() {
        let store = |id: &str, name: &str| Datastore { id: id.into(), name: name.into(), free: 1, capacity: 1, snapshot_bytes: 0 };
        let stores = [store("ds-1", "fast"), store("ds-2", "large")];
        let devices = element(&format!(
            "<val>{}{}{}</val>",
            disk_xml(2000, 1000, 0, 512, "aa", "[large] a/a.vmdk", None),
            disk_xml(2001, 1000, 1, 512, "bb", "[fast] a/b-000001.vmdk", None),
            disk_xml(2002, 1000, 2, 512, "cc", "[unseen] a/c.vmdk", None),
        ));
        let homes = devices::disks(devices.children()).unwrap().into_iter().map(|disk| home(disk, &stores));
        let homes: Vec<(String, Option<String>)> = homes.map(|home| (home.disk, home.datastore)).collect();
        let expected = [("aa", Some("ds-2")), ("bb", Some("ds-1")), ("cc", None)];
        assert_eq!(homes, expected.map(|(disk, store)| (disk.to_owned(), store.map(str::to_owned))));
    }

    #[test]
    fn only_what_stands_above_the_base_counts_as_snapshot_bytes() {
        let layout = element(
            "<val><file><key>0</key><name>[ds1] a/a.vmdk</name><type>diskDescriptor</type><size>500</size></file>\
             <file><key>1</key><name>[ds1] a/a-flat.vmdk</name><type>diskExtent</type><size>1000000</size></file>\
             <file><key>2</key><name>[ds1] a/a-000001-delta.vmdk</name><type>diskExtent</type><size>300</size></file>\
             <file><key>3</key><name>[ds2] a/a.vmsn</name><type>snapshotData</type><size>7</size></file>\
             <disk><key>2000</key><chain><fileKey>0</fileKey><fileKey>1</fileKey></chain><chain><fileKey>2</fileKey></chain></disk></val>",
        );
        let weights = snapshot_bytes(&layout);
        assert_eq!(weights.get("ds1"), Some(&300));
        assert_eq!(weights.get("ds2"), Some(&7));
    }
}
