//! What a disk looks like at a recovery point, or what one commit does to it, as a stream of blocks in disk order.
//!
//! ```text
//!   cycle 7   attempt 2 ──┐ within a cycle a later attempt wins, also when it only says "same"
//!             attempt 1 ──┤
//!   cycle 6   attempt 1 ──┼──▶ for each block: which cell stands in which sealed body, which are zero
//!   checkpoint 5 ─────────┘ between cycles "same" means: look further down
//! ```
//!
//! Each layer is a stream of pages in disk order, so folding needs one page of every layer in memory and no map of the disk.
//! Everything that reads the log goes through here: applying a commit, restoring, verifying, tables, checkpoints.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::model::{CellMask, CycleNumber, Digest, DiskId, DiskSize, Fault, SectorBitmap, StoreNumber, VmId};

use super::layout::{self, AttemptFolder};
use super::page::{self, BlockEntry, Body, Entry, ManifestPage, PageKind};
use super::seal::{Role, Sealer};
use super::store::Objects;
use crate::model::commit::{DiskCommit, Layer, Sha};

/// Cells of a block that stand in one sealed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub body: Body,
    /// Those of the body's cells that are meant.
    pub wanted: CellMask,
}

/// One block of a fold. The masks are disjoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldedBlock {
    pub block: u64,
    pub pieces: Vec<Piece>,
    pub zero: CellMask,
    /// Cells that are as at the base. Only when a single cycle is folded.
    pub same: CellMask,
    /// For cells of pieces and of `same`; `ZERO_CELL` elsewhere.
    pub digests: [Digest; 16],
}

impl FoldedBlock {
    fn new(block: u64) -> FoldedBlock {
        FoldedBlock { block, pieces: Vec::new(), zero: CellMask::NONE, same: CellMask::NONE, digests: [Digest::ZERO_CELL; 16] }
    }

    /// What an entry says of data, and nothing else of it.
    pub fn data_of(entry: &BlockEntry) -> Option<FoldedBlock> {
        let piece = Piece { body: entry.body?, wanted: entry.data };
        let mut block = FoldedBlock { pieces: vec![piece], ..FoldedBlock::new(entry.block) };
        for cell in entry.data.cells() {
            block.digests[cell as usize] = entry.digest(cell);
        }
        Some(block)
    }

    pub fn data(&self) -> CellMask {
        self.pieces.iter().fold(CellMask::NONE, |mask, piece| mask.union(piece.wanted))
    }

    pub fn cells(&self) -> CellMask {
        self.data().union(self.zero).union(self.same)
    }

    fn is_empty(&self) -> bool {
        self.cells().is_empty()
    }
}

/// Where a layer's pages stand and how many there must be.
enum Pages {
    Attempt { folder: AttemptFolder, layer: Layer },
    Checkpoint { vm: VmId, cycle: CycleNumber, disk: DiskId, pages: u32, digest: Sha },
}

/// Reads the pages of one layer in order, and checks that they are all there, tile their blocks, and are the ones that were named.
struct LayerCursor {
    cycle: CycleNumber,
    pages: Pages,
    size: DiskSize,
    next_page: u32,
    reached: u64,
    digest: Sha256,
    page: ManifestPage,
    entry: usize,
    /// Every cell this layer speaks of, so that it can be compared with what was planned.
    seen: SectorBitmap,
}

impl LayerCursor {
    fn new(cycle: CycleNumber, pages: Pages, size: DiskSize) -> LayerCursor {
        let page = ManifestPage { from_block: 0, to_block: 0, entries: Vec::new() };
        LayerCursor { cycle, pages, size, next_page: 0, reached: 0, digest: Sha256::new(), page, entry: 0, seen: SectorBitmap::empty(size) }
    }

    fn to_block(&self) -> u64 {
        match &self.pages {
            Pages::Attempt { layer, .. } => layer.to_block,
            Pages::Checkpoint { .. } => self.size.blocks(),
        }
    }

