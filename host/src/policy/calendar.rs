//! When nothing may begin, and how fast bytes may go meanwhile: windows that come back every week.
//!
//! ```text
//!   blackout  Monday 07:00 for 7 h, Europe/Berlin      throttle  Monday to Friday 07:00 until 19:00: 100 Mbit/s
//!
//!        Mon          Tue          Wed                        Mon                  Tue
//!   ─────┬───────┐────────────────────▶ time          ────────┬────────┐───────────┬────────▶
//!        07:00   14:00                                        07:00    19:00: open 07:00
//! ```
//!
//! `at` answers for one moment, and says when its answer will be another one. A cycle does not begin inside a blackout; what one that runs
//! does when a window opens stands in its rule. Of several windows that hold at one moment the blackout ends with the last, and the lowest
//! rate counts.
//!
//! How a window stands to a clock that is put forward or back is in `calendar/window.rs`; the form that Azure Migrate has is read in
//! `calendar/azure.rs`.

mod azure;
mod window;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::throttle::{Node, Rate, Rates};

pub use azure::{AzureError, azure_windows, time, weekday};
pub use window::{Days, LENGTH_MAX, Length, Window, zone};

/// What a cycle that runs does when a window opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnEnter {
    /// It goes on to its end, as it does in the seed system.
    #[default]
    Finish,
    /// It parks at a segment: what it read is in the store, and it goes on when the window is over.
    Park,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Blackout {
    pub window: Window,
    pub on_enter: OnEnter,
}

/// Whose rate a row sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    Node(Node),
    EachSink,
    EachHost,
    EachVm,
}

/// Out of the sources, or into the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Read,
    Send,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// None: always.
    pub window: Option<Window>,
    pub direction: Direction,
    pub whose: Whose,
    pub rate: Rate,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calendar {
    pub blackouts: Vec<Blackout>,
    pub limits: Vec<Limit>,
}

/// A blackout that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Of the windows that hold, the one that ends last.
    pub rule: String,
    pub zone: String,
    pub on_enter: OnEnter,
    /// When nothing holds any more, and windows that follow without a gap are over as well. None: not within a year.
    pub until: Option<Timestamp>,
}

/// What the calendar says of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    pub blackout: Option<Closed>,
    pub read: Rates,
    pub send: Rates,
    /// The next moment at which the answer is another one. None: not within a year.
    pub next_change: Option<Timestamp>,
}

/// Windows come back every week; a year sees every change of the clocks.
const SIGHT: SignedDuration = SignedDuration::from_hours(24 * 400);
/// One step of looking ahead.
const STEP: SignedDuration = SignedDuration::from_hours(24);

impl Calendar {
    pub fn at(&self, now: Timestamp) -> Verdict {
        let (read, send) = (self.rates(Direction::Read, now), self.rates(Direction::Send, now));
        Verdict { blackout: self.blackout(now), read, send, next_change: self.next_change(now) }
    }

    /// The zone of the first window, to show moments by.
    pub fn zone_name(&self) -> &str {
        self.windows().next().map_or("UTC", Window::zone_name)
    }

    /// The blackout that holds now.
    pub fn blackout(&self, now: Timestamp) -> Option<Closed> {
        let holding = || self.blackouts.iter().filter_map(|blackout| Some((blackout.window.holds_until(now)?, blackout)));
        let (_, last) = holding().max_by_key(|(end, _)| *end)?;
        let on_enter = holding().map(|(_, blackout)| blackout.on_enter).max()?;
        let (rule, zone) = (last.window.to_string(), last.window.zone_name().to_owned());
        Some(Closed { rule, zone, on_enter, until: self.opens(now) })
    }

    /// When no window holds any more.
    fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let sight = now.checked_add(SIGHT).ok()?;
        let mut moment = now;
        while let Some(end) = self.blackouts.iter().filter_map(|blackout| blackout.window.holds_until(moment)).max() {
            if end > sight {
                return None;
            }
            moment = end;
        }
        Some(moment)
    }

    fn rates(&self, direction: Direction, now: Timestamp) -> Rates {
        let mut rates = Rates::default();
        let lower = |old: Option<Rate>, new: Rate| Some(old.map_or(new, |old| old.min(new)));
        for limit in self.limits.iter().filter(|limit| limit.direction == direction) {
            if limit.window.as_ref().is_some_and(|window| window.holds_until(now).is_none()) {
                continue;
            }
            match &limit.whose {
                Whose::Node(node) => {
                    let known = rates.named.entry(node.clone()).or_insert(limit.rate);
                    *known = limit.rate.min(*known);
                }
                Whose::EachSink => rates.each_sink = lower(rates.each_sink, limit.rate),
                Whose::EachHost => rates.each_host = lower(rates.each_host, limit.rate),
                Whose::EachVm => rates.each_vm = lower(rates.each_vm, limit.rate),
            }
        }
        rates
    }

    /// Looks at every moment at which some window begins or ends, in order, until one of them changes the answer.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let windows: Vec<&Window> = self.windows().collect();
        if windows.is_empty() {
            return None;
        }
        let said = self.says(now);
        let sight = now.checked_add(SIGHT).ok()?;
        let mut from = now;
        while from < sight {
            let to = from.checked_add(STEP).ok()?;
            let mut edges: Vec<Timestamp> = windows.iter().flat_map(|window| window.edges(from, to)).collect();
            edges.sort_unstable();
            edges.dedup();
            if let Some(change) = edges.into_iter().find(|edge| self.says(*edge) != said) {
                return Some(change);
            }
            from = to;
        }
        None
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        let blackouts = self.blackouts.iter().map(|blackout| &blackout.window);
        blackouts.chain(self.limits.iter().filter_map(|limit| limit.window.as_ref()))
    }

    /// What counts as an answer: whether something may begin, what becomes of what runs, and the rates.
    fn says(&self, now: Timestamp) -> (Option<OnEnter>, Rates, Rates) {
        let holding = self.blackouts.iter().filter(|blackout| blackout.window.holds_until(now).is_some());
        let on_enter = holding.map(|blackout| blackout.on_enter).max();
        (on_enter, self.rates(Direction::Read, now), self.rates(Direction::Send, now))
    }
}

#[cfg(test)]
mod tests;
