//! Fetches and verifies everything a commit says, and writes nothing to a replica.
//!
//! Completeness first of all: each layer must carry exactly the cells that its planned bitmap names, the last layer everything that an
//! earlier one did not reach. A source, a gateway or a store that loses an extent is found here.

use std::sync::Arc;

use crate::files::{DiskFile, Files};
use crate::log::chain::Chain;
use crate::log::fetch::{DiskPlace, Fetch, Fetcher, Filled, VerifiedBlock, VerifiedData, cell_ranges};
use crate::log::fold::Fold;
use crate::log::layout::AttemptFolder;
use crate::log::lease::Leases;
use crate::log::planned::bitmap_digest;
use crate::log::store::{Log, Objects};
use crate::log::table::{DigestTable, matching, record_fold};
use crate::model::commit::{AppliedDisk, BadBlocks, Commit, DiskCommit, Mode, RejectCode, Rejection, Sha};
use crate::model::{BLOCK, DiskId, DiskSize, Extent, Fault, FaultKind, SectorBitmap, VmId};

use super::ahead::Ahead;
use super::moment::Moment;
use super::places;
use super::spool::Spool;

/// Bad blocks that a receipt names at the most; with more, the whole disk is sent again.
const BAD_BLOCKS_MAX: usize = 4096;

/// Why preparing ended early: the commit is refused, or something is in the way right now.
#[derive(Debug)]
pub enum Trouble {
    Refused(Rejection),
    Passing(Fault),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        match fault.kind {
            FaultKind::Corrupt | FaultKind::NotFound | FaultKind::Invalid => {
                Trouble::Refused(Rejection { code: RejectCode::Damaged, message: fault.message, bad_blocks: Vec::new() })
            }
            _ => Trouble::Passing(fault),
        }
    }
}

fn refused(code: RejectCode, message: String) -> Trouble {
    Trouble::Refused(Rejection { code, message, bad_blocks: Vec::new() })
}

/// The receiver's own storage: replicas, and everything else.
#[derive(Clone)]
pub struct Places {
    pub replicas: Arc<dyn Files>,
    pub work: Arc<dyn Files>,
}

/// What a layer-by-layer reading of one disk in one commit looks like.
pub(super) fn fold_of(log: &Log, objects: Arc<dyn Objects>, commit: &Commit, disk: &DiskCommit) -> Fold {
    let mut fold = Fold::new(objects, log.sealer().clone(), disk.size);
    fold.add_commit(&commit.vm, commit.cycle, disk);
    fold
}

pub(super) fn spool_of(log: &Log, places: &Places, commit: &Commit) -> Arc<Spool> {
    Arc::new(Spool::new(Arc::new(log.clone()), places.work.clone(), places::spool(&commit.vm)))
}

/// Verifies a commit that was checked. Initial disks are filled beside their replicas; answers what was filled. What stands there already is
/// believed where `ahead` saw it come out of the store.
pub async fn prepare(log: &Log, leases: &Leases, places: &Places, commit: &Commit, ahead: &Ahead) -> Result<Vec<AppliedDisk>, Trouble> {
    let spool = spool_of(log, places, commit);
    spool.clear().await?;
    let mut filled = Vec::new();
    let mut bad = Vec::new();
    for disk in &commit.disks {
        let planned = planned_layers(log, commit, disk).await?;
        let preparing = Preparing { log, leases, places, commit, disk, ahead };
        let (covered, bad_blocks) = match disk.mode {
            Mode::Initial => preparing.fill().await?,
            Mode::Delta | Mode::Resync => preparing.verify(spool.clone()).await?,
        };
        check_complete(disk, &planned, &covered)?;
        if disk.mode == Mode::Initial {
            filled.push(covered.applied(disk));
        }
        if !bad_blocks.is_empty() {
            bad.push((disk.disk.clone(), bad_blocks));
        }
    }
    if bad.is_empty() { Ok(filled) } else { Err(Trouble::Refused(damaged(bad))) }
}

fn damaged(bad: Vec<(DiskId, Vec<BadBlock>)>) -> Rejection {
    let count: usize = bad.iter().map(|(_, blocks)| blocks.len()).sum();
    let first = &bad[0].1[0].1.message;
    let message = match count {
        1 => format!("one block is missing or damaged: {first}"),
        _ => format!("{count} blocks are missing or damaged; the first: {first}"),
    };
    let nameable = count <= BAD_BLOCKS_MAX;
    let names = bad.into_iter().map(|(disk, blocks)| BadBlocks { disk, blocks: blocks.into_iter().map(|(block, _)| block).collect() });
    Rejection { code: RejectCode::Damaged, message, bad_blocks: if nameable { names.collect() } else { Vec::new() } }
}

async fn planned_layers(log: &Log, commit: &Commit, disk: &DiskCommit) -> Result<Vec<SectorBitmap>, Trouble> {
    let mut planned = Vec::new();
    for layer in &disk.layers {
        let folder = AttemptFolder::new(&commit.vm, layer.cycle, layer.attempt, &disk.disk);
        planned.push(log.planned(&folder, disk.size, layer.planned_digest).await?);
    }
    Ok(planned)
}

