//! When the next delta is due: `min(max(shortest, previous / 2), longest)` after the end of the previous one, the seed system's rule.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub shortest: Duration,
    pub longest: Duration,
}

impl Default for Interval {
    fn default() -> Interval {
        Interval { shortest: Duration::from_secs(3600), longest: Duration::from_secs(12 * 3600) }
    }
}

impl Interval {
    pub fn after(&self, previous: Duration) -> Duration {
        self.shortest.max(previous / 2).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_seed_systems_examples() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let interval = Interval::default();
        for (previous, expected) in [(8 * 60, 4 * 60), (4 * 60, 2 * 60), (10, 60), (30 * 60, 12 * 60)] {
            assert_eq!(interval.after(minutes(previous)), minutes(expected), "{previous} minutes");
        }
    }
}
