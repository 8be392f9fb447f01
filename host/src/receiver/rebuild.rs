//! Makes a disk out of the log: a replica that was lost, or any kept recovery point into a file. And compares one with the log.

use crate::files::DiskFile;
use crate::log::chain::Chain;
use crate::log::digest::cell_digest;
use crate::log::fetch::{DiskPlace, Fetch, Fetcher};
use crate::log::store::Log;
use crate::log::table::{DigestTable, record_fold};
use crate::model::{BLOCK, CELL, CellMask, DiskId, Fault};

use super::moment::Moment;
use super::places;
use super::prepare::{Places, write_block};

/// What comparing a replica with a recovery point found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Compared {
    pub disk: DiskId,
    pub cells: u64,
    /// Blocks whose bytes in the replica are not those of the recovery point; the first hundred.
    pub differing_blocks: Vec<u64>,
    /// Blocks that the store cannot give any more; the first hundred.
    pub unreadable_blocks: Vec<u64>,
}

impl Compared {
    pub fn is_equal(&self) -> bool {
        self.differing_blocks.is_empty() && self.unreadable_blocks.is_empty()
    }
}

const LISTED_MAX: usize = 100;

/// Writes a disk as it was at the chain's point. The file must have the disk's size; every byte of it is written or zeroed.
pub async fn restore(log: &Log, chain: &Chain, disk: &DiskId, file: &dyn DiskFile) -> Result<(), Fault> {
    let size = chain.disk(disk)?.size;
    let mut fetch = fetch(log, chain, disk)?;
    let mut next = 0;
    loop {
        let batch = fetch.next().await?;
        if batch.is_empty() {
            break;
        }
        for block in batch {
            let block = block.map_err(|(_, fault)| fault)?;
            let whole = CellMask::first(size.cells_in_block(block.folded.block));
            if block.folded.block != next || block.folded.data().union(block.folded.zero) != whole {
                return Err(Fault::corrupt(format!("block {next} of disk {disk} is not whole at this recovery point")));
            }
            next += 1;
            write_block(file, &block).await?;
        }
    }
    if next != size.blocks() {
        return Err(Fault::corrupt(format!("the recovery point ends at block {next} of disk {disk}, which has {}", size.blocks())));
    }
    file.flush().await
}

/// Makes all replicas of a VM anew at the chain's point, with their tables.
pub async fn rebuild(log: &Log, chain: &Chain, places: &Places) -> Result<(), Fault> {
    let vm = &chain.point().vm;
    for disk in &chain.point().disks {
        let file = places.replicas.open_sized(&places::replica(vm, &disk.disk), disk.size.bytes()).await?;
        restore(log, chain, &disk.disk, &*file).await?;
        Moment::Restored.reached();
        let table = DigestTable::create(&*places.work, &places::table(vm, &disk.disk), disk.size).await?;
        record_fold(&table, &mut chain.fold(log, &disk.disk)?).await?;
        table.settle(chain.point_ref()).await?;
    }
    Ok(())
}

/// Reads a recovery point from the store, block by block, and the replica beside it. Changes neither.
pub async fn compare(log: &Log, chain: &Chain, disk: &DiskId, file: &dyn DiskFile) -> Result<Compared, Fault> {
    let size = chain.disk(disk)?.size;
    let mut compared = Compared { disk: disk.clone(), cells: 0, differing_blocks: Vec::new(), unreadable_blocks: Vec::new() };
    let mut fetch = fetch(log, chain, disk)?;
    let mut held = vec![0; BLOCK as usize];
    let mut next = 0;
    loop {
        let batch = fetch.next().await?;
        if batch.is_empty() {
            break;
        }
        for block in batch {
            let number = match &block {
                Ok(block) => block.folded.block,
                Err((number, _)) => *number,
            };
            while next < number {
                note(&mut compared.unreadable_blocks, next);
                next += 1;
            }
            next += 1;
            let block = match block {
                Ok(block) => block,
                // Its store is away: that says nothing about the block.
                Err((_, fault)) if fault.kind.passes() => return Err(fault),
                Err(_) => {
                    note(&mut compared.unreadable_blocks, number);
                    continue;
                }
            };
            let extent = size.block(number);
            let held = &mut held[..extent.length as usize];
            file.read_at(extent.offset, held).await?;
            let cells = block.folded.data().union(block.folded.zero);
            compared.cells += u64::from(cells.count());
            let differs = cells != CellMask::first(size.cells_in_block(number))
                || held
                    .chunks(CELL as usize)
                    .zip(block.folded.digests)
                    .any(|(held, digest)| cell_digest(log.sealer().digest_secret(), held) != digest);
            if differs {
                note(&mut compared.differing_blocks, number);
            }
        }
    }
    while next < size.blocks() {
        note(&mut compared.unreadable_blocks, next);
        next += 1;
    }
    Ok(compared)
}

fn note(list: &mut Vec<u64>, block: u64) {
    if list.len() < LISTED_MAX {
        list.push(block);
    }
}

fn fetch(log: &Log, chain: &Chain, disk: &DiskId) -> Result<Fetch, Fault> {
    let place = DiskPlace { vm: chain.point().vm.clone(), disk: disk.clone(), size: chain.disk(disk)?.size };
    Ok(Fetch::new(chain.fold(log, disk)?, Fetcher::new(place, std::sync::Arc::new(log.clone()), log)))
}