/// What a disk's manifests were found to carry.
pub(super) struct Covered {
    /// One bitmap a layer, newest first, as the fold met them.
    layers: Vec<SectorBitmap>,
    written: SectorBitmap,
    same: SectorBitmap,
}

impl Covered {
    pub(super) fn new(disk: &DiskCommit) -> Covered {
        Covered { layers: Vec::new(), written: SectorBitmap::empty(disk.size), same: SectorBitmap::empty(disk.size) }
    }

    pub(super) fn add_written(&mut self, block: &VerifiedBlock) {
        self.written.insert_block(block.folded.block, block.folded.data().union(block.folded.zero));
    }

    pub(super) fn add_same(&mut self, block: &VerifiedBlock) {
        self.same.insert_block(block.folded.block, block.folded.same);
    }

    fn everything(&self) -> SectorBitmap {
        let mut all = self.written.clone();
        all.union(&self.same);
        all
    }

    pub(super) fn applied(&self, disk: &DiskCommit) -> AppliedDisk {
        AppliedDisk {
            disk: disk.disk.clone(),
            covered_digest: Sha(bitmap_digest(&self.everything())),
            written_sectors: self.written.sectors(),
            same_sectors: self.same.sectors(),
        }
    }
}

/// planned = data ∪ zero ∪ same, for every layer and for all of them together.
fn check_complete(disk: &DiskCommit, planned: &[SectorBitmap], covered: &Covered) -> Result<(), Trouble> {
    let incomplete = |message: String| Err(refused(RejectCode::Incomplete, format!("disk {}: {message}", disk.disk)));
    let mut all = SectorBitmap::empty(disk.size);
    for (index, layer) in disk.layers.iter().enumerate() {
        let seen = &covered.layers[disk.layers.len() - 1 - index];
        let mut not_reached = planned[index].clone();
        not_reached.clear_blocks_before(layer.to_block);
        let mut carried = seen.clone();
        carried.union(&not_reached);
        if carried != planned[index] {
            return incomplete(format!(
                "attempt {}.{} planned {} sectors, and its manifests do not carry exactly those",
                layer.cycle,
                layer.attempt,
                planned[index].sectors()
            ));
        }
        if planned.get(index + 1).is_some_and(|next| !next.contains_all(&not_reached)) {
            return incomplete(format!("what attempt {}.{} did not reach is not in the plan of the next one", layer.cycle, layer.attempt));
        }
        all.union(seen);
    }
    if all != covered.everything() {
        return incomplete("what would be written is not what was planned".to_owned());
    }
    if disk.mode != Mode::Delta && all != SectorBitmap::whole(disk.size) {
        return incomplete(format!("a cycle of mode {} has to plan every sector", disk.mode));
    }
    Ok(())
}

/// Verifying one disk.
struct Preparing<'a> {
    log: &'a Log,
    leases: &'a Leases,
    places: &'a Places,
    commit: &'a Commit,
    disk: &'a DiskCommit,
    ahead: &'a Ahead,
}

type BadBlock = (u64, Fault);

