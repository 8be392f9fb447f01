//! Each planned cell becomes one of three things: zero, same as at the base, or data with a digest. The data cells of a block are
//! compressed together, and sealed while they are in the processor's cache.

use std::borrow::Cow;
use std::sync::Arc;

use rand::RngCore;

use crate::log::digest::cell_digest;
use crate::log::layout::AttemptFolder;
use crate::log::page::Encoding;
use crate::log::seal::{BLOCK_OVERHEAD, BlockPlace, SealedBlock, Sealer};
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

/// A block on its way into a segment.
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
    /// The data cells, encoded and sealed; none when there are none.
    pub sealed: Option<SealedBlock>,
}

/// Encodes the blocks of one disk in one attempt.
pub struct Encoder {
    pub folder: AttemptFolder,
    pub size: DiskSize,
    pub sealer: Arc<Sealer>,
    pub level: i32,
}

impl Encoder {
    pub fn encode(&self, block: &ReadBlock, base: Option<BaseBlock>, random: &mut dyn RngCore) -> EncodedBlock {
        let planned = block.planned.cells;
        let mut digests = [Digest::ZERO_CELL; 16];
        let mut zero = CellMask::NONE;
        for cell in planned.cells() {
            digests[cell as usize] = cell_digest(self.sealer.digest_secret(), block.cell(cell, self.size));
            if digests[cell as usize] == Digest::ZERO_CELL {
                zero = zero.with(cell);
            }
        }
        let same = base.map_or(CellMask::NONE, |base| matching(planned.intersection(base.comparable), &digests, &base.digests));
        let zero = zero.without(same);
        let data = planned.without(zero).without(same);
        let (encoding, sealed) = self.seal(block, data, random);
        let digests = data.union(same).cells().map(|cell| digests[cell as usize]).collect();
        EncodedBlock { block: block.planned.block, data, zero, same, digests, encoding, sealed }
    }

    fn seal(&self, block: &ReadBlock, cells: CellMask, random: &mut dyn RngCore) -> (Encoding, Option<SealedBlock>) {
        if cells.is_empty() {
            return (Encoding::Raw, None);
        }
        let plain = together(block, cells, self.size);
        let (encoding, bytes) = match squeeze::compress(&plain, self.level) {
            Some(frame) => (Encoding::Zstd, frame),
            None => (Encoding::Raw, with_room(plain)),
        };
        let place = BlockPlace { folder: &self.folder, block: block.planned.block, cells, encoding: encoding.code() };
        (encoding, Some(self.sealer.seal_block(place, bytes, random)))
    }
}

/// A vector of its own, with room for what sealing adds.
fn with_room(plain: Cow<'_, [u8]>) -> Vec<u8> {
    let mut room = Vec::with_capacity(plain.len() + BLOCK_OVERHEAD);
    room.extend_from_slice(&plain);
    room
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
