//! How long the next cycle will take, and whether cycles become shorter at all.
//!
//! ```text
//!   recorded deltas ─▶ churn rates c: changed bytes / time between the two points
//!                  ├─▶ speeds r:      changed bytes / time of copying (the larger half of the deltas: a small one says nothing of speed)
//!                  └─▶ fixed costs f: everything else, from asking for the snapshot to the receipt
//!
//!   a cycle that begins e after its base was taken:  f + c · e / r   for each combination of the three ─▶ sorted ─▶ median, 95th of 100
//! ```
//!
//! All combinations of what was seen, each as likely as any other: an exact bootstrap, so the same history gives the same forecast and
//! nothing is drawn by chance. It knows no trend, no time of day, and nothing that it has not seen once; with few cycles the upper bound is
//! their worst combination and no more. How good it is, is measured: every cycle is foreseen before it begins and compared when it has ended.
//!
//! A final cycle is one of these with the source off, so it is foreseen in the same way; what the guest takes to shut down is not in it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::commit::Mode;

use super::timing::between;
use super::vm::{Ended, EndedAs};

/// Deltas that are looked at, newest first: what was a month ago says little.
pub const RECENT: usize = 40;
/// With fewer nothing is foreseen.
pub const NEEDED: usize = 3;

/// Half of the cycles like this one take at most `p50`, 95 of 100 at most `p95`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    pub p50_ms: u64,
    pub p95_ms: u64,
    /// Bytes that will have to be copied, by the median churn.
    pub bytes: u64,
    /// Recorded deltas behind it.
    pub cycles: u32,
}

/// What one recorded delta says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    bytes: u64,
    /// Since the point before it; at least a second.
    over: Duration,
    /// At least a millisecond.
    copying: Duration,
    fixed: Duration,
}

impl Seen {
    /// Bytes a second.
    fn churn(&self) -> f64 {
        self.bytes as f64 / self.over.as_secs_f64()
    }

    fn speed(&self) -> f64 {
        self.bytes as f64 / self.copying.as_secs_f64()
    }
}

/// The recorded deltas of a VM, as far as they say how long the next one takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Experience(Vec<Seen>);

impl Experience {
    pub fn of(history: &[Ended]) -> Experience {
        let applied: Vec<&Ended> = history.iter().filter(|ended| ended.outcome == EndedAs::Applied).collect();
        let mut seen: Vec<Seen> = applied.windows(2).filter_map(|pair| Experience::delta(pair[0], pair[1])).collect();
        seen.drain(..seen.len().saturating_sub(RECENT));
        Experience(seen)
    }

    fn delta(before: &Ended, ended: &Ended) -> Option<Seen> {
        if !is_delta(ended) {
            return None;
        }
        let timing = &ended.timing;
        let copying = timing.copying()?;
        Some(Seen {
            bytes: ended.disks.iter().map(|disk| disk.stats.planned).sum(),
            over: between(before.timing.taken_at?, timing.taken_at?).max(Duration::from_secs(1)),
            copying: copying.max(Duration::from_millis(1)),
            fixed: timing.took(ended.ended_at)?.saturating_sub(copying),
        })
    }

    pub fn cycles(&self) -> usize {
        self.0.len()
    }

    /// A cycle that is begun so long after its base was taken. None before enough was seen.
    pub fn forecast(&self, since_base: Duration) -> Option<Forecast> {
        if self.0.len() < NEEDED {
            return None;
        }
        let speeds = self.speeds();
        let mut all = Vec::with_capacity(self.0.len() * self.0.len() * speeds.len().max(1));
        for churn in self.churns() {
            let bytes = churn * since_base.as_secs_f64();
            for Seen { fixed, .. } in &self.0 {
                match speeds.is_empty() {
                    true => all.push(fixed.as_secs_f64()),
                    false => all.extend(speeds.iter().map(|speed| fixed.as_secs_f64() + bytes / speed)),
                }
            }
        }
        all.sort_by(f64::total_cmp);
        Some(Forecast {
            p50_ms: milliseconds(quantile(&all, 50)),
            p95_ms: milliseconds(quantile(&all, 95)),
            bytes: (quantile(&self.churns(), 50) * since_base.as_secs_f64()) as u64,
            cycles: self.0.len() as u32,
        })
    }

