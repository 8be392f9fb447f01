//! The tree of a VM's snapshots, flat.

use transload_guest::percent;
use transload_guest::xml::Element;

use crate::moref::Moref;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub moref: Moref,
    pub name: String,
    pub quiesced: bool,
}

/// Every snapshot in the value of the property `snapshot`, parents before children.
pub fn all(info: Option<&Element>) -> Vec<Snapshot> {
    let mut found = Vec::new();
    for root in info.into_iter().flat_map(|info| info.children_named("rootSnapshotList")) {
        collect(root, &mut found);
    }
    found
}

fn collect(tree: &Element, found: &mut Vec<Snapshot>) {
    if let Some(moref) = tree.child("snapshot").and_then(Moref::read) {
        let name = tree.text_of("name").unwrap_or_default();
        found.push(Snapshot {
            moref,
            // vSphere writes '/', '\' and '%' in names as %2f, %5c and %25.
            name: percent::decode(name, false).unwrap_or_else(|| name.to_owned()),
            quiesced: tree.text_of("quiesced") == Some("true"),
        });
    }
    for child in tree.children_named("childSnapshotList") {
        collect(child, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::element;

    #[test]
    fn the_tree_is_walked_to_its_leaves_and_names_are_decoded() {
        let info = element(
            r#"<val><currentSnapshot type="VirtualMachineSnapshot">snapshot-2</currentSnapshot><rootSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-1</snapshot><name>before 10%25</name><quiesced>true</quiesced>
               <childSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-2</snapshot><name>b</name><quiesced>false</quiesced></childSnapshotList></rootSnapshotList></val>"#,
        );
        let found = all(Some(&info));
        assert_eq!(
            found.iter().map(|s| (s.moref.value.as_str(), s.name.as_str(), s.quiesced)).collect::<Vec<_>>(),
            [("snapshot-1", "before 10%", true), ("snapshot-2", "b", false)]
        );
        assert_eq!(all(None), []);
    }
}
