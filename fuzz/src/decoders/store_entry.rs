//! The entry of a further store that is read is one that would be written again with the same meaning.

use transload::log::bound::StoreEntry;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let entry = StoreEntry::decode(bytes);
    if let Ok(entry) = &entry {
        assert_eq!(&StoreEntry::decode(&entry.encode()).expect("what was read can be written"), entry);
    }
    Outcome::of(&entry)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("store-entry.json").into()]
}
