//! The words of `transload:plugin/source` as this plugin uses them. wit/source.wit says what each promises.

pub use transload_guest::http::Extent;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmRef {
    /// The managed object reference, such as "vm-42".
    pub id: String,
    /// The instance UUID. Never the BIOS UUID: clones share that.
    pub fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerState {
    On,
    Off,
    Suspended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerAction {
    On,
    Off,
    Shutdown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSummary {
    pub id: String,
    pub label: String,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Info,
    Warning,
    Blocking,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    pub subject: String,
    pub message: String,
    pub remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    Bios,
    Efi,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    pub label: String,
    pub mac: String,
    pub network: String,
    pub model: String,
    pub connected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPlace {
    pub disk: String,
    pub controller: String,
    pub controller_number: u32,
    pub unit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    pub id: String,
    pub name: String,
    pub free: u64,
    pub capacity: u64,
    pub snapshot_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub host: String,
    pub datastores: Vec<Datastore>,
    pub disks: Vec<DiskHome>,
}

/// Where the snapshots of a disk grow: beside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskHome {
    pub disk: String,
    pub datastore: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub product: String,
    pub disks_per_host_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quiesce {
    Wanted,
    Unwanted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub token: String,
    pub quiesced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pending { operation: String, poll_after_ms: u32 },
    Opened(Opened),
    Closed,
    Power(PowerState),
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDisk {
    pub id: String,
    pub label: String,
    pub fingerprint: String,
    pub size: u64,
    pub marker: Option<String>,
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
    Resync { code: &'static str, message: String },
}
