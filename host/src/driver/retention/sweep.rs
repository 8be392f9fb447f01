//! Finds what nobody names any more among pages, planned bitmaps, segments and announcements.
//!
//! ```text
//!   folder of an attempt      named by a kept commit,          named by none
//!                             or by what is under way
//!   planned, page             lives                            dead
//!   segment                   lives; when its cycle has        lives when the map of a kept point reads it
//!                             just ended: if a page names it
//! ```
//!
//! A segment that no page names is what was on its way when a process died, or was damaged on its way and put again under another name. The
//! maps of kept points are their checkpoints; for a plan that is only shown, the fold of the chain that a checkpoint will be made of.
//!
//! Segments may stand in several stores (log/stores.rs). One that is away ends the turn, which begins again later.
//!
//! The stores' lists are gone through once. Segments whose fate is open are collected up to a bound; then the pages of all kept points are read
//! past them, one page of each layer in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::chain::Chain;
use crate::log::layout::{self, AttemptFolder, InAttempt, Part};
use crate::log::page::{self, Entry as PageEntry, PageKind, SegmentName};
use crate::log::seal::Role;
use crate::log::sink::Entry;
use crate::log::store::Log;
use crate::model::{Attempt, CycleNumber, DiskId, DiskSize, Fault, FaultKind, StoreNumber};
use crate::policy::retention::Plan;

use super::erase::Eraser;
use super::survey::Survey;

/// Segments whose fate is open at one time: 20 MiB, or 8 TiB of a disk.
const OPEN_MAX: usize = 500_000;

pub struct Sweep<'a> {
    log: &'a Log,
    survey: &'a Survey,
    named: BTreeMap<Folder, Named>,
    /// Kept points that have a checkpoint when the plan is executed.
    mapped: Vec<CycleNumber>,
    /// Folders of later cycles are looked through though they are named.
    looked_through: CycleNumber,
}

/// Cycle, attempt, and the disk as its folder is named.
type Folder = (CycleNumber, Attempt, String);

#[derive(Debug, Clone, Copy)]
struct Named {
    pages: u32,
    /// None when it is not known which disk it was: then everything in it stays.
    size: Option<DiskSize>,
}

enum Fate {
    Lives,
    Dead,
    Open(SegmentName),
}

