//! Parts of a virtual disk, and the grid they are measured on.

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// The unit of the bitmaps.
pub const SECTOR: u64 = 512;
/// The unit of change and of digest comparison.
pub const CELL: u64 = 64 * 1024;
/// The unit that is read, compressed and sealed.
pub const BLOCK: u64 = 1024 * 1024;
pub const CELLS_PER_BLOCK: u32 = (BLOCK / CELL) as u32;
pub const SECTORS_PER_CELL: u64 = CELL / SECTOR;

/// `length` bytes from `offset`; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

impl Extent {
    pub fn new(offset: u64, length: u64) -> Extent {
        Extent { offset, length }
    }

    pub fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// A disk's size in bytes, and the grid of cells and blocks that it implies. A positive multiple of 512, at most 64 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct DiskSize(u64);

impl DiskSize {
    pub const MAX: u64 = 64 << 40;

    pub fn new(bytes: u64) -> Result<DiskSize, Fault> {
        if bytes == 0 || !bytes.is_multiple_of(SECTOR) || bytes > DiskSize::MAX {
            return Err(Fault::invalid(format!(
                "a disk of {bytes} bytes is not supported: the size must be a multiple of {SECTOR} and at most 64 TiB"
            )));
        }
        Ok(DiskSize(bytes))
    }

    pub fn bytes(self) -> u64 {
        self.0
    }

    pub fn sectors(self) -> u64 {
        self.0 / SECTOR
    }

    pub fn cells(self) -> u64 {
        self.0.div_ceil(CELL)
    }

    pub fn blocks(self) -> u64 {
        self.0.div_ceil(BLOCK)
    }

    pub fn whole(self) -> Extent {
        Extent::new(0, self.0)
    }

    /// The bytes of a cell; the last one of a disk may be short.
    pub fn cell(self, cell: u64) -> Extent {
        let offset = cell * CELL;
        Extent::new(offset, CELL.min(self.0 - offset))
    }

    /// The bytes of a block; the last one of a disk may be short.
    pub fn block(self, block: u64) -> Extent {
        let offset = block * BLOCK;
        Extent::new(offset, BLOCK.min(self.0 - offset))
    }

    /// How many cells a block has: 16, or fewer at the end of the disk.
    pub fn cells_in_block(self, block: u64) -> u32 {
        self.block(block).length.div_ceil(CELL) as u32
    }
}

impl TryFrom<u64> for DiskSize {
    type Error = Fault;

    fn try_from(bytes: u64) -> Result<DiskSize, Fault> {
        DiskSize::new(bytes)
    }
}

impl From<DiskSize> for u64 {
    fn from(size: DiskSize) -> u64 {
        size.0
    }
}

/// Checks what a source claims: inside `window`, sorted, disjoint, never empty.
pub fn check_extents(extents: &[Extent], window: Extent) -> Result<(), Fault> {
    let mut reached = window.offset;
    for extent in extents {
        let end = extent.offset.checked_add(extent.length);
        let fits = end.is_some_and(|end| end <= window.end());
        if extent.length == 0 || extent.offset < reached || !fits {
            return Err(Fault::corrupt(format!(
                "extent {}+{} is empty, out of order, overlapping or outside {}+{}",
                extent.offset, extent.length, window.offset, window.length
            )));
        }
        reached = extent.end();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_and_cell_of_a_disk_may_be_short() {
        let size = DiskSize::new(BLOCK + CELL + SECTOR).unwrap();
        assert_eq!((size.blocks(), size.cells()), (2, 18));
        assert_eq!(size.block(1), Extent::new(BLOCK, CELL + SECTOR));
        assert_eq!(size.cell(17), Extent::new(BLOCK + CELL, SECTOR));
        assert_eq!(size.cells_in_block(1), 2);
    }

    #[test]
    fn sizes_that_are_no_disk_are_refused() {
        for bytes in [0, 511, 513, DiskSize::MAX + SECTOR] {
            assert!(DiskSize::new(bytes).is_err(), "{bytes}");
        }
    }

    #[test]
    fn extents_must_be_sorted_disjoint_and_inside() {
        let window = Extent::new(100, 100);
        let good = [Extent::new(100, 10), Extent::new(110, 5), Extent::new(199, 1)];
        assert!(check_extents(&good, window).is_ok());
        for bad in [
            vec![Extent::new(99, 2)],
            vec![Extent::new(150, 51)],
            vec![Extent::new(150, 0)],
            vec![Extent::new(150, u64::MAX)],
            vec![Extent::new(150, 10), Extent::new(155, 10)],
            vec![Extent::new(150, 10), Extent::new(120, 10)],
        ] {
            assert!(check_extents(&bad, window).is_err(), "{bad:?}");
        }
    }
}
