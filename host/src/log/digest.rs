//! Digests of cells: keyed, because guests choose what stands on their disks and could collide an unkeyed hash.

use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::model::Digest;

pub fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen bytes at a time is what the compiler turns into wide instructions.
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// The digest of a cell's plaintext. A cell of zeros has `Digest::ZERO_CELL`, so that tables of mostly empty disks stay sparse.
pub fn cell_digest(secret: &[u8; 192], plain: &[u8]) -> Digest {
    if is_zero(plain) {
        return Digest::ZERO_CELL;
    }
    Digest(xxh3_128_with_secret(plain, secret).to_le_bytes())
}
