//! A checkpoint page that is read is one that would be written again with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transload::log::page::{PageKind, decode, encode};
use transload::model::{BLOCK, DiskSize};

fuzz_target!(|bytes: &[u8]| {
    let size = DiskSize::new(300 * BLOCK + 70_144).expect("a real size");
    if let Ok(page) = decode(bytes, size, PageKind::Checkpoint) {
        assert_eq!(decode(&encode(&page), size, PageKind::Checkpoint).expect("what was read can be written"), page);
    }
});
