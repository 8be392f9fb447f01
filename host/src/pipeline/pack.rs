//! Packs encoded blocks into segments, and describes what they carry in pages.
//!
//! A page is closed together with a segment, so that it never names half of one, and is handed out only when all of its segments
//! are in the store.

use std::sync::Arc;

use crate::log::layout::AttemptFolder;
use crate::log::page::{BlockEntry, Body, Entry, ManifestPage, SegmentName};
use crate::log::seal::{Sealed, SealedBlock};
use crate::log::store::Log;
use crate::model::commit::Sha;
use crate::model::{Attempt, CELLS_PER_BLOCK, CellMask, CycleNumber, Fault, StoreNumber};

use super::encode::EncodedBlock;
use super::limits::CopyLimits;
use super::pace::Meter;

/// A segment that has been filled and waits to be put, with the entries that came before and in it.
pub struct FullSegment {
    name: Option<SegmentName>,
    blocks: Vec<SealedBlock>,
    entries: Vec<Entry>,
    /// Blocks before this one are described once this segment is stored.
    to_block: u64,
}

/// A segment that is in the store.
pub struct StoredSegment {
    pub entries: Vec<Entry>,
    pub to_block: u64,
    pub sealed_bytes: u64,
}

pub struct Packer {
    next_number: u32,
    name: SegmentName,
    filled: u64,
    blocks: Vec<SealedBlock>,
    entries: Vec<Entry>,
}

impl Packer {
    pub fn new(cycle: CycleNumber, attempt: Attempt, first_number: u32, random: u64) -> Packer {
        let name = SegmentName { cycle, attempt, number: first_number, random, store: StoreNumber::HOME };
        Packer { next_number: first_number + 1, name, filled: 0, blocks: Vec::new(), entries: Vec::new() }
    }

    /// Takes a block; answers a segment when this block does not fit any more. Blocks without data only leave an entry.
    pub fn push(&mut self, block: EncodedBlock, limits: &CopyLimits, random: impl FnOnce() -> u64) -> Option<FullSegment> {
        let bytes = block.sealed.as_ref().map_or(0, |sealed| sealed.len() as u64);
        let overflows = bytes > 0 && self.filled + bytes > limits.segment_bytes;
        let crowded = self.entries.len() >= limits.page_entries;
        let full = (overflows || crowded).then(|| self.take(block.block, random));
        self.add(block);
        full
    }

    /// What is left when nothing comes for now, or ever: everything before this block is in it or was handed out.
    pub fn rest(&mut self, to_block: u64, random: impl FnOnce() -> u64) -> FullSegment {
        self.take(to_block, random)
    }

    fn add(&mut self, mut block: EncodedBlock) {
        let body = block.sealed.take().map(|sealed| {
            let (offset, length) = (self.filled as u32, sealed.len() as u32);
            self.filled += u64::from(length);
            self.blocks.push(sealed);
            Body { segment: self.name, offset, length, encoding: block.encoding, cells: block.data }
        });
        push_entry(&mut self.entries, entry(block, body));
    }

    fn take(&mut self, to_block: u64, random: impl FnOnce() -> u64) -> FullSegment {
        let name = (!self.blocks.is_empty()).then_some(self.name);
        if name.is_some() {
            self.name = SegmentName { number: self.next_number, random: random(), ..self.name };
            self.next_number += 1;
        }
        self.filled = 0;
        FullSegment { name, blocks: std::mem::take(&mut self.blocks), entries: std::mem::take(&mut self.entries), to_block }
    }
}

fn entry(block: EncodedBlock, body: Option<Body>) -> Entry {
    let EncodedBlock { block, data, zero, same, digests, .. } = block;
    Entry::Block(BlockEntry { block, data, zero, same, body, digests })
}

/// Whole blocks of zeros that follow each other become one entry.
fn push_entry(entries: &mut Vec<Entry>, entry: Entry) {
    let Entry::Block(new) = &entry else { return entries.push(entry) };
    let whole = CellMask::first(CELLS_PER_BLOCK);
    if new.zero == whole {
        match entries.last_mut() {
            Some(Entry::Zeros { block, count }) if *block + *count == new.block => *count += 1,
            _ => entries.push(Entry::Zeros { block: new.block, count: 1 }),
        }
    } else if new.same == whole && new.digests.iter().all(|digest| *digest == crate::model::Digest::ZERO_CELL) {
        match entries.last_mut() {
            Some(Entry::SameZeros { block, count }) if *block + *count == new.block => *count += 1,
            _ => entries.push(Entry::SameZeros { block: new.block, count: 1 }),
        }
    } else {
        entries.push(entry);
    }
}

/// Puts a segment, whose bytes go when the meter lets them. When this returns, the segment is durable.
pub async fn store_segment(segment: FullSegment, folder: AttemptFolder, log: Log, meter: Arc<dyn Meter>) -> Result<StoredSegment, Fault> {
    let FullSegment { name, blocks, mut entries, to_block } = segment;
    let Some(name) = name else { return Ok(StoredSegment { entries, to_block, sealed_bytes: 0 }) };
    let sealed = Sealed::segment(blocks).metered(meter);
    let stands_as = log.store_segment(name, &folder, &sealed).await?;
    if stands_as != name {
        rename(&mut entries, stands_as);
    }
    Ok(StoredSegment { entries, to_block, sealed_bytes: sealed.len() as u64 })
}

/// All bodies among the entries of one segment stand in it.
fn rename(entries: &mut [Entry], name: SegmentName) {
    for entry in entries {
        if let Entry::Block(BlockEntry { body: Some(body), .. }) = entry {
            body.segment = name;
        }
    }
}

/// A page under construction out of stored segments.
pub struct PageBuilder {
    page: ManifestPage,
    sealed_bytes: u64,
}

impl PageBuilder {
    pub fn new(from_block: u64) -> PageBuilder {
        PageBuilder { page: ManifestPage { from_block, to_block: from_block, entries: Vec::new() }, sealed_bytes: 0 }
    }

    /// Adds a stored segment; answers the page when it is full.
    pub fn push(&mut self, stored: StoredSegment, limits: &CopyLimits) -> Option<ManifestPage> {
        self.page.entries.extend(stored.entries);
        self.page.to_block = stored.to_block;
        self.sealed_bytes += stored.sealed_bytes;
        let full = self.sealed_bytes >= limits.page_bytes || self.page.entries.len() >= limits.page_entries;
        full.then(|| self.take())
    }

    /// What is left as a page; none when nothing came after the page before.
    pub fn rest(&mut self) -> Option<ManifestPage> {
        (self.page.from_block < self.page.to_block).then(|| self.take())
    }

    fn take(&mut self) -> ManifestPage {
        let next = ManifestPage { from_block: self.page.to_block, to_block: self.page.to_block, entries: Vec::new() };
        self.sealed_bytes = 0;
        std::mem::replace(&mut self.page, next)
    }
}

/// The digest that a commit names a disk's pages by: SHA-256 over the SHA-256 of every page.
#[derive(Clone, Default)]
pub struct PagesDigest(sha2::Sha256);

impl PagesDigest {
    pub fn push(&mut self, page: &[u8]) {
        use sha2::Digest as _;
        self.0.update(Sha::of(page).0);
    }

    pub fn value(&self) -> Sha {
        use sha2::Digest as _;
        Sha(self.0.clone().finalize().into())
    }
}
