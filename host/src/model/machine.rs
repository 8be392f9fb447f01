//! What a source tells of a VM and its snapshots. wit/source.wit and wit/machine.wit document every field.

use serde::{Deserialize, Serialize};

use super::extent::DiskSize;
use super::ids::{DiskId, Marker, SnapshotToken, VmRef};

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

/// Where the snapshots of a disk grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskHome {
    pub disk: DiskId,
    /// The id of a datastore.
    pub datastore: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub host: String,
    pub datastores: Vec<Datastore>,
    pub disks: Vec<DiskHome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDescription {
    pub product: String,
    pub disks_per_host_max: Option<u32>,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResyncReason {
    pub code: String,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerAction {
    On,
    Off,
    Shutdown,
}
