//! The calendar in force, for everybody who asks it, and the rates that it sets.
//!
//! A verdict is good from the moment it was asked for until it changes; outside of that it is made anew, so a clock that jumps is believed
//! at once. Rates follow within a second: `keep` looks that often.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::log::meter::Way;
use crate::policy::calendar::{Calendar, Verdict};

use super::throttle::Lines;

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub struct Hours {
    calendar: watch::Sender<Calendar>,
    said: Mutex<Option<(Timestamp, Arc<Verdict>)>>,
}

impl Default for Hours {
    /// Always open.
    fn default() -> Hours {
        Hours::new(Calendar::default())
    }
}

impl Hours {
    pub fn new(calendar: Calendar) -> Hours {
        Hours { calendar: watch::Sender::new(calendar), said: Mutex::default() }
    }

    /// Another calendar from now on. Everybody who follows hears of it.
    pub fn set(&self, calendar: Calendar) {
        self.calendar.send_if_modified(|known| {
            let new = *known != calendar;
            if new {
                *self.said.lock().expect("nothing panics while it holds this") = None;
                *known = calendar;
            }
            new
        });
    }

    pub fn at(&self, now: Timestamp) -> Arc<Verdict> {
        let calendar = self.calendar.borrow();
        let mut said = self.said.lock().expect("nothing panics while it holds this");
        let good = said.take_if(|(from, verdict)| *from <= now && verdict.next_change.is_none_or(|change| now < change));
        let (from, verdict) = good.unwrap_or_else(|| (now, Arc::new(calendar.at(now))));
        *said = Some((from, verdict.clone()));
        verdict
    }

    pub fn zone_name(&self) -> String {
        self.calendar.borrow().zone_name().to_owned()
    }

    /// Hears of other calendars.
    pub fn changes(&self) -> watch::Receiver<Calendar> {
        self.calendar.subscribe()
    }

    /// Keeps the rates as the calendar says, for as long as it is polled.
    pub async fn keep(&self, lines: &Lines, clock: &dyn Clock) -> std::convert::Infallible {
        let mut changes = self.changes();
        loop {
            let verdict = self.at(clock.now());
            for (way, rates) in [(Way::Read, &verdict.read), (Way::Send, &verdict.send)] {
                lines.set(way, rates.clone());
                lines.flow(way);
            }
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = clock.sleep(LOOK_EVERY) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::civil::time;

    use super::*;
    use crate::policy::calendar::{Blackout, Days, Length, OnEnter, Window, zone};

    fn nights() -> Calendar {
        let window = Window::new(Days::ALL, time(22, 0, 0, 0), Length::Until(time(6, 0, 0, 0)), zone("UTC").unwrap());
        Calendar { blackouts: vec![Blackout { window, on_enter: OnEnter::Finish }], limits: Vec::new() }
    }

    #[test]
    fn a_clock_that_jumps_is_believed_at_once_and_so_is_another_calendar() {
        let (hours, noon) = (Hours::new(nights()), "2026-11-30T12:00:00Z".parse::<Timestamp>().unwrap());
        let shut = |hour: i64| hours.at(noon + SignedDuration::from_hours(hour)).blackout.is_some();
        assert_eq!([0, 9, 10, 17, 18, 11, 3, -12, 34].map(shut), [false, false, true, true, false, true, false, true, true]);
        let changes = hours.changes();
        hours.set(nights());
        assert!(!changes.has_changed().unwrap(), "the same calendar is no news");
        hours.set(Calendar::default());
        assert!(changes.has_changed().unwrap() && !shut(10));
    }
}
