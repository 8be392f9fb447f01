//! A commit that is read is one that would be written again with the same meaning.

use transload::model::commit::Commit;

use super::golden;
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let commit = Commit::decode(bytes);
    if let Ok(commit) = &commit {
        assert_eq!(&Commit::decode(&commit.encode()).expect("what was read can be written"), commit);
    }
    Outcome::of(&commit)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![golden!("commit.json").into()]
}
