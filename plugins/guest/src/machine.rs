//! A virtual machine as a source saw it: the words of machine.wit.

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

/// What a target must know to build the VM again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmDefinition {
    pub name: String,
    pub cpus: u32,
    pub memory_mib: u64,
    pub firmware: Firmware,
    pub secure_boot: bool,
    pub guest_os: String,
    pub nics: Vec<Nic>,
    /// In boot order.
    pub disks: Vec<DiskPlace>,
}
