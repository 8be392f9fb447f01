//! A window on the clocks of one zone, every week.
//!
//! ```text
//!   the clocks go forward at 02:00 to 03:00          the clocks go back at 03:00 to 02:00
//!
//!   local  01:30   03:00   03:30                     local  01:30   02:30   02:30   03:30
//!   ────────┴───────┴───────┴──▶                     ────────┴───────┴───────┴───────┴──▶
//!   "from 02:30" begins here ┘ (at 03:00)            "from 02:30" begins ┘       │
//!                                                    "until 02:30" ends here ────┘
//! ```
//!
//! Of an hour that comes twice a window begins with the first and ends with the last, and a time that does not come begins and ends when
//! the clocks jump over it: whenever the clock on the wall shows a time inside, the window holds. `for` is time that passes, whatever clocks
//! do. A window that would begin and end at one moment does not hold that day.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// On which days of the week a window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Time that passes; at most a week.
    For(SignedDuration),
    /// The next moment at which the clock shows this; the day after, if it shows it before the beginning.
    Until(Time),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub days: Days,
    pub from: Time,
    pub length: Length,
    zone: TimeZone,
}

/// Longer than any window, so that one that began before this is over.
const LOOK_BACK_DAYS: i32 = 9;
/// What a window may last.
pub const LENGTH_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A zone by its IANA name, out of the data that is part of this program: the same answer on every machine.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

impl Days {
    pub const ALL: Days = Days(0b111_1111);
    pub const NONE: Days = Days(0);

    pub fn with(self, day: Weekday) -> Days {
        Days(self.0 | 1 << day.to_monday_zero_offset())
    }

    /// From one day to another one, over the end of the week if need be.
    pub fn with_range(self, from: Weekday, to: Weekday) -> Days {
        let (mut days, mut day) = (self.with(from), from);
        while day != to {
            day = day.next();
            days = days.with(day);
        }
        days
    }

    pub fn has(self, day: Weekday) -> bool {
        self.0 & 1 << day.to_monday_zero_offset() != 0
    }
}

impl Window {
    pub fn new(days: Days, from: Time, length: Length, zone: TimeZone) -> Window {
        Window { days, from, length, zone }
    }

    pub fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// If it holds at this moment: when it ends. It begins at its first moment, and its end is outside.
    pub fn holds_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.occurrences(now, now).filter(|(begins, ends)| *begins <= now && now < *ends).map(|(_, ends)| ends).max()
    }

    /// Beginnings and ends after the one moment and up to the other.
    pub fn edges(&self, after: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
        let edges = self.occurrences(after, to).flat_map(|(begins, ends)| [begins, ends]);
        edges.filter(move |edge| after < *edge && *edge <= to)
    }

    /// Everything that can touch this span.
    fn occurrences(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let first = self.zone.to_datetime(from).date().saturating_sub(SignedDuration::from_hours(24 * i64::from(LOOK_BACK_DAYS)));
        let last = self.zone.to_datetime(to).date();
        let dates = std::iter::successors(Some(first), |date| date.tomorrow().ok()).take_while(move |date| *date <= last);
        dates.filter(|date| self.days.has(date.weekday())).filter_map(|date| self.on(date))
    }

    /// The occurrence that begins on this day.
    fn on(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        let begins = self.moment(date, self.from, Twice::First)?;
        let ends = match self.length {
            Length::For(length) => begins.checked_add(length).ok()?,
            Length::Until(until) => {
                let date = if until > self.from { date } else { date.tomorrow().ok()? };
                self.moment(date, until, Twice::Last)?
            }
        };
        (begins < ends).then_some((begins, ends))
    }

    /// When the clock shows this: which of two moments, or the one at which it jumps over it.
    fn moment(&self, date: Date, time: Time, twice: Twice) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(date.to_datetime(time));
        match (ambiguous.offset(), twice) {
            (AmbiguousOffset::Gap { .. }, _) => {
                let before = ambiguous.earlier().ok()?;
                self.zone.following(before).next().map(|jump| jump.timestamp())
            }
            (_, Twice::First) => ambiguous.earlier().ok(),
            (_, Twice::Last) => ambiguous.later().ok(),
        }
    }
}

/// Which of two moments at which the clock shows the same.
#[derive(Clone, Copy)]
enum Twice {
    First,
    Last,
}

/// "Monday to Friday 07:00 until 19:00"
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.strftime("%H:%M");
        match self.length {
            Length::For(length) => write!(f, "{} {from} for {}", self.days, Spoken(length)),
            Length::Until(until) => write!(f, "{} {from} until {}", self.days, until.strftime("%H:%M")),
        }
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Days::ALL {
            return f.write_str("every day");
        }
        let names: Vec<_> = Weekday::Monday.cycle_forward().take(7).filter(|day| self.has(*day)).map(|day| format!("{day:?}")).collect();
        f.write_str(&names.join(", "))
    }
}

/// "1 d 7 h"
struct Spoken(SignedDuration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.as_mins();
        let parts = [(minutes / (24 * 60), "d"), (minutes / 60 % 24, "h"), (minutes % 60, "min")];
        let parts: Vec<_> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
        f.write_str(&parts.join(" "))
    }
}
