//! The lab's own proof of what a frozen disk held, computed without any code of the system under test.
//!
//! **Sparse digest.** Cut the disk into blocks of 1 MiB (the last may be shorter). For every block that is not all
//! zero, in order, feed SHA-256 with the block's number (u64, little endian) and then its bytes. At the end feed the
//! disk's size in bytes (u64, little endian). The digest is the result in lower-case hexadecimal.
//!
//! A hole and written zeros give the same digest, so it compares content and not allocation, and a mostly empty disk
//! costs only what it holds.

use super::extents::allocated;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BLOCK: u64 = 1024 * 1024;

/// The sparse digest of a plain file, for example a replica. Holes are skipped, not read.
pub fn sparse_digest(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let candidates = blocks_touched(&allocated(&file)?);
    digest_blocks(candidates, size, |buffer, offset| file.read_exact_at(buffer, offset))
}

/// Digests the candidate blocks; every block that is not a candidate must be all zero.
pub(super) fn digest_blocks(
    candidates: BTreeSet<u64>,
    size: u64,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BLOCK as usize];
    for number in candidates {
        let offset = number * BLOCK;
        let block = &mut buffer[..(size - offset).min(BLOCK) as usize];
        read(block, offset)?;
        if block.iter().any(|&byte| byte != 0) {
            hash.update(number.to_le_bytes());
            hash.update(&*block);
        }
    }
    hash.update(size.to_le_bytes());
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn blocks_touched(ranges: &[Range<u64>]) -> BTreeSet<u64> {
    ranges.iter().flat_map(|range| range.start / BLOCK..range.end.div_ceil(BLOCK)).collect()
}
