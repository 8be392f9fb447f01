//! Cells of a block: which of the sixteen are meant, and what their contents digest to.

use serde::{Deserialize, Serialize};

use super::extent::CELLS_PER_BLOCK;

/// A set of cells inside one block; bit 0 is the first cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CellMask(pub u16);

impl CellMask {
    pub const NONE: CellMask = CellMask(0);

    /// The first `count` cells.
    pub fn first(count: u32) -> CellMask {
        debug_assert!(count <= CELLS_PER_BLOCK);
        CellMask(((1u32 << count) - 1) as u16)
    }

    pub fn only(cell: u32) -> CellMask {
        CellMask(1 << cell)
    }

    pub fn contains(self, cell: u32) -> bool {
        self.0 & (1 << cell) != 0
    }

    pub fn with(self, cell: u32) -> CellMask {
        CellMask(self.0 | (1 << cell))
    }

    pub fn union(self, other: CellMask) -> CellMask {
        CellMask(self.0 | other.0)
    }

    pub fn intersection(self, other: CellMask) -> CellMask {
        CellMask(self.0 & other.0)
    }

    pub fn without(self, other: CellMask) -> CellMask {
        CellMask(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The cells, lowest first.
    pub fn cells(self) -> impl Iterator<Item = u32> {
        (0..CELLS_PER_BLOCK).filter(move |cell| self.contains(*cell))
    }

    /// Runs of neighbouring cells as (first, count).
    pub fn runs(self) -> impl Iterator<Item = (u32, u32)> {
        let mut rest = u32::from(self.0);
        let mut base = 0;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let gap = rest.trailing_zeros();
            let count = (rest >> gap).trailing_ones();
            let first = base + gap;
            rest = (rest >> gap) >> count;
            base = first + count;
            Some((first, count))
        })
    }
}

/// xxh3-128 of a cell's plaintext under the store's secret. All zero bits stand for a cell of zeros: such a cell is never digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    pub const ZERO_CELL: Digest = Digest([0; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_neighbours_and_keep_order() {
        let mask = CellMask(0b1000_0000_0110_0111);
        assert_eq!(mask.runs().collect::<Vec<_>>(), [(0, 3), (5, 2), (15, 1)]);
        assert_eq!(CellMask(0xffff).runs().collect::<Vec<_>>(), [(0, 16)]);
        assert_eq!(CellMask::NONE.runs().count(), 0);
    }

    #[test]
    fn first_covers_exactly_so_many_cells() {
        assert_eq!(CellMask::first(0), CellMask::NONE);
        assert_eq!(CellMask::first(3), CellMask(0b111));
        assert_eq!(CellMask::first(16), CellMask(0xffff));
    }
}
