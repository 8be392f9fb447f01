//! store.json is read or refused.

use transload::log::keys::decode_store;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let store = decode_store(bytes);
    Outcome::of(&store)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("store.json").into()]
}
