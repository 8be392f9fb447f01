//! What several VMs share on their hypervisor: hosts that they are read on, datastores that their disks lie on and their snapshots grow on.
//!
//! ```text
//!   vm-1 ─┐            ┌─ host-a ─┐  disks that are read at one time
//!   vm-2 ─┼─ runs on ──┤          │
//!   vm-3 ─┘            └─ host-b ─┘
//!      └──── disks on ─── store-a, store-b    snapshots of disks that are open at one time; bytes that are free
//! ```
//!
//! It counts for itself, and knows nothing of what the engine counts. What must never happen is noted as a breach at the moment when it
//! happens, and ends the scene:
//! - more disks of a host are read than it allows. A disk is read from its first request in a snapshot to its last one, however long nothing
//!   is asked for in between, for its place is not given away meanwhile;
//! - more snapshots of disks are open on a datastore than it takes, unless they are all of one VM;
//! - a datastore is full, and a snapshot stays open there that nobody asks to have closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use transload::model::{Datastore, DiskHome, DiskId, Placement};

use crate::weather::Stretch;

/// Of a datastore's capacity: the agent's own default.
pub const RESERVE_PERCENT: u64 = 5;
/// The agent looks once a minute. Twice that, and what it takes to put a copy down.
const CLOSED_WITHIN: Duration = Duration::from_secs(240);
/// How long somebody takes to fill a datastore.
const FILLS_IN: Duration = Duration::from_secs(1200);

#[derive(Debug, Clone)]
pub struct DatacentrePlan {
    /// Disks that one host has read at one time.
    pub host_disks: u32,
    /// Snapshots of disks that one datastore takes at one time.
    pub datastore_snapshots: u32,
    pub capacity: u64,
    pub free: u64,
    pub fills: Vec<Fill>,
}

/// Somebody else fills a datastore, and goes away again.
#[derive(Debug, Clone)]
pub struct Fill {
    pub datastore: &'static str,
    pub when: Stretch,
    /// So many bytes are left.
    pub leaves: u64,
}

/// Where one VM is.
#[derive(Clone)]
pub struct Home {
    pub centre: Datacentre,
    pub vm: String,
    pub host: &'static str,
    /// Its disks lie on them in turn.
    pub datastores: Vec<&'static str>,
}

#[derive(Clone)]
pub struct Datacentre {
    plan: Arc<DatacentrePlan>,
    began: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<Snapshot, Open>,
    /// What was written since the snapshot that it grows.
    grown: BTreeMap<(String, DiskId), u64>,
    reading: BTreeMap<(Snapshot, DiskId), Reading>,
    /// Counts requests: what is earlier and what is later.
    requests: u64,
    full_since: BTreeMap<&'static str, Instant>,
    /// Since when an agent looks after the VMs.
    attended_since: Option<Instant>,
    breach: Option<String>,
    most: Most,
}

/// A VM and the token of a snapshot of it.
type Snapshot = (String, String);

struct Open {
    /// Disks by datastore.
    disks: BTreeMap<&'static str, u32>,
    since: Instant,
    closing: bool,
}

struct Reading {
    host: &'static str,
    first: u64,
    last: u64,
}

/// The most that there was at one time: a limit that was never reached proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Most {
    pub read: BTreeMap<&'static str, u32>,
    pub open: BTreeMap<&'static str, u32>,
    pub was_full: BTreeSet<&'static str>,
}

