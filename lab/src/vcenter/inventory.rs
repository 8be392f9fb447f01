//! The datacentre as values: what exists, and nothing about how it is asked for.

use super::collector::Continuation;
use super::lease::Lease;
use super::load::Load;
use super::session::Sessions;
use super::task::Task;
use super::updates::Watch;
use crate::disk::{Chain, Tracker};
use crate::soap::Moref;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::RwLock;

/// Objects that exist once and never change.
pub(super) mod fixed {
    pub const ROOT: &str = "group-d1";
    pub const SITE: &str = "group-d2";
    pub const DATACENTER: &str = "datacenter-3";
    pub const VM_FOLDER: &str = "group-v4";
    pub const HOST_FOLDER: &str = "group-h5";
    pub const DATASTORE_FOLDER: &str = "group-s6";
    pub const NETWORK_FOLDER: &str = "group-n7";
    pub const CLUSTER: &str = "domain-c8";
    pub const POOL: &str = "resgroup-11";
    pub const NETWORK: &str = "network-12";
}

pub(super) struct State {
    pub vms: BTreeMap<String, Vm>,
    pub hosts: Vec<Host>,
    pub datastores: Vec<Datastore>,
    pub names: Names,
    pub tasks: BTreeMap<String, Task>,
    pub leases: BTreeMap<String, Lease>,
    /// Container views by id, with their members at the time they were made.
    pub views: BTreeMap<String, Vec<Moref>>,
    pub continuations: BTreeMap<String, Continuation>,
    pub watches: BTreeMap<String, Watch>,
    /// The version of the last update set, by session.
    pub update_versions: BTreeMap<String, u64>,
    pub sessions: Sessions,
    pub digests: Vec<DigestRecord>,
    pub counters: Counters,
    pub load: Load,
    pub random: ChaCha8Rng,
    next_number: u64,
}

/// What the operator called things.
pub(super) struct Names {
    pub datacenter_folder: Option<String>,
    pub datacenter: String,
}

pub(super) struct Host {
    pub id: String,
    pub name: String,
}

pub(super) struct Datastore {
    pub id: String,
    pub name: String,
    pub capacity: u64,
    pub kind: String,
}

pub(super) struct Vm {
    pub id: String,
    pub name: String,
    /// Its folder on its datastore.
    pub directory: String,
    pub datastore: String,
    /// Its host's moref.
    pub host: String,
    pub bios_uuid: String,
    pub instance_uuid: String,
    pub guest_id: String,
    pub firmware: String,
    pub secure_boot: bool,
    pub cpus: i32,
    pub memory_mebibytes: i32,
    pub mac: String,
    pub bus_sharing: String,
    pub tools: bool,
    pub power: Power,
    pub tracking_supported: bool,
    /// What the configuration says; the disks' trackers follow at the next stun.
    pub tracking_enabled: bool,
    /// Tracking was switched on over existing snapshots.
    pub tracking_corrupt: bool,
    pub consolidation_needed: bool,
    /// Redo logs are being merged: every content file is open for writing.
    pub merging: bool,
    pub disks: Vec<Disk>,
    /// Oldest first; the lab's chains never branch, so each is the child of the one before.
    pub snapshots: Vec<Snapshot>,
    pub recent_tasks: Vec<String>,
    /// The task that works on this VM.
    pub busy: Option<String>,
    pub next_redo_log: u32,
    pub next_disk: i32,
    /// Shared: guest writes and digests. Exclusive: everything that changes the files of a chain.
    pub gate: Arc<RwLock<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    On,
    Off,
}

pub(super) struct Disk {
    pub key: i32,
    pub unit: i32,
    pub uuid: String,
    pub mode: String,
    pub raw_device: bool,
    pub chain: Chain,
    pub tracker: Option<Tracker>,
}

#[derive(Clone)]
pub(super) struct Snapshot {
    pub id: String,
    pub number: i32,
    pub name: String,
    pub description: String,
    pub created: jiff::Timestamp,
    pub quiesced: bool,
    pub power: Power,
    pub disks: Vec<FrozenDisk>,
}

/// A disk as a snapshot remembers it.
#[derive(Clone)]
pub(super) struct FrozenDisk {
    pub key: i32,
    pub unit: i32,
    pub uuid: String,
    pub mode: String,
    pub capacity: u64,
    /// The file that holds the frozen top.
    pub descriptor: String,
    /// The file below it, if the snapshot did not freeze a base.
    pub parent: Option<String>,
    pub change_id: Option<String>,
}

/// The lab's own digest of one disk of one snapshot; kept after the snapshot is gone. See [`crate::sparse_digest`].
#[derive(Clone, Debug, Serialize)]
pub struct DigestRecord {
    pub vm: String,
    pub vm_name: String,
    pub snapshot: String,
    pub snapshot_name: String,
    pub disk_key: i32,
    pub disk_uuid: String,
    pub capacity: u64,
    /// `None` while it is being computed.
    pub digest: Option<String>,
}

/// What was asked of the vCenter since it started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    pub soap_requests: u64,
    /// SOAP calls by method.
    pub calls: BTreeMap<String, u64>,
    pub folder_requests: u64,
    /// Body bytes sent for `/folder`.
    pub folder_bytes: u64,
    pub sessions_opened: u64,
    pub sessions_live: u64,
    pub logins_refused: u64,
    pub snapshots_created: u64,
    pub snapshots_removed: u64,
}

impl State {
    pub fn new(names: Names, hosts: Vec<Host>, datastores: Vec<Datastore>, random: ChaCha8Rng) -> State {
        State {
            vms: BTreeMap::new(),
            hosts,
            datastores,
            names,
            tasks: BTreeMap::new(),
            leases: BTreeMap::new(),
            views: BTreeMap::new(),
            continuations: BTreeMap::new(),
            watches: BTreeMap::new(),
            update_versions: BTreeMap::new(),
            sessions: Sessions::default(),
            digests: Vec::new(),
            counters: Counters::default(),
            load: Load::default(),
            random,
            next_number: 1000,
        }
    }

    pub fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub fn random_bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// A random UUID in the usual notation.
    pub fn uuid(&mut self) -> String {
        let hex: String = self.random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    pub fn snapshot(&self, id: &str) -> Option<(&Vm, &Snapshot)> {
        self.vms.values().find_map(|vm| vm.snapshots.iter().find(|snapshot| snapshot.id == id).map(|snapshot| (vm, snapshot)))
    }

    pub fn datastore(&self, name: &str) -> Option<&Datastore> {
        self.datastores.iter().find(|datastore| datastore.name == name)
    }

    /// The bytes that the files on a datastore occupy, redo logs included.
    pub fn used_bytes(&self, datastore: &str) -> u64 {
        self.vms.values().filter(|vm| vm.datastore == datastore).map(Vm::committed_bytes).sum()
    }
}

impl Vm {
    pub fn disk(&self, key: i32) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.key == key)
    }

    pub fn disk_mut(&mut self, key: i32) -> Option<&mut Disk> {
        self.disks.iter_mut().find(|disk| disk.key == key)
    }

    pub fn committed_bytes(&self) -> u64 {
        self.disks.iter().map(|disk| disk.chain.allocated_bytes()).sum()
    }

    pub fn capacity_bytes(&self) -> u64 {
        self.disks.iter().map(|disk| disk.chain.capacity).sum()
    }

    /// A descriptor with its datastore in front, as the API names files.
    pub fn file_name(&self, descriptor: &str) -> String {
        format!("[{}] {descriptor}", self.datastore)
    }
}
