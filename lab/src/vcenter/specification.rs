//! What to put into the datacentre.

use serde::{Deserialize, Serialize};

/// The vCenter and its datacentre, empty of VMs.
#[derive(Clone, Debug)]
pub struct VCenterOptions {
    pub user: String,
    pub password: String,
    /// The folder above the datacentre; with it the `dcPath` has two parts.
    pub datacenter_folder: Option<String>,
    /// The default needs double encoding in `/folder` addresses.
    pub datacenter: String,
    /// Their names, in the order of their morefs.
    pub hosts: Vec<String>,
    pub datastores: Vec<DatastoreSpec>,
    /// Compute the digest of every snapshot right when it is taken.
    pub digest_every_snapshot: bool,
    /// Identities (UUIDs, morefs of sessions) follow from this number.
    pub seed: u64,
}

#[derive(Clone, Debug)]
pub struct DatastoreSpec {
    pub name: String,
    pub capacity: u64,
    /// `VMFS` or `NFS`; only a label.
    pub kind: String,
}

impl Default for VCenterOptions {
    fn default() -> VCenterOptions {
        let datastore = |name: &str, kind: &str| DatastoreSpec { name: name.into(), capacity: 200 << 30, kind: kind.into() };
        VCenterOptions {
            user: "administrator@vsphere.local".into(),
            password: "lab & <secret>".into(), // Needs escaping in XML, on purpose.
            datacenter_folder: Some("Site A".into()),
            datacenter: "Lab DC #1".into(),
            hosts: vec!["esx-a.lab.test".into(), "esx-b.lab.test".into()],
            datastores: vec![datastore("SSD pool 01", "VMFS"), datastore("nfs-02", "NFS")],
            digest_every_snapshot: false,
            seed: 1,
        }
    }
}

/// A VM to create. Starts from [`VmSpec::new`]; the fields may be changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmSpec {
    pub name: String,
    #[serde(default = "defaults::datastore")]
    pub datastore: String,
    /// The name of its host; none: one after the other.
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default = "defaults::guest_id")]
    pub guest_id: String,
    /// `bios` or `efi`.
    #[serde(default = "defaults::firmware")]
    pub firmware: String,
    /// Means something with `efi` only.
    #[serde(default)]
    pub secure_boot: bool,
    #[serde(default = "defaults::cpus")]
    pub cpus: i32,
    #[serde(default = "defaults::memory_mebibytes")]
    pub memory_mebibytes: i32,
    #[serde(default = "defaults::yes")]
    pub powered_on: bool,
    /// Whether the guest tools run: quiescing and a guest shutdown need them.
    #[serde(default = "defaults::yes")]
    pub tools: bool,
    /// Change tracking is on and live from the start.
    #[serde(default)]
    pub tracking: bool,
    #[serde(default = "defaults::yes")]
    pub tracking_supported: bool,
    /// `noSharing`, `virtualSharing` or `physicalSharing`.
    #[serde(default = "defaults::bus_sharing")]
    pub bus_sharing: String,
    /// Take this BIOS UUID instead of a fresh one, to build the duplicate of another VM.
    #[serde(default)]
    pub bios_uuid: Option<String>,
    pub disks: Vec<DiskSpec>,
}

/// A disk to create.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSpec {
    /// A multiple of 512.
    pub capacity: u64,
    /// Build a partition table and a file system with so many bytes of files; 0 leaves the disk blank.
    #[serde(default)]
    pub data_bytes: u64,
    /// `persistent`, or `independent_persistent`: then snapshots leave it out.
    #[serde(default = "defaults::mode")]
    pub mode: String,
    /// A raw device mapping in physical mode: snapshots are refused.
    #[serde(default)]
    pub raw_device: bool,
}

impl VmSpec {
    pub fn new(name: &str, disks: Vec<DiskSpec>) -> VmSpec {
        VmSpec {
            name: name.to_owned(),
            datastore: defaults::datastore(),
            host: None,
            guest_id: defaults::guest_id(),
            firmware: defaults::firmware(),
            secure_boot: false,
            cpus: defaults::cpus(),
            memory_mebibytes: defaults::memory_mebibytes(),
            powered_on: true,
            tools: true,
            tracking: false,
            tracking_supported: true,
            bus_sharing: defaults::bus_sharing(),
            bios_uuid: None,
            disks,
        }
    }
}

impl DiskSpec {
    /// A disk with a partition table, a file system and `data_bytes` of files.
    pub fn with_files(capacity: u64, data_bytes: u64) -> DiskSpec {
        DiskSpec { capacity, data_bytes, mode: defaults::mode(), raw_device: false }
    }

    pub fn blank(capacity: u64) -> DiskSpec {
        DiskSpec::with_files(capacity, 0)
    }
}

mod defaults {
    pub fn datastore() -> String {
        "SSD pool 01".into()
    }
    pub fn guest_id() -> String {
        "debian12_64Guest".into()
    }
    pub fn firmware() -> String {
        "bios".into()
    }
    pub fn cpus() -> i32 {
        2
    }
    pub fn memory_mebibytes() -> i32 {
        2048
    }
    pub fn yes() -> bool {
        true
    }
    pub fn bus_sharing() -> String {
        "noSharing".into()
    }
    pub fn mode() -> String {
        "persistent".into()
    }
}
