//! A hypervisor in memory: disks that guests write to, change tracking, snapshots. Keeps what every snapshot froze, for the oracle.

mod range;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use transload::model::{
    Closing, Datastore, DiskHome, DiskId, DiskMarker, DiskPlace, DiskSize, DiskSummary, Extent, Fault, FaultKind, Finding, Firmware,
    Marker, OpenedSnapshot, Placement, PowerAction, PowerState, Quiesce, ResyncReason, SnapshotDisk, SnapshotToken, SourceDescription,
    VmDefinition, VmRef, VmSummary,
};
use transload::pipeline::source::{ByteSource, ChangedPage, Changes, Ended, InventoryPage, Outcome, Source};

use crate::datacentre::Home;
use crate::weather::Sky;
use crate::world::World;

use range::MemoryRange;
pub use trouble::{SourceFault, SourceTrouble};

const CELL: u64 = 64 * 1024;

#[derive(Clone)]
struct Disk {
    fingerprint: String,
    content: Vec<u8>,
    /// For each cell the sequence number of its last write.
    written: Vec<u64>,
}

#[derive(Clone)]
struct Snapshot {
    tag: String,
    disks: BTreeMap<DiskId, (Disk, Marker)>,
}

struct State {
    vm: VmRef,
    name: String,
    power: PowerState,
    disks: BTreeMap<DiskId, Disk>,
    sequence: u64,
    tracking: u64,
    snapshots: BTreeMap<String, Snapshot>,
    next_token: u64,
    frozen: BTreeMap<(DiskId, Marker), Vec<u8>>,
    bytes_read: u64,
    /// Free bytes of the datastore, of 2 TiB.
    free: u64,
    fault: Option<SourceFault>,
    /// The share of written cells that change tracking forgets.
    forgets: f64,
    /// The merge that goes on: of which snapshot, and until when.
    merging: Option<(String, Instant)>,
}

#[derive(Clone)]
pub struct MemorySource {
    world: World,
    sky: Sky,
    trouble: SourceTrouble,
    /// Alone on a host and a datastore without limits, if nowhere.
    home: Option<Home>,
    state: Arc<Mutex<State>>,
}

impl MemorySource {
    pub fn new(world: World, trouble: SourceTrouble, sizes: &[u64]) -> MemorySource {
        let disks = sizes.iter().enumerate().map(|(number, size)| (DiskId(format!("disk{number}")), new_disk(&world, number, *size)));
        let state = State {
            vm: VmRef { id: "vm-1".to_owned(), fingerprint: "instance-1".to_owned() },
            name: "db01".to_owned(),
            power: PowerState::On,
            disks: disks.collect(),
            sequence: 1,
            tracking: 1,
            snapshots: BTreeMap::new(),
            next_token: 1,
            frozen: BTreeMap::new(),
            bytes_read: 0,
            free: 1 << 40,
            fault: None,
            forgets: 0.0,
            merging: None,
        };
        MemorySource { sky: Sky::clear(world.clone()), world, trouble, home: None, state: Arc::new(Mutex::new(state)) }
    }

    /// One VM of several.
    pub fn at(self, home: Home) -> MemorySource {
        self.with(|state| {
            state.vm = VmRef { id: home.vm.clone(), fingerprint: format!("instance-{}", home.vm) };
            state.name = home.vm.clone();
        });
        MemorySource { home: Some(home), ..self }
    }