    /// Goes to `block`, which never goes back. False when this layer ends before it.
    async fn seek(&mut self, block: u64, objects: &dyn Objects, sealer: &Sealer) -> Result<bool, Fault> {
        while block >= self.page.to_block {
            if self.reached >= self.to_block() {
                return Ok(false);
            }
            self.load_page(objects, sealer).await?;
        }
        while self.entry < self.page.entries.len() && self.page.entries[self.entry].end_block() <= block {
            self.entry += 1;
        }
        Ok(true)
    }

    /// The entries that speak of `block`, after `seek` to it.
    fn entries(&self, block: u64) -> impl Iterator<Item = &Entry> {
        self.page.entries[self.entry..].iter().take_while(move |entry| entry.first_block() <= block)
    }

    /// The first block after `block` that the layer may speak of, after `seek` to that one. Pages are seldom empty: the next one begins where
    /// this one ends, and is then read.
    fn resumes_after(&self, block: u64) -> u64 {
        if block + 1 >= self.to_block().min(self.size.blocks()) {
            return u64::MAX;
        }
        let next = self.page.entries[self.entry..].iter().find(|entry| entry.end_block() > block + 1);
        next.map_or(self.page.to_block, Entry::first_block).max(block + 1)
    }

    async fn load_page(&mut self, objects: &dyn Objects, sealer: &Sealer) -> Result<(), Fault> {
        let number = self.next_page;
        let (key, role, kind, count) = match &self.pages {
            Pages::Attempt { folder, layer } => (folder.page(number), Role::Page, PageKind::Manifest, layer.pages),
            Pages::Checkpoint { vm, cycle, disk, pages, .. } => {
                (layout::checkpoint_page(vm, *cycle, disk, number), Role::Checkpoint, PageKind::Checkpoint, *pages)
            }
        };
        if number >= count {
            return Err(Fault::corrupt(format!("the pages before {key} do not cover their blocks")));
        }
        let bytes = sealer.open_object(role, &key, &objects.get(StoreNumber::HOME, &key, None).await?)?;
        self.digest.update(Sha::of(&bytes).0);
        let page = page::decode(&bytes, self.size, kind)?;
        if page.from_block != self.reached || page.to_block > self.to_block() {
            return Err(Fault::corrupt(format!("page {key} does not follow the page before it")));
        }
        for entry in &page.entries {
            match entry {
                Entry::Block(entry) => self.seen.insert_block(entry.block, entry.cells()),
                entry => self.seen.insert_blocks(entry.first_block(), entry.end_block()),
            }
        }
        self.next_page += 1;
        self.reached = page.to_block;
        self.page = page;
        self.entry = 0;
        if self.reached == self.to_block() && (self.next_page == count) {
            self.check_digest(&key)?;
        }
        Ok(())
    }

    fn check_digest(&mut self, key: &str) -> Result<(), Fault> {
        let expected = match &self.pages {
            Pages::Attempt { layer, .. } => layer.pages_digest,
            Pages::Checkpoint { digest, .. } => *digest,
        };
        if Sha(self.digest.clone().finalize().into()) != expected {
            return Err(Fault::corrupt(format!("the pages up to {key} are not the ones that the commit names")));
        }
        Ok(())
    }

    /// After the last block: whether all pages were read.
    fn finished(&self) -> bool {
        let count = match &self.pages {
            Pages::Attempt { layer, .. } => layer.pages,
            Pages::Checkpoint { pages, .. } => *pages,
        };
        self.reached == self.to_block() && self.next_page == count
    }
}

/// A stream of blocks. Make one with `new`, add the newest layers first, then call `next` until it answers none.
pub struct Fold {
    objects: Arc<dyn Objects>,
    sealer: Arc<Sealer>,
    size: DiskSize,
    layers: Vec<LayerCursor>,
    block: u64,
}

impl Fold {
    pub fn new(objects: Arc<dyn Objects>, sealer: Arc<Sealer>, size: DiskSize) -> Fold {
        Fold { objects, sealer, size, layers: Vec::new(), block: 0 }
    }

