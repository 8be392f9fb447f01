//! A planned bitmap that is read has one digest, also after it was written again, and names no sector that its disk does not have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transload::log::planned::{Decoder, bitmap_digest, encode};
use transload::model::{BLOCK, DiskSize, SectorBitmap};

fuzz_target!(|bytes: &[u8]| {
    let size = DiskSize::new(130 * BLOCK + 512).expect("a real size");
    let read = |parts: &[&[u8]]| -> Option<SectorBitmap> {
        let mut decoder = Decoder::new(size);
        parts.iter().try_for_each(|part| decoder.push(part).map(|_| ())).ok()?;
        decoder.finish().ok()
    };
    if let Some(bitmap) = read(&[bytes]) {
        assert!(SectorBitmap::whole(size).contains_all(&bitmap) && bitmap.sectors() <= size.sectors());
        let parts = encode(&bitmap);
        let again = read(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("what was read can be written");
        assert_eq!(again, bitmap);
        assert_eq!(bitmap_digest(&again), bitmap_digest(&bitmap));
    }
});
