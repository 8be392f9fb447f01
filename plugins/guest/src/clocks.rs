//! What time it was on either side of a request: a store refuses what was signed by a clock that is wrong.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

#[derive(Debug, Default)]
pub struct Clocks {
    pub here: Option<Timestamp>,
    pub there: Option<Timestamp>,
}

impl Clocks {
    /// `now`: seconds of this side's clock, which the request was signed by. `date`: that header of the reply.
    pub fn read(now: u64, date: Option<&str>) -> Clocks {
        Clocks {
            here: i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok()),
            there: date.and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok()),
        }
    }

    /// Seconds that this side's clock is ahead of the other's.
    pub fn ahead(&self) -> Option<i64> {
        Some(self.here?.as_second() - self.there?.as_second())
    }

    /// For a store that refused a request because of them.
    pub fn sentence(&self, store: &str) -> String {
        let here = self.here.map_or_else(|| "an unknown time".to_owned(), shown);
        match (self.ahead(), self.there) {
            (Some(ahead), Some(there)) if ahead.abs() >= 60 => format!(
                "{store} refused the request because the clocks differ: this machine's is {} {} (here it was {here}, there {}). Set this \
                 machine's clock by NTP, or the store's if that is the wrong one.",
                span(ahead),
                if ahead > 0 { "ahead" } else { "behind" },
                shown(there)
            ),
            _ => format!(
                "{store} refused the request because its clock and this machine's differ too much: here it was {here}; it did not say what \
                 time it has. Set this machine's clock by NTP, or the store's if that is the wrong one."
            ),
        }
    }
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// "3 h 0 min"; a difference that a store refuses is never one of seconds.
fn span(seconds: i64) -> String {
    let minutes = (seconds.abs() + 30) / 60;
    match minutes / 60 {
        0 => format!("{minutes} min"),
        hours => format!("{hours} h {} min", minutes % 60),
    }
}
