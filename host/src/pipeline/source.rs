//! What the gateway needs from a hypervisor. `wasm` implements it for plugins, the simulation in memory.
//!
//! Everything returned here is checked already: extents are sorted and inside their window, sizes are real disk sizes, outcomes fit
//! the call. Calls may be repeated; wit/source.wit says what a second call means.

use std::time::Duration;

pub use crate::model::{
    Closing, Datastore, DiskHome, DiskMarker, DiskPlace, DiskSummary, Finding, Firmware, Nic, OpenedSnapshot, Placement, PowerAction,
    PowerState, Quiesce, ResyncReason, Severity, SnapshotDisk, SourceDescription, VmDefinition, VmSummary,
};
use crate::model::{DiskId, Extent, Fault, Marker, SnapshotToken, VmRef};
use async_trait::async_trait;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryPage {
    pub vms: Vec<VmSummary>,
    pub next: Option<String>,
}

/// What a long operation has come to: its result, or when to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    Done(T),
    Pending { operation: String, poll_after: Duration },
}

/// The end of an operation, whatever it was; the caller knows which one fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Opened(OpenedSnapshot),
    Closed(Vec<DiskMarker>),
    Power(PowerState),
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPage {
    pub covers: Extent,
    pub extents: Vec<Extent>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    Page(ChangedPage),
    Resync(ResyncReason),
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
