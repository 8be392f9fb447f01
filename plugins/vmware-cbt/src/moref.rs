//! Managed object references: how vSphere names everything.

use serde::{Deserialize, Serialize};
use transload_guest::xml::Element;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moref {
    pub kind: String,
    pub value: String,
}

impl Moref {
    pub fn new(kind: &str, value: &str) -> Moref {
        Moref { kind: kind.to_owned(), value: value.to_owned() }
    }

    pub fn vm(value: &str) -> Moref {
        Moref::new("VirtualMachine", value)
    }

    /// From `<x type="VirtualMachine">vm-42</x>`.
    pub fn read(element: &Element) -> Option<Moref> {
        let kind = element.attribute("type")?;
        (!element.text().is_empty()).then(|| Moref::new(kind, element.text()))
    }
}
