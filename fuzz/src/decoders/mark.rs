//! A mark of a recovery point that is read is one that would be written again with the same meaning.

use transload::log::mark::Mark;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let mark = Mark::decode(bytes);
    if let Ok(mark) = &mark {
        assert_eq!(&Mark::decode(&mark.encode()).expect("what was read can be written"), mark);
    }
    Outcome::of(&mark)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("mark.json").into()]
}
