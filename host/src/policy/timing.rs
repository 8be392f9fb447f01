//! When the parts of a cycle were done. Folded out of its facts, kept with how it ended: churn and forecasts are drawn from it.
//!
//! ```text
//!   asked ──▶ taken ──▶ planned ═══ copying ═══▶ copied ──▶ (closed, committed, judged) ended
//!   └────── fixed ─────┘                        └────────────── fixed ─────────────────┘
//! ```

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::forecast::Forecast;
use super::vm::Fact;

/// What has not happened is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// The cycle's first snapshot was asked for. What an attempt cost that was given up is part of what a cycle costs.
    pub asked_at: Option<Timestamp>,
    /// The snapshot of the newest attempt was open: what is copied is the disk at about this moment.
    pub taken_at: Option<Timestamp>,
    /// The first disk of that attempt was planned.
    pub planned_at: Option<Timestamp>,
    /// The last disk was copied.
    pub copied_at: Option<Timestamp>,
    /// What was foreseen for it before it began.
    pub forecast: Option<Forecast>,
}

impl Timing {
    /// Takes notice of a fact that was accepted.
    pub fn observe(&mut self, fact: &Fact) {
        match fact {
            Fact::CycleBegan { .. } => *self = Timing::default(),
            Fact::Foreseen { forecast } => self.forecast = Some(*forecast),
            Fact::SnapshotIntended { at, .. } => {
                let asked_at = self.asked_at.or(Some(*at));
                *self = Timing { asked_at, forecast: self.forecast, ..Timing::default() };
            }
            Fact::SnapshotOpened { at, .. } => self.taken_at = Some(*at),
            Fact::DiskPlanned { at, .. } => self.planned_at = self.planned_at.or(Some(*at)),
            Fact::DiskCopied { at, .. } => self.copied_at = Some(*at),
            _ => {}
        }
    }

    /// From the first request for a snapshot on.
    pub fn took(&self, ended_at: Timestamp) -> Option<Duration> {
        Some(between(self.asked_at?, ended_at))
    }

    /// While disks were copied.
    pub fn copying(&self) -> Option<Duration> {
        Some(between(self.planned_at?, self.copied_at?))
    }
}

/// None of it, if the clock was set back.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
pub mod example {
    //! Histories, as a VM would keep them.

    use super::*;
    use crate::model::CycleNumber;
    use crate::model::commit::Mode;
    use crate::policy::distrust::Compared;
    use crate::policy::vm::{CopyStats, Ended, EndedAs, EndedDisk, Urgency};

    /// A delta of one disk of a GiB, by what it cost.
    #[derive(Debug, Clone, Copy)]
    pub struct Delta {
        /// Seconds since the snapshot before it.
        pub after: i64,
        pub bytes: u64,
        /// Seconds.
        pub copying: i64,
        /// Seconds, half of them before and half behind.
        pub fixed: i64,
    }

    /// An initial at the epoch, and deltas behind it.
    pub fn history(deltas: &[Delta]) -> Vec<Ended> {
        let mut at = 0;
        let initial = ended(1, at, Mode::Initial, Delta { after: 0, bytes: 1 << 30, copying: 100, fixed: 10 });
        let rest = (2..).zip(deltas).map(|(cycle, delta)| {
            at += delta.after;
            ended(cycle, at, Mode::Delta, *delta)
        });
        std::iter::once(initial).chain(rest).collect()
    }

    pub fn ended(cycle: u64, taken: i64, mode: Mode, delta: Delta) -> Ended {
        let second = |second: i64| Timestamp::from_second(second).unwrap();
        let half = delta.fixed / 2;
        let stats = CopyStats { planned: delta.bytes, read: delta.bytes, sent: delta.bytes, stored: delta.bytes / 2 };
        let ended_at = taken + delta.copying + (delta.fixed - half);
        Ended {
            cycle: CycleNumber(cycle),
            urgency: Urgency::Scheduled,
            began_at: second(taken - half),
            ended_at: second(ended_at),
            last: false,
            outcome: EndedAs::Applied,
            disks: vec![EndedDisk {
                disk: "d".into(),
                label: "Hard disk 1".to_owned(),
                size: 1 << 30,
                mode,
                resync: None,
                reported_bytes: delta.bytes,
                reported_extents: 1,
                compared: Compared::default(),
                stats,
            }],
            timing: Timing {
                asked_at: Some(second(taken - half)),
                taken_at: Some(second(taken)),
                planned_at: Some(second(taken)),
                copied_at: Some(second(taken + delta.copying)),
                forecast: None,
            },
        }
    }
}
