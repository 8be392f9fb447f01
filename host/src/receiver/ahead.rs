//! Fills the file beside a replica while the gateway still reads: page by page, as an initial copy publishes them.
//!
//! ```text
//!   announced ─▶ page 0 ─▶ page 1 ─▶ … ─▶ no page yet: look again later
//!                  │ fetch, verify, write data          a newer attempt was announced: go on with that one
//! ```
//!
//! What is done here is worth time and nothing else. No zero is written, nothing is recorded, a block that does not verify is passed over.
//! When the commit is there, `prepare` reads back what came out of segments that were verified here, fetches all the rest, and judges all
//! of it. Which segments these are is forgotten with the process: then everything is fetched once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{FutureExt, StreamExt, stream};

use crate::log::fetch::{BATCH_BLOCKS, BATCHES_AT_ONCE, DiskPlace, Fetched, Fetcher};
use crate::log::fold::FoldedBlock;
use crate::log::initial::{self, InitialCopy};
use crate::log::page::{Entry, ManifestPage, SegmentName};
use crate::log::store::Log;
use crate::model::{CycleNumber, DiskId, Fault, FaultKind, VmId};

use super::moment::Moment;
use super::places;
use super::prepare::{Places, open_filling, write_block};

/// Announcements that are read before commits are looked for again. Somebody who can write to the store can make many.
const HEARD_AT_ONCE: usize = 16;

/// The initial copies of one VM, how far each was followed, and what was seen of them.
#[derive(Default)]
pub struct Ahead {
    copies: BTreeMap<String, Following>,
    verified: BTreeMap<DiskId, BTreeSet<SegmentName>>,
}

enum Following {
    Pages {
        copy: InitialCopy,
        next_page: u32,
    },
    /// There is nothing more to come, or nothing that can be followed.
    Ended,
}

/// A page that was published and not yet followed.
pub struct Published {
    key: String,
    copy: InitialCopy,
    page: ManifestPage,
}

impl Published {
    pub fn cycle(&self) -> CycleNumber {
        self.copy.cycle
    }
}

impl Ahead {
    /// The next page of a cycle after `judged`, if one is there.
    pub async fn next(&mut self, log: &Log, vm: &VmId, judged: CycleNumber) -> Result<Option<Published>, Fault> {
        self.listen(log, vm).await?;
        let keys: Vec<String> = self.copies.keys().cloned().collect();
        for key in keys {
            let Some(Following::Pages { copy, next_page }) = self.copies.get(&key) else { continue };
            if copy.cycle <= judged {
                self.copies.insert(key, Following::Ended);
                continue;
            }
            let ended = match copy.page(log, vm, *next_page).await {
                Ok(page) => return Ok(Some(Published { copy: copy.clone(), key, page })),
                // An attempt that another one followed publishes nothing any more.
                Err(fault) if fault.kind == FaultKind::NotFound && !self.is_newest(copy) => Following::Ended,
                Err(fault) if fault.kind == FaultKind::NotFound => continue,
                Err(fault) => unusable(vm, &key, fault)?,
            };
            self.copies.insert(key, ended);
        }
        Ok(None)
    }

    /// Learns of copies that were announced since.
    async fn listen(&mut self, log: &Log, vm: &VmId) -> Result<(), Fault> {
        let announced = initial::announced(log, vm).await?;
        let new: Vec<String> = announced.into_iter().filter(|key| !self.copies.contains_key(key)).take(HEARD_AT_ONCE).collect();
        for key in new {
            let following = match initial::read(log, &key).await {
                Ok(copy) => Following::Pages { copy, next_page: 0 },
                Err(fault) => unusable(vm, &key, fault)?,
            };
            self.copies.insert(key, following);
        }
        Ok(())
    }

    /// Segments of the disk that were fetched whole and verified.
    pub fn verified(&self, disk: &DiskId) -> BTreeSet<SegmentName> {
        self.verified.get(disk).cloned().unwrap_or_default()
    }

    /// The VM has its replica: what was filled for disks that did not become part of it goes, and everything is forgotten.
    pub async fn end(&mut self, log: &Log, places: &Places, vm: &VmId) -> Result<(), Fault> {
        for key in initial::announced(log, vm).await? {
            let disk = initial::disk_name(&key);
            places.replicas.remove(&places::filling(vm, &disk)).await?;
            places.work.remove(&places::filling_table(vm, &disk)).await?;
        }
        *self = Ahead::default();
        Ok(())
    }

    /// Writes what a page says of data, verified.
    pub async fn follow(&mut self, log: &Log, places: &Places, vm: &VmId, published: Published) -> Result<(), Fault> {
        let Published { key, copy, page } = published;
        let file = open_filling(places, vm, &copy.disk, copy.size).await?;
        let place = DiskPlace { vm: vm.clone(), disk: copy.disk.clone(), size: copy.size };
        let fetcher = Arc::new(Fetcher::new(place, Arc::new(log.clone()), log));
        let (mut named, mut damaged) = (BTreeSet::new(), BTreeSet::new());
        let blocks: Vec<FoldedBlock> = data_blocks(page).collect();
        let batches: Vec<Vec<FoldedBlock>> = blocks.chunks(BATCH_BLOCKS).map(<[_]>::to_vec).collect();
        let mut batches = stream::iter(batches).map(|batch| fetch(fetcher.clone(), batch).boxed()).buffered(BATCHES_AT_ONCE);
        while let Some(batch) = batches.next().await {
            for (segment, block) in batch {
                named.insert(segment);
                match block {
                    Ok(block) => write_block(&*file, &block).await?,
                    Err((_, fault)) if fault.kind.passes() => return Err(fault),
                    Err((block, fault)) => {
                        damaged.insert(segment);
                        tracing::warn!(%vm, disk = %copy.disk, block, message = %fault.message, "a block is left to the commit's verdict")
                    }
                }
            }
        }
        self.verified.entry(copy.disk).or_default().extend(named.difference(&damaged));
        if let Some(Following::Pages { next_page, .. }) = self.copies.get_mut(&key) {
            *next_page += 1;
        }
        Moment::FilledAhead.reached();
        Ok(())
    }

    fn is_newest(&self, copy: &InitialCopy) -> bool {
        let newer = |other: &InitialCopy| other.disk == copy.disk && (other.cycle, other.attempt) > (copy.cycle, copy.attempt);
        !self.copies.values().any(|following| matches!(following, Following::Pages { copy: other, .. } if newer(other)))
    }
}

/// Each block with the segment that it came from.
async fn fetch(fetcher: Arc<Fetcher>, batch: Vec<FoldedBlock>) -> Vec<(SegmentName, Fetched)> {
    let segments: Vec<SegmentName> = batch.iter().flat_map(|block| &block.pieces).map(|piece| piece.body.segment).collect();
    segments.into_iter().zip(fetcher.fetch(batch).await).collect()
}

/// What is damaged or forged is not followed any further; every other fault is one of the moment.
fn unusable(vm: &VmId, key: &str, fault: Fault) -> Result<Following, Fault> {
    if !matches!(fault.kind, FaultKind::Corrupt | FaultKind::Invalid | FaultKind::Unsupported) {
        return Err(fault);
    }
    tracing::warn!(%vm, key, message = %fault.message, "an initial copy is not followed any further; its commit will be judged all the same");
    Ok(Following::Ended)
}

fn data_blocks(page: ManifestPage) -> impl Iterator<Item = FoldedBlock> {
    page.entries.into_iter().filter_map(|entry| match entry {
        Entry::Block(entry) => FoldedBlock::data_of(&entry),
        Entry::Zeros { .. } | Entry::SameZeros { .. } => None,
    })
}
