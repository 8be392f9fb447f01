//! A key slot is read or refused. Trying it costs work on purpose and is left out.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = transload::log::keys::decode_slot(bytes);
});
