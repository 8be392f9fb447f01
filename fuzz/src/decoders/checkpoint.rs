//! A checkpoint that is read is one that would be written again with the same meaning.

use transload::log::checkpoint::{decode, encode};

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let checkpoint = decode(bytes);
    if let Ok(checkpoint) = &checkpoint {
        assert_eq!(&decode(&encode(checkpoint)).expect("what was read can be written"), checkpoint);
    }
    Outcome::of(&checkpoint)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("checkpoint.json").into()]
}
