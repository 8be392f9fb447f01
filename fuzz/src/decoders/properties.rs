//! Properties as vCenter sends them: an object has a name, and a list that could not be read to its end is no list.

use vmware_cbt::moref::Moref;

use crate::Outcome;
use crate::peer::{Peer, answering};

const PATHS: [&str; 3] = ["name", "parent", "config.hardware.device"];

pub fn feed(bytes: &[u8]) -> Outcome {
    let vm = Moref::vm("vm-1");
    let one = Peer::answering(bytes).run(|vcenter| vcenter.read("look", &vm, &PATHS));
    if let Ok(object) = &one {
        assert!(!object.moref.value.is_empty());
    }
    let many = Peer::answering(bytes).run(|vcenter| vcenter.read_many("look", "VirtualMachine", std::slice::from_ref(&vm), &PATHS));
    for object in many.iter().flatten() {
        assert!(!object.moref.value.is_empty());
        let (_, _, _) = (object.flag("name"), object.number("name"), object.moref_at("parent"));
        assert!(object.morefs("config.hardware.device").len() <= object.items("config.hardware.device").len());
    }
    // The strict reader takes nothing that the lenient one refuses.
    assert!(one.is_err() || many.is_ok());
    Outcome::of(&many)
}

pub fn examples() -> Vec<Vec<u8>> {
    let object = r#"<objects><obj type="VirtualMachine">vm-1</obj><propSet><name>name</name><val>db01</val></propSet><propSet><name>parent</name><val type="Folder">group-v1</val></propSet></objects>"#;
    let hidden = r#"<objects><obj type="VirtualMachine">vm-1</obj><missingSet><path>name</path><fault><fault i:type="v:NoPermission"><object type="VirtualMachine">vm-1</object><privilegeId>System.Read</privilegeId></fault><localizedMessage>no</localizedMessage></fault></missingSet></objects>"#;
    let page = |objects: &str| answering("RetrievePropertiesEx", &format!("<returnval>{objects}</returnval>"));
    vec![page(object), page(hidden)]
}
