//! What a further store says it is, when it is read, is what would be written again, and it has a number.

use transload::log::bound::Bound;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let bound = Bound::decode(bytes);
    if let Ok(bound) = &bound {
        assert!(!bound.number().is_home());
        assert_eq!(&Bound::decode(&bound.encode()).expect("what was read can be written"), bound);
    }
    Outcome::of(&bound)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("bound.json").into()]
}
