//! A manifest page that is read is one that would be written again with the same meaning.

use transload::log::page::{PageKind, decode, encode};
use transload::model::{BLOCK, DiskSize};

use super::{golden, unhex};
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    // The disk of the golden files.
    let size = DiskSize::new(200 * BLOCK + 3 * 512).expect("a real size");
    let page = decode(bytes, size, PageKind::Manifest);
    if let Ok(page) = &page {
        assert_eq!(&decode(&encode(page), size, PageKind::Manifest).expect("what was read can be written"), page);
    }
    Outcome::of(&page)
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![unhex(golden!("page.hex"))]
}
