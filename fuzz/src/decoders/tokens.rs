//! A token that is read is one that would be written again with the same meaning.

use transload_guest::fault::Fault;
use vmware_cbt::tokens::{AreasCursor, Operation, SnapshotToken, read, write};

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(bytes) else { return Outcome::Refused };
    macro_rules! same_again {
        ($kind:ty) => {{
            let token: Result<$kind, Fault> = read(text);
            if let Ok(token) = &token {
                assert_eq!(&read::<$kind>(&write(token)).expect("what was read can be written"), token);
            }
            token.is_ok()
        }};
    }
    // Every kind is tried, for one text may be a token of several.
    let read = [same_again!(SnapshotToken), same_again!(Operation), same_again!(AreasCursor)];
    if read.contains(&true) { Outcome::Read } else { Outcome::Refused }
}

pub fn examples() -> Vec<Vec<u8>> {
    let snapshot = r#"{"v":1,"vm":"vm-1","uuid":"u","tag":"t","snapshot":"snapshot-9"}"#;
    let opening = r#"{"v":1,"vm":"vm-1","uuid":"u","work":"open","tag":"t","task":"task-1","asking":"quiesced","origin":"ours"}"#;
    let closing = r#"{"v":1,"vm":"vm-1","uuid":"u","work":"close","tag":"t","snapshot":"s","phase":"removing","task":null}"#;
    let tracking = r#"{"v":1,"vm":"vm-1","uuid":"u","work":"track","goal":"enable","step":2,"task":"task-2"}"#;
    let cursor = r#"{"v":1,"offset":1048576,"key":2000,"size":10485760}"#;
    [snapshot, opening, closing, tracking, cursor].map(Into::into).into()
}
