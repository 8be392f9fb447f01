//! A planned bitmap that is read has one digest, also after it was written again, and names no sector that its disk does not have.

use transload::log::planned::{Decoder, bitmap_digest, encode};
use transload::model::{BLOCK, DiskSize, SectorBitmap};

use super::{golden, unhex};
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    // The disk of the golden file.
    let size = DiskSize::new(200 * BLOCK + 3 * 512).expect("a real size");
    let read = |parts: &[&[u8]]| -> Option<SectorBitmap> {
        let mut decoder = Decoder::new(size);
        parts.iter().try_for_each(|part| decoder.push(part).map(|_| ())).ok()?;
        decoder.finish().ok()
    };
    let Some(bitmap) = read(&[bytes]) else { return Outcome::Refused };
    assert!(SectorBitmap::whole(size).contains_all(&bitmap) && bitmap.sectors() <= size.sectors());
    let parts = encode(&bitmap);
    let again = read(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()).expect("what was read can be written");
    assert_eq!(again, bitmap);
    assert_eq!(bitmap_digest(&again), bitmap_digest(&bitmap));
    Outcome::Read
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![unhex(golden!("planned.hex"))]
}
