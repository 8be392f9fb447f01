//! Reads single cells of an open snapshot again and compares them with what the base holds. Nothing of it travels.
//!
//! It counts as a copy does: whoever reads holds a share, reads no more ahead than the share may, and as fast as its meter lets it. It is
//! small and of one piece, so it is not held.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use crate::log::digest::cell_digest;
use crate::log::store::Log;
use crate::log::table::{DigestTable, matching};
use crate::model::{CELLS_PER_BLOCK, Digest, DiskId, DiskSize, Fault, SectorBitmap, SnapshotToken};

use super::buffers::Buffers;
use super::copy::READS_AT_ONCE_MAX;
use super::limits::Share;
use super::pace::Way;
use super::read::{ReadUnit, Units, read_unit};
use super::source::Source;

/// Cells of one disk, as a snapshot holds them.
pub struct Sample<'a> {
    pub token: &'a SnapshotToken,
    pub disk: &'a DiskId,
    pub size: DiskSize,
    /// By number, ascending.
    pub cells: &'a [u64],
}

/// Which of the cells are not what the table says of them. The table speaks of a disk of the same size.
pub async fn differing(
    sample: &Sample<'_>,
    table: &DigestTable,
    source: &dyn Source,
    log: &Log,
    share: &Share<'_>,
) -> Result<Vec<u64>, Fault> {
    let mut wanted = SectorBitmap::empty(sample.size);
    sample.cells.iter().for_each(|cell| wanted.insert_widened(sample.size.cell(*cell)));
    let limits = share.limits();
    let mut units = Units::new(Arc::new(wanted), 0);
    let buffers = Arc::new(Buffers::default());
    buffers.keep(limits.read_ahead);
    let at_once = ((limits.read_ahead / limits.read_unit) as usize).clamp(1, READS_AT_ONCE_MAX);
    let units = std::iter::from_fn(|| units.next(limits.read_unit));
    let compared = stream::iter(units).map(|unit| compare(sample, table, source, log, share, unit, &buffers)).buffered(at_once);
    Ok(compared.try_collect::<Vec<_>>().await?.concat())
}

async fn compare(
    sample: &Sample<'_>,
    table: &DigestTable,
    source: &dyn Source,
    log: &Log,
    share: &Share<'_>,
    unit: ReadUnit,
    buffers: &Arc<Buffers>,
) -> Result<Vec<u64>, Fault> {
    share.pace().meter.pass(Way::Read, unit.extent.length).await;
    let blocks = read_unit(source, sample.token, sample.disk, sample.size, unit, buffers).await?;
    let mut then = Vec::with_capacity(blocks.len());
    for block in &blocks {
        then.push(table.block(block.planned.block).await?);
    }
    let (size, sealer) = (sample.size, log.sealer().clone());
    let work = move || {
        let differing = blocks.iter().zip(&then).flat_map(|(block, then)| {
            let mut now = [Digest::ZERO_CELL; 16];
            for cell in block.planned.cells.cells() {
                now[cell as usize] = cell_digest(sealer.digest_secret(), block.cell(cell, size));
            }
            let wrong = block.planned.cells.without(matching(block.planned.cells, &now, then));
            let first = block.planned.block * u64::from(CELLS_PER_BLOCK);
            wrong.cells().map(|cell| first + u64::from(cell)).collect::<Vec<_>>()
        });
        differing.collect()
    };
    Ok(log.cpu().run(work).await)
}
