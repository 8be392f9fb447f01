//! A receipt that is read is one that would be written again with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transload::model::commit::Receipt;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(receipt) = Receipt::decode(bytes) {
        assert_eq!(Receipt::decode(&receipt.encode()).expect("what was read can be written"), receipt);
    }
});
