//! Where the receiver keeps things, by name.

use crate::log::layout::name;
use crate::model::{DiskId, VmId};

/// A disk's replica.
pub fn replica(vm: &VmId, disk: &DiskId) -> String {
    format!("{vm}/{}.raw", name(disk.as_str()))
}

/// An initial copy under way; becomes the replica when it is whole and verified.
pub fn filling(vm: &VmId, disk: &DiskId) -> String {
    format!("{vm}/{}.filling", name(disk.as_str()))
}

/// The digests of a replica's cells.
pub fn table(vm: &VmId, disk: &DiskId) -> String {
    format!("receiver/{vm}/{}.digests", name(disk.as_str()))
}

pub fn filling_table(vm: &VmId, disk: &DiskId) -> String {
    format!("receiver/{vm}/{}.filling-digests", name(disk.as_str()))
}

/// Sealed objects of the commit at hand.
pub fn spool(vm: &VmId) -> String {
    format!("receiver/{vm}/spool")
}
