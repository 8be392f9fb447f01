//! Each planned cell becomes one of three things: zero, same as at the base, or data with a digest. The data cells of a block are
//! compressed together.

use std::borrow::Cow;

use crate::log::digest::cell_digest;
use crate::log::page::Encoding;
use crate::log::squeeze;
use crate::log::table::matching;
use crate::model::{CELL, CellMask, Digest, DiskSize};

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

fn compress(block: &ReadBlock, data: CellMask, size: DiskSize, level: i32) -> (Encoding, Vec<u8>) {
    if data.is_empty() {
        return (Encoding::Raw, Vec::new());
    }
    let plain = together(block, data, size);
    match squeeze::compress(&plain, level) {
        Some(compressed) => (Encoding::Zstd, compressed),
        None => (Encoding::Raw, plain.into_owned()),
    }
}

/// The data cells one after the other. A single run of them stands like that already.
fn together(block: &ReadBlock, data: CellMask, size: DiskSize) -> Cow<'_, [u8]> {
    if data.runs().count() == 1 {
        let (first, last) = (data.0.trailing_zeros(), 15 - data.0.leading_zeros());
        let from = block.cell_at(first, size).start;
        return Cow::Borrowed(&block.plain[from..block.cell_at(last, size).end]);
    }
    let mut plain = Vec::with_capacity(data.count() as usize * CELL as usize);
    data.cells().for_each(|cell| plain.extend_from_slice(block.cell(cell, size)));
    Cow::Owned(plain)
}
