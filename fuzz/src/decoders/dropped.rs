//! A record of dropped recovery points that is read is one that would be written again with the same meaning.

use transload::log::dropped::DroppedRecord;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let dropped = DroppedRecord::decode(bytes);
    if let Ok(dropped) = &dropped {
        assert_eq!(&DroppedRecord::decode(&dropped.encode()).expect("what was read can be written"), dropped);
    }
    Outcome::of(&dropped)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("dropped.json").into()]
}
