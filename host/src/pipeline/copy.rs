//! Copies one disk in one attempt: the stages in a row, and where to go on after a crash.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::stream::FuturesOrdered;

use crate::files::Files;
use crate::log::layout::AttemptFolder;
use crate::log::page::{self, Entry, ManifestPage, PageKind};
use crate::log::seal::Role;
use crate::log::store::Log;
use crate::log::table::DigestTable;
use crate::model::commit::{Layer, Sha};
use crate::model::{Attempt, BLOCK, CellMask, CycleNumber, DiskId, DiskSize, Fault, FaultKind, SectorBitmap, SnapshotToken, VmId};

use super::buffers::Buffers;
use super::encode::{BaseBlock, EncodedBlock, Encoder};
use super::in_turn::InTurn;
use super::limits::{CopyLimits, Share};
use super::metered::Metered;
use super::pace::Order;
use super::pack::{Packer, PageBuilder, PagesDigest, StoredSegment, store_segment};
use super::read::{ReadBlock, ReadUnit, Units, read_unit};
use super::source::Source;

/// One disk's work in one attempt.
pub struct CopyJob {
    pub vm: VmId,
    pub cycle: CycleNumber,
    pub attempt: Attempt,
    pub disk: DiskId,
    pub size: DiskSize,
    pub token: SnapshotToken,
    /// What is to be carried: exactly what the planned object in the store says.
    pub planned: Arc<SectorBitmap>,
    pub planned_parts: u32,
    /// The digest of the planned object, from when it was written: an extent that is lost from `planned` afterwards is found by it.
    pub planned_digest: Sha,
    /// What the replica holds at the base, and how much of the disk it had; none for an initial.
    pub base: Option<BaseTable>,
}

pub struct BaseTable {
    pub table: DigestTable,
    /// Whether cells beyond the base's own end exist on this disk.
    pub size: DiskSize,
}

/// Counters that somebody else reads while a copy runs. Bytes.
#[derive(Debug, Default)]
pub struct Progress {
    pub planned: AtomicU64,
    pub read: AtomicU64,
    /// Plaintext that had to travel: neither zero nor same.
    pub sent: AtomicU64,
    /// Sealed bytes in the store.
    pub stored: AtomicU64,
    /// Planned bytes that are done with, those of earlier runs included.
    pub done: AtomicU64,
    /// What the newest published page makes, for whoever cannot ask the store just now.
    published: Mutex<Option<Layer>>,
}

impl Progress {
    /// Of a copy that goes on where one of the same attempt was cut short.
    pub fn after(published: Option<Layer>) -> Progress {
        Progress { published: Mutex::new(published), ..Progress::default() }
    }

    pub fn published(&self) -> Option<Layer> {
        self.published.lock().expect("nothing panics while it holds this").clone()
    }

    fn publish(&self, job: &CopyJob, published: &Published) {
        self.done.store(bytes_before(job, published.reached), Ordering::Relaxed);
        let layer = (published.pages > 0).then(|| layer(job, published));
        *self.published.lock().expect("nothing panics while it holds this") = layer;
    }
}

/// How a copy ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// What it left in the store, up to the end of the disk.
    Whole(Layer),
    /// It was told to end. What it read is in the store, and the next copy goes on behind it.
    Parked,
}

/// How far the pages in the store already reach.
struct Published {
    pages: u32,
    digest: PagesDigest,
    reached: u64,
    next_segment: u32,
}

impl Published {
    fn take(&mut self, page: PublishedPage) {
        self.digest.push(&page.bytes);
        self.pages += 1;
        self.reached = page.to_block;
    }
}

/// Copies what is planned and not yet published, at the pace of its share. Calling it again, after a crash or when it was parked, goes on
/// behind the last published page.
pub async fn copy_disk(job: &CopyJob, source: &dyn Source, log: &Log, share: &Share<'_>, progress: &Progress) -> Result<Copied, Fault> {
    let folder = AttemptFolder::new(&job.vm, job.cycle, job.attempt, &job.disk);
    let mut published = find_published(job, log, &folder).await?;
    progress.planned.store(job.planned.sectors() * 512, Ordering::Relaxed);
    progress.publish(job, &published);
    if published.reached < job.size.blocks() || published.pages == 0 {
        copy_rest(job, source, log, share, progress, &folder, &mut published).await?;
    }
    Ok(match published.reached == job.size.blocks() {
        true => Copied::Whole(layer(job, &published)),
        false => Copied::Parked,
    })
}

/// The layer that the pages published so far make, for a commit that builds on an attempt that was cut short.
pub async fn published_layer(job: &CopyJob, log: &Log) -> Result<Option<Layer>, Fault> {
    let folder = AttemptFolder::new(&job.vm, job.cycle, job.attempt, &job.disk);
    let published = find_published(job, log, &folder).await?;
    Ok((published.pages > 0).then(|| layer(job, &published)))
}

