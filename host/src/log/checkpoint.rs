//! Checkpoints: the full map of a disk at a recovery point, so that reading it needs no older manifest. Folded from manifests; the map
//! points into the segments that are there already, no data is copied.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{CellMask, DiskId, DiskSize, Fault, FaultKind, VmId};

use super::chain::Chain;
use super::fold::{Fold, FoldedBlock};
use super::layout;
use super::page::{self, BlockEntry, Entry, ManifestPage};
use super::seal::Role;
use super::store::Log;
use crate::model::commit::{FORMAT, PointRef, Sha};

/// Entries of a checkpoint page before it is closed.
const PAGE_ENTRIES: usize = 8192;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointDisk {
    pub disk: DiskId,
    pub size: DiskSize,
    pub pages: u32,
    pub pages_digest: Sha,
}

/// The object that makes a checkpoint exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub format: u32,
    pub vm: VmId,
    pub point: PointRef,
    pub disks: Vec<CheckpointDisk>,
}

impl Checkpoint {
    pub fn add_to(&self, fold: &mut Fold, vm: &VmId, disk: &DiskId) -> Result<(), Fault> {
        let entry = self.disks.iter().find(|entry| entry.disk == *disk);
        let entry =
            entry.ok_or_else(|| Fault::corrupt(format!("the checkpoint of cycle {} of {vm} lacks disk {disk}", self.point.cycle)))?;
        fold.add_checkpoint(vm, self.point.cycle, disk, entry.size, entry.pages, entry.pages_digest);
        Ok(())
    }
}

/// The checkpoint made at exactly this point, if there is one.
pub async fn find(log: &Log, vm: &VmId, point: PointRef) -> Result<Option<Checkpoint>, Fault> {
    let key = layout::checkpoint_done(vm, point.cycle);
    let bytes = match log.read(Role::Checkpoint, &key).await {
        Ok(bytes) => bytes,
        Err(fault) if fault.kind == FaultKind::NotFound => return Ok(None),
        Err(fault) if fault.kind == FaultKind::Corrupt => return Ok(ignored(&key, &fault.message)),
        Err(fault) => return Err(fault),
    };
    match decode(&bytes) {
        Ok(checkpoint) if checkpoint.vm == *vm && checkpoint.point == point => Ok(Some(checkpoint)),
        Ok(_) => Ok(ignored(&key, "it is of another point")),
        Err(fault) => Ok(ignored(&key, &fault.message)),
    }
}

/// A checkpoint only shortens the way: the manifests below it say the same.
fn ignored(key: &str, why: &str) -> Option<Checkpoint> {
    tracing::warn!(key, why, "a checkpoint is ignored");
    None
}

pub fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    serde_json::to_vec(checkpoint).expect("a checkpoint has only string keys")
}

pub fn decode(bytes: &[u8]) -> Result<Checkpoint, Fault> {
    let checkpoint: Checkpoint =
        serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("a checkpoint cannot be read: {error}")))?;
    if checkpoint.format != FORMAT {
        return Err(Fault::unsupported(format!("a checkpoint of format {} was written by a newer version", checkpoint.format)));
    }
    Ok(checkpoint)
}

/// Writes the checkpoint of a point. Doing it twice writes the same pages, so a crash in between costs only time.
pub async fn write(log: &Log, chain: &Chain) -> Result<Checkpoint, Fault> {
    let vm = &chain.point().vm;
    let mut disks = Vec::new();
    for disk in &chain.point().disks {
        let mut fold = chain.fold(log, &disk.disk)?;
        let mut pages = PageWriter::new(log, chain, &disk.disk, disk.size);
        while let Some(block) = fold.next().await? {
            pages.push(block).await?;
        }
        let (count, digest) = pages.finish().await?;
        disks.push(CheckpointDisk { disk: disk.disk.clone(), size: disk.size, pages: count, pages_digest: digest });
    }
    let checkpoint = Checkpoint { format: FORMAT, vm: vm.clone(), point: chain.point_ref(), disks };
    log.create(Role::Checkpoint, &layout::checkpoint_done(vm, chain.point().cycle), &encode(&checkpoint)).await?;
    Ok(checkpoint)
}

struct PageWriter<'a> {
    log: &'a Log,
    chain: &'a Chain,
    disk: &'a DiskId,
    size: DiskSize,
    page: ManifestPage,
    count: u32,
    digest: Sha256,
}

impl<'a> PageWriter<'a> {
    fn new(log: &'a Log, chain: &'a Chain, disk: &'a DiskId, size: DiskSize) -> PageWriter<'a> {
        let page = ManifestPage { from_block: 0, to_block: 0, entries: Vec::new() };
        PageWriter { log, chain, disk, size, page, count: 0, digest: Sha256::new() }
    }

    async fn push(&mut self, folded: FoldedBlock) -> Result<(), Fault> {
        let whole = CellMask::first(self.size.cells_in_block(folded.block));
        if folded.cells() != whole || !folded.same.is_empty() {
            return Err(Fault::corrupt(format!("block {} of disk {} is not whole at this recovery point", folded.block, self.disk)));
        }
        if self.page.entries.len() >= PAGE_ENTRIES {
            self.close(folded.block).await?;
        }
        if folded.zero == whole {
            match self.page.entries.last_mut() {
                Some(Entry::Zeros { block, count }) if *block + *count == folded.block => *count += 1,
                _ => self.page.entries.push(Entry::Zeros { block: folded.block, count: 1 }),
            }
            return Ok(());
        }
        let mut zero = folded.zero;
        for piece in &folded.pieces {
            self.page.entries.push(Entry::Block(BlockEntry {
                block: folded.block,
                data: piece.wanted,
                zero,
                same: CellMask::NONE,
                body: Some(piece.body),
                digests: piece.wanted.cells().map(|cell| folded.digests[cell as usize]).collect(),
            }));
            zero = CellMask::NONE;
        }
        Ok(())
    }

    async fn close(&mut self, to_block: u64) -> Result<(), Fault> {
        self.page.to_block = to_block;
        let bytes = page::encode(&self.page);
        self.digest.update(Sha::of(&bytes).0);
        let key = layout::checkpoint_page(&self.chain.point().vm, self.chain.point().cycle, self.disk, self.count);
        self.log.create(Role::Checkpoint, &key, &bytes).await?;
        self.count += 1;
        self.page = ManifestPage { from_block: to_block, to_block, entries: Vec::new() };
        Ok(())
    }

    async fn finish(mut self) -> Result<(u32, Sha), Fault> {
        let blocks = self.size.blocks();
        self.close(blocks).await?;
        Ok((self.count, Sha(self.digest.finalize().into())))
    }
}