impl Preparing<'_> {
    fn fetcher(&self, objects: Arc<dyn Objects>) -> Fetcher {
        let place = DiskPlace { vm: self.commit.vm.clone(), disk: self.disk.disk.clone(), size: self.disk.size };
        Fetcher::new(place, objects, self.log)
    }

    /// Delta and resync: everything is read once, nothing is written but the spool.
    async fn verify(&self, spool: Arc<Spool>) -> Result<(Covered, Vec<BadBlock>), Trouble> {
        let table = self.table_at_base().await?;
        let mut covered = Covered::new(self.disk);
        let mut bad = Vec::new();
        let fold = fold_of(self.log, spool.clone(), self.commit, self.disk);
        let mut fetch = Fetch::new(fold, self.fetcher(spool));
        loop {
            let batch = fetch.next().await?;
            if batch.is_empty() {
                break;
            }
            for block in batch {
                match block {
                    Ok(block) => {
                        self.check_same(&block, &table).await?;
                        covered.add_written(&block);
                        covered.add_same(&block);
                    }
                    Err((number, fault)) => note_bad(&mut bad, number, fault)?,
                }
            }
        }
        covered.layers = fetch.fold().seen().cloned().collect();
        complete_bad(&mut covered, &bad);
        Moment::Verified.reached();
        Ok((covered, bad))
    }

    /// Initial: verified blocks go into a file of their own, which becomes the replica later. What was filled ahead in this
    /// life is read back from there, and not fetched a second time.
    async fn fill(&self) -> Result<(Covered, Vec<BadBlock>), Trouble> {
        let (vm, disk) = (&self.commit.vm, &self.disk.disk);
        let file = open_filling(self.places, vm, disk, self.disk.size).await?;
        file.flush().await?;
        file.forget_cached().await?;
        let table = DigestTable::create(&*self.places.work, &places::filling_table(vm, disk), self.disk.size).await?;
        let mut covered = Covered::new(self.disk);
        let mut bad = Vec::new();
        let store: Arc<dyn Objects> = Arc::new(self.log.clone());
        let fold = fold_of(self.log, store.clone(), self.commit, self.disk);
        let filled = Filled { file: file.clone(), verified: self.ahead.verified(disk) };
        let mut fetch = Fetch::new(fold, self.fetcher(store).onto(filled));
        loop {
            let batch = fetch.next().await?;
            if batch.is_empty() {
                break;
            }
            for block in batch {
                match block {
                    Ok(block) => {
                        write_block(&*file, &block).await?;
                        table.record(&block.folded).await?;
                        covered.add_written(&block);
                    }
                    Err((number, fault)) => note_bad(&mut bad, number, fault)?,
                }
            }
        }
        covered.layers = fetch.fold().seen().cloned().collect();
        complete_bad(&mut covered, &bad);
        if bad.is_empty() {
            file.flush().await?;
            let (_, point) = self.log.commit(vm, self.commit.cycle).await?;
            table.settle(point).await?;
        }
        Moment::Filled.reached();
        Ok((covered, bad))
    }

    async fn check_same(&self, block: &VerifiedBlock, table: &DigestTable) -> Result<(), Trouble> {
        let same = block.folded.same;
        if same.is_empty() {
            return Ok(());
        }
        let held = table.block(block.folded.block).await?;
        let right = matching(same, &block.folded.digests, &held);
        if right == same {
            return Ok(());
        }
        // It may be the table that is wrong: the next cycle is judged by one that is made anew out of the log.
        self.places.work.remove(&places::table(&self.commit.vm, &self.disk.disk)).await?;
        let message = format!(
            "disk {}: {} cells of block {} are said to be as at the base, and the replica holds something else",
            self.disk.disk,
            same.without(right).count(),
            block.folded.block
        );
        Err(refused(RejectCode::NotSame, message))
    }

    /// The digests of the replica as it is at the base: the receiver's own table, or one made anew out of the log.
    async fn table_at_base(&self) -> Result<DigestTable, Trouble> {
        let base = self.commit.base.ok_or_else(|| refused(RejectCode::Unacceptable, "a delta needs a base".to_owned()))?;
        let (vm, disk) = (&self.commit.vm, &self.disk.disk);
        let name = places::table(vm, disk);
        let (at_base, found) = self.log.commit(vm, base.cycle).await?;
        if let Some(known) = at_base.disks.iter().find(|known| known.disk == *disk && found == base)
            && let Some(table) = DigestTable::open_at(&*self.places.work, &name, known.size, base).await?
        {
            return Ok(table);
        }
        let making = async {
            let chain = Chain::read(self.log, vm, base.cycle).await?;
            let size = chain.disk(disk)?.size;
            let table = DigestTable::create(&*self.places.work, &name, size).await?;
            record_fold(&table, &mut chain.fold(self.log, disk)?).await?;
            table.settle(base).await?;
            Ok(table)
        };
        Ok(self.leases.hold(vm, base.cycle, "a receiver's digest table", making).await?)
    }
}

/// The file beside the replica, with whatever it holds.
pub(super) async fn open_filling(places: &Places, vm: &VmId, disk: &DiskId, size: DiskSize) -> Result<Arc<dyn DiskFile>, Fault> {
    let name = places::filling(vm, disk);
    match places.replicas.open_sized(&name, size.bytes()).await {
        // It is left from a copy of a disk that was larger then.
        Err(fault) if fault.kind == FaultKind::Conflict => {
            places.replicas.remove(&name).await?;
            places.replicas.open_sized(&name, size.bytes()).await
        }
        result => result,
    }
}

/// A block that does not verify is noted; a store that does not answer right now is not the block's fault.
fn note_bad(bad: &mut Vec<BadBlock>, number: u64, fault: Fault) -> Result<(), Trouble> {
    if let Trouble::Passing(fault) = Trouble::from(fault.clone()) {
        return Err(Trouble::Passing(fault));
    }
    bad.push((number, fault));
    Ok(())
}

/// Bad blocks count as carried: they are reported as bad, not as missing from the manifests.
fn complete_bad(covered: &mut Covered, bad: &[BadBlock]) {
    if bad.is_empty() {
        return;
    }
    let mut spoken = SectorBitmap::empty(covered.written.size());
    covered.layers.iter().for_each(|layer| spoken.union(layer));
    for (block, _) in bad {
        covered.written.insert_block(*block, spoken.block(*block));
    }
}

/// Puts a block's cells where they belong: its bytes, and its zeros.
pub(super) async fn write_block(file: &dyn DiskFile, block: &VerifiedBlock) -> Result<(), Fault> {
    let offset = block.folded.block * BLOCK;
    if let VerifiedData::Bytes(plain) = &block.data {
        for range in cell_ranges(block.folded.data(), plain.len() as u64) {
            file.write_at(offset + range.start as u64, &plain[range]).await?;
        }
    }
    let block_bytes = BLOCK.min(file.size() - offset);
    for range in cell_ranges(block.folded.zero, block_bytes) {
        file.zero(Extent::new(offset + range.start as u64, range.len() as u64)).await?;
    }
    Ok(())
}