fn layer(job: &CopyJob, published: &Published) -> Layer {
    Layer {
        cycle: job.cycle,
        attempt: job.attempt,
        to_block: published.reached,
        pages: published.pages,
        pages_digest: published.digest.value(),
        planned_parts: job.planned_parts,
        planned_digest: job.planned_digest,
    }
}

async fn find_published(job: &CopyJob, log: &Log, folder: &AttemptFolder) -> Result<Published, Fault> {
    let mut published = Published { pages: 0, digest: PagesDigest::default(), reached: 0, next_segment: 0 };
    loop {
        let key = folder.page(published.pages);
        let bytes = match log.read(Role::Page, &key).await {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind == FaultKind::NotFound => return Ok(published),
            Err(fault) => return Err(fault),
        };
        let page = page::decode(&bytes, job.size, PageKind::Manifest)?;
        if page.from_block != published.reached {
            return Err(Fault::corrupt(format!("page {key} does not follow the page before it")));
        }
        published.next_segment = next_segment(&page).max(published.next_segment);
        published.take(PublishedPage { to_block: page.to_block, bytes });
    }
}

/// Names are unique by their random part; counting on keeps them in order for people.
fn next_segment(page: &ManifestPage) -> u32 {
    let bodies = page.entries.iter().filter_map(|entry| match entry {
        Entry::Block(entry) => entry.body,
        _ => None,
    });
    bodies.map(|body| body.segment.number + 1).max().unwrap_or(0)
}

fn bytes_before(job: &CopyJob, block: u64) -> u64 {
    job.planned.sectors_before(block) * 512
}

/// Reads that may be under way at once: small ones are many, and each is a request that somebody answers.
pub(super) const READS_AT_ONCE_MAX: usize = 32;

/// Segments that may stand in the store behind one that does not yet, as a multiple of those that may be under way. Pages name segments in
/// order, and a crash costs what no page names: so this bounds it. Without any a store that is slow would set the pace of all others.
const STORED_AHEAD: usize = 2;

/// Comes back at the end of the disk, or when it was told to end.
async fn copy_rest(
    job: &CopyJob,
    source: &dyn Source,
    log: &Log,
    share: &Share<'_>,
    progress: &Progress,
    folder: &AttemptFolder,
    published: &mut Published,
) -> Result<(), Fault> {
    let (pace, mut told) = (share.pace(), share.pace().reins.told());
    let mut packer = Packer::new(job.cycle, job.attempt, published.next_segment, log.random().number());
    let mut pages = PageBuilder::new(published.reached);
    let mut units = Metered::new(Units::new(job.planned.clone(), published.reached), pace);
    let buffers = Arc::new(Buffers::default());
    let encoder = Encoder { folder: folder.clone(), size: job.size, sealer: log.sealer().clone(), level: share.limits().level };
    let encoder = Arc::new(encoder);
    // Everything that is under way is looked at all the time. A put that nobody polls keeps its connection and its plugin's instance, and the
    // page that is being published could wait for just those. Pages are published one after the other: the newest says where the copy stands.
    let (mut reading, mut under_way) = (FuturesOrdered::new(), 0);
    let mut encoded = VecDeque::new();
    let mut storing = InTurn::default();
    let mut full_pages = VecDeque::new();
    let mut publishing = FuturesOrdered::new();
    loop {
        // A source that always has something ready must not keep the others of this thread waiting.
        tokio::task::consume_budget().await;
        let limits = share.limits();
        if publishing.is_empty()
            && let Some(page) = full_pages.pop_front()
        {
            publishing.push_back(publish(page, published.pages, log, folder));
        }
        while storing.running() < limits.segments_at_once
            && storing.waiting() < limits.segments_at_once * STORED_AHEAD
            && full_pages.is_empty()
            && let Some(block) = encoded.pop_front()
        {
            if let Some(full) = packer.push(block, &limits, || log.random().number()) {
                storing.push(store_segment(full, folder.clone(), log.clone(), pace.meter.clone()));
            }
        }
        let waiting = encoded.len() as u64 * BLOCK;
        buffers.keep(limits.read_ahead.saturating_sub(waiting));
        let goes = told.order() == Order::Go;
        while goes && ((reading.is_empty() && encoded.is_empty()) || under_way + waiting + limits.read_unit <= limits.read_ahead) {
            if reading.len() == READS_AT_ONCE_MAX {
                break;
            }
            let Some(unit) = units.next(limits.read_unit) else { break };
            under_way += unit.extent.length;
            reading.push_back(read_and_encode(job, source, log, &encoder, progress, unit, &buffers));
        }
        let under_way_is_stored = reading.is_empty() && encoded.is_empty() && storing.is_empty();
        if under_way_is_stored && full_pages.is_empty() && publishing.is_empty() && !(goes && units.is_asked()) {
            let reached = units.reached();
            let ends = reached == job.size.blocks();
            // Behind the end of the disk there is no segment that would need a name.
            let rest = packer.rest(reached, || if ends { 0 } else { log.random().number() });
            let stored = store_segment(rest, folder.clone(), log.clone(), pace.meter.clone()).await?;
            let full = stage(&mut pages, stored, &share.limits(), progress);
            for page in full.into_iter().chain(pages.rest()) {
                published.take(publish(page, published.pages, log, folder).await?);
            }
            progress.done.store(bytes_before(job, reached), Ordering::Relaxed);
            if ends {
                return Ok(());
            }
            // It may be long.
            buffers.keep(0);
            let resting = share.rest();
            if told.released().await == Order::End {
                return Ok(());
            }
            drop(resting);
            continue;
        }
        // Biased, so that the same input always takes the same way: first what is published, then what is stored, then what was read.
        tokio::select! {
            biased;
            Some(page) = publishing.next(), if !publishing.is_empty() => {
                published.take(page?);
                progress.publish(job, published);
            }
            () = storing.one_ends(), if !storing.is_empty() => {
                while let Some(stored) = storing.take() {
                    full_pages.extend(stage(&mut pages, stored?, &limits, progress));
                }
            }
            Some(read) = reading.next(), if !reading.is_empty() => {
                let (bytes, blocks) = read?;
                under_way -= bytes;
                encoded.extend(blocks);
            }
            () = units.passed(), if goes && units.is_asked() => {}
            () = told.changed(), if goes => {}
        }
    }
}

