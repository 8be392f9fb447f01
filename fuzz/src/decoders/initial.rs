//! An announcement of an initial copy that is read is one that would be written again with the same meaning.

use transload::log::initial::InitialCopy;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let copy = InitialCopy::decode(bytes);
    if let Ok(copy) = &copy {
        assert_eq!(&InitialCopy::decode(&copy.encode()).expect("what was read can be written"), copy);
    }
    Outcome::of(&copy)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("initial.json").into()]
}