    /// Adds what one commit says of the disk, below everything added before. A disk that was smaller in that cycle is fine.
    pub fn add_commit(&mut self, vm: &VmId, cycle: CycleNumber, disk: &DiskCommit) {
        for layer in disk.layers.iter().rev() {
            let folder = AttemptFolder::new(vm, layer.cycle, layer.attempt, &disk.disk);
            let pages = Pages::Attempt { folder, layer: layer.clone() };
            self.layers.push(LayerCursor::new(cycle, pages, disk.size));
        }
    }

    pub fn add_checkpoint(&mut self, vm: &VmId, cycle: CycleNumber, disk: &DiskId, size: DiskSize, pages: u32, digest: Sha) {
        let pages = Pages::Checkpoint { vm: vm.clone(), cycle, disk: disk.clone(), pages, digest };
        self.layers.push(LayerCursor::new(cycle, pages, size));
    }

    /// The next block of which any layer says anything.
    pub async fn next(&mut self) -> Result<Option<FoldedBlock>, Fault> {
        while self.block < self.size.blocks() {
            let folded = self.fold(self.block).await?;
            if !folded.is_empty() {
                self.block += 1;
                return Ok(Some(folded));
            }
            // A delta of a large disk speaks of few blocks.
            self.block = self.layers.iter().map(|layer| layer.resumes_after(self.block)).min().unwrap_or(u64::MAX);
        }
        match self.layers.iter().all(LayerCursor::finished) {
            true => Ok(None),
            false => Err(Fault::corrupt("a manifest has pages missing at its end, or more than were named")),
        }
    }

    /// What each layer spoke of, in the order in which layers were added. Whole only after the last block.
    pub fn seen(&self) -> impl Iterator<Item = &SectorBitmap> {
        self.layers.iter().map(|layer| &layer.seen)
    }

    async fn fold(&mut self, block: u64) -> Result<FoldedBlock, Fault> {
        let all = CellMask::first(self.size.cells_in_block(block));
        let mut folded = FoldedBlock::new(block);
        let mut resolved = CellMask::NONE;
        // Cells that a later attempt of the same cycle spoke of: earlier attempts are silent about them.
        let mut claimed = CellMask::NONE;
        let mut cycle = None;
        for index in 0..self.layers.len() {
            let layer = &mut self.layers[index];
            if cycle != Some(layer.cycle) {
                claimed = CellMask::NONE;
                cycle = Some(layer.cycle);
            }
            if block >= layer.size.blocks() || !layer.seek(block, &*self.objects, &self.sealer).await? {
                continue;
            }
            let open = all.without(resolved).without(claimed);
            let mut spoken = CellMask::NONE;
            for entry in layer.entries(block) {
                let (settled, said) = merge(entry, open, &mut folded, layer.size.cells_in_block(block));
                resolved = resolved.union(settled);
                spoken = spoken.union(said);
            }
            claimed = claimed.union(spoken);
            folded.same = folded.same.without(resolved);
        }
        for cell in folded.zero.cells() {
            folded.digests[cell as usize] = Digest::ZERO_CELL;
        }
        Ok(folded)
    }
}

/// Adds the cells in `open` that the entry speaks of. Answers those that are settled by it, and all it spoke of.
fn merge(entry: &Entry, open: CellMask, folded: &mut FoldedBlock, cells: u32) -> (CellMask, CellMask) {
    match entry {
        Entry::Zeros { .. } => {
            let settled = open.intersection(CellMask::first(cells));
            folded.zero = folded.zero.union(settled);
            (settled, CellMask::first(cells))
        }
        Entry::SameZeros { .. } => {
            folded.same = folded.same.union(open.intersection(CellMask::first(cells)));
            (CellMask::NONE, CellMask::first(cells))
        }
        Entry::Block(entry) => {
            let data = entry.data.intersection(open);
            let zero = entry.zero.intersection(open);
            let same = entry.same.intersection(open);
            if let (Some(body), false) = (entry.body, data.is_empty()) {
                folded.pieces.push(Piece { body, wanted: data });
            }
            for cell in data.union(same).cells() {
                folded.digests[cell as usize] = entry.digest(cell);
            }
            folded.zero = folded.zero.union(zero);
            folded.same = folded.same.union(same);
            (data.union(zero), entry.cells())
        }
    }
}

#[cfg(test)]
mod tests;
