//! One limit: what is in use of it, and who waits for it, strongest first.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::policy::waiting::Limit;

use super::{Limits, VmNo};

/// How strong a wish is. The order of the variants is the order of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Its snapshot is open already, and grows.
    Open,
    Final,
    Initial,
    Delta,
}

/// Where a VM stands among all that wait: the smaller, the stronger. No two are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub rank: Rank,
    /// Not replicated so far.
    pub new: bool,
    pub since: Timestamp,
    pub vm: VmNo,
}

/// Whether a limit lets anybody through at all, whatever its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// One VM at a time, beside so much that is in use there and that nobody can give back.
    One {
        beside: u32,
    },
    Shut,
}

#[derive(Debug)]
pub(super) struct Pool {
    /// None for the gate that those who return pass first.
    pub limit: Option<Limit>,
    /// What a host says of itself.
    pub declared: Option<u32>,
    /// What counts now; none: no limit.
    pub max: Option<u32>,
    pub used: u32,
    pub gate: Gate,
    pub queue: BTreeSet<Key>,
}

impl Pool {
    pub fn new(limit: Option<Limit>) -> Pool {
        Pool { limit, declared: None, max: None, used: 0, gate: Gate::Open, queue: BTreeSet::new() }
    }

    pub fn max_under(&self, limits: &Limits) -> Option<u32> {
        let set = match self.limit.as_ref()? {
            Limit::Vms => Some(limits.vms),
            Limit::Disks => Some(limits.disks),
            Limit::Host { .. } => limits.host_disks,
            Limit::Datastore { .. } => Some(limits.datastore_snapshots),
            Limit::Sink { .. } => limits.sink_disks,
        };
        set.into_iter().chain(self.declared).min()
    }

    /// Whether so much fits beside what is in use and what is kept for the strongest. One that needs more than there is at all gets it
    /// when it is alone: it could never begin otherwise.
    pub fn has_room(&self, amount: u32, kept: u32) -> bool {
        let taken = self.used.saturating_add(kept);
        match (self.gate, self.max) {
            (Gate::Shut, _) => false,
            (_, _) if taken == 0 => true,
            (Gate::One { beside }, _) if taken > beside => false,
            (_, None) => true,
            (_, Some(max)) => taken.saturating_add(amount) <= max,
        }
    }
}

/// What tells a limit apart from others; names that people give may change.
pub(super) fn identity(limit: &Limit) -> String {
    match limit {
        Limit::Vms => "vms".to_owned(),
        Limit::Disks => "disks".to_owned(),
        Limit::Host { source, name } => format!("host\n{source}\n{name}"),
        Limit::Datastore { source, id, .. } => format!("datastore\n{source}\n{id}"),
        Limit::Sink { name } => format!("sink\n{name}"),
    }
}
