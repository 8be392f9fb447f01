//! Brings the bytes of folded blocks from the store and lets nothing through that is not what its digest says.
//!
//! Blocks come in batches. The pieces of a batch are grouped by segment, neighbours are joined into one ranged read, and all reads of a
//! batch are under way together. A block that cannot be had or does not verify is an error of that block alone, so that a receipt can
//! name every bad block and not only the first.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, FuturesOrdered};

use crate::cpu::Cpu;
use crate::model::{BLOCK, CELL, CellMask, DiskId, DiskSize, Extent, Fault, VmId};

use super::digest::cell_digest;
use super::fold::{Fold, FoldedBlock, Piece};
use super::layout::AttemptFolder;
use super::page::{Encoding, SegmentName};
use super::seal::{BlockPlace, Sealer};
use super::store::Objects;

/// Blocks of a batch; the bound on plaintext in memory is twice this many MiB.
const BATCH_BLOCKS: usize = 32;
/// Reads that are closer than this in a segment are joined.
const GAP_BYTES_MAX: u64 = 64 * 1024;
/// Ranged reads under way at once.
const READS_AT_ONCE: usize = 8;

/// A block whose bytes are what the source's digests say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlock {
    pub folded: FoldedBlock,
    /// A whole block of bytes (fewer at the end of a disk); only the cells of `folded.data()` are filled in.
    pub plain: Vec<u8>,
}

/// Which disk the segments belong to.
#[derive(Debug, Clone)]
pub struct DiskPlace {
    pub vm: VmId,
    pub disk: DiskId,
    pub size: DiskSize,
}

impl DiskPlace {
    fn segment_key(&self, segment: SegmentName) -> String {
        AttemptFolder::new(&self.vm, segment.cycle, segment.attempt, &self.disk).segment(segment.number, segment.random)
    }
}

/// Reads batches of verified blocks off a fold.
pub struct Fetch {
    fold: Fold,
    place: DiskPlace,
    objects: Arc<dyn Objects>,
    sealer: Arc<Sealer>,
    cpu: Cpu,
}

/// A block, or why it cannot be believed.
pub type Fetched = Result<VerifiedBlock, (u64, Fault)>;

impl Fetch {
    pub fn new(fold: Fold, place: DiskPlace, objects: Arc<dyn Objects>, sealer: Arc<Sealer>, cpu: Cpu) -> Fetch {
        Fetch { fold, place, objects, sealer, cpu }
    }

    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The next blocks in disk order; empty at the end. A fault here is one of the manifest itself.
    pub async fn next(&mut self) -> Result<Vec<Fetched>, Fault> {
        let mut blocks = Vec::with_capacity(BATCH_BLOCKS);
        let mut with_data = 0;
        while with_data < BATCH_BLOCKS && blocks.len() < 64 * BATCH_BLOCKS {
            let Some(block) = self.fold.next().await? else { break };
            with_data += usize::from(!block.pieces.is_empty());
            blocks.push(block);
        }
        let sealed = self.read_pieces(&blocks).await;
        let mut verified = FuturesOrdered::new();
        for block in blocks {
            let pieces = block.pieces.iter().map(|piece| sealed.piece(piece)).collect::<Result<Vec<_>, _>>();
            let (place, sealer) = (self.place.clone(), self.sealer.clone());
            let cpu = self.cpu.clone();
            verified.push_back(async move {
                let number = block.block;
                if block.pieces.is_empty() {
                    return Ok(VerifiedBlock { folded: block, plain: Vec::new() });
                }
                let pieces = pieces.map_err(|fault| (number, fault))?;
                cpu.run(move || verify(block, pieces, &place, &sealer)).await.map_err(|fault| (number, fault))
            });
        }
        Ok(verified.collect().await)
    }

    async fn read_pieces(&self, blocks: &[FoldedBlock]) -> SealedPieces {
        let mut wanted: BTreeMap<SegmentName, Vec<Extent>> = BTreeMap::new();
        for piece in blocks.iter().flat_map(|block| &block.pieces) {
            let extent = Extent::new(u64::from(piece.body.offset), u64::from(piece.body.length));
            wanted.entry(piece.body.segment).or_default().push(extent);
        }
        let reads = wanted.into_iter().flat_map(|(segment, extents)| join(extents).into_iter().map(move |extent| (segment, extent)));
        let reads = reads.map(|(segment, extent)| {
            let key = self.place.segment_key(segment);
            async move { ((segment, extent), self.objects.get(&key, Some(extent)).await) }
        });
        SealedPieces(stream::iter(reads.collect::<Vec<_>>()).buffered(READS_AT_ONCE).collect().await)
    }
}