impl<'a> Sweep<'a> {
    pub fn new(log: &'a Log, survey: &'a Survey, plan: &Plan, looked_through: CycleNumber) -> Sweep<'a> {
        let mut named = BTreeMap::new();
        for (disk, layer) in &survey.under_way.layers {
            named.insert((layer.cycle, layer.attempt, layout::name(disk.as_str())), Named { pages: u32::MAX, size: None });
        }
        for (commit, _) in survey.commits.values().filter(|(commit, _)| plan.keeps(commit.cycle)) {
            for (disk, layer) in commit.disks.iter().flat_map(|disk| disk.layers.iter().map(move |layer| (disk, layer))) {
                let folder = (layer.cycle, layer.attempt, layout::name(disk.disk.as_str()));
                let entry = named.entry(folder).or_insert(Named { pages: layer.pages, size: Some(disk.size) });
                entry.pages = entry.pages.max(layer.pages);
            }
        }
        let has_map = |cycle: &CycleNumber| {
            let known = survey.situation.commits.iter().find(|known| known.cycle == *cycle);
            plan.checkpoints.contains(cycle) || known.is_some_and(|known| known.checkpoint)
        };
        let mapped = plan.kept.iter().map(|kept| kept.cycle).filter(has_map).collect();
        Sweep { log, survey, named, mapped, looked_through }
    }

    pub async fn run(&self, eraser: &mut Eraser<'_>) -> Result<(), Fault> {
        self.erase_announcements(eraser).await?;
        let mut open = Open::default();
        // The home store is the first: pages go before the segments of any store.
        for store in stores_of(self.log).await? {
            let mut cursor = None;
            loop {
                let page = self.log.sink_of(store).await?.entries(&layout::all_attempts(&self.survey.vm), cursor).await?;
                for entry in page.entries {
                    let Some(found) = layout::in_attempt(&self.survey.vm, &entry.key) else { continue };
                    match self.fate(store, &found) {
                        Fate::Lives => {}
                        Fate::Dead => eraser.erase_in(store, entry).await?,
                        Fate::Open(segment) => open.add(found.disk, segment, entry.size),
                    }
                }
                if open.count >= OPEN_MAX {
                    self.settle(std::mem::take(&mut open), eraser).await?;
                }
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        self.settle(open, eraser).await
    }

    fn fate(&self, store: StoreNumber, found: &InAttempt<'_>) -> Fate {
        let &InAttempt { cycle, attempt, part, .. } = found;
        if cycle >= self.survey.under_way.from {
            return Fate::Lives;
        }
        let named = self.named.get(&(cycle, attempt, found.disk.to_owned()));
        match (named, part) {
            (Some(_), Part::Planned) => Fate::Lives,
            (Some(named), Part::Page(number)) if number < named.pages => Fate::Lives,
            (None | Some(_), Part::Planned | Part::Page(_)) => Fate::Dead,
            (Some(named), Part::Segment { .. }) if cycle <= self.looked_through || named.size.is_none() => Fate::Lives,
            (_, Part::Segment { number, random }) => Fate::Open(SegmentName { cycle, attempt, number, random, store }),
        }
    }

    /// Decides over open segments. What pages named them is gone by then.
    async fn settle(&self, mut open: Open, eraser: &mut Eraser<'_>) -> Result<(), Fault> {
        eraser.flush().await?;
        if open.count == 0 {
            return Ok(());
        }
        open.sort();
        for (folder, named) in &self.named {
            if let (Some(size), true) = (named.size, open.has_of(folder)) {
                self.mark_named(folder, named.pages, size, &mut open).await?;
            }
        }
        for cycle in &self.mapped {
            let chain = Chain::read(self.log, &self.survey.vm, *cycle).await?;
            for disk in chain.point().disks.iter().map(|disk| &disk.disk) {
                if open.has_disk(disk) {
                    self.mark_read(&chain, disk, &mut open).await?;
                }
            }
        }
        for store in open.stores() {
            for (disk, segments) in &open.disks {
                for &Segment { name, size, read, named } in segments.iter().filter(|segment| segment.name.store == store) {
                    match (read, named) {
                        (0, false) => {
                            let key = name.key(&self.survey.vm, &DiskId(disk.clone()));
                            eraser.erase_in(store, Entry { key, size }).await?
                        }
                        (read, false) => eraser.add_debt(size.saturating_sub(read)),
                        (_, true) => {}
                    }
                }
            }
        }
        eraser.flush().await
    }

    /// Segments that the pages of a named folder name.
    async fn mark_named(&self, folder: &Folder, pages: u32, size: DiskSize, open: &mut Open) -> Result<(), Fault> {
        let (cycle, attempt, disk) = folder;
        let place = AttemptFolder::new(&self.survey.vm, *cycle, *attempt, &DiskId(disk.clone()));
        for number in 0..pages {
            let key = place.page(number);
            let page = match self.log.read(Role::Page, &key).await.and_then(|bytes| page::decode(&bytes, size, PageKind::Manifest)) {
                Ok(page) => page,
                // Damaged. Nobody knows what it named, so everything stays.
                Err(fault) if matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound) => {
                    tracing::warn!(key, message = %fault.message, "what this page names is not known, and all of its folder stays");
                    open.keep_folder(folder);
                    return Ok(());
                }
                Err(fault) => return Err(fault),
            };
            for entry in &page.entries {
                if let PageEntry::Block(block) = entry
                    && let Some(body) = block.body
                    && let Some(segment) = open.find(disk, body.segment)
                {
                    segment.named = true;
                }
            }
        }
        Ok(())
    }

    /// Segments that a kept point reads. When it cannot be told, nothing is deleted.
    async fn mark_read(&self, chain: &Chain, disk: &DiskId, open: &mut Open) -> Result<(), Fault> {
        let name = layout::name(disk.as_str());
        let mut by_this_point: BTreeMap<SegmentName, u64> = BTreeMap::new();
        let mut fold = chain.fold(self.log, disk)?;
        while let Some(block) = fold.next().await? {
            for piece in &block.pieces {
                if open.find(&name, piece.body.segment).is_some() {
                    *by_this_point.entry(piece.body.segment).or_default() += u64::from(piece.body.length);
                }
            }
        }
        for (segment, read) in by_this_point {
            if let Some(segment) = open.find(&name, segment) {
                segment.read = segment.read.max(read);
            }
        }
        Ok(())
    }

    /// Only a copy that is under way, or that a commit to come may build on, needs to be announced.
    async fn erase_announcements(&self, eraser: &mut Eraser<'_>) -> Result<(), Fault> {
        let folder = layout::initials(&self.survey.vm);
        for entry in self.log.list(&folder).await? {
            if layout::cycle_below(&folder, &entry.key).is_some_and(|cycle| cycle < self.survey.under_way.from) {
                eraser.erase(entry).await?;
            }
        }
        eraser.flush().await
    }
}

