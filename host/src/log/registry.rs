//! `vms/<vm>`: that a VM replicates into this store, so that a receiver finds its VMs with one listing.

use serde::{Deserialize, Serialize};

use crate::model::commit::FORMAT;
use crate::model::{Fault, VmId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmEntry {
    format: u32,
    pub vm: VmId,
    /// The name it was registered under; the commits carry the newest one.
    pub name: String,
    pub source: String,
}

impl VmEntry {
    pub fn new(vm: VmId, name: String, source: String) -> VmEntry {
        VmEntry { format: FORMAT, vm, name, source }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<VmEntry, Fault> {
        let entry: VmEntry =
            serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("the entry of a VM cannot be read: {error}")))?;
        match entry.format == FORMAT {
            true => Ok(entry),
            false => Err(Fault::unsupported(format!("the entry of a VM of format {} was written by a newer version", entry.format))),
        }
    }
}
