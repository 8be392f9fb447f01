//! Brings the bytes of folded blocks from the store and lets nothing through that is not what its digest says.
//!
//! Blocks come in batches, and several batches are under way at once. The pieces of a batch are grouped by segment, neighbours are joined into
//! one ranged read, and all reads of a batch go out together. A block that cannot be had or does not verify is an error of that block alone, so that a receipt can
//! name every bad block and not only the first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesOrdered};
use futures::{FutureExt, StreamExt};

use crate::cpu::Cpu;
use crate::files::DiskFile;
use crate::model::{BLOCK, CELL, CellMask, Digest, DiskId, DiskSize, Extent, Fault, VmId};

use super::digest::cell_digest;
use super::fold::{Fold, FoldedBlock, Piece};
use super::layout::AttemptFolder;
use super::page::{Encoding, SegmentName};
use super::seal::{BlockPlace, Sealer};
use super::squeeze;
use super::store::{Log, Objects};

/// Blocks of a batch.
pub const BATCH_BLOCKS: usize = 8;
/// Batches under way at once. In a first copy or a delta each holds at most twice as many MiB as it has blocks, sealed and in the clear; a
/// fold over many commits may need more bodies for a block.
pub const BATCHES_AT_ONCE: usize = 4;
/// Reads that are closer than this in a segment are joined.
const GAP_BYTES_MAX: u64 = 64 * 1024;
/// Ranged reads under way at once.
const READS_AT_ONCE: usize = 8;

/// A block whose bytes are what the source's digests say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBlock {
    pub folded: FoldedBlock,
    pub data: VerifiedData,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedData {
    /// A whole block of bytes (fewer at the end of a disk); only the cells of `folded.data()` are filled in.
    Bytes(Vec<u8>),
    /// It was read from the disk that is being filled, and is right: nothing is fetched, and nothing is to be written.
    InPlace,
}

/// Which disk the segments belong to.
#[derive(Debug, Clone)]
pub struct DiskPlace {
    pub vm: VmId,
    pub disk: DiskId,
    pub size: DiskSize,
}

impl DiskPlace {
    fn folder(&self, segment: SegmentName) -> AttemptFolder {
        AttemptFolder::new(&self.vm, segment.cycle, segment.attempt, &self.disk)
    }
}

/// A block, or why it cannot be believed.
pub type Fetched = Result<VerifiedBlock, (u64, Fault)>;

/// Reads batches of verified blocks off a fold. While one is worked on, nothing is polled: who works on it may wait for local files, and
/// never for the store, whose connections the next batch may hold.
pub struct Fetch {
    fold: Fold,
    fetcher: Arc<Fetcher>,
    under_way: FuturesOrdered<BoxFuture<'static, Vec<Fetched>>>,
    fetched: VecDeque<Vec<Fetched>>,
}

impl Fetch {
    pub fn new(fold: Fold, fetcher: Fetcher) -> Fetch {
        Fetch { fold, fetcher: Arc::new(fetcher), under_way: FuturesOrdered::new(), fetched: VecDeque::new() }
    }

    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The next blocks in disk order; empty at the end. A fault here is one of the manifest itself.
    pub async fn next(&mut self) -> Result<Vec<Fetched>, Fault> {
        while self.under_way.len() + self.fetched.len() < BATCHES_AT_ONCE {
            let blocks = self.next_blocks().await?;
            if blocks.is_empty() {
                break;
            }
            let fetcher = self.fetcher.clone();
            self.under_way.push_back(async move { fetcher.fetch(blocks).await }.boxed());
        }
        match self.fetched.pop_front() {
            Some(batch) => Ok(batch),
            None => Ok(self.under_way.next().await.unwrap_or_default()),
        }
    }