    pub fn outlook(&self) -> Outlook {
        if self.0.len() < NEEDED {
            return Outlook::Unknown { cycles: self.0.len() as u32, needed: NEEDED as u32 };
        }
        let (churns, speeds) = (self.churns(), self.speeds());
        let churn = quantile(&churns, 50);
        if speeds.is_empty() || churn <= 0.0 {
            return Outlook::Converges { churn: 0, speed: 0, share_millionths: 0, shortest_ms: self.fixed_ms() };
        }
        let speed = quantile(&speeds, 50);
        let share = churn / speed;
        let (churn, speed, share_millionths) = (churn as u64, speed as u64, (share * 1e6) as u64);
        match share < 1.0 {
            true => Outlook::Converges {
                churn,
                speed,
                share_millionths,
                shortest_ms: milliseconds(self.fixed_ms() as f64 / 1000.0 / (1.0 - share)),
            },
            false => Outlook::Diverges { churn, speed, share_millionths },
        }
    }

    fn fixed_ms(&self) -> u64 {
        let mut fixed: Vec<f64> = self.0.iter().map(|seen| seen.fixed.as_secs_f64()).collect();
        fixed.sort_by(f64::total_cmp);
        milliseconds(quantile(&fixed, 50))
    }

    /// Ascending.
    fn churns(&self) -> Vec<f64> {
        let mut churns: Vec<f64> = self.0.iter().map(Seen::churn).collect();
        churns.sort_by(f64::total_cmp);
        churns
    }

    /// Ascending; none of them is zero, and there are none if no delta had anything to copy.
    fn speeds(&self) -> Vec<f64> {
        let mut copied: Vec<&Seen> = self.0.iter().filter(|seen| seen.bytes > 0).collect();
        copied.sort_by_key(|seen| seen.bytes);
        let mut speeds: Vec<f64> = copied.split_off(copied.len() / 2).into_iter().map(Seen::speed).collect();
        speeds.sort_by(f64::total_cmp);
        speeds
    }
}

/// Whether deltas that follow each other without a pause become shorter. Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outlook {
    Unknown {
        cycles: u32,
        needed: u32,
    },
    /// They tend towards `shortest`: each lasts for its fixed costs and for what changed while the one before it ran.
    Converges {
        churn: u64,
        speed: u64,
        share_millionths: u64,
        shortest_ms: u64,
    },
    /// More changes than can be copied at the same time: each delta is longer than the one before.
    Diverges {
        churn: u64,
        speed: u64,
        share_millionths: u64,
    },
}

/// What became of the newest forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub forecasts: u32,
    pub within_p50: u32,
    pub within_p95: u32,
}

/// Forecasts that are looked at.
pub const CALIBRATED: usize = 20;

impl Calibration {
    /// Of deltas that became recovery points: one that compared everything, or failed, is not what was foreseen.
    pub fn of(history: &[Ended]) -> Calibration {
        let compared = history.iter().rev().filter(|ended| is_delta(ended) && ended.outcome == EndedAs::Applied).filter_map(|ended| {
            let actual = u64::try_from(ended.timing.took(ended.ended_at)?.as_millis()).unwrap_or(u64::MAX);
            Some((ended.timing.forecast?, actual))
        });
        compared.take(CALIBRATED).fold(Calibration::default(), |sum, (forecast, actual)| Calibration {
            forecasts: sum.forecasts + 1,
            within_p50: sum.within_p50 + u32::from(actual <= forecast.p50_ms),
            within_p95: sum.within_p95 + u32::from(actual <= forecast.p95_ms),
        })
    }
}

fn is_delta(ended: &Ended) -> bool {
    !ended.disks.is_empty() && ended.disks.iter().all(|disk| disk.mode == Mode::Delta)
}

/// The smallest value that so many of a hundred do not exceed. `sorted` is not empty.
fn quantile(sorted: &[f64], of_hundred: usize) -> f64 {
    let rank = (sorted.len() * of_hundred).div_ceil(100).max(1);
    sorted[rank - 1]
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

#[cfg(test)]
mod tests;
