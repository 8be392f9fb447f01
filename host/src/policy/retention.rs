//! Which recovery points are kept, why, and what has to be written before the others may go.
//!
//! ```text
//!   points, oldest first        1 ◀ 2 ◀ 3 ◀ 4 ◀ 5 ◀ 6 ◀ 7 ◀ 8 ◀ 9       each builds on the one before
//!   kept                                d           r   r   r   n        of its day, recent, newest
//!   a checkpoint first at               3           6                    the first kept ones behind a gap
//!   then these go               1   2       4   5
//! ```
//!
//! Ages are counted from the newest recovery point, and not from the clock: a VM that gets no new points loses none. A clock that jumped
//! ahead for one cycle leaves at least `at_least` points. What was dropped once would be dropped by every later plan as well.

mod under_way;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::CycleNumber;

pub use under_way::UnderWay;

/// What the operator wants kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// All points that are at most so much older than the newest one.
    pub recent: Duration,
    /// For so many days before the newest point's: the last point of each (UTC).
    pub days: u32,
    /// So many of the newest points, whatever their age.
    pub at_least: usize,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule { recent: Duration::from_secs(24 * 3600), days: 7, at_least: 3 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// A recovery point.
    Applied,
    Rejected,
    Unjudged,
    /// The commit does not open, and its receipt says that it was applied: somebody may put the object back.
    Unreadable,
}

/// A commit that stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub cycle: CycleNumber,
    /// What it builds on; nothing when every disk begins with it.
    pub base: Option<CycleNumber>,
    pub taken_at: Timestamp,
    pub standing: Standing,
    /// Reading it needs nothing that is older.
    pub checkpoint: bool,
    /// The replica was compared with it, and was equal.
    pub verified: bool,
    pub pinned: bool,
}

/// Somebody reads a point right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub point: CycleNumber,
    pub purpose: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Situation {
    /// Oldest first.
    pub commits: Vec<Known>,
    /// The point that the next or the running cycle builds on.
    pub base: Option<CycleNumber>,
    pub held: Vec<Held>,
}

/// Why a point is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The newest recovery point, or the newest commit.
    Newest,
    /// What is under way builds on it.
    Base,
    /// It has no receipt yet.
    Unjudged,
    Unreadable,
    Recent,
    /// One of the newest few, whatever their age.
    AtLeast,
    /// The last one of its day.
    Day,
    /// The newest one that the replica was compared with.
    Verified,
    Pinned,
    /// It is read, or something that builds on it is.
    Held {
        purpose: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Newest => f.write_str("newest"),
            Reason::Base => f.write_str("the next cycle builds on it"),
            Reason::Unjudged => f.write_str("waits for its receipt"),
            Reason::Unreadable => f.write_str("does not open: put the object back"),
            Reason::Recent => f.write_str("recent"),
            Reason::AtLeast => f.write_str("one of the newest few"),
            Reason::Day => f.write_str("last of its day"),
            Reason::Verified => f.write_str("newest verified"),
            Reason::Pinned => f.write_str("pinned"),
            Reason::Held { purpose } => write!(f, "held: {purpose}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub cycle: CycleNumber,
    pub taken_at: Timestamp,
    pub standing: Standing,
    pub why: Vec<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub cycle: CycleNumber,
    pub taken_at: Timestamp,
    pub standing: Standing,
}

/// What is done with the points of a VM. Whoever sees it sees what will be executed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Oldest first.
    pub kept: Vec<Kept>,
    /// Points that need a checkpoint before anything is dropped.
    pub checkpoints: Vec<CycleNumber>,
    /// Oldest first.
    pub dropped: Vec<Dropped>,
}

impl Plan {
    pub fn keeps(&self, cycle: CycleNumber) -> bool {
        self.kept.iter().any(|kept| kept.cycle == cycle)
    }

    pub fn drops(&self, cycle: CycleNumber) -> bool {
        self.dropped.iter().any(|dropped| dropped.cycle == cycle)
    }
}

