//! How much of a VM changes, on which disk, and whether in a way that makes replication dear.
//!
//! Drawn from the deltas that became recovery points. An initial and a resync read everything and say nothing of what changed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::commit::Mode;
use crate::model::{CELL, DiskId};

use super::timing::between;
use super::vm::{Ended, EndedAs, EndedDisk};

/// One VM's. Disks that change most come first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    pub total: Changes,
    pub disks: Vec<DiskChurn>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskChurn {
    pub disk: DiskId,
    pub label: String,
    pub size: u64,
    pub changes: Changes,
    /// What of one delta changed of the disk, in millionths of its size.
    pub share_millionths: u64,
    pub patterns: Vec<Pattern>,
}

/// Sums over the remembered deltas. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    pub deltas: u64,
    /// The time that they speak of, in seconds: between the first point and the last one.
    pub seconds: u64,
    /// Widened to cells: what was read.
    pub changed: u64,
    /// As the source named it, in so many extents.
    pub reported: u64,
    pub extents: u64,
    /// What had to travel, neither zero nor the same as before.
    pub sent: u64,
    pub stored: u64,
    /// Of `changed`.
    pub bytes_per_hour: u64,
}

/// What makes churn dear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Pattern {
    /// Many small places: a cell is read for each of them, and each is a request of its own.
    Scattered { extents_per_delta: u64, bytes_per_extent: u64, read_for_each_reported: u64 },
    /// What is written is mostly what stood there, or zeros: it is read and not sent.
    Rewritten { sent_of_thousand: u64 },
    /// The same places again and again: a longer interval brings hardly more.
    Overwritten { longer_tenths: u64, more_tenths: u64 },
}

/// With fewer extents in a delta nobody minds where they are.
const EXTENTS_MANY: u64 = 256;

/// One disk in one delta.
struct Delta<'a> {
    disk: &'a EndedDisk,
    over: Duration,
}

impl Churn {
    pub fn of(history: &[Ended]) -> Churn {
        let applied: Vec<&Ended> = history.iter().filter(|ended| ended.outcome == EndedAs::Applied).collect();
        let mut by_disk: BTreeMap<&DiskId, Vec<Delta>> = BTreeMap::new();
        for pair in applied.windows(2) {
            let (Some(from), Some(to)) = (pair[0].timing.taken_at, pair[1].timing.taken_at) else { continue };
            let over = between(from, to);
            for disk in pair[1].disks.iter().filter(|disk| disk.mode == Mode::Delta) {
                by_disk.entry(&disk.disk).or_default().push(Delta { disk, over });
            }
        }
        let mut disks: Vec<DiskChurn> = by_disk.into_values().map(|deltas| of_disk(&deltas)).collect();
        disks.sort_by(|one, other| {
            let rate = |disk: &DiskChurn| std::cmp::Reverse(disk.changes.bytes_per_hour);
            rate(one).cmp(&rate(other)).then_with(|| one.disk.cmp(&other.disk))
        });
        Churn { total: total(&disks), disks }
    }
}

fn of_disk(deltas: &[Delta]) -> DiskChurn {
    let newest = deltas[deltas.len() - 1].disk;
    let sum = |field: fn(&EndedDisk) -> u64| deltas.iter().map(|delta| field(delta.disk)).sum::<u64>();
    let changes = Changes {
        deltas: deltas.len() as u64,
        seconds: deltas.iter().map(|delta| delta.over.as_secs()).sum(),
        changed: sum(|disk| disk.stats.planned),
        reported: sum(|disk| disk.reported_bytes),
        extents: sum(|disk| disk.reported_extents),
        sent: sum(|disk| disk.stats.sent),
        stored: sum(|disk| disk.stats.stored),
        bytes_per_hour: 0,
    };
    DiskChurn {
        disk: newest.disk.clone(),
        label: newest.label.clone(),
        size: newest.size,
        share_millionths: share(changes.changed, newest.size.saturating_mul(changes.deltas)),
        patterns: scattered(&changes).into_iter().chain(rewritten(&changes)).chain(overwritten(deltas)).collect(),
        changes: changes.with_rate(),
    }
}

fn total(disks: &[DiskChurn]) -> Changes {
    let most = |field: fn(&Changes) -> u64| disks.iter().map(|disk| field(&disk.changes)).max().unwrap_or(0);
    let sum = |field: fn(&Changes) -> u64| disks.iter().map(|disk| field(&disk.changes)).sum();
    Changes {
        deltas: most(|changes| changes.deltas),
        seconds: most(|changes| changes.seconds),
        changed: sum(|changes| changes.changed),
        reported: sum(|changes| changes.reported),
        extents: sum(|changes| changes.extents),
        sent: sum(|changes| changes.sent),
        stored: sum(|changes| changes.stored),
        bytes_per_hour: sum(|changes| changes.bytes_per_hour),
    }
}

impl Changes {
    fn with_rate(self) -> Changes {
        let an_hour = u128::from(self.changed) * 3600 / u128::from(self.seconds.max(1));
        Changes { bytes_per_hour: u64::try_from(an_hour).unwrap_or(u64::MAX), ..self }
    }
}

fn share(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 1_000_000 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

fn scattered(changes: &Changes) -> Option<Pattern> {
    let extents_per_delta = changes.extents / changes.deltas.max(1);
    let bytes_per_extent = changes.reported / changes.extents.max(1);
    (extents_per_delta >= EXTENTS_MANY && bytes_per_extent <= 2 * CELL).then_some(Pattern::Scattered {
        extents_per_delta,
        bytes_per_extent,
        read_for_each_reported: changes.changed / changes.reported.max(1),
    })
}

fn rewritten(changes: &Changes) -> Option<Pattern> {
    let sent_of_thousand = changes.sent.saturating_mul(1000) / changes.changed.max(1);
    (changes.changed >= 256 * CELL && sent_of_thousand < 500).then_some(Pattern::Rewritten { sent_of_thousand })
}

/// Compares the deltas after short pauses with those after long ones. Says something only when pauses really differ.
fn overwritten(deltas: &[Delta]) -> Option<Pattern> {
    if deltas.len() < 6 {
        return None;
    }
    let mut sorted: Vec<&Delta> = deltas.iter().collect();
    sorted.sort_by_key(|delta| delta.over);
    let (short, long) = sorted.split_at(sorted.len() / 2);
    let over = |part: &[&Delta]| part.iter().map(|delta| delta.over.as_secs_f64()).sum::<f64>() / part.len() as f64;
    let bytes = |part: &[&Delta]| part.iter().map(|delta| delta.disk.stats.planned as f64).sum::<f64>() / part.len() as f64;
    let longer = over(long) / over(short).max(1.0);
    let more = bytes(long) / bytes(short).max(1.0);
    let much = bytes(short) >= 256.0 * CELL as f64;
    (much && longer >= 2.0 && more <= 1.0 + (longer - 1.0) / 4.0)
        .then_some(Pattern::Overwritten { longer_tenths: (longer * 10.0) as u64, more_tenths: (more * 10.0) as u64 })
}

#[cfg(test)]
mod tests;
