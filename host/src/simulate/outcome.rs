//! What a programme came to, as it is printed and as `--json` gives it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::ages::Quantiles;
use super::line::Moment;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    pub begin: Timestamp,
    pub end: Timestamp,
    pub waves: Vec<WaveOutcome>,
    pub rpo: Option<Quantiles>,
    /// The strongest first.
    pub held: Vec<Held>,
    pub cycles: u64,
    pub bytes_on_the_line: u64,
    /// Of what the lines could have carried from begin to end.
    pub line_use: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WaveOutcome {
    pub wave: String,
    pub vms: u32,
    /// VMs whose first copy is applied.
    pub with_recovery_point: u32,
    /// VMs whose first delta is applied as well.
    pub ready: u32,
    /// When the last of them was ready; none when that is beyond the horizon.
    pub ready_at: Option<Timestamp>,
    pub moved: u32,
    pub cutover_at: Option<Timestamp>,
    pub moved_at: Option<Timestamp>,
    /// From the beginning of a VM's final cycle to its last recovery point. Starting it and moving its traffic comes on top.
    pub downtime: Option<Quantity>,
    pub rpo: Option<Quantiles>,
}

/// Lengths of time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quantity {
    pub p50_seconds: u64,
    pub p95_seconds: u64,
    pub max_seconds: u64,
}

/// What a limit cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// In the words of `transload status`, without its numbers.
    pub limit: String,
    /// VMs that waited for it, times hours.
    pub vm_hours: u64,
    pub first_day: Timestamp,
    pub last_day: Timestamp,
    /// The day on which most waited.
    pub worst_day: Timestamp,
}

impl Quantity {
    pub fn of(spans: &[Moment]) -> Option<Quantity> {
        let mut sorted = spans.to_vec();
        sorted.sort_unstable();
        // The smallest that so large a share does not exceed.
        let at = |share: f64| sorted.get(((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1)).map(|span| span / 1000);
        Some(Quantity { p50_seconds: at(0.5)?, p95_seconds: at(0.95)?, max_seconds: at(1.0)? })
    }
}

/// Hours in which VMs waited, by limit and day.
#[derive(Debug, Clone, Default)]
pub struct Holding(BTreeMap<String, BTreeMap<u32, u64>>);

impl Holding {
    pub fn count(&mut self, limit: &str, day: u32, vms: u64) {
        if vms == 0 {
            return;
        }
        if !self.0.contains_key(limit) {
            self.0.insert(limit.to_owned(), BTreeMap::new());
        }
        let days = self.0.get_mut(limit).expect("it was just put there");
        *days.entry(day).or_default() += vms;
    }

    pub fn by_limit(&self, midnight: &Timestamp) -> Vec<Held> {
        let day = |number: u32| *midnight + SignedDuration::from_hours(24 * i64::from(number));
        let held = |(limit, days): (&String, &BTreeMap<u32, u64>)| {
            let (first, last) = (days.keys().next()?, days.keys().next_back()?);
            // Of days that are alike, the first.
            let worst = days.iter().rev().max_by_key(|(_, hours)| **hours)?.0;
            Some(Held {
                limit: limit.clone(),
                vm_hours: days.values().sum(),
                first_day: day(*first),
                last_day: day(*last),
                worst_day: day(*worst),
            })
        };
        let mut all: Vec<Held> = self.0.iter().filter_map(held).collect();
        all.sort_by(|one, other| other.vm_hours.cmp(&one.vm_hours).then_with(|| one.limit.cmp(&other.limit)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_taken_from_what_was_and_never_between() {
        assert_eq!(Quantity::of(&[]), None);
        let spans: Vec<Moment> = (1..=100).map(|second| second * 1000).collect();
        assert_eq!(Quantity::of(&spans), Some(Quantity { p50_seconds: 50, p95_seconds: 95, max_seconds: 100 }));
        assert_eq!(Quantity::of(&[7000]), Some(Quantity { p50_seconds: 7, p95_seconds: 7, max_seconds: 7 }));
    }

    #[test]
    fn the_limit_that_held_longest_comes_first_with_its_worst_day() {
        let mut holding = Holding::default();
        holding.count("disks of a host", 0, 3);
        holding.count("disks of a host", 2, 9);
        holding.count("VMs", 1, 4);
        holding.count("VMs", 5, 0);
        let held = holding.by_limit(&Timestamp::UNIX_EPOCH);
        assert_eq!(held.iter().map(|held| (held.limit.as_str(), held.vm_hours)).collect::<Vec<_>>(), [("disks of a host", 12), ("VMs", 4)]);
        assert_eq!(held[0].worst_day.to_string(), "1970-01-03T00:00:00Z");
    }
}