    pub fn under(self, sky: Sky) -> MemorySource {
        MemorySource { sky, ..self }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("no panics here"))
    }

    pub fn vm(&self) -> VmRef {
        self.with(|state| state.vm.clone())
    }

    /// Snapshots that were ever made.
    pub fn snapshots_made(&self) -> u64 {
        self.with(|state| state.next_token - 1)
    }

    pub fn open_snapshots(&self) -> usize {
        self.end_merge();
        self.with(|state| state.snapshots.len())
    }

    /// From now on change tracking forgets this share of the cells that are written.
    pub fn forget(&self, share: f64) {
        self.with(|state| state.forgets = share);
    }

    pub fn bytes_read(&self) -> u64 {
        self.with(|state| state.bytes_read)
    }

    /// What a disk held when the snapshot with this marker froze it.
    pub fn frozen(&self, disk: &DiskId, marker: &Marker) -> Option<Vec<u8>> {
        self.with(|state| state.frozen.get(&(disk.clone(), marker.clone())).cloned())
    }

    pub fn disk_ids(&self) -> Vec<DiskId> {
        self.with(|state| state.disks.keys().cloned().collect())
    }

    /// What the newest snapshot of a disk froze, whatever its marker.
    pub fn newest_frozen(&self, disk: &DiskId) -> Option<Vec<u8>> {
        let sequence = |marker: &Marker| marker.0.split_once('/').and_then(|(_, sequence)| sequence.parse::<u64>().ok());
        self.with(|state| {
            let of_disk = state.frozen.iter().filter(|((frozen, _), _)| frozen == disk);
            of_disk.max_by_key(|((_, marker), _)| sequence(marker)).map(|(_, content)| content.clone())
        })
    }

    /// Whether any snapshot of a disk held just this.
    pub fn was_frozen(&self, disk: &DiskId, content: &[u8]) -> bool {
        self.with(|state| state.frozen.iter().any(|((frozen, _), held)| frozen == disk && held == content))
    }

    /// The guest writes bytes; what is there already is written as well, as guests do.
    pub fn write(&self, id: &DiskId, offset: u64, bytes: &[u8]) {
        let forgets = self.with(|state| state.forgets);
        self.with(|state| {
            if state.power != PowerState::On {
                return;
            }
            state.sequence += 1;
            let sequence = state.sequence;
            let Some(disk) = state.disks.get_mut(id) else { return };
            let end = (offset as usize + bytes.len()).min(disk.content.len());
            let length = end - offset as usize;
            disk.content[offset as usize..end].copy_from_slice(&bytes[..length]);
            for cell in offset / CELL..=(end as u64 - 1) / CELL {
                if !self.world.rarely(forgets) {
                    disk.written[cell as usize] = sequence;
                }
            }
            if let Some(home) = &self.home {
                home.wrote(id, length as u64, disk.content.len() as u64);
            }
        });
    }

    /// A few writes of random places, lengths and contents.
    pub fn churn(&self) {
        for disk in self.disk_ids() {
            let size = self.with(|state| state.disks[&disk].content.len() as u64);
            for _ in 0..self.world.below(6) {
                let offset = self.world.below(size / 512) * 512;
                let mut bytes = vec![0; (1 + self.world.below(300)) as usize * 512];
                if self.world.chance(0.7) {
                    self.world.fill(&mut bytes);
                }
                self.write(&disk, offset, &bytes);
            }
        }
    }

    pub fn grow(&self, disk: &DiskId, by: u64) {
        self.with(|state| {
            let disk = state.disks.get_mut(disk).expect("the test names a disk that exists");
            let size = disk.content.len() + by as usize;
            disk.content.resize(size, 0);
            disk.written.resize(size.div_ceil(CELL as usize), 0);
        });
    }

    pub fn add_disk(&self, size: u64) -> DiskId {
        let number = self.with(|state| state.disks.len()) + 100;
        let disk = new_disk(&self.world, number, size);
        let id = DiskId(format!("disk{number}"));
        self.with(|state| state.disks.insert(id.clone(), disk));
        id
    }

    pub fn remove_disk(&self, disk: &DiskId) {
        self.with(|state| state.disks.remove(disk));
    }

    /// Change tracking begins anew: no marker from before means anything.
    pub fn reset(&self) {
        self.with(|state| state.tracking += 1);
    }

    pub fn lose_snapshots(&self) {
        self.with(|state| {
            state.snapshots.clear();
            state.merging = None;
            self.tell_what_is_open(state);
        });
    }

    fn tell_what_is_open(&self, state: &State) {
        if let Some(home) = &self.home {
            home.keep_open(state.snapshots.keys());
        }
    }

    /// So much is free on the datastore, which has 2 TiB.
    pub fn set_free(&self, bytes: u64) {
        self.with(|state| state.free = bytes);
    }

    pub fn power_on(&self) {
        self.with(|state| state.power = PowerState::On);
    }

    pub fn misbehave(&self, fault: SourceFault) {
        self.with(|state| state.fault = Some(fault));
    }

    /// Does what a request asks for, now and then as often as it arrives.
    fn arriving<T>(&self, what: &str, work: impl Fn() -> T) -> T {
        let first = work();
        match self.world.rarely(self.trouble.doubled) {
            true => {
                self.world.note(format!("request arrives twice: {what}"));
                work()
            }
            false => first,
        }
    }

    /// Whether this fault was asked for, for good.
    fn is_broken(&self, fault: SourceFault) -> bool {
        self.with(|state| state.fault == Some(fault))
    }

    /// The wrong VM is never touched.
    fn is_ours(&self, vm: &VmRef) -> Result<(), Fault> {
        match self.with(|state| state.vm == *vm) {
            true => Ok(()),
            false => Err(Fault::conflict(format!("{} is another VM", vm.id))),
        }
    }

    /// Whether this fault was asked for; only once.
    fn misbehaves(&self, fault: SourceFault) -> bool {
        self.with(|state| state.fault.take_if(|asked| *asked == fault)).is_some()
    }

    fn snapshot<T>(&self, token: &SnapshotToken, work: impl FnOnce(&Snapshot) -> T) -> Result<T, Fault> {
        self.with(|state| match state.snapshots.get(token.as_str()) {
            Some(snapshot) => Ok(work(snapshot)),
            None => Err(Fault::not_found(format!("snapshot {token} is gone"))),
        })
    }

    /// Nothing else is done to the VM just now. A merge that was begun ends by its time, whoever still asks.
    fn is_free(&self) -> Result<(), Fault> {
        self.sky.over_the_source()?;
        self.end_merge();
        match self.with(|state| state.merging.is_some()) {
            true => Err(Fault::unavailable("another task is already in progress")),
            false => Ok(()),
        }
    }

    fn end_merge(&self) {
        self.with(|state| {
            if let Some((token, _)) = state.merging.take_if(|(_, until)| *until <= Instant::now()) {
                state.snapshots.remove(&token);
                self.tell_what_is_open(state);
            }
        });
    }

    fn remove_snapshot(&self, token: &SnapshotToken, takes: Duration) {
        self.with(|state| {
            match takes.is_zero() || !state.snapshots.contains_key(token.as_str()) {
                true => drop(state.snapshots.remove(token.as_str())),
                false => state.merging = Some((token.0.clone(), Instant::now() + takes)),
            }
            self.tell_what_is_open(state);
        });
    }

    fn how_merging_goes(&self, token: &SnapshotToken) -> Outcome<Vec<DiskMarker>> {
        self.end_merge();
        match self.with(|state| state.merging.as_ref().is_some_and(|(merging, _)| merging == token.as_str())) {
            true => Outcome::Pending { operation: format!("close {token}"), poll_after: Duration::from_secs(5) },
            false => Outcome::Done(Vec::new()),
        }
    }

    fn make_snapshot(&self, tag: &str) -> SnapshotToken {
        self.with(|state| {
            if let Some((token, _)) = state.snapshots.iter().find(|(_, snapshot)| snapshot.tag == tag) {
                return SnapshotToken(token.clone());
            }
            let number = state.next_token;
            let token = self.home.as_ref().map_or_else(|| format!("snapshot-{number}"), |home| home.token(number));
            state.next_token += 1;
            state.sequence += 1;
            let marker = Marker(format!("{}/{}", state.tracking, state.sequence));
            let disks: BTreeMap<_, _> = state.disks.iter().map(|(id, disk)| (id.clone(), (disk.clone(), marker.clone()))).collect();
            for (id, (disk, marker)) in &disks {
                state.frozen.insert((id.clone(), marker.clone()), disk.content.clone());
            }
            if let Some(home) = &self.home {
                home.opened(&token, disks.len());
            }
            state.snapshots.insert(token.clone(), Snapshot { tag: tag.to_owned(), disks });
            SnapshotToken(token)
        })
    }
}

