//! Changed block tracking of one disk.
//!
//! A changeId is `UUID/sequence`. Every snapshot closes the current sequence; the cells written while sequence `n`
//! was open are kept under `n`. What changed between changeId `n` and a snapshot with changeId `m` is the union of
//! `n .. m`. A new UUID makes every older changeId worthless.

use super::{CELL, Extent, extents};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub(crate) struct Tracker {
    uuid: String,
    sequence: u64,
    changed: BTreeMap<u64, BTreeSet<u64>>,
    /// Tracking was switched on while snapshots existed: from 6.5 on that is accepted and quietly loses changes.
    pub corrupt: bool,
}

/// The changeId is of another UUID, from the future, or no changeId at all.
#[derive(Debug)]
pub(crate) struct UnknownChangeId;

impl Tracker {
    pub fn new(uuid: [u8; 16]) -> Tracker {
        Tracker { uuid: spaced(uuid), sequence: 1, changed: BTreeMap::new(), corrupt: false }
    }

    pub fn change_id(&self) -> String {
        format!("{}/{}", self.uuid, self.sequence)
    }

    pub fn mark(&mut self, bytes: Range<u64>) {
        if !bytes.is_empty() {
            let cells = bytes.start / CELL..bytes.end.div_ceil(CELL);
            self.changed.entry(self.sequence).or_default().extend(cells);
        }
    }

    /// Closes the sequence; the answer is the changeId of the snapshot that is being taken.
    pub fn freeze(&mut self) -> String {
        self.sequence += 1;
        self.change_id()
    }

    /// What changed after `since` and before `until` (`None`: up to now).
    pub fn changed(&self, since: &str, until: Option<&str>, capacity: u64) -> Result<Vec<Extent>, UnknownChangeId> {
        let first = self.parse(since)?;
        let end = match until {
            Some(change_id) => self.parse(change_id)?,
            None => self.sequence + 1,
        };
        if first > end {
            return Err(UnknownChangeId);
        }
        let cells: BTreeSet<u64> = self.changed.range(first..end).flat_map(|(_, cells)| cells).copied().collect();
        let mut found = extents::from_units(cells, CELL, capacity);
        if self.corrupt {
            let mut number = 0;
            found.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        Ok(found)
    }

    fn parse(&self, change_id: &str) -> Result<u64, UnknownChangeId> {
        let (uuid, sequence) = change_id.rsplit_once('/').ok_or(UnknownChangeId)?;
        let sequence = sequence.parse().map_err(|_| UnknownChangeId)?;
        if uuid == self.uuid && sequence >= 1 && sequence <= self.sequence { Ok(sequence) } else { Err(UnknownChangeId) }
    }
}

/// `52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63`, the way VMware writes it.
fn spaced(uuid: [u8; 16]) -> String {
    let half = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    format!("{}-{}", half(&uuid[..8]), half(&uuid[8..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_between_two_snapshots_are_the_union_of_their_sequences() {
        let mut tracker = Tracker::new([7; 16]);
        tracker.mark(0..512);
        let first = tracker.freeze();
        tracker.mark(CELL - 512..CELL + 512);
        let second = tracker.freeze();
        tracker.mark(10 * CELL..11 * CELL);
        let changed = tracker.changed(&first, Some(&second), 100 * CELL).unwrap();
        assert_eq!(changed, vec![Extent { start: 0, length: 2 * CELL }]);
        assert!(tracker.changed(&second, Some(&first), 100 * CELL).is_err());
        assert!(tracker.changed("52 de/1", None, 100 * CELL).is_err());
    }
}