/// Adds a stored segment to the page that is being made; answers the page when that makes it full.
fn stage(pages: &mut PageBuilder, stored: StoredSegment, limits: &CopyLimits, progress: &Progress) -> Option<ManifestPage> {
    progress.stored.fetch_add(stored.sealed_bytes, Ordering::Relaxed);
    pages.push(stored, limits)
}

/// A page that is in the store.
struct PublishedPage {
    to_block: u64,
    bytes: Vec<u8>,
}

async fn publish(page: ManifestPage, number: u32, log: &Log, folder: &AttemptFolder) -> Result<PublishedPage, Fault> {
    let bytes = page::encode(&page);
    log.create(Role::Page, &folder.page(number), &bytes).await?;
    Ok(PublishedPage { to_block: page.to_block, bytes })
}

/// Answers how many bytes were read, and what became of them.
async fn read_and_encode(
    job: &CopyJob,
    source: &dyn Source,
    log: &Log,
    encoder: &Arc<Encoder>,
    progress: &Progress,
    unit: ReadUnit,
    buffers: &Arc<Buffers>,
) -> Result<(u64, Vec<EncodedBlock>), Fault> {
    let bytes = unit.extent.length;
    let blocks = read_unit(source, &job.token, &job.disk, job.size, unit, buffers).await?;
    progress.read.fetch_add(bytes, Ordering::Relaxed);
    let mut based = Vec::with_capacity(blocks.len());
    for block in blocks {
        based.push((base_block(job, &block).await?, block));
    }
    let (encoder, mut random) = (encoder.clone(), log.random().fork());
    let work = move || based.iter().map(|(base, block)| encoder.encode(block, *base, &mut random)).collect();
    let encoded: Vec<EncodedBlock> = log.cpu().run(work).await;
    let sent: u64 = encoded.iter().map(|block| block.data.cells().map(|cell| cell_bytes(job, block.block, cell)).sum::<u64>()).sum();
    progress.sent.fetch_add(sent, Ordering::Relaxed);
    Ok((bytes, encoded))
}

fn cell_bytes(job: &CopyJob, block: u64, cell: u32) -> u64 {
    job.size.cell(block * 16 + u64::from(cell)).length
}

/// What the base holds for this block. Cells that reach past the base's end have nothing to be compared with.
async fn base_block(job: &CopyJob, block: &ReadBlock) -> Result<Option<BaseBlock>, Fault> {
    let Some(base) = &job.base else { return Ok(None) };
    let number = block.planned.block;
    if number >= base.size.blocks() {
        return Ok(None);
    }
    let shared = base.size.block(number).length.min(BLOCK);
    let whole_cells = match base.size == job.size {
        true => CellMask::first(job.size.cells_in_block(number)),
        false => CellMask::first((shared / crate::model::CELL) as u32),
    };
    Ok(Some(BaseBlock { digests: base.table.block(number).await?, comparable: whole_cells }))
}

/// Where tables of newest recovery points stand among the agent's files.
pub fn table_name(vm: &VmId, disk: &DiskId) -> String {
    format!("gateway/{vm}/{}.digests", crate::log::layout::name(disk.as_str()))
}

/// Opens the gateway's table of a disk at a point, if it is there and right.
pub async fn open_table(
    files: &dyn Files,
    vm: &VmId,
    disk: &DiskId,
    size: DiskSize,
    point: crate::model::commit::PointRef,
) -> Result<Option<DigestTable>, Fault> {
    DigestTable::open_at(files, &table_name(vm, disk), size, point).await
}
