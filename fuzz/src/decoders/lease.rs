//! A lease that is read is one that would be written again with the same meaning.

use transload::log::lease::Lease;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let lease = Lease::decode(bytes);
    if let Ok(lease) = &lease {
        assert_eq!(&Lease::decode(&lease.encode()).expect("what was read can be written"), lease);
    }
    Outcome::of(&lease)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("lease.json").into()]
}
