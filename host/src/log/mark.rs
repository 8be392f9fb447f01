//! `vm/<vm>/pin/<cycle>` and `vm/<vm>/verified/<cycle>`: what was decided or found about a recovery point after it was made. They stand in
//! the store, so that they outlive an agent. Retention drops no pinned point, and keeps the newest verified one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::commit::{FORMAT, PointRef};
use crate::model::{CycleNumber, Fault, FaultKind, VmId};

use super::layout;
use super::seal::Role;
use super::store::Log;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    format: u32,
    pub point: PointRef,
    pub at: Timestamp,
}

impl Mark {
    pub fn new(point: PointRef, at: Timestamp) -> Mark {
        Mark { format: FORMAT, point, at }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a mark has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<Mark, Fault> {
        let mark: Mark = serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("a mark cannot be read: {error}")))?;
        match mark.format == FORMAT {
            true => Ok(mark),
            false => Err(Fault::unsupported(format!("a mark of format {} was made by a newer version", mark.format))),
        }
    }

    /// Puts it at a key. One that stands there already, of whatever moment, says the same.
    pub async fn put(&self, log: &Log, key: &str) -> Result<(), Fault> {
        match log.create(Role::Mark, key, &self.encode()).await {
            Err(fault) if fault.kind == FaultKind::Conflict => Ok(()),
            result => result,
        }
    }
}

/// Cycles that are marked below a folder. The name counts: a pin that does not open keeps its point as well, because that is the safe side.
pub async fn marked(log: &Log, folder: &str) -> Result<Vec<CycleNumber>, Fault> {
    let entries = log.list(folder).await?;
    Ok(entries.iter().filter_map(|entry| layout::cycle_below(folder, &entry.key)).collect())
}

pub async fn remember_verified(log: &Log, vm: &VmId, point: PointRef, at: Timestamp) -> Result<(), Fault> {
    Mark::new(point, at).put(log, &layout::verification(vm, point.cycle)).await
}
