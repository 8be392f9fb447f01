//! An announcement of an initial copy is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = transload::log::initial::InitialCopy::decode(bytes);
});