    /// The fold may have to read a page of the manifest; what is under way goes on meanwhile, or it could hold what the page waits for.
    async fn next_blocks(&mut self) -> Result<Vec<FoldedBlock>, Fault> {
        let mut blocks = pin!(batch_of(&mut self.fold));
        loop {
            tokio::select! {
                biased;
                blocks = &mut blocks => return blocks,
                Some(batch) = self.under_way.next(), if !self.under_way.is_empty() => self.fetched.push_back(batch),
            }
        }
    }
}

async fn batch_of(fold: &mut Fold) -> Result<Vec<FoldedBlock>, Fault> {
    let mut blocks = Vec::with_capacity(BATCH_BLOCKS);
    let mut with_data = 0;
    while with_data < BATCH_BLOCKS && blocks.len() < 64 * BATCH_BLOCKS {
        let Some(block) = fold.next().await? else { break };
        with_data += usize::from(!block.pieces.is_empty());
        blocks.push(block);
    }
    Ok(blocks)
}

/// A disk that was filled ahead, and the segments that were read whole from the store, and verified, on that way.
pub struct Filled {
    pub file: Arc<dyn DiskFile>,
    pub verified: BTreeSet<SegmentName>,
}

/// Turns folded blocks of one disk into bytes that are what their digests say.
pub struct Fetcher {
    place: DiskPlace,
    objects: Arc<dyn Objects>,
    sealer: Arc<Sealer>,
    cpu: Cpu,
    filled: Option<Filled>,
}

impl Fetcher {
    /// `objects`: where the segments are read, the log itself or a spool before it.
    pub fn new(place: DiskPlace, objects: Arc<dyn Objects>, log: &Log) -> Fetcher {
        Fetcher { place, objects, sealer: log.sealer().clone(), cpu: log.cpu().clone(), filled: None }
    }

    /// What came out of a verified segment and stands in the file is proven there, and not fetched a second time.
    pub fn onto(self, filled: Filled) -> Fetcher {
        Fetcher { filled: Some(filled), ..self }
    }

    /// The blocks in the order given, each with its bytes or its fault. At most `BATCH_BLOCKS` of them may have data.
    pub async fn fetch(&self, blocks: Vec<FoldedBlock>) -> Vec<Fetched> {
        let in_place: Vec<bool> = FuturesOrdered::from_iter(blocks.iter().map(|block| self.stands_already(block))).collect().await;
        let missing = blocks.iter().zip(&in_place).filter(|(_, in_place)| !**in_place).map(|(block, _)| block);
        let sealed = self.read_pieces(missing).await;
        let block = async |(block, in_place)| match in_place {
            true => Ok(VerifiedBlock { folded: block, data: VerifiedData::InPlace }),
            false => self.verified(block, &sealed).await,
        };
        FuturesOrdered::from_iter(blocks.into_iter().zip(in_place).map(block)).collect().await
    }

    async fn verified(&self, block: FoldedBlock, sealed: &SealedPieces) -> Fetched {
        if block.pieces.is_empty() {
            return Ok(VerifiedBlock { folded: block, data: VerifiedData::Bytes(Vec::new()) });
        }
        let number = block.block;
        let pieces = block.pieces.iter().map(|piece| sealed.piece(piece)).collect::<Result<Vec<_>, _>>();
        let pieces = pieces.map_err(|fault| (number, fault))?;
        let (place, sealer) = (self.place.clone(), self.sealer.clone());
        self.cpu.run(move || verify(block, pieces, &place, &sealer)).await.map_err(|fault| (number, fault))
    }

    /// Whether every cell of data stands in the file that was filled. The store must have shown it once: a receipt says of the log as well
    /// that it holds the point. A place that cannot be read is written anew.
    async fn stands_already(&self, block: &FoldedBlock) -> bool {
        let Some(Filled { file, verified }) = &self.filled else { return false };
        if block.pieces.is_empty() || !block.pieces.iter().all(|piece| verified.contains(&piece.body.segment)) {
            return false;
        }
        let extent = self.place.size.block(block.block);
        let mut held = vec![0; extent.length as usize];
        if let Err(fault) = file.read_at(extent.offset, &mut held).await {
            tracing::warn!(block = block.block, message = %fault.message, "what was filled ahead cannot be read, and is fetched again");
            return false;
        }
        let (sealer, cells, digests) = (self.sealer.clone(), block.data(), block.digests);
        self.cpu.run(move || differing(&held, cells, &digests, &sealer).is_none()).await
    }

