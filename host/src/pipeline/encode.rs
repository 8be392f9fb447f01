//! Each planned cell becomes one of three things: zero, same as at the base, or data with a digest. The data cells of a block are
//! compressed together.

use crate::log::digest::cell_digest;
use crate::log::page::Encoding;
use crate::log::table::matching;
use crate::model::{CellMask, Digest, DiskSize};

use super::read::ReadBlock;

/// What the base holds for a block, as far as it may be relied on.
#[derive(Debug, Clone, Copy)]
pub struct BaseBlock {
    pub digests: [Digest; 16],
    /// Cells that the base has whole: on a disk that grew, the others cannot be compared.
    pub comparable: CellMask,
}

/// A block on its way into a segment; digested, not yet sealed.
#[derive(Debug, Clone)]
pub struct EncodedBlock {
    pub block: u64,
    /// Planned cells, all of them: whether the whole block is meant decides if runs of zeros may be joined.
    pub data: CellMask,
    pub zero: CellMask,
    pub same: CellMask,
    /// One for each cell of `data ∪ same`, lowest first.
    pub digests: Vec<Digest>,
    pub encoding: Encoding,
    /// The data cells, encoded. Empty when there are none.
    pub bytes: Vec<u8>,
}

pub fn encode(block: ReadBlock, size: DiskSize, base: Option<BaseBlock>, secret: &[u8; 192], level: i32) -> EncodedBlock {
    let mut digests = [Digest::ZERO_CELL; 16];
    let mut zero = CellMask::NONE;
    for cell in block.planned.cells.cells() {
        digests[cell as usize] = cell_digest(secret, block.cell(cell, size));
        if digests[cell as usize] == Digest::ZERO_CELL {
            zero = zero.with(cell);
        }
    }
    let same = base.map_or(CellMask::NONE, |base| matching(block.planned.cells.intersection(base.comparable), &digests, &base.digests));
    let zero = zero.without(same);
    let data = block.planned.cells.without(zero).without(same);
    let (encoding, bytes) = compress(&block, data, size, level);
    let digests = data.union(same).cells().map(|cell| digests[cell as usize]).collect();
    EncodedBlock { block: block.planned.block, data, zero, same, digests, encoding, bytes }
}

/// Cells that do not get at least a sixteenth smaller stay raw: expanding them would cost the receiver more than the bytes are worth.
fn compress(block: &ReadBlock, data: CellMask, size: DiskSize, level: i32) -> (Encoding, Vec<u8>) {
    if data.is_empty() {
        return (Encoding::Raw, Vec::new());
    }
    let plain: Vec<u8> = data.cells().flat_map(|cell| block.cell(cell, size)).copied().collect();
    match zstd::bulk::compress(&plain, level) {
        Ok(compressed) if compressed.len() + plain.len() / 16 <= plain.len() => (Encoding::Zstd, compressed),
        _ => (Encoding::Raw, plain),
    }
}
