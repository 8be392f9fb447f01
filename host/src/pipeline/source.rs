//! What the gateway needs from a hypervisor. `wasm` implements it for plugins, the simulation in memory.
//!
//! Everything returned here is checked already: extents are sorted and inside their window, sizes are real disk sizes, outcomes fit
//! the call. Calls may be repeated; wit/source.wit says what a second call means.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::{DiskId, DiskSize, Extent, Fault, Marker, SnapshotToken, VmRef};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerState {
    On,
    Off,
    Suspended,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSummary {
    pub id: DiskId,
    pub label: String,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSummary {
    pub vm: VmRef,
    pub name: String,
    pub folder: String,
    pub power: PowerState,
    pub host: String,
    pub guest_os: String,
    pub disks: Vec<DiskSummary>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryPage {
    pub vms: Vec<VmSummary>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Info,
    Warning,
    Blocking,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub code: String,
    pub severity: Severity,
    pub subject: String,
    pub message: String,
    pub remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    Bios,
    Efi,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    pub label: String,
    pub mac: String,
    pub network: String,
    pub model: String,
    pub connected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPlace {
    pub disk: DiskId,
    pub controller: String,
    pub controller_number: u32,
    pub unit: u32,
}

/// What a target must know to build the VM again. Travels in every commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmDefinition {
    pub name: String,
    pub cpus: u32,
    pub memory_mib: u64,
    pub firmware: Firmware,
    pub secure_boot: bool,
    pub guest_os: String,
    pub nics: Vec<Nic>,
    pub disks: Vec<DiskPlace>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datastore {
    pub id: String,
    pub name: String,
    pub free: u64,
    pub capacity: u64,
    pub snapshot_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub host: String,
    pub datastores: Vec<Datastore>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDescription {
    pub product: String,
    pub disks_per_host_max: Option<u32>,
}

/// What a long operation has come to: its result, or when to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    Done(T),
    Pending { operation: String, poll_after: Duration },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedSnapshot {
    pub token: SnapshotToken,
    pub quiesced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskMarker {
    pub disk: DiskId,
    pub marker: Marker,
}

/// The end of an operation, whatever it was; the caller knows which one fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Opened(OpenedSnapshot),
    Closed(Vec<DiskMarker>),
    Power(PowerState),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quiesce {
    Wanted,
    Unwanted,
}

/// Whether change tracking will be asked about this snapshot later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closing {
    KeepMarkers,
    DiscardMarkers,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotDisk {
    pub id: DiskId,
    pub label: String,
    pub fingerprint: String,
    pub size: DiskSize,
    pub marker: Option<Marker>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPage {
    pub covers: Extent,
    pub extents: Vec<Extent>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResyncReason {
    pub code: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    Page(ChangedPage),
    Resync(ResyncReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerAction {
    On,
    Off,
    Shutdown,
}

/// Frozen plaintext bytes that the host can fetch, as often and in whatever parts it likes. Nothing is requested before `fetch`.
#[async_trait]
pub trait ByteSource: Send + Sync {
    fn length(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset`. All of it, or a fault: `auth` when the login behind it expired (ask the source for
    /// the range again), `unavailable` or `throttled` when trying again may help.
    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault>;
}

/// A hypervisor. One value stands for one configured source; calls may run concurrently.
#[async_trait]
pub trait Source: Send + Sync {
    async fn describe(&self) -> Result<SourceDescription, Fault>;
    async fn inventory(&self, cursor: Option<String>) -> Result<InventoryPage, Fault>;
    async fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault>;
    async fn definition(&self, vm: &VmRef) -> Result<VmDefinition, Fault>;
    async fn placement(&self, vm: &VmRef) -> Result<Placement, Fault>;
    async fn enable_tracking(&self, vm: &VmRef) -> Result<Outcome<()>, Fault>;
    async fn reset_tracking(&self, vm: &VmRef) -> Result<Outcome<()>, Fault>;
    async fn open_snapshot(&self, vm: &VmRef, tag: &str, quiesce: Quiesce) -> Result<Outcome<OpenedSnapshot>, Fault>;
    async fn close_snapshot(&self, token: &SnapshotToken, closing: Closing) -> Result<Outcome<Vec<DiskMarker>>, Fault>;
    async fn release_markers(&self, vm: &VmRef, markers: &[DiskMarker]) -> Result<(), Fault>;
    async fn leftovers(&self, vm: &VmRef, tag_prefix: &str) -> Result<Vec<SnapshotToken>, Fault>;
    async fn disks(&self, token: &SnapshotToken) -> Result<Vec<SnapshotDisk>, Fault>;
    async fn changed(&self, token: &SnapshotToken, disk: &DiskId, since: &Marker, cursor: Option<String>) -> Result<Changes, Fault>;
    async fn open_range(&self, token: &SnapshotToken, disk: &DiskId, range: Extent) -> Result<Box<dyn ByteSource>, Fault>;
    async fn power(&self, vm: &VmRef, action: PowerAction) -> Result<Outcome<PowerState>, Fault>;
    async fn poll(&self, operation: &str) -> Result<Outcome<Ended>, Fault>;
    async fn cancel(&self, operation: &str) -> Result<(), Fault>;
}