impl Datacentre {
    pub fn new(plan: &DatacentrePlan) -> Datacentre {
        Datacentre { plan: Arc::new(plan.clone()), began: Instant::now(), state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the datacentre")
    }

    pub fn host_disks(&self) -> u32 {
        self.plan.host_disks
    }

    /// What was broken, if anything was.
    pub fn breach(&self) -> Option<String> {
        self.state().breach.clone()
    }

    pub fn most(&self) -> Most {
        self.state().most.clone()
    }

    /// An agent has begun to look after the VMs.
    pub fn attended(&self) {
        self.state().attended_since = Some(Instant::now());
    }

    /// It is dead, and all that it asked for is cut off.
    pub fn unattended(&self) {
        let mut state = self.state();
        state.attended_since = None;
        state.close_the_books(self.plan.host_disks);
    }

    /// The agent that opened what is open is lost with all that it knew. Nobody can count these before they are found, VM by VM, and closed.
    pub fn disown(&self) {
        self.state().open.clear();
    }

    /// Looks at every datastore once a minute, and ends when something is broken.
    pub async fn watch(&self) -> String {
        loop {
            for datastore in self.datastores() {
                self.look_at(datastore);
            }
            if let Some(breach) = self.breach() {
                return breach;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    fn datastores(&self) -> BTreeSet<&'static str> {
        let state = self.state();
        let open = state.open.values().flat_map(|open| open.disks.keys().copied());
        self.plan.fills.iter().map(|fill| fill.datastore).chain(open).collect()
    }

    fn look_at(&self, datastore: &'static str) {
        let full = self.free(datastore) <= self.plan.capacity / 100 * RESERVE_PERCENT;
        let mut state = self.state();
        if !full {
            state.full_since.remove(datastore);
            return;
        }
        state.most.was_full.insert(datastore);
        let since = *state.full_since.entry(datastore).or_insert_with(Instant::now);
        let Some(attended) = state.attended_since else { return };
        let left_open = state.open.iter().find(|(_, open)| {
            let until_now = since.max(attended).max(open.since).elapsed();
            open.disks.contains_key(datastore) && !open.closing && until_now > CLOSED_WITHIN
        });
        if let Some(((vm, _), _)) = left_open {
            let what = format!("{datastore} is full, and nobody closes the snapshot of {vm}");
            state.broken(what);
        }
    }

    fn free(&self, datastore: &str) -> u64 {
        let now = self.began.elapsed();
        let taken = |fill: &Fill| {
            let share = (now - fill.when.from).as_secs_f64() / FILLS_IN.as_secs_f64();
            (self.plan.free.saturating_sub(fill.leaves) as f64 * share.min(1.0)) as u64
        };
        let others = self.plan.fills.iter().filter(|fill| fill.datastore == datastore && fill.when.holds(now)).map(taken).max();
        let state = self.state();
        let ours: u64 = state.open.iter().map(|(snapshot, open)| state.grown_on(snapshot, open, datastore)).sum();
        self.plan.free.saturating_sub(others.unwrap_or(0)).saturating_sub(ours)
    }
}

impl State {
    fn broken(&mut self, what: String) {
        self.breach.get_or_insert(what);
    }

    /// A VM's disks lie on its datastores in turn: what it wrote is dealt out in the same shares.
    fn grown_on(&self, (vm, _): &Snapshot, open: &Open, datastore: &str) -> u64 {
        let all: u64 = self.grown.iter().filter(|((of, _), _)| of == vm).map(|(_, bytes)| bytes).sum();
        let disks: u32 = open.disks.values().sum();
        all * u64::from(open.disks.get(datastore).copied().unwrap_or(0)) / u64::from(disks.max(1))
    }

    /// The most disks of each host that were read at one time, of all that was read since the books were closed before.
    fn close_the_books(&mut self, host_disks: u32) {
        let reading = std::mem::take(&mut self.reading);
        for reader in reading.values() {
            let same_host = reading.iter().filter(|(_, other)| other.host == reader.host);
            let at_once: BTreeSet<(&String, &DiskId)> = same_host
                .filter(|(_, other)| other.first <= reader.first && reader.first <= other.last)
                .map(|(((vm, _), disk), _)| (vm, disk))
                .collect();
            let count = at_once.len() as u32;
            let most = self.most.read.entry(reader.host).or_default();
            *most = count.max(*most);
            if count > host_disks {
                self.breach.get_or_insert(format!("{} has {count} of {host_disks} disks read at one time: {at_once:?}", reader.host));
            }
        }
    }
}

impl Home {
    /// What tells snapshots of this VM from those of others.
    pub fn token(&self, number: u64) -> String {
        format!("{}-snapshot-{number}", self.vm)
    }

    fn snapshot(&self, token: &str) -> Snapshot {
        (self.vm.clone(), token.to_owned())
    }

    pub fn placement(&self, disks: &[DiskId]) -> Placement {
        let home =
            |(number, disk): (usize, &DiskId)| DiskHome { disk: disk.clone(), datastore: Some(self.datastore_of(number).to_owned()) };
        let store = |name: &&'static str| Datastore {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            free: self.centre.free(name),
            capacity: self.centre.plan.capacity,
            snapshot_bytes: 0,
        };
        Placement {
            host: self.host.to_owned(),
            datastores: self.datastores.iter().map(store).collect(),
            disks: disks.iter().enumerate().map(home).collect(),
        }
    }

    fn datastore_of(&self, number: usize) -> &'static str {
        self.datastores[number % self.datastores.len()]
    }

    pub fn opened(&self, token: &str, disks: usize) {
        let mut on: BTreeMap<&'static str, u32> = BTreeMap::new();
        (0..disks).for_each(|number| *on.entry(self.datastore_of(number)).or_default() += 1);
        let mut state = self.centre.state();
        state.open.insert(self.snapshot(token), Open { disks: on.clone(), since: Instant::now(), closing: false });
        let max = self.centre.plan.datastore_snapshots;
        for datastore in on.into_keys() {
            let here = state.open.iter().filter_map(|((vm, _), open)| Some((vm.clone(), *open.disks.get(datastore)?)));
            let here: Vec<(String, u32)> = here.collect();
            let count: u32 = here.iter().map(|(_, disks)| disks).sum();
            let most = state.most.open.entry(datastore).or_default();
            *most = count.max(*most);
            if count > max && here.iter().any(|(vm, _)| *vm != self.vm) {
                state.broken(format!("{datastore} has {count} of {max} snapshots of disks: {here:?}"));
            }
        }
    }

    /// Somebody asks for it, whatever comes of that.
    pub fn asked_to_close(&self, token: &str) {
        if let Some(open) = self.centre.state().open.get_mut(&self.snapshot(token)) {
            open.closing = true;
        }
    }

    /// Only these are open.
    pub fn keep_open<'a>(&self, tokens: impl Iterator<Item = &'a String>) {
        let left: BTreeSet<&String> = tokens.collect();
        let mut state = self.centre.state();
        state.open.retain(|(vm, token), _| *vm != self.vm || left.contains(token));
        if left.is_empty() {
            state.grown.retain(|(vm, _), _| *vm != self.vm);
        }
    }

