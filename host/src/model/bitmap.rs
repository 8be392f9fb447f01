//! Which sectors of a disk are meant: planned, written, covered.
//!
//! Change is known in cells (64 KiB), so a bit stands for a cell and speaks for all its sectors; the counts are in sectors, and the
//! short last cell of a disk counts as what it has. A page of bits covers 64 MiB. A page that is empty or whole is one word, so a bitmap
//! of a 64 TiB disk of which all or nothing is set takes 16 MiB. Bits for single sectors are deliberately absent until a source
//! exists whose changes are finer than a cell; the encoded form has room for them (log/bitmap.rs).

use super::cells::CellMask;
use super::extent::{BLOCK, CELL, CELLS_PER_BLOCK, DiskSize, Extent, SECTOR};

const CELLS_PER_PAGE: u64 = 1024;
const WORDS_PER_PAGE: usize = (CELLS_PER_PAGE / 64) as usize;
const BLOCKS_PER_PAGE: u64 = CELLS_PER_PAGE / CELLS_PER_BLOCK as u64;

/// One page of bits. `Some` always holds at least one set and one clear bit, so equal sets are equal values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    Empty,
    Whole,
    Some(Box<[u64; WORDS_PER_PAGE]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectorBitmap {
    size: DiskSize,
    pages: Vec<Page>,
}

impl SectorBitmap {
    pub fn empty(size: DiskSize) -> SectorBitmap {
        SectorBitmap { size, pages: vec![Page::Empty; page_count(size)] }
    }

    pub fn whole(size: DiskSize) -> SectorBitmap {
        SectorBitmap { size, pages: vec![Page::Whole; page_count(size)] }
    }

    pub(crate) fn from_pages(size: DiskSize, pages: Vec<Page>) -> SectorBitmap {
        debug_assert_eq!(pages.len(), page_count(size));
        let mut bitmap = SectorBitmap { size, pages };
        for page in 0..bitmap.pages.len() {
            bitmap.normalise(page);
        }
        bitmap
    }

    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    pub(crate) const CELLS_PER_PAGE: u64 = CELLS_PER_PAGE;

    pub(crate) fn page_count(size: DiskSize) -> usize {
        page_count(size)
    }

    pub fn size(&self) -> DiskSize {
        self.size
    }

    /// Sets every cell that the extent touches.
    pub fn insert_widened(&mut self, extent: Extent) {
        debug_assert!(extent.length > 0 && extent.end() <= self.size.bytes());
        let first = extent.offset / CELL;
        let last = (extent.end() - 1) / CELL;
        self.set_cells(first, last + 1);
    }

    pub fn insert_block(&mut self, block: u64, mask: CellMask) {
        for (first, count) in mask.runs() {
            let start = block * u64::from(CELLS_PER_BLOCK) + u64::from(first);
            self.set_cells(start, start + u64::from(count));
        }
    }

    /// Sets all cells of blocks `from..to`.
    pub fn insert_blocks(&mut self, from: u64, to: u64) {
        let cells = u64::from(CELLS_PER_BLOCK);
        self.set_cells(from * cells, (to * cells).min(self.size.cells()));
    }

    pub fn block(&self, block: u64) -> CellMask {
        let own = CellMask::first(self.size.cells_in_block(block));
        match &self.pages[(block / BLOCKS_PER_PAGE) as usize] {
            Page::Empty => CellMask::NONE,
            Page::Whole => own,
            Page::Some(words) => {
                let bit = (block % BLOCKS_PER_PAGE) * u64::from(CELLS_PER_BLOCK);
                CellMask((words[(bit / 64) as usize] >> (bit % 64)) as u16).intersection(own)
            }
        }
    }

    /// Blocks with at least one bit set, from `from` on, ascending.
    pub fn blocks_from(&self, from: u64) -> impl Iterator<Item = (u64, CellMask)> + '_ {
        let mut block = from;
        let blocks = self.size.blocks();
        std::iter::from_fn(move || {
            while block < blocks {
                if matches!(self.pages[(block / BLOCKS_PER_PAGE) as usize], Page::Empty) {
                    block = (block / BLOCKS_PER_PAGE + 1) * BLOCKS_PER_PAGE;
                    continue;
                }
                let mask = self.block(block);
                block += 1;
                if !mask.is_empty() {
                    return Some((block - 1, mask));
                }
            }
            None
        })
    }

    pub fn union(&mut self, other: &SectorBitmap) {
        debug_assert_eq!(self.size, other.size);
        for page in 0..self.pages.len() {
            match (&mut self.pages[page], &other.pages[page]) {
                (_, Page::Empty) | (Page::Whole, _) => continue,
                (mine, Page::Whole) => *mine = Page::Whole,
                (mine @ Page::Empty, theirs) => *mine = theirs.clone(),
                (Page::Some(mine), Page::Some(theirs)) => {
                    for (word, other) in mine.iter_mut().zip(theirs.iter()) {
                        *word |= other;
                    }
                }
            }
            self.normalise(page);
        }
    }

    /// Clears every cell of blocks `0..block`.
    pub fn clear_blocks_before(&mut self, block: u64) {
        let whole_pages = (block / BLOCKS_PER_PAGE) as usize;
        for page in self.pages.iter_mut().take(whole_pages) {
            *page = Page::Empty;
        }
        for block in whole_pages as u64 * BLOCKS_PER_PAGE..block.min(self.size.blocks()) {
            self.clear_block(block);
        }
    }

    /// Whether everything set in `other` is set here.
    pub fn contains_all(&self, other: &SectorBitmap) -> bool {
        let mut joined = self.clone();
        joined.union(other);
        joined == *self
    }

    /// How many sectors are set.
    pub fn sectors(&self) -> u64 {
        self.sectors_before(self.size.blocks())
    }

    /// How many sectors are set in blocks `0..block`.
    pub fn sectors_before(&self, block: u64) -> u64 {
        let end = block.min(self.size.blocks());
        let whole_pages = end / BLOCKS_PER_PAGE;
        let mut cells = 0;
        for (index, page) in self.pages.iter().enumerate().take(whole_pages as usize) {
            cells += match page {
                Page::Empty => 0,
                Page::Whole => self.cells_in_page(index),
                Page::Some(words) => words.iter().map(|word| u64::from(word.count_ones())).sum(),
            };
        }
        let rest = (whole_pages * BLOCKS_PER_PAGE..end).map(|block| u64::from(self.block(block).count()));
        cells += rest.sum::<u64>();
        let last = self.size.cells() - 1;
        let counts_last = end == self.size.blocks() && self.contains_cell(last);
        let missing = if counts_last { CELL - self.size.cell(last).length } else { 0 };
        (cells * CELL - missing) / SECTOR
    }

    /// How many cells are not set.
    pub fn clear_cells(&self) -> u64 {
        (0..self.pages.len()).map(|page| self.clear_in_page(page)).sum()
    }

    /// The cells that stand at these places among those that are not set, counted from the first one. `places` ascend.
    pub fn clear_cells_at(&self, places: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (mut page, mut passed) = (0, 0);
        let mut found = Vec::new();
        for place in places {
            while page < self.pages.len() && passed + self.clear_in_page(page) <= place {
                passed += self.clear_in_page(page);
                page += 1;
            }
            let Some(bits) = self.pages.get(page) else { break };
            let within = place - passed;
            let cell = match bits {
                Page::Some(words) => nth_clear(words, within),
                _ => within,
            };
            found.push(page as u64 * CELLS_PER_PAGE + cell);
        }
        found
    }

    fn clear_in_page(&self, page: usize) -> u64 {
        match &self.pages[page] {
            Page::Empty => self.cells_in_page(page),
            Page::Whole => 0,
            Page::Some(words) => self.cells_in_page(page) - words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pages.iter().all(|page| matches!(page, Page::Empty))
    }

    fn contains_cell(&self, cell: u64) -> bool {
        let cells = u64::from(CELLS_PER_BLOCK);
        self.block(cell / cells).contains((cell % cells) as u32)
    }

    fn cells_in_page(&self, page: usize) -> u64 {
        CELLS_PER_PAGE.min(self.size.cells() - page as u64 * CELLS_PER_PAGE)
    }

    fn set_cells(&mut self, from: u64, to: u64) {
        let mut cell = from;
        while cell < to {
            let page = (cell / CELLS_PER_PAGE) as usize;
            let page_start = page as u64 * CELLS_PER_PAGE;
            let page_end = page_start + self.cells_in_page(page);
            let end = to.min(page_end);
            if cell == page_start && end == page_end {
                self.pages[page] = Page::Whole;
            } else {
                self.set_in_page(page, cell - page_start, end - page_start);
            }
            cell = end;
        }
    }

    fn set_in_page(&mut self, page: usize, from: u64, to: u64) {
        if matches!(self.pages[page], Page::Empty) {
            self.pages[page] = Page::Some(Box::new([0; WORDS_PER_PAGE]));
        }
        if let Page::Some(words) = &mut self.pages[page] {
            for bit in from..to {
                words[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        self.normalise(page);
    }

    fn clear_block(&mut self, block: u64) {
        let page = (block / BLOCKS_PER_PAGE) as usize;
        if matches!(self.pages[page], Page::Whole) {
            let mut words = Box::new([0; WORDS_PER_PAGE]);
            for bit in 0..self.cells_in_page(page) {
                words[(bit / 64) as usize] |= 1 << (bit % 64);
            }
            self.pages[page] = Page::Some(words);
        }
        if let Page::Some(words) = &mut self.pages[page] {
            let bit = (block % BLOCKS_PER_PAGE) * u64::from(CELLS_PER_BLOCK);
            words[(bit / 64) as usize] &= !(0xffff << (bit % 64));
        }
        self.normalise(page);
    }

    /// Restores "`Some` holds at least one set and one clear bit".
    fn normalise(&mut self, page: usize) {
        let Page::Some(words) = &self.pages[page] else { return };
        let set: u64 = words.iter().map(|word| u64::from(word.count_ones())).sum();
        if set == 0 {
            self.pages[page] = Page::Empty;
        } else if set == self.cells_in_page(page) {
            self.pages[page] = Page::Whole;
        }
    }
}

/// The bit that is the nth clear one, counted from 0.
fn nth_clear(words: &[u64; WORDS_PER_PAGE], nth: u64) -> u64 {
    let clear = |bit: &u64| words[(bit / 64) as usize] >> (bit % 64) & 1 == 0;
    (0..CELLS_PER_PAGE).filter(clear).nth(nth as usize).expect("the caller counted the clear bits of this page")
}

fn page_count(size: DiskSize) -> usize {
    size.cells().div_ceil(CELLS_PER_PAGE) as usize
}

const _: () = assert!(BLOCK.is_multiple_of(CELL) && CELLS_PER_PAGE.is_multiple_of(64));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn cells_of(bitmap: &SectorBitmap) -> BTreeSet<u64> {
        let per_block = u64::from(CELLS_PER_BLOCK);
        bitmap.blocks_from(0).flat_map(|(block, mask)| mask.cells().map(move |cell| block * per_block + u64::from(cell))).collect()
    }

    #[test]
    fn a_whole_bitmap_counts_the_short_last_cell_as_what_it_has() {
        let size = DiskSize::new(3 * CELL + 2 * SECTOR).unwrap();
        assert_eq!(SectorBitmap::whole(size).sectors(), size.sectors());
    }

    #[test]
    fn a_whole_64_tib_disk_is_one_word_a_page() {
        let size = DiskSize::new(DiskSize::MAX).unwrap();
        let bitmap = SectorBitmap::whole(size);
        assert_eq!(bitmap.sectors(), size.sectors());
        assert!(bitmap.pages.iter().all(|page| matches!(page, Page::Whole)));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set_of_cells(
            sectors in 1u64..600_000,
            inserts in proptest::collection::vec((0.0f64..1.0, 1u64..40_000_000), 0..12),
            cleared in 0.0f64..1.0,
        ) {
            let size = DiskSize::new(sectors * SECTOR).unwrap();
            let mut bitmap = SectorBitmap::empty(size);
            let mut plain = BTreeSet::new();
            for (place, length) in inserts {
                let offset = (place * size.bytes() as f64) as u64;
                let length = length.min(size.bytes() - offset);
                bitmap.insert_widened(Extent::new(offset, length));
                plain.extend(offset / CELL..=(offset + length - 1) / CELL);
            }
            prop_assert_eq!(&cells_of(&bitmap), &plain);
            prop_assert_eq!(bitmap.sectors(), plain.iter().map(|cell| size.cell(*cell).length / SECTOR).sum::<u64>());

            let clear: Vec<u64> = (0..size.cells()).filter(|cell| !plain.contains(cell)).collect();
            prop_assert_eq!(bitmap.clear_cells(), clear.len() as u64);
            prop_assert_eq!(bitmap.clear_cells_at(0..clear.len() as u64 + 3), clear.clone());
            prop_assert_eq!(bitmap.clear_cells_at((0..clear.len() as u64).step_by(7)), clear.into_iter().step_by(7).collect::<Vec<_>>());

            let mut copy = SectorBitmap::empty(size);
            for (block, mask) in bitmap.blocks_from(0) {
                copy.insert_block(block, mask);
            }
            prop_assert_eq!(&copy, &bitmap);

            let before = (cleared * size.blocks() as f64) as u64;
            let all = bitmap.sectors();
            let of_before = bitmap.sectors_before(before);
            bitmap.clear_blocks_before(before);
            prop_assert_eq!(all - bitmap.sectors(), of_before);
            plain.retain(|cell| *cell >= before * u64::from(CELLS_PER_BLOCK));
            prop_assert_eq!(cells_of(&bitmap), plain);
            prop_assert!(copy.contains_all(&bitmap));
        }
    }
}
