//! The digest table: 16 bytes for every cell of a disk at its newest recovery point, in a sparse local file.
//!
//! ```text
//!   header (4096 bytes): "TLT1" ‖ disk size u64 ‖ cycle u64 ‖ commit hash 32 ‖ 1
//!   digest of cell 0 ‖ digest of cell 1 ‖ …
//! ```
//!
//! A table is a cache: the log can rebuild it (`fold`). The header says which point it speaks of; it is cleared before the first change
//! and written after the last one was flushed, so a table that says where it stands is right.

use std::sync::Arc;

use crate::files::{DiskFile, Files};
use crate::model::{CELLS_PER_BLOCK, CellMask, Digest, DiskSize, Fault, FaultKind};

use super::codec::{Reader, Writer};
use super::fold::{Fold, FoldedBlock};
use crate::model::commit::{PointRef, Sha};

const MAGIC: &[u8; 4] = b"TLT1";
const HEADER_BYTES: u64 = 4096;
const BLOCK_DIGESTS: usize = 16 * CELLS_PER_BLOCK as usize;

pub struct DigestTable {
    file: Arc<dyn DiskFile>,
    size: DiskSize,
}

impl DigestTable {
    /// Opens the table if it speaks of this point of a disk of this size.
    pub async fn open_at(files: &dyn Files, name: &str, size: DiskSize, point: PointRef) -> Result<Option<DigestTable>, Fault> {
        let file = match files.open(name).await {
            Ok(file) => file,
            Err(fault) if fault.kind == FaultKind::NotFound => return Ok(None),
            Err(fault) => return Err(fault),
        };
        if file.size() != file_bytes(size) {
            return Ok(None);
        }
        let table = DigestTable { file, size };
        Ok(if table.header().await? == Some(point) { Some(table) } else { None })
    }

    /// An empty table, whatever was there before: every cell is zeros and no point is named.
    pub async fn create(files: &dyn Files, name: &str, size: DiskSize) -> Result<DigestTable, Fault> {
        files.remove(name).await?;
        let file = files.open_sized(name, file_bytes(size)).await?;
        Ok(DigestTable { file, size })
    }

    /// Opens a table for changes, whatever point it speaks of, brought to the size asked for. It names no point until `settle`.
    pub async fn open_for_changes(files: &dyn Files, name: &str, size: DiskSize) -> Result<DigestTable, Fault> {
        let file = files.open_sized(name, file_bytes(size)).await?;
        let table = DigestTable { file, size };
        table.file.write_at(0, &[0; 64]).await?;
        table.file.flush().await?;
        Ok(table)
    }

    pub fn size(&self) -> DiskSize {
        self.size
    }

    pub async fn block(&self, block: u64) -> Result<[Digest; 16], Fault> {
        let mut bytes = [0; BLOCK_DIGESTS];
        let count = self.size.cells_in_block(block) as usize * 16;
        self.file.read_at(place(block), &mut bytes[..count]).await?;
        let mut digests = [Digest::ZERO_CELL; 16];
        for (digest, bytes) in digests.iter_mut().zip(bytes.as_chunks::<16>().0) {
            *digest = Digest(*bytes);
        }
        Ok(digests)
    }

    /// Records what a cycle made of a block: its data and zero cells; `same` cells stay.
    pub async fn record(&self, folded: &FoldedBlock) -> Result<(), Fault> {
        let changed = folded.data().union(folded.zero);
        if changed.is_empty() {
            return Ok(());
        }
        let mut digests = self.block(folded.block).await?;
        let before = digests;
        for cell in changed.cells() {
            digests[cell as usize] = folded.digests[cell as usize];
        }
        // Zeros on zeros leave the file sparse.
        if digests == before {
            return Ok(());
        }
        let count = self.size.cells_in_block(folded.block) as usize;
        let bytes: Vec<u8> = digests[..count].iter().flat_map(|digest| digest.0).collect();
        self.file.write_at(place(folded.block), &bytes).await
    }

    /// Makes the changes durable, and then names the point they belong to.
    pub async fn settle(&self, point: PointRef) -> Result<(), Fault> {
        self.file.flush().await?;
        let mut header = Writer::default();
        header.bytes(MAGIC);
        header.u64(self.size.bytes());
        header.u64(point.cycle.0);
        header.bytes(&point.hash.0);
        header.u8(1);
        self.file.write_at(0, &header.0).await?;
        self.file.flush().await
    }

    async fn header(&self) -> Result<Option<PointRef>, Fault> {
        let mut bytes = [0; 64];
        self.file.read_at(0, &mut bytes).await?;
        let mut reader = Reader::new(&bytes, "a digest table");
        let ours = &reader.array::<4>()? == MAGIC && reader.u64()? == self.size.bytes();
        let point = PointRef { cycle: crate::model::CycleNumber(reader.u64()?), hash: Sha(reader.array()?) };
        Ok((ours && reader.u8()? == 1).then_some(point))
    }
}

/// Records a whole fold: one commit on top of what the table holds, or a chain of commits into an empty one.
pub async fn record_fold(table: &DigestTable, fold: &mut Fold) -> Result<(), Fault> {
    while let Some(block) = fold.next().await? {
        table.record(&block).await?;
    }
    Ok(())
}

/// Which of `cells` have the digests that the table holds for them.
pub fn matching(cells: CellMask, now: &[Digest; 16], then: &[Digest; 16]) -> CellMask {
    cells.cells().filter(|cell| now[*cell as usize] == then[*cell as usize]).fold(CellMask::NONE, CellMask::with)
}

fn place(block: u64) -> u64 {
    HEADER_BYTES + block * BLOCK_DIGESTS as u64
}

fn file_bytes(size: DiskSize) -> u64 {
    HEADER_BYTES + size.cells() * 16
}