    /// A snapshot that is open grows by it, up to the size of the disk.
    pub fn wrote(&self, disk: &DiskId, bytes: u64, size: u64) {
        let mut state = self.centre.state();
        if state.open.keys().any(|(vm, _)| *vm == self.vm) {
            let grown = state.grown.entry((self.vm.clone(), disk.clone())).or_default();
            *grown = (*grown + bytes).min(size);
        }
    }

    /// A request to read begins, or ends.
    pub fn reads(&self, token: &str, disk: &DiskId) {
        let mut state = self.centre.state();
        state.requests += 1;
        let now = state.requests;
        let reading = state.reading.entry((self.snapshot(token), disk.clone()));
        reading.or_insert(Reading { host: self.host, first: now, last: now }).last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centre() -> Datacentre {
        let when = Stretch { from: Duration::from_secs(3600), lasts: Duration::from_secs(7200) };
        let fills = vec![Fill { datastore: "store", when, leaves: 10 }];
        Datacentre::new(&DatacentrePlan { host_disks: 2, datastore_snapshots: 3, capacity: 1000, free: 500, fills })
    }

    fn home(centre: &Datacentre, vm: &str) -> Home {
        Home { centre: centre.clone(), vm: vm.to_owned(), host: "host", datastores: vec!["store"] }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_is_read_from_its_first_request_to_its_last() {
        let centre = centre();
        let [a, b] = ["a", "b"].map(|vm| home(&centre, vm));
        for disk in ["1", "1", "2", "1"] {
            a.reads("t", &disk.into());
        }
        b.reads("t", &"1".into());
        centre.unattended();
        assert_eq!((centre.breach(), centre.most().read["host"]), (None, 2));
        for (home, disk) in [(&a, "1"), (&a, "2"), (&b, "1"), (&a, "2"), (&a, "1")] {
            home.reads("t", &disk.into());
        }
        centre.unattended();
        assert!(centre.breach().is_some_and(|what| what.contains("3 of 2 disks")), "{:?}", centre.breach());
    }

    #[tokio::test(start_paused = true)]
    async fn one_vm_alone_may_have_more_snapshots_than_a_datastore_takes_and_two_may_not() {
        let centre = centre();
        let [a, b] = ["a", "b"].map(|vm| home(&centre, vm));
        a.opened("t", 4);
        assert_eq!(centre.breach(), None);
        b.opened("t", 1);
        assert!(centre.breach().is_some_and(|what| what.contains("5 of 3 snapshots")), "{:?}", centre.breach());
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_that_nobody_closes_on_a_full_datastore_is_a_breach() {
        for closes in [true, false] {
            let centre = centre();
            let home = home(&centre, "a");
            centre.attended();
            home.opened("t", 1);
            let free_at = async |minutes: u64| {
                let _ = tokio::time::timeout(Duration::from_secs(60 * minutes), centre.watch()).await;
                centre.free("store")
            };
            assert_eq!(free_at(59).await, 500);
            home.wrote(&"1".into(), 70, 50);
            assert_eq!(free_at(1).await, 450);
            if closes {
                home.asked_to_close("t");
            }
            assert_eq!(free_at(30).await, 0);
            assert_eq!(centre.breach().is_none(), closes, "{:?}", centre.breach());
            home.keep_open([].iter());
            assert_eq!(free_at(1).await, 10);
        }
    }
}
