//! How much of a VM changes between two moments.
//!
//! Only the last write to a cell between two snapshots is sent, so what changes is counted in distinct bytes, and it never comes to more
//! than what is in use. The hours of a day repeat.

use serde::Deserialize;

use super::line::Moment;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

#[derive(Debug, Clone, PartialEq)]
pub struct Churn {
    /// Bytes changed from midnight until the beginning of each hour; the last one is a whole day's.
    until: [f64; 25],
    most: f64,
}

/// One cycle of `transload vm churn NAME --json`.
#[derive(Debug, Deserialize)]
struct RecordedCycle {
    /// From the snapshot before to this one.
    since: jiff::Timestamp,
    until: jiff::Timestamp,
    changed: u64,
}

#[derive(Debug, Deserialize)]
struct Recorded {
    cycles: Vec<RecordedCycle>,
}

impl Churn {
    /// Bytes in each hour of a day, from midnight UTC. `used`: what can change at all.
    pub fn by_hour(hours: [u64; 24], used: u64) -> Churn {
        let mut until = [0.0; 25];
        for (hour, bytes) in hours.iter().enumerate() {
            until[hour + 1] = until[hour] + *bytes as f64;
        }
        Churn { until, most: used as f64 }
    }

    /// The mean of what was recorded, hour of the day by hour of the day. An hour that was never seen counts as the mean of the others.
    pub fn recorded(text: &str, used: u64) -> Result<Churn, String> {
        let recorded: Recorded = serde_json::from_str(text).map_err(|error| format!("recorded churn cannot be read: {error}"))?;
        let (mut bytes, mut seen) = ([0.0f64; 24], [0.0f64; 24]);
        for cycle in &recorded.cycles {
            let (from, to) = (cycle.since.as_millisecond(), cycle.until.as_millisecond());
            if to <= from {
                return Err(format!("recorded churn: a cycle ends at {} before it began", cycle.until));
            }
            let rate = cycle.changed as f64 / (to - from) as f64;
            let mut at = from;
            while at < to {
                let hour = at.div_euclid(HOUR as i64);
                let end = ((hour + 1) * HOUR as i64).min(to);
                let of_day = hour.rem_euclid(24) as usize;
                bytes[of_day] += rate * (end - at) as f64;
                seen[of_day] += (end - at) as f64 / HOUR as f64;
                at = end;
            }
        }
        let known: Vec<f64> = (0..24).filter(|hour| seen[*hour] > 0.0).map(|hour| bytes[hour] / seen[hour]).collect();
        if known.is_empty() {
            return Err("recorded churn has no cycle yet".to_owned());
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let hours: Vec<u64> = (0..24).map(|hour| if seen[hour] > 0.0 { bytes[hour] / seen[hour] } else { mean } as u64).collect();
        Ok(Churn::by_hour(hours.try_into().expect("there are 24 of them"), used))
    }

    /// Distinct bytes that change between two moments, both in milliseconds since a midnight UTC.
    pub fn between(&self, from: Moment, to: Moment) -> f64 {
        (self.since_midnight(to) - self.since_midnight(from)).clamp(0.0, self.most)
    }

    fn since_midnight(&self, at: Moment) -> f64 {
        let (days, rest) = (at / DAY, at % DAY);
        let (hour, part) = ((rest / HOUR) as usize, (rest % HOUR) as f64 / HOUR as f64);
        days as f64 * self.until[24] + self.until[hour] + (self.until[hour + 1] - self.until[hour]) * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_grows_with_time_and_never_beyond_what_is_used() {
        let churn = Churn::by_hour([100; 24], 1000);
        assert_eq!(churn.between(0, HOUR), 100.0);
        assert_eq!(churn.between(HOUR / 2, DAY + HOUR / 2), 1000.0, "a day would be 2,400");
        assert_eq!(churn.between(7 * HOUR, 7 * HOUR), 0.0);
    }

    #[test]
    fn the_hours_of_a_day_differ() {
        let mut hours = [0; 24];
        hours[9] = 600;
        let churn = Churn::by_hour(hours, 1 << 40);
        assert_eq!(churn.between(0, 9 * HOUR), 0.0);
        assert_eq!(churn.between(9 * HOUR + HOUR / 4, 12 * HOUR), 450.0);
        assert_eq!(churn.between(0, 10 * DAY), 6000.0);
    }

    #[test]
    fn recorded_cycles_are_laid_onto_the_hours_of_a_day() {
        let text = r#"{"cycles": [
            {"since": "2026-03-01T08:30:00Z", "until": "2026-03-01T10:30:00Z", "changed": 4000},
            {"since": "2026-03-02T10:00:00Z", "until": "2026-03-02T11:00:00Z", "changed": 1000}
        ]}"#;
        let churn = Churn::recorded(text, 1 << 40).unwrap();
        // Two thousand an hour until half past ten; at ten, half an hour of that and an hour of a thousand.
        assert_eq!(churn.between(9 * HOUR, 10 * HOUR), 2000.0);
        assert_eq!(churn.between(10 * HOUR, 11 * HOUR).round(), 1333.0);
        assert_eq!(churn.between(0, HOUR).round(), 1777.0, "an hour that was not seen is as the others");
        assert!(Churn::recorded(r#"{"cycles": []}"#, 1).is_err());
    }
}