/// Where objects of a VM may stand: the home store, and the further ones that it knows.
pub async fn stores_of(log: &Log) -> Result<Vec<StoreNumber>, Fault> {
    let further = log.list(layout::STORES).await?;
    Ok(std::iter::once(StoreNumber::HOME).chain(further.iter().filter_map(|entry| layout::store_of(&entry.key))).collect())
}

/// Segments whose fate is open, by the disk's folder.
#[derive(Default)]
struct Open {
    disks: BTreeMap<String, Vec<Segment>>,
    count: usize,
}

struct Segment {
    name: SegmentName,
    size: u64,
    /// Bytes of it that one kept point reads, at most.
    read: u64,
    named: bool,
}

impl Open {
    fn add(&mut self, disk: &str, name: SegmentName, size: u64) {
        let segments = match self.disks.get_mut(disk) {
            Some(segments) => segments,
            None => self.disks.entry(disk.to_owned()).or_default(),
        };
        segments.push(Segment { name, size, read: 0, named: false });
        self.count += 1;
    }

    fn stores(&self) -> BTreeSet<StoreNumber> {
        self.disks.values().flatten().map(|segment| segment.name.store).collect()
    }

    fn sort(&mut self) {
        self.disks.values_mut().for_each(|segments| segments.sort_unstable_by_key(|segment| segment.name));
    }

    fn has_disk(&self, disk: &DiskId) -> bool {
        self.disks.contains_key(&layout::name(disk.as_str()))
    }

    fn has_of(&self, (cycle, attempt, disk): &Folder) -> bool {
        let Some(segments) = self.disks.get(disk) else { return false };
        let first = segments.partition_point(|segment| (segment.name.cycle, segment.name.attempt) < (*cycle, *attempt));
        segments.get(first).is_some_and(|segment| (segment.name.cycle, segment.name.attempt) == (*cycle, *attempt))
    }

    fn find(&mut self, disk: &str, name: SegmentName) -> Option<&mut Segment> {
        let segments = self.disks.get_mut(disk)?;
        let place = segments.binary_search_by_key(&name, |segment| segment.name).ok()?;
        segments.get_mut(place)
    }

    fn keep_folder(&mut self, (cycle, attempt, disk): &Folder) {
        for segment in self.disks.get_mut(disk).into_iter().flatten() {
            segment.named |= (segment.name.cycle, segment.name.attempt) == (*cycle, *attempt);
        }
    }
}
