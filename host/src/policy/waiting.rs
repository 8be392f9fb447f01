//! Why a VM that could do something does nothing. `api/sentences.rs` has one sentence for each.

use serde::{Deserialize, Serialize};

use super::calendar::Closed;
use super::governor::Tight;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Waiting {
    /// A limit has no room.
    Limit(Shortage),
    /// A datastore takes one VM's snapshots at a time, and has one; or it takes none.
    Datastore { name: String, tight: Tight, takes: Takes },
    /// Snapshots of other VMs are open since before the agent was started; those go first.
    Returning { vms: u32 },
    /// Its copies stand still, because the final cycle of this VM has the line.
    FinalCycle { of: String },
    /// A window of the calendar holds, and no cycle begins in it.
    Blackout(Closed),
    /// A window of the calendar holds, and the cycle that runs stands still in it.
    Parked(Closed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    OneVm,
    None,
}

/// A limit, and what stands in the way at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortage {
    pub limit: Limit,
    pub in_use: u32,
    /// None: what holds it up is not a number, but that somebody stronger waits here.
    pub max: Option<u32>,
    /// What the VM needs of it.
    pub wanted: u32,
    /// The VM that gets the next room here.
    pub behind: Option<String>,
}

/// What a limit is about. Hosts and datastores are told apart by source, and shown by the name that people know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Limit {
    /// VMs that one appliance replicates.
    Vms,
    /// Disks that are read at one time, over all VMs.
    Disks,
    /// Disks that are read at one time from one host.
    Host { source: String, name: String },
    /// Snapshots of disks on one datastore.
    Datastore { source: String, id: String, name: String },
    /// Disks that are sent at one time to one store.
    Sink { name: String },
}
