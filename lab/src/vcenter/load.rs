//! How much was asked of hosts and datastores at one time. The lab counts by itself, so that limits need not be believed.
//!
//! A disk is being read from the first GET of its content under a snapshot until the last one: also between two GETs, as it is one copy. So
//! what was read at one time is known afterwards, out of these spans. Disk snapshots are counted as they come, and go when they are merged.

use super::Datacentre;
use super::inventory::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

pub(super) struct Load {
    started: Instant,
    vms: BTreeMap<String, Seen>,
    datastores: BTreeMap<String, Frozen>,
    spans: BTreeMap<(String, i32, u64), Span>,
}

#[derive(Default)]
struct Seen {
    first_snapshot: Option<u64>,
    cycles: u64,
    last_cycle_end: Option<u64>,
    longest_gap: u64,
}

/// Disk snapshots on one datastore.
#[derive(Default)]
struct Frozen {
    /// By VM.
    now: BTreeMap<String, usize>,
    peak: usize,
    /// While there were those of more than one VM.
    peak_shared: usize,
}

/// How long one disk was read under one snapshot. Microseconds.
struct Span {
    host: String,
    from: u64,
    to: u64,
}

/// Which disk a GET reads.
#[derive(Clone)]
pub(super) struct Read {
    pub vm: String,
    pub host: String,
    pub disk: i32,
}

/// A GET whose body is on its way.
pub(super) struct Reading {
    centre: Arc<Datacentre>,
    read: Read,
}

#[derive(Clone, Debug, Serialize)]
pub struct LoadView {
    pub hosts: Vec<HostLoad>,
    pub datastores: Vec<DatastoreLoad>,
    /// Disks that were read at one time, over all hosts, at most.
    pub disks_peak: usize,
    pub vms: Vec<VmLoad>,
}

#[derive(Clone, Debug, Serialize)]
pub struct HostLoad {
    pub name: String,
    pub disks_peak: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct DatastoreLoad {
    pub name: String,
    /// Disk snapshots at one time, at most.
    pub snapshots_peak: usize,
    /// The same, while there were those of more than one VM.
    pub snapshots_peak_shared: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct VmLoad {
    pub name: String,
    /// Snapshots that were taken and are gone.
    pub cycles: u64,
    /// From the start of the lab until its first snapshot.
    pub first_snapshot_milliseconds: Option<u64>,
    /// The longest time between the end of one snapshot and the next one.
    pub longest_gap_milliseconds: u64,
}

impl Default for Load {
    fn default() -> Load {
        Load { started: Instant::now(), vms: BTreeMap::new(), datastores: BTreeMap::new(), spans: BTreeMap::new() }
    }
}

impl Reading {
    pub fn begin(centre: Arc<Datacentre>, read: Read) -> Reading {
        centre.state().load.read(&read);
        Reading { centre, read }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.centre.state().load.read(&self.read);
    }
}

impl Load {
    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub fn snapshot_taken(&mut self, vm: &str, datastore: &str, disks: usize) {
        let now = self.now();
        let seen = self.vms.entry(vm.to_owned()).or_default();
        seen.first_snapshot.get_or_insert(now);
        if let Some(end) = seen.last_cycle_end {
            seen.longest_gap = seen.longest_gap.max(now - end);
        }
        let frozen = self.datastores.entry(datastore.to_owned()).or_default();
        *frozen.now.entry(vm.to_owned()).or_default() += disks;
        let sum: usize = frozen.now.values().sum();
        frozen.peak = frozen.peak.max(sum);
        if frozen.now.len() > 1 {
            frozen.peak_shared = frozen.peak_shared.max(sum);
        }
    }

    pub fn snapshots_gone(&mut self, vm: &str, datastore: &str, disks: usize) {
        let now = self.now();
        let seen = self.vms.entry(vm.to_owned()).or_default();
        seen.cycles += 1;
        seen.last_cycle_end = Some(now);
        let frozen = self.datastores.entry(datastore.to_owned()).or_default();
        if let Some(held) = frozen.now.get_mut(vm) {
            *held = held.saturating_sub(disks);
        }
        frozen.now.retain(|_, held| *held > 0);
    }

    /// A GET has begun or ended.
    fn read(&mut self, read: &Read) {
        let now = self.started.elapsed().as_micros() as u64;
        // A new cycle of the VM is a new span.
        let cycle = self.vms.get(&read.vm).map_or(0, |seen| seen.cycles);
        let span = self.spans.entry((read.vm.clone(), read.disk, cycle));
        span.or_insert_with(|| Span { host: read.host.clone(), from: now, to: now }).to = now;
    }

    pub fn view(&self, state: &State) -> LoadView {
        let on = |host: &str| peak(self.spans.values().filter(|span| span.host == host));
        let datastore = |name: &String| {
            let frozen = self.datastores.get(name);
            DatastoreLoad {
                name: name.clone(),
                snapshots_peak: frozen.map_or(0, |frozen| frozen.peak),
                snapshots_peak_shared: frozen.map_or(0, |frozen| frozen.peak_shared),
            }
        };
        let vm = |vm: &super::inventory::Vm| {
            let seen = self.vms.get(&vm.id);
            VmLoad {
                name: vm.name.clone(),
                cycles: seen.map_or(0, |seen| seen.cycles),
                first_snapshot_milliseconds: seen.and_then(|seen| seen.first_snapshot),
                longest_gap_milliseconds: seen.map_or(0, |seen| seen.longest_gap),
            }
        };
        LoadView {
            hosts: state.hosts.iter().map(|host| HostLoad { name: host.name.clone(), disks_peak: on(&host.id) }).collect(),
            datastores: state.datastores.iter().map(|store| datastore(&store.name)).collect(),
            disks_peak: peak(self.spans.values()),
            vms: state.vms.values().map(vm).collect(),
        }
    }
}

/// How many spans there are at one time, at most. One that ends where another begins is not beside it.
fn peak<'a>(spans: impl Iterator<Item = &'a Span>) -> usize {
    let mut edges: Vec<(u64, i64)> = spans.flat_map(|span| [(span.from, 1), (span.to.max(span.from + 1), -1)]).collect();
    edges.sort_unstable();
    let (mut now, mut most) = (0i64, 0i64);
    for (_, change) in edges {
        now += change;
        most = most.max(now);
    }
    most as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(host: &str, from: u64, to: u64) -> Span {
        Span { host: host.to_owned(), from, to }
    }

    #[test]
    fn a_peak_is_what_overlaps_and_not_what_follows() {
        assert_eq!(peak([].iter()), 0);
        assert_eq!(peak([span("a", 0, 10), span("a", 10, 20), span("a", 20, 30)].iter()), 1);
        assert_eq!(peak([span("a", 0, 10), span("a", 9, 20), span("a", 9, 30)].iter()), 3);
    }

    #[test]
    fn snapshots_count_until_they_are_gone_and_a_vm_alone_is_told_apart() {
        let mut load = Load::default();
        load.snapshot_taken("huge", "ds", 20);
        load.snapshots_gone("huge", "ds", 20);
        load.snapshot_taken("a", "ds", 3);
        load.snapshot_taken("b", "ds", 4);
        let frozen = &load.datastores["ds"];
        assert_eq!((frozen.peak, frozen.peak_shared), (20, 7));
        assert_eq!((load.vms["huge"].cycles, load.vms["a"].cycles), (1, 0));
    }
}