fn new_disk(world: &World, number: usize, size: u64) -> Disk {
    let mut content = vec![0; size as usize];
    for _ in 0..4 {
        let offset = world.below(size / 512) as usize * 512;
        let end = (offset + 200_000).min(content.len());
        world.fill(&mut content[offset..end]);
    }
    Disk { fingerprint: format!("uuid-{number}"), content, written: vec![0; size.div_ceil(CELL) as usize] }
}

#[async_trait]
impl Source for MemorySource {
    async fn describe(&self) -> Result<SourceDescription, Fault> {
        let disks_per_host_max = self.home.as_ref().map(|home| home.centre.host_disks());
        Ok(SourceDescription { product: "memory".to_owned(), disks_per_host_max })
    }

    async fn inventory(&self, _cursor: Option<String>) -> Result<InventoryPage, Fault> {
        let vm = self.with(|state| VmSummary {
            vm: state.vm.clone(),
            name: state.name.clone(),
            folder: String::new(),
            power: state.power,
            host: "host".to_owned(),
            guest_os: "other".to_owned(),
            disks: state
                .disks
                .iter()
                .map(|(id, disk)| DiskSummary { id: id.clone(), label: id.0.clone(), size: disk.content.len() as u64 })
                .collect(),
        });
        Ok(InventoryPage { vms: vec![vm], next: None })
    }