pub fn plan(rule: &Rule, situation: &Situation) -> Plan {
    let reasons = Reasons::of(rule, situation);
    let mut plan = Plan::default();
    for known in &situation.commits {
        let &Known { cycle, taken_at, standing, .. } = known;
        match reasons.of_commit(known) {
            why if why.is_empty() => plan.dropped.push(Dropped { cycle, taken_at, standing }),
            why => plan.kept.push(Kept { cycle, taken_at, standing, why }),
        }
    }
    // A point whose base is kept is as whole as that one is.
    let behind_a_gap = |known: &&Known| {
        known.standing == Standing::Applied
            && !known.checkpoint
            && plan.keeps(known.cycle)
            && known.base.is_some_and(|base| plan.drops(base))
    };
    plan.checkpoints = situation.commits.iter().filter(behind_a_gap).map(|known| known.cycle).collect();
    plan
}

/// What makes a point stay, looked up once for all of them.
struct Reasons<'a> {
    rule: &'a Rule,
    situation: &'a Situation,
    newest_commit: Option<CycleNumber>,
    newest: Option<&'a Known>,
    verified: Option<CycleNumber>,
    /// From this point on there are just so many.
    at_least_from: CycleNumber,
    /// The last point of each day.
    of_day: BTreeMap<i64, CycleNumber>,
}

impl<'a> Reasons<'a> {
    fn of(rule: &'a Rule, situation: &'a Situation) -> Reasons<'a> {
        let points = || situation.commits.iter().filter(|known| known.standing == Standing::Applied);
        Reasons {
            rule,
            situation,
            newest_commit: situation.commits.last().map(|known| known.cycle),
            newest: points().next_back(),
            verified: points().rfind(|known| known.verified).map(|known| known.cycle),
            at_least_from: points().rev().take(rule.at_least).last().map_or(CycleNumber(u64::MAX), |known| known.cycle),
            of_day: points().map(|known| (day(known.taken_at), known.cycle)).collect(),
        }
    }

    fn of_commit(&self, known: &Known) -> Vec<Reason> {
        let cycle = known.cycle;
        let mut why = Vec::new();
        let mut because = |holds: bool, reason: Reason| {
            if holds {
                why.push(reason);
            }
        };
        because(self.newest_commit == Some(cycle) || self.newest.is_some_and(|newest| newest.cycle == cycle), Reason::Newest);
        because(self.situation.base == Some(cycle) || self.is_base_of_unjudged(cycle), Reason::Base);
        because(known.standing == Standing::Unjudged, Reason::Unjudged);
        because(known.standing == Standing::Unreadable, Reason::Unreadable);
        for held in self.situation.held.iter().filter(|held| held.point >= cycle) {
            because(true, Reason::Held { purpose: held.purpose.clone() });
        }
        because(known.pinned, Reason::Pinned);
        if let (Standing::Applied, Some(newest)) = (known.standing, self.newest) {
            let age = newest.taken_at.duration_since(known.taken_at);
            because(age <= jiff::SignedDuration::try_from(self.rule.recent).unwrap_or(jiff::SignedDuration::MAX), Reason::Recent);
            because(cycle >= self.at_least_from, Reason::AtLeast);
            let (its_day, today) = (day(known.taken_at), day(newest.taken_at));
            let last_of_day = self.of_day.get(&its_day) == Some(&cycle);
            because(last_of_day && today.saturating_sub(its_day) <= i64::from(self.rule.days), Reason::Day);
            because(self.verified == Some(cycle), Reason::Verified);
        }
        why
    }

    fn is_base_of_unjudged(&self, cycle: CycleNumber) -> bool {
        self.situation.commits.iter().any(|known| known.standing == Standing::Unjudged && known.base == Some(cycle))
    }
}

fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(24 * 3600)
}

/// When a plan is made and executed without being asked. What stands behind a gap costs a checkpoint, so points go in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    /// After so many cycles.
    pub cycles: u64,
    /// Or after this time, for what failed cycles left behind.
    pub every: Duration,
}

impl Default for Batches {
    fn default() -> Batches {
        Batches { cycles: 12, every: Duration::from_secs(24 * 3600) }
    }
}

impl Batches {
    /// `cycles`: how many ended since the last time.
    pub fn are_due(&self, cycles: u64, last: Option<Timestamp>, now: Timestamp) -> bool {
        let waited = last.is_some_and(|last| Duration::try_from(now.duration_since(last)).is_ok_and(|waited| waited >= self.every));
        cycles >= self.cycles || (cycles > 0 && waited)
    }
}

#[cfg(test)]
mod tests;
