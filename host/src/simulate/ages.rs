//! How old the newest recovery point is, over all VMs and all the time: the distribution of the RPO.
//!
//! An age grows evenly from one recovery point to the next, so each stretch adds the same weight to every age that it passes. Two marks a
//! stretch are enough; the sums are drawn once, at the end.

use serde::Serialize;

use super::line::Moment;

const MINUTE: u64 = 60_000;
/// Ages above four weeks count as that.
const BINS: usize = 4 * 7 * 24 * 60;

#[derive(Debug, Clone)]
pub struct Ages {
    /// Where stretches begin (+1) and end (-1), by the minute.
    marks: Vec<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// Half of the time the newest recovery point is younger than this. Minutes.
    pub p50_minutes: u64,
    pub p95_minutes: u64,
    pub max_minutes: u64,
}

impl Default for Ages {
    fn default() -> Ages {
        Ages { marks: vec![0; BINS + 1] }
    }
}

impl Ages {
    /// One VM's age grew from `youngest` to `oldest`, in milliseconds.
    pub fn grew(&mut self, youngest: Moment, oldest: Moment) {
        let bin = |age: Moment| ((age / MINUTE) as usize).min(BINS - 1);
        self.marks[bin(youngest)] += 1;
        self.marks[bin(oldest) + 1] -= 1;
    }

    pub fn add(&mut self, other: &Ages) {
        self.marks.iter_mut().zip(&other.marks).for_each(|(mark, more)| *mark += more);
    }

    /// None while no VM has a recovery point.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let weights: Vec<u64> = self
            .marks
            .iter()
            .scan(0i64, |under_way, mark| {
                *under_way += mark;
                Some(*under_way as u64)
            })
            .collect();
        let total: u64 = weights.iter().sum();
        let max_minutes = weights.iter().rposition(|weight| *weight > 0)? as u64;
        let below = |share: f64| {
            let mut seen = 0;
            let wanted = (total as f64 * share).ceil() as u64;
            weights.iter().position(|weight| {
                seen += weight;
                seen >= wanted
            })
        };
        Some(Quantiles { p50_minutes: below(0.5)? as u64, p95_minutes: below(0.95)? as u64, max_minutes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Moment = 3_600_000;

    #[test]
    fn nobody_has_an_age_without_a_recovery_point() {
        assert_eq!(Ages::default().quantiles(), None);
    }

    #[test]
    fn an_age_that_grows_evenly_is_half_the_time_in_the_lower_half() {
        let mut ages = Ages::default();
        for _ in 0..10 {
            ages.grew(0, 100 * MINUTE - 1);
        }
        assert_eq!(ages.quantiles(), Some(Quantiles { p50_minutes: 49, p95_minutes: 94, max_minutes: 99 }));
    }

    #[test]
    fn one_bad_stretch_shows_in_the_maximum_and_hardly_in_the_median() {
        let mut ages = Ages::default();
        for _ in 0..100 {
            ages.grew(0, HOUR);
        }
        ages.grew(0, 20 * HOUR);
        let quantiles = ages.quantiles().unwrap();
        assert!(quantiles.p50_minutes < 40 && quantiles.max_minutes == 20 * 60, "{quantiles:?}");
        ages.grew(0, 365 * 24 * HOUR);
        assert_eq!(ages.quantiles().unwrap().max_minutes, BINS as u64 - 1, "more than four weeks are four weeks");
    }
}