/// What was read of the segments, each range with its bytes or its fault.
struct SealedPieces(Vec<((SegmentName, Extent), Result<Bytes, Fault>)>);

impl SealedPieces {
    fn piece(&self, piece: &Piece) -> Result<Bytes, Fault> {
        let (offset, length) = (u64::from(piece.body.offset), u64::from(piece.body.length));
        let holds = |(segment, extent): &(SegmentName, Extent)| {
            *segment == piece.body.segment && extent.offset <= offset && offset + length <= extent.end()
        };
        let Some(((_, extent), read)) = self.0.iter().find(|(range, _)| holds(range)) else {
            return Err(Fault::internal("a block was not among the ranges read"));
        };
        let bytes = read.clone()?;
        if bytes.len() as u64 != extent.length {
            return Err(Fault::corrupt(format!("a segment gave {} bytes of {}", bytes.len(), extent.length)));
        }
        let from = (offset - extent.offset) as usize;
        Ok(bytes.slice(from..from + length as usize))
    }
}

/// Joins ranges that touch or nearly touch, up to a few MiB.
fn join(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.sort_unstable();
    let mut joined: Vec<Extent> = Vec::new();
    for extent in extents {
        match joined.last_mut() {
            Some(last) if extent.offset <= last.end() + GAP_BYTES_MAX && extent.end() - last.offset <= 4 * BLOCK => {
                last.length = last.length.max(extent.end() - last.offset);
            }
            _ => joined.push(extent),
        }
    }
    joined
}

fn verify(folded: FoldedBlock, pieces: Vec<Bytes>, place: &DiskPlace, sealer: &Sealer) -> Result<VerifiedBlock, Fault> {
    let block = folded.block;
    let mut plain = vec![0; place.size.block(block).length as usize];
    let mut opened = Vec::new();
    for (piece, sealed) in folded.pieces.iter().zip(&pieces) {
        let key = place.segment_key(piece.body.segment);
        let at = BlockPlace { segment_key: &key, block, cells: piece.body.cells, encoding: piece.body.encoding.code() };
        sealer.open_block(at, sealed, &mut opened)?;
        let expanded = expand(&opened, piece.body.encoding, block)?;
        let bytes = expanded.as_deref().unwrap_or(&opened);
        copy_cells(piece, bytes, &mut plain, block)?;
    }
    for cell in folded.data().cells() {
        let from = cell as usize * CELL as usize;
        let to = plain.len().min(from + CELL as usize);
        if cell_digest(sealer.digest_secret(), &plain[from..to]) != folded.digests[cell as usize] {
            return Err(Fault::corrupt(format!("cell {cell} of block {block} is not what the source's digest says")));
        }
    }
    Ok(VerifiedBlock { folded, plain })
}

fn expand(bytes: &[u8], encoding: Encoding, block: u64) -> Result<Option<Vec<u8>>, Fault> {
    match encoding {
        Encoding::Raw => Ok(None),
        Encoding::Zstd => {
            zstd::bulk::decompress(bytes, BLOCK as usize).map(Some).map_err(|_| Fault::corrupt(format!("block {block} does not expand")))
        }
    }
}

/// The cells of a body stand one after the other; only the last one may be short, where the disk ended when it was written.
fn copy_cells(piece: &Piece, bytes: &[u8], plain: &mut [u8], block: u64) -> Result<(), Fault> {
    let cell_bytes = CELL as usize;
    for (index, cell) in piece.body.cells.cells().enumerate() {
        if !piece.wanted.contains(cell) {
            continue;
        }
        let target = cell as usize * cell_bytes;
        let length = cell_bytes.min(plain.len() - target);
        let from = index * cell_bytes;
        let Some(found) = bytes.get(from..from + length) else {
            return Err(Fault::corrupt(format!("block {block} is shorter than the cells it should hold")));
        };
        plain[target..target + length].copy_from_slice(found);
    }
    Ok(())
}

/// Runs of cells to write, as byte ranges within the block.
pub fn cell_ranges(mask: CellMask, block_bytes: u64) -> impl Iterator<Item = std::ops::Range<usize>> {
    mask.runs().map(move |(first, count)| {
        let from = u64::from(first) * CELL;
        let to = (from + u64::from(count) * CELL).min(block_bytes);
        from as usize..to as usize
    })
}
