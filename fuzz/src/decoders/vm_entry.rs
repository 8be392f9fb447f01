//! The entry of a VM that is read is one that would be written again with the same meaning.

use transload::log::registry::VmEntry;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let entry = VmEntry::decode(bytes);
    if let Ok(entry) = &entry {
        assert_eq!(&VmEntry::decode(&entry.encode()).expect("what was read can be written"), entry);
    }
    Outcome::of(&entry)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("vm-entry.json").into()]
}
