//! `vm/<vm>/dropped/<n>`: which recovery points are gone, or are going. Written before the first of them is touched.
//!
//! It stands in the store and not in the journal, because those who read the store elsewhere have to see it: a restore, a receiver, an
//! agent that lost its journal. Whoever reads a point takes a lease first and looks here afterwards; whoever drops one writes here first and
//! looks for leases afterwards. One of the two sees the other.
//!
//! The newest record speaks for all before it, so it is also what tells a reader why a point is not there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::commit::FORMAT;
use crate::model::{CycleNumber, Epoch, Fault, FaultKind, VmId};

use super::layout;
use super::seal::Role;
use super::store::Log;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DroppedRecord {
    format: u32,
    pub vm: VmId,
    /// Who dropped them.
    pub epoch: Epoch,
    pub at: Timestamp,
    /// No cycle up to this one is a recovery point any more…
    pub through: CycleNumber,
    /// …but these, ascending.
    pub kept: Vec<CycleNumber>,
}

impl DroppedRecord {
    pub fn new(vm: VmId, epoch: Epoch, at: Timestamp, through: CycleNumber, kept: Vec<CycleNumber>) -> DroppedRecord {
        DroppedRecord { format: FORMAT, vm, epoch, at, through, kept }
    }

    pub fn drops(&self, cycle: CycleNumber) -> bool {
        cycle <= self.through && self.kept.binary_search(&cycle).is_err()
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<DroppedRecord, Fault> {
        let record: DroppedRecord = serde_json::from_slice(bytes)
            .map_err(|error| Fault::corrupt(format!("the record of dropped recovery points cannot be read: {error}")))?;
        if record.format != FORMAT {
            return Err(Fault::unsupported(format!(
                "the record of dropped recovery points of format {} was written by a newer version",
                record.format
            )));
        }
        match record.kept.is_sorted_by(|one, other| one < other) {
            true => Ok(record),
            false => Err(Fault::corrupt("the record of dropped recovery points is out of order")),
        }
    }

    /// What is said to somebody who asks for a point that was dropped.
    fn refusal(&self, cycle: CycleNumber) -> Fault {
        let kept: Vec<String> = self.kept.iter().map(ToString::to_string).collect();
        let older = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
        Fault::not_found(format!(
            "recovery point {cycle} of {} was dropped by retention on {}; kept up to {}: {older}, and what is newer",
            self.vm, self.at, self.through
        ))
    }
}

/// The records of a VM, by number.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Keys that stand there, whether they open or not, ascending.
    pub numbers: Vec<u64>,
    pub newest: Option<DroppedRecord>,
}

impl Records {
    pub async fn read(log: &Log, vm: &VmId) -> Result<Records, Fault> {
        let entries = log.list(&layout::dropped_records(vm)).await?;
        let numbers: Vec<u64> = entries.iter().filter_map(|entry| layout::number_of(&entry.key)).collect();
        for number in numbers.iter().rev() {
            let key = layout::dropped_record(vm, *number);
            match log.read(Role::Dropped, &key).await.and_then(|bytes| DroppedRecord::decode(&bytes)) {
                Ok(record) if record.vm == *vm => return Ok(Records { newest: Some(record), numbers }),
                Ok(_) => tracing::warn!(key, "a record of dropped recovery points is of another VM, and is passed over"),
                // The one before it is gone only when everything that it names is gone: points that are left of either are dropped again.
                Err(fault) if matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound) => {
                    tracing::warn!(key, message = %fault.message, "a record of dropped recovery points is passed over")
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(Records { newest: None, numbers })
    }

    pub fn drops(&self, cycle: CycleNumber) -> bool {
        self.newest.as_ref().is_some_and(|record| record.drops(cycle))
    }

    /// Refuses a point that is gone, or is going, by name.
    pub fn refuse_dropped(&self, cycle: CycleNumber) -> Result<(), Fault> {
        match &self.newest {
            Some(record) if record.drops(cycle) => Err(record.refusal(cycle)),
            _ => Ok(()),
        }
    }

    /// Where the next record goes. Of two agents that write it only one succeeds.
    pub fn next_key(&self, vm: &VmId) -> String {
        layout::dropped_record(vm, self.numbers.last().map_or(1, |newest| newest + 1))
    }
}

/// A commit was not found. Says so by the record, if that names it.
pub async fn explain(log: &Log, vm: &VmId, cycle: CycleNumber, fault: Fault) -> Fault {
    if fault.kind != FaultKind::NotFound {
        return fault;
    }
    match Records::read(log, vm).await {
        Ok(records) => records.refuse_dropped(cycle).err().unwrap_or(fault),
        Err(_) => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(through: u64, kept: &[u64]) -> DroppedRecord {
        let kept = kept.iter().map(|cycle| CycleNumber(*cycle)).collect();
        DroppedRecord::new("v".into(), Epoch(2), Timestamp::UNIX_EPOCH, CycleNumber(through), kept)
    }

    #[test]
    fn everything_up_to_the_last_dropped_cycle_is_gone_but_what_is_kept() {
        let record = DroppedRecord::decode(&record(9, &[3, 7]).encode()).unwrap();
        let dropped: Vec<u64> = (0..12).filter(|cycle| record.drops(CycleNumber(*cycle))).collect();
        assert_eq!(dropped, [0, 1, 2, 4, 5, 6, 8, 9]);
        let records = Records { numbers: vec![1, 4], newest: Some(record) };
        assert_eq!(records.next_key(&"v".into()), "vm/v/dropped/0000000005");
        assert!(records.refuse_dropped(CycleNumber(7)).is_ok());
        assert_eq!(
            records.refuse_dropped(CycleNumber(8)).unwrap_err().message,
            "recovery point 8 of v was dropped by retention on 1970-01-01T00:00:00Z; kept up to 9: 3, 7, and what is newer"
        );
    }

    #[test]
    fn a_record_out_of_order_is_refused() {
        assert!(DroppedRecord::decode(&record(9, &[7, 3]).encode()).is_err());
        assert!(DroppedRecord::decode(&record(9, &[3, 3]).encode()).is_err());
    }
}