    async fn preflight(&self, _vm: &VmRef) -> Result<Vec<Finding>, Fault> {
        Ok(Vec::new())
    }

    async fn definition(&self, _vm: &VmRef) -> Result<VmDefinition, Fault> {
        self.world.step("definition").await;
        Ok(self.with(|state| VmDefinition {
            name: state.name.clone(),
            cpus: 2,
            memory_mib: 1024,
            firmware: Firmware::Efi,
            secure_boot: false,
            guest_os: "other".to_owned(),
            nics: Vec::new(),
            disks: (0..)
                .zip(state.disks.keys())
                .map(|(unit, disk)| DiskPlace { disk: disk.clone(), controller: "scsi".to_owned(), controller_number: 0, unit })
                .collect(),
        }))
    }

    async fn placement(&self, vm: &VmRef) -> Result<Placement, Fault> {
        if let Some(home) = &self.home {
            self.world.step("placement").await;
            self.is_ours(vm)?;
            return Ok(home.placement(&self.disk_ids()));
        }
        let disks = self.disk_ids().into_iter().map(|disk| DiskHome { disk, datastore: Some("store".to_owned()) }).collect();
        let store = Datastore {
            id: "store".to_owned(),
            name: "store".to_owned(),
            free: self.with(|state| state.free),
            capacity: 1 << 41,
            snapshot_bytes: 0,
        };
        Ok(Placement { host: "host".to_owned(), datastores: vec![store], disks })
    }

