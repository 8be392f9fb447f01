//! A commit that is read is one that would be written again with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transload::model::commit::Commit;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(commit) = Commit::decode(bytes) {
        assert_eq!(Commit::decode(&commit.encode()).expect("what was read can be written"), commit);
    }
});
