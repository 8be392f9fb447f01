//! Where a VM runs, where its files lie, and how much its snapshots weigh there.

use std::collections::BTreeMap;

use transload_guest::fault::Fault;
use transload_guest::xml::Element;

use crate::folder::DatastorePath;
use crate::session::Vcenter;
use crate::words::{Datastore, Placement, VmRef};

pub fn read(vcenter: &Vcenter<'_>, vm: &VmRef) -> Result<Placement, Fault> {
    let doing = || format!("see where {} lies", vcenter.called(&vm.id));
    let object = vcenter.proven(vm, &doing(), &["runtime.host", "datastore", "layoutEx"])?;
    let host = match object.moref_at("runtime.host") {
        Some(host) => vcenter.read(&doing(), &host, &["name"])?.text("name").unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let weights = object.element("layoutEx").map(snapshot_bytes).unwrap_or_default();
    let paths = ["name", "summary.freeSpace", "summary.capacity"];
    let stores = vcenter.read_many(&doing(), "Datastore", &object.morefs("datastore"), &paths)?;
    let datastores = stores.into_iter().map(|store| {
        let name = store.text("name").unwrap_or_default().to_owned();
        Datastore {
            free: store.number("summary.freeSpace").unwrap_or(0),
            capacity: store.number("summary.capacity").unwrap_or(0),
            snapshot_bytes: weights.get(&name).copied().unwrap_or(0),
            id: store.moref.value,
            name,
        }
    });
    Ok(Placement { host, datastores: datastores.collect() })
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
    use crate::script::element;

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
