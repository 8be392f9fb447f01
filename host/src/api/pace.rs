//! How fast bytes go and may go, what the calendar says, and whether the configuration on disk is the one in force: as values, and as lines.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::driver::throttle::Lines;
use crate::log::meter::Way;
use crate::policy::calendar::{Closed, OnEnter, Verdict, zone};
use crate::policy::throttle::{Node, Rates};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaceStatus {
    pub at: Timestamp,
    pub send: WayStatus,
    pub read: WayStatus,
    /// The window that holds: no cycle begins.
    pub blackout: Option<Closed>,
    /// When the calendar says something else. None: not within a year.
    pub next_change: Option<Timestamp>,
    /// The zone that its windows are in; the first one's.
    pub zone: String,
    /// Why nothing of the configuration file as it is now is in force.
    pub file_wrong: Vec<String>,
    /// What was changed in it that takes a new start.
    pub needs_restart: Vec<String>,
}

/// Bytes a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayStatus {
    /// Over the last ten seconds.
    pub flow: u64,
    /// Of everything together; none: open.
    pub limit: Option<u64>,
    /// Of parts of it.
    pub others: Vec<PartLimit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLimit {
    pub whose: String,
    pub limit: u64,
}

impl PaceStatus {
    pub fn new(
        at: Timestamp,
        lines: &Lines,
        verdict: &Verdict,
        zone: String,
        file_wrong: Vec<String>,
        needs_restart: Vec<String>,
    ) -> PaceStatus {
        let (send, read) = (way(lines, Way::Send), way(lines, Way::Read));
        PaceStatus { at, send, read, blackout: verdict.blackout.clone(), next_change: verdict.next_change, zone, file_wrong, needs_restart }
    }

    /// What `transload status` shows of it. Nothing, where nothing is set.
    pub fn lines(&self) -> Vec<String> {
        let now = self.at;
        let mut lines = Vec::new();
        if self.send.is_limited() || self.read.is_limited() || self.next_change.is_some() {
            let next = self.next_change.map_or_else(String::new, |at| format!("; next change {}", spoken(at, &self.zone, now)));
            lines.push(format!("  throttle: sends {}; reads {}{next}", self.send.said(), self.read.said()));
        }
        if let Some(closed) = &self.blackout {
            let running = match closed.on_enter {
                OnEnter::Finish => "what runs goes on",
                OnEnter::Park => "what runs is parked",
            };
            lines.push(format!("  {}: no cycle begins, {running}", blackout(closed, now)));
        }
        if !self.file_wrong.is_empty() {
            lines.push("  ! the configuration was changed and cannot be used; the one before it stays in force:".to_owned());
            lines.extend(self.file_wrong.iter().map(|why| format!("    - {why}")));
        }
        if !self.needs_restart.is_empty() {
            lines.push(format!(
                "  ! {} changed in the configuration: this takes effect when the agent is started again",
                self.needs_restart.join(", ")
            ));
        }
        lines
    }
}

/// "blackout until Monday 14:00 Europe/Berlin (rule: Monday 07:00 for 7 h)"
pub fn blackout(closed: &Closed, now: Timestamp) -> String {
    match closed.until {
        Some(until) => format!("blackout until {} (rule: {})", spoken(until, &closed.zone, now), closed.rule),
        None => format!("blackout that never ends (rule: {} {})", closed.rule, closed.zone),
    }
}

/// A moment on the clock of a zone: with its date, when the day of the week alone could be another one.
pub fn spoken(moment: Timestamp, zone_name: &str, now: Timestamp) -> String {
    let zoned = moment.to_zoned(zone(zone_name).unwrap_or(jiff::tz::TimeZone::UTC));
    let near = moment.duration_since(now) < SignedDuration::from_hours(6 * 24);
    let form = if near { "%A %H:%M" } else { "%A %Y-%m-%d %H:%M" };
    format!("{} {zone_name}", zoned.strftime(form))
}

fn way(lines: &Lines, way: Way) -> WayStatus {
    let rates = lines.rates(way);
    WayStatus { flow: lines.flow(way), limit: rates.of(&Node::Appliance).map(|rate| rate.bytes_per_second()), others: others(&rates) }
}

fn others(rates: &Rates) -> Vec<PartLimit> {
    let named = rates.named.iter().filter_map(|(node, rate)| {
        let whose = match node {
            Node::Appliance => return None,
            Node::Sink(name) => format!("sink {name}"),
            Node::Host(name) => format!("host {name}"),
            Node::Vm(name) => format!("VM {name}"),
        };
        Some((whose, *rate))
    });
    let kinds = [("each sink", rates.each_sink), ("each host", rates.each_host), ("each VM", rates.each_vm)];
    let kinds = kinds.into_iter().filter_map(|(whose, rate)| Some((whose.to_owned(), rate?)));
    named.chain(kinds).map(|(whose, rate)| PartLimit { whose, limit: rate.bytes_per_second() }).collect()
}

impl WayStatus {
    fn is_limited(&self) -> bool {
        self.limit.is_some() || !self.others.is_empty()
    }

    fn said(&self) -> String {
        let of = self.limit.map_or_else(|| ", open".to_owned(), |limit| format!(" of {}", megabits(limit)));
        let others: Vec<_> = self.others.iter().map(|part| format!("{} {}", part.whose, megabits(part.limit))).collect();
        let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
        format!("{}{of}{others}", megabits(self.flow))
    }
}

/// Lines are spoken of in megabits.
fn megabits(bytes_per_second: u64) -> String {
    let tenths = bytes_per_second * 8 / 100_000;
    match tenths % 10 {
        0 => format!("{} Mbit/s", tenths / 10),
        tenth => format!("{}.{tenth} Mbit/s", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_said_in_a_few_lines_and_nothing_where_nothing_is_set() {
        let open = WayStatus { flow: 1_234_567, limit: None, others: Vec::new() };
        let mut status = PaceStatus {
            at: "2026-11-30T09:00:00Z".parse().unwrap(),
            send: open.clone(),
            read: open,
            blackout: None,
            next_change: None,
            zone: "Europe/Berlin".to_owned(),
            file_wrong: Vec::new(),
            needs_restart: Vec::new(),
        };
        assert_eq!(status.lines(), [] as [&str; 0]);
        status.send.limit = Some(12_500_000);
        status.read.others = vec![PartLimit { whose: "each host".to_owned(), limit: 50_000_000 }];
        status.next_change = "2026-12-07T06:00:00Z".parse().ok();
        status.blackout = Some(Closed {
            rule: "Monday 07:00 for 7 h".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            on_enter: OnEnter::Finish,
            until: "2026-11-30T13:00:00Z".parse().ok(),
        });
        status.file_wrong = vec!["line 7: nonsense".to_owned()];
        status.needs_restart = vec!["[[vm]]".to_owned(), "role".to_owned()];
        assert_eq!(
            status.lines(),
            [
                "  throttle: sends 9.8 Mbit/s of 100 Mbit/s; reads 9.8 Mbit/s, open (each host 400 Mbit/s); next change Monday 2026-12-07 07:00 Europe/Berlin",
                "  blackout until Monday 14:00 Europe/Berlin (rule: Monday 07:00 for 7 h): no cycle begins, what runs goes on",
                "  ! the configuration was changed and cannot be used; the one before it stays in force:",
                "    - line 7: nonsense",
                "  ! [[vm]], role changed in the configuration: this takes effect when the agent is started again",
            ]
        );
    }
}
