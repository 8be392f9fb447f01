//! Copies one disk in one attempt: the stages in a row, and where to go on after a crash.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::stream::{self, FuturesOrdered};

use crate::files::Files;
use crate::log::layout::AttemptFolder;
use crate::log::page::{self, Entry, ManifestPage, PageKind};
use crate::log::seal::Role;
use crate::log::store::Log;
use crate::log::table::DigestTable;
use crate::model::commit::{Layer, Sha};
use crate::model::{Attempt, BLOCK, CellMask, CycleNumber, DiskId, DiskSize, Fault, FaultKind, SectorBitmap, SnapshotToken, VmId};

use super::encode::{BaseBlock, EncodedBlock, encode};
use super::pack::{Packer, PageBuilder, PagesDigest, StoredSegment, store_segment};
use super::read::{ReadBlock, Units, read_unit};
use super::source::Source;

/// Bounds of one copy, in bytes unless the name says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyLimits {
    /// Plaintext that may be read ahead.
    pub read_ahead: u64,
    /// The longest single request to the source.
    pub read_unit: u64,
    /// A segment is closed before it grows beyond this.
    pub segment_bytes: u64,
    /// Segments that may be on their way into the store at once.
    pub segments_at_once: usize,
    /// A page is published when its segments hold this much. While one is on its way another one gathers: a crash can cost both, and what
    /// is in flight.
    pub page_bytes: u64,
    /// Or when it has so many entries.
    pub page_entries: usize,
    /// zstd's level; 1 is what the arithmetic is sized for.
    pub level: i32,
}

impl Default for CopyLimits {
    fn default() -> CopyLimits {
        CopyLimits {
            read_ahead: 32 << 20,
            read_unit: 4 << 20,
            segment_bytes: 16 << 20,
            segments_at_once: 2,
            page_bytes: 32 << 20,
            page_entries: 8192,
            level: 1,
        }
    }
}

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
}

/// What a finished copy left in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub layer: Layer,
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

/// Copies what is planned and not yet published. Calling it again after a crash goes on behind the last published page.
pub async fn copy_disk(job: &CopyJob, source: &dyn Source, log: &Log, limits: CopyLimits, progress: &Progress) -> Result<Copied, Fault> {
    let folder = AttemptFolder::new(&job.vm, job.cycle, job.attempt, &job.disk);
    let mut published = find_published(job, log, &folder).await?;
    progress.planned.store(job.planned.sectors() * 512, Ordering::Relaxed);
    progress.done.store(bytes_before(job, published.reached), Ordering::Relaxed);
    if published.reached < job.size.blocks() || published.pages == 0 {
        copy_rest(job, source, log, limits, progress, &folder, &mut published).await?;
    }
    Ok(Copied { layer: layer(job, &published) })
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
    let mut rest = (*job.planned).clone();
    rest.clear_blocks_before(block);
    (job.planned.sectors() - rest.sectors()) * 512
}

async fn copy_rest(
    job: &CopyJob,
    source: &dyn Source,
    log: &Log,
    limits: CopyLimits,
    progress: &Progress,
    folder: &AttemptFolder,
    published: &mut Published,
) -> Result<(), Fault> {
    let mut packer = Packer::new(job.cycle, job.attempt, published.next_segment, limits, log.random().number());
    let mut pages = PageBuilder::new(published.reached, limits);
    let mut storing = FuturesOrdered::new();
    let reads_at_once = (limits.read_ahead / limits.read_unit).max(1) as usize;
    let units = Units::new(job.planned.clone(), published.reached, limits.read_unit);
    let mut encoded = std::pin::pin!(
        stream::iter(units)
            .map(|unit| read_and_encode(job, source, log, limits, progress, unit))
            .buffered(reads_at_once)
            .flat_map(|blocks| stream::iter(flatten(blocks)))
            .fuse()
    );
    // Every put that is under way is looked at all the time. One that nobody polls keeps its connection and its plugin's instance, and the page
    // that is being published could wait for just those. Pages are published one after the other: the newest says where the copy stands.
    let mut full_pages = VecDeque::new();
    let mut publishing = FuturesOrdered::new();
    loop {
        if publishing.is_empty()
            && let Some(page) = full_pages.pop_front()
        {
            publishing.push_back(publish(page, published.pages, log, folder));
        }
        // Biased, so that the same input always takes the same way: first what is published, then what is stored, then what was read.
        tokio::select! {
            biased;
            Some(page) = publishing.next(), if !publishing.is_empty() => {
                published.take(page?);
                progress.done.store(bytes_before(job, published.reached), Ordering::Relaxed);
            }
            Some(stored) = storing.next(), if !storing.is_empty() => {
                full_pages.extend(stage(&mut pages, stored?, progress));
            }
            Some(block) = encoded.next(), if storing.len() < limits.segments_at_once && full_pages.is_empty() => {
                let block: EncodedBlock = block?;
                if let Some(full) = packer.push(block, || log.random().number()) {
                    storing.push_back(store_segment(full, folder.clone(), log.clone(), log.cpu().clone()));
                }
            }
            else => break,
        }
    }
    let last = store_segment(packer.finish(job.size.blocks()), folder.clone(), log.clone(), log.cpu().clone()).await?;
    let last = stage(&mut pages, last, progress);
    for page in last.into_iter().chain(pages.finish(job.size.blocks())) {
        published.take(publish(page, published.pages, log, folder).await?);
    }
    progress.done.store(job.planned.sectors() * 512, Ordering::Relaxed);
    Ok(())
}

/// Adds a stored segment to the page that is being made; answers the page when that makes it full.
fn stage(pages: &mut PageBuilder, stored: StoredSegment, progress: &Progress) -> Option<ManifestPage> {
    progress.stored.fetch_add(stored.sealed_bytes, Ordering::Relaxed);
    pages.push(stored)
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

fn flatten(blocks: Result<Vec<EncodedBlock>, Fault>) -> Vec<Result<EncodedBlock, Fault>> {
    match blocks {
        Ok(blocks) => blocks.into_iter().map(Ok).collect(),
        Err(fault) => vec![Err(fault)],
    }
}

async fn read_and_encode(
    job: &CopyJob,
    source: &dyn Source,
    log: &Log,
    limits: CopyLimits,
    progress: &Progress,
    unit: super::read::ReadUnit,
) -> Result<Vec<EncodedBlock>, Fault> {
    let bytes = unit.extent.length;
    let blocks = read_unit(source, &job.token, &job.disk, job.size, unit).await?;
    progress.read.fetch_add(bytes, Ordering::Relaxed);
    let mut based = Vec::with_capacity(blocks.len());
    for block in blocks {
        based.push((base_block(job, &block).await?, block));
    }
    let (size, sealer) = (job.size, log.sealer().clone());
    let work = move || based.into_iter().map(|(base, block)| encode(block, size, base, sealer.digest_secret(), limits.level)).collect();
    let encoded: Vec<EncodedBlock> = log.cpu().run(work).await;
    let sent: u64 = encoded.iter().map(|block| block.data.cells().map(|cell| cell_bytes(job, block.block, cell)).sum::<u64>()).sum();
    progress.sent.fetch_add(sent, Ordering::Relaxed);
    Ok(encoded)
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
