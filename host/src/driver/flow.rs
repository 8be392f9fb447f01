//! How fast bytes went lately, for people who look: what a counter stood at, now and then.

use std::collections::VecDeque;
use std::time::Duration;

/// Looked back on.
const SPAN: Duration = Duration::from_secs(10);
/// Of looks that follow each other faster, only the first is kept.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub struct Flow(VecDeque<(Duration, u64)>);

impl Flow {
    /// `total`: all bytes up to now.
    pub fn look(&mut self, total: u64, now: Duration) {
        if self.0.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= LOOK_EVERY) {
            self.0.push_back((now, total));
        }
        while self.0.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= SPAN) {
            self.0.pop_front();
        }
    }

    /// Over the last ten seconds, or since the first look.
    pub fn bytes_per_second(&mut self, total: u64, now: Duration) -> u64 {
        self.look(total, now);
        let Some((at, then)) = self.0.front() else { return 0 };
        let took = now.saturating_sub(*at).as_millis() as u64;
        ((total - then) * 1000).checked_div(took).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_of_ten_seconds_and_falls_to_nothing_after_them() {
        let (mut flow, at) = (Flow::default(), Duration::from_millis);
        assert_eq!(flow.bytes_per_second(5, at(0)), 0, "one look is no rate");
        (1..=300).for_each(|tenth| flow.look(tenth * 100, at(tenth * 100)));
        assert_eq!(flow.bytes_per_second(30_000, at(30_000)), 1000);
        assert_eq!(flow.bytes_per_second(30_000, at(35_000)), 500);
        flow.look(30_000, at(40_000));
        assert_eq!(flow.bytes_per_second(30_000, at(45_000)), 0);
        assert!(flow.0.len() <= 21);
    }
}
