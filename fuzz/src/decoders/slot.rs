//! A key slot is read or refused. Trying it costs work on purpose and is left out.

use transload::log::keys::decode_slot;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let slot = decode_slot(bytes);
    Outcome::of(&slot)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("key-slot-key-file.json").into(), golden!("key-slot-passphrase.json").into()]
}