    async fn enable_tracking(&self, _vm: &VmRef) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::Done(()))
    }

    async fn reset_tracking(&self, _vm: &VmRef) -> Result<Outcome<()>, Fault> {
        self.world.step("reset tracking").await;
        if self.is_broken(SourceFault::KeepsTracking) {
            return Err(Fault::conflict("somebody else's snapshot stands there"));
        }
        self.arriving("reset tracking", || self.reset());
        Ok(Outcome::Done(()))
    }

    async fn open_snapshot(&self, vm: &VmRef, tag: &str, _quiesce: Quiesce) -> Result<Outcome<OpenedSnapshot>, Fault> {
        self.world.step("before snapshot").await;
        self.is_ours(vm)?;
        self.is_free()?;
        if self.is_broken(SourceFault::MakesNoSnapshot) {
            return Err(Fault::new(FaultKind::Denied, "this account may not make snapshots"));
        }
        let token = self.arriving("open snapshot", || self.make_snapshot(tag));
        self.world.step("after snapshot").await;
        if self.world.chance(self.trouble.reply_lost) {
            return Err(Fault::unavailable("the reply was lost"));
        }
        // Half of the time the caller has to poll.
        if self.world.chance(0.5) {
            return Ok(Outcome::Pending { operation: format!("open {token}"), poll_after: Duration::from_secs(2) });
        }
        Ok(Outcome::Done(OpenedSnapshot { token, quiesced: true }))
    }

    async fn close_snapshot(&self, token: &SnapshotToken, _closing: Closing) -> Result<Outcome<Vec<DiskMarker>>, Fault> {
        self.world.step("before close").await;
        if let Some(home) = &self.home {
            home.asked_to_close(token.as_str());
        }
        self.is_free()?;
        if self.sky.merge_fails() || self.is_broken(SourceFault::KeepsSnapshots) {
            return Err(Fault::internal("the disks could not be merged"));
        }
        let takes = self.sky.merge_takes();
        self.arriving("close snapshot", || self.remove_snapshot(token, takes));
        self.world.step("after close").await;
        if self.world.chance(self.trouble.reply_lost) {
            return Err(Fault::unavailable("the reply was lost"));
        }
        Ok(self.how_merging_goes(token))
    }

    async fn release_markers(&self, _vm: &VmRef, _markers: &[DiskMarker]) -> Result<(), Fault> {
        self.world.step("release").await;
        match self.is_broken(SourceFault::KeepsMarkers) {
            true => Err(Fault::unsupported("this source cannot release markers")),
            false => Ok(()),
        }
    }

    async fn leftovers(&self, vm: &VmRef, tag_prefix: &str) -> Result<Vec<SnapshotToken>, Fault> {
        self.world.step("leftovers").await;
        self.is_ours(vm)?;
        Ok(self.with(|state| {
            let ours = state.snapshots.iter().filter(|(_, snapshot)| snapshot.tag.starts_with(tag_prefix));
            ours.map(|(token, _)| SnapshotToken(token.clone())).collect()
        }))
    }

    async fn disks(&self, token: &SnapshotToken) -> Result<Vec<SnapshotDisk>, Fault> {
        self.world.step("disks").await;
        self.snapshot(token, |snapshot| {
            let disk = |(id, (disk, marker)): (&DiskId, &(Disk, Marker))| SnapshotDisk {
                id: id.clone(),
                label: id.0.clone(),
                fingerprint: disk.fingerprint.clone(),
                size: DiskSize::new(disk.content.len() as u64).expect("the test uses sizes of real disks"),
                marker: Some(marker.clone()),
            };
            snapshot.disks.iter().map(disk).collect()
        })
        .map(|disks: Vec<SnapshotDisk>| match self.misbehaves(SourceFault::ListsTwice) {
            true => disks.iter().chain(&disks).cloned().collect(),
            false => disks,
        })
    }

    async fn changed(&self, token: &SnapshotToken, disk: &DiskId, since: &Marker, cursor: Option<String>) -> Result<Changes, Fault> {
        self.world.step("changed").await;
        let (written, size, marker) = self.snapshot(token, |snapshot| {
            let (frozen, marker) = &snapshot.disks[disk];
            (frozen.written.clone(), frozen.content.len() as u64, marker.clone())
        })?;
        let parse =
            |marker: &Marker| marker.0.split_once('/').map(|(epoch, sequence)| (epoch.to_owned(), sequence.parse::<u64>().unwrap_or(0)));
        let (Some((then, sequence)), Some((now, _))) = (parse(since), parse(&marker)) else {
            return Err(Fault::invalid("no marker of ours"));
        };
        if then != now {
            return Ok(Changes::Resync(ResyncReason { code: "tracking-reset".to_owned(), message: "tracking began anew".to_owned() }));
        }
        let mut from: u64 = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        if from > 0 && self.misbehaves(SourceFault::DropsPage) {
            from += 1024 * 1024;
        }
        if self.world.chance(self.trouble.page_dropped) && from + 1024 * 1024 < size {
            self.world.note("a page of changes is dropped".to_owned());
            from += 1024 * 1024;
        }
        let to = (from + 1024 * 1024).min(size);
        let cells = from / CELL..to.div_ceil(CELL);
        let changed = cells.filter(|cell| written[*cell as usize] > sequence);
        let extents = changed.map(|cell| Extent::new(cell * CELL, CELL.min(size - cell * CELL))).collect();
        let ends = self.misbehaves(SourceFault::EndsEarly);
        let next = (to < size && !ends).then(|| to.to_string());
        Ok(Changes::Page(ChangedPage { covers: Extent::new(from, to - from), extents, next }))
    }

    async fn open_range(&self, token: &SnapshotToken, disk: &DiskId, range: Extent) -> Result<Box<dyn ByteSource>, Fault> {
        self.world.step("open range").await;
        self.snapshot(token, |_| ())?;
        Ok(Box::new(MemoryRange::of(self, token, disk, range)))
    }

    async fn power(&self, vm: &VmRef, action: PowerAction) -> Result<Outcome<PowerState>, Fault> {
        self.world.step("power").await;
        self.is_ours(vm)?;
        let switch = |state: &mut State| {
            state.power = if action == PowerAction::On { PowerState::On } else { PowerState::Off };
            state.power
        };
        Ok(Outcome::Done(self.arriving("power", || self.with(switch))))
    }

    async fn poll(&self, operation: &str) -> Result<Outcome<Ended>, Fault> {
        self.world.step("poll").await;
        if let Some(token) = operation.strip_prefix("close ") {
            return Ok(match self.how_merging_goes(&SnapshotToken(token.to_owned())) {
                Outcome::Done(markers) => Outcome::Done(Ended::Closed(markers)),
                Outcome::Pending { operation, poll_after } => Outcome::Pending { operation, poll_after },
            });
        }
        let token = SnapshotToken(operation.trim_start_matches("open ").to_owned());
        self.snapshot(&token, |_| ())?;
        Ok(Outcome::Done(Ended::Opened(OpenedSnapshot { token, quiesced: true })))
    }

    async fn cancel(&self, _operation: &str) -> Result<(), Fault> {
        Ok(())
    }
}