    async fn read_pieces(&self, blocks: impl Iterator<Item = &FoldedBlock>) -> SealedPieces {
        let mut wanted: BTreeMap<SegmentName, Vec<Extent>> = BTreeMap::new();
        for piece in blocks.flat_map(|block| &block.pieces) {
            let extent = Extent::new(u64::from(piece.body.offset), u64::from(piece.body.length));
            wanted.entry(piece.body.segment).or_default().push(extent);
        }
        let reads = wanted.into_iter().flat_map(|(segment, extents)| join(extents).into_iter().map(move |extent| (segment, extent)));
        let reads = reads.map(|(segment, extent)| {
            let key = segment.key(&self.place.vm, &self.place.disk);
            async move { ((segment, extent), self.objects.get(segment.store, &key, Some(extent)).await) }
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
    let block_bytes = place.size.block(block).length as usize;
    let mut plain = match (&folded.pieces[..], &pieces[..]) {
        // By far the most blocks: what one body holds stands in the block just like that.
        ([piece], [sealed]) if begins_its_block(piece) => {
            let bytes = open(piece, sealed, block, place, sealer)?;
            let wanted = cell_ranges(piece.wanted, block_bytes as u64).last().map_or(0, |range| range.end);
            if bytes.len() < wanted {
                return Err(short(block));
            }
            bytes
        }
        _ => {
            let mut plain = vec![0; block_bytes];
            for (piece, sealed) in folded.pieces.iter().zip(&pieces) {
                copy_cells(piece, &open(piece, sealed, block, place, sealer)?, &mut plain, block)?;
            }
            plain
        }
    };
    plain.resize(block_bytes, 0);
    match differing(&plain, folded.data(), &folded.digests, sealer) {
        Some(cell) => Err(Fault::corrupt(format!("cell {cell} of block {block} is not what the source's digest says"))),
        None => Ok(VerifiedBlock { folded, data: VerifiedData::Bytes(plain) }),
    }
}

/// The body's cells, one after the other.
fn open(piece: &Piece, sealed: &[u8], block: u64, place: &DiskPlace, sealer: &Sealer) -> Result<Vec<u8>, Fault> {
    let folder = place.folder(piece.body.segment);
    let at = BlockPlace { folder: &folder, block, cells: piece.body.cells, encoding: piece.body.encoding.code() };
    let mut opened = Vec::new();
    sealer.open_block(at, sealed, &mut opened)?;
    match piece.body.encoding {
        Encoding::Raw => Ok(opened),
        Encoding::Zstd => squeeze::expand(&opened, || format!("block {block}")),
    }
}

/// Whether all cells of the body are wanted, and are the first ones of the block.
fn begins_its_block(piece: &Piece) -> bool {
    piece.wanted == piece.body.cells && piece.wanted == CellMask::first(piece.wanted.count())
}

fn short(block: u64) -> Fault {
    Fault::corrupt(format!("block {block} is shorter than the cells it should hold"))
}

/// The first of these cells of a block that is not what its digest says.
fn differing(plain: &[u8], cells: CellMask, digests: &[Digest; 16], sealer: &Sealer) -> Option<u32> {
    cells.cells().find(|cell| {
        let from = *cell as usize * CELL as usize;
        let to = plain.len().min(from + CELL as usize);
        cell_digest(sealer.digest_secret(), &plain[from..to]) != digests[*cell as usize]
    })
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
            return Err(short(block));
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
