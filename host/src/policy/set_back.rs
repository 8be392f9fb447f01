//! A wall clock that was wrong, and was set back.
//!
//! What is noted by it meanwhile lies in the future, and whoever waited for such a time, or counted from it, would stand still for as long as
//! the clock had been ahead. So a time that lies further ahead than anybody can have meant it is taken for what it is: it tells nothing.

use std::time::Duration;

use jiff::Timestamp;

/// Clocks are corrected by less all the time, and two tasks' looks at one overtake each other by less.
const TOLERATED: Duration = Duration::from_secs(60);

/// Whether something that has happened already is said to happen later.
pub fn was_set_back(happened: Timestamp, now: Timestamp) -> bool {
    ahead(happened, now) > TOLERATED
}

/// Whether there is still something to wait for, when nobody waits for longer than that.
pub fn is_waited_for(until: Timestamp, now: Timestamp, longest: Duration) -> bool {
    let left = ahead(until, now);
    !left.is_zero() && left <= longest + TOLERATED
}

/// Nothing for what is past.
fn ahead(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_nobody_can_have_meant_is_not_waited_for() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let minute = Duration::from_secs(60);
        for (until, waited_for) in [(90, false), (100, false), (101, true), (160, true), (220, true), (221, false), (99_999, false)] {
            assert_eq!(is_waited_for(at(until), at(100), minute), waited_for, "{until}");
        }
        for (happened, set_back) in [(90, false), (100, false), (160, false), (161, true)] {
            assert_eq!(was_set_back(at(happened), at(100)), set_back, "{happened}");
        }
    }
}
