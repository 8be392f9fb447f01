//! Reading what is planned: runs of neighbouring cells, as long as is useful, several at once.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{BLOCK, CELL, CELLS_PER_BLOCK, CellMask, DiskId, DiskSize, Extent, Fault, SectorBitmap, SnapshotToken};

use super::buffers::Buffers;
use super::source::Source;

/// The cells of one block that are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedBlock {
    pub block: u64,
    pub cells: CellMask,
}

/// Neighbouring planned cells that one request brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadUnit {
    pub extent: Extent,
    pub blocks: Vec<PlannedBlock>,
}

/// Cuts a planned bitmap into read units from `from_block` on. A unit spans no gap between blocks (cells between planned
/// ones of a single block are read along), and never starts or ends inside a block that
/// continues on the other side of a boundary.
pub struct Units {
    planned: Arc<SectorBitmap>,
    next: u64,
    pending: Option<PlannedBlock>,
}

impl Units {
    pub fn new(planned: Arc<SectorBitmap>, from_block: u64) -> Units {
        Units { planned, next: from_block, pending: None }
    }

    /// The first block that no unit has brought yet: everything planned before it was handed out.
    pub fn reached(&mut self) -> u64 {
        let blocks = self.planned.size().blocks();
        self.pending = self.next_block();
        self.pending.map_or(blocks, |pending| pending.block)
    }

    fn next_block(&mut self) -> Option<PlannedBlock> {
        if let Some(pending) = self.pending.take() {
            return Some(pending);
        }
        let (block, cells) = self.planned.blocks_from(self.next).next()?;
        self.next = block + 1;
        Some(PlannedBlock { block, cells })
    }

    /// The next unit, of at most so many bytes.
    pub fn next(&mut self, unit_bytes_max: u64) -> Option<ReadUnit> {
        let size = self.planned.size();
        let first = self.next_block()?;
        let mut unit = ReadUnit { extent: span(first, size), blocks: vec![first] };
        while touches_end(unit.blocks[unit.blocks.len() - 1], size) && is_run(unit.blocks[unit.blocks.len() - 1]) {
            let Some(block) = self.next_block() else { break };
            let extent = span(block, size);
            let fits = extent.offset == unit.extent.end() && is_run(block) && extent.end() - unit.extent.offset <= unit_bytes_max;
            if !fits {
                self.pending = Some(block);
                break;
            }
            unit.extent.length = extent.end() - unit.extent.offset;
            unit.blocks.push(block);
        }
        Some(unit)
    }
}

/// From the first planned cell of a block to its last one.
fn span(block: PlannedBlock, size: DiskSize) -> Extent {
    let first = u64::from(block.cells.0.trailing_zeros());
    let end = u64::from(16 - block.cells.0.leading_zeros());
    let offset = block.block * BLOCK + first * CELL;
    Extent::new(offset, (block.block * BLOCK + end * CELL).min(size.bytes()) - offset)
}

fn is_run(block: PlannedBlock) -> bool {
    block.cells.runs().count() == 1
}

fn touches_end(block: PlannedBlock, size: DiskSize) -> bool {
    block.cells.contains(CELLS_PER_BLOCK - 1) || block.block + 1 == size.blocks()
}

/// A block as read. `plain` holds the span of the planned cells only, from the first to the last of them.
#[derive(Debug, Clone)]
pub struct ReadBlock {
    pub planned: PlannedBlock,
    pub span: Extent,
    pub plain: Bytes,
}

impl ReadBlock {
    /// The bytes of a planned cell.
    pub fn cell(&self, cell: u32, size: DiskSize) -> &[u8] {
        &self.plain[self.cell_at(cell, size)]
    }

    /// Where in `plain` a planned cell stands.
    pub fn cell_at(&self, cell: u32, size: DiskSize) -> std::ops::Range<usize> {
        let extent = size.cell(self.planned.block * u64::from(CELLS_PER_BLOCK) + u64::from(cell));
        let from = (extent.offset - self.span.offset) as usize;
        from..from + extent.length as usize
    }
}

/// Reads one unit. Cells between planned ones come along and are dropped by the encoder.
pub async fn read_unit(
    source: &dyn Source,
    token: &SnapshotToken,
    disk: &DiskId,
    size: DiskSize,
    unit: ReadUnit,
    buffers: &Arc<Buffers>,
) -> Result<Vec<ReadBlock>, Fault> {
    let range = source.open_range(token, disk, unit.extent).await?;
    if range.length() != unit.extent.length {
        return Err(Fault::corrupt(format!(
            "the source offered {} bytes for a range of {} on disk {disk}",
            range.length(),
            unit.extent.length
        )));
    }
    let mut buffer = buffers.take(unit.extent.length as usize);
    range.fetch(0, buffer.as_mut()).await?;
    let bytes = buffer.share();
    let cut = |planned: &PlannedBlock| {
        let span = span(*planned, size);
        let from = (span.offset - unit.extent.offset) as usize;
        ReadBlock { planned: *planned, span, plain: bytes.slice(from..from + span.length as usize) }
    };
    Ok(unit.blocks.iter().map(cut).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn units_cover_every_planned_cell_once_in_order(
            sectors in 1u64..100_000,
            inserts in proptest::collection::vec((0.0f64..1.0, 1u64..5_000_000), 0..20),
            unit_mib in 1u64..6,
        ) {
            let size = DiskSize::new(sectors * 512).unwrap();
            let mut planned = SectorBitmap::empty(size);
            for (place, length) in inserts {
                let offset = (place * size.bytes() as f64) as u64;
                planned.insert_widened(Extent::new(offset, length.min(size.bytes() - offset)));
            }
            let mut covered = SectorBitmap::empty(size);
            let mut reached = 0;
            let mut units = Units::new(Arc::new(planned.clone()), 0);
            while let Some(unit) = units.next(unit_mib * BLOCK) {
                prop_assert!(unit.extent.offset >= reached && unit.extent.length <= unit_mib * BLOCK);
                reached = unit.extent.end();
                for block in unit.blocks {
                    let span = span(block, size);
                    prop_assert!(span.offset >= unit.extent.offset && span.end() <= unit.extent.end());
                    prop_assert!(covered.block(block.block).is_empty());
                    covered.insert_block(block.block, block.cells);
                }
            }
            prop_assert_eq!(covered, planned);
        }
    }
}
