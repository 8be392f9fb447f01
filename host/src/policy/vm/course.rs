//! Whether a VM is replicated at all: what the operator last said, and what that means for a cycle that is under way.
//!
//! ```text
//!             pause                       stop, complete
//!   active ──────────▶ paused ──────────────────┐
//!     ▲  ▲               │                      ▼
//!     │  └───resume──────┘        active ─▶ stopping ─▶ let go ─▶ stopped, or done after a migration
//!     └──────────────────────── replicate again ───────────────────┘
//! ```
//!
//! Nothing of this waits for the world: the wish is recorded first, and the steps that follow from it are computed. While a VM is paused, or
//! its agent is about to leave, no snapshot stays open: a copy that is under way is **parked**, which keeps what it published and closes the
//! snapshot, and goes on from there later. A cycle whose copy is complete is never held up: it commits, and its receipt is waited for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cycle::{Cycle, Stage};
use super::facts::{Fact, OutOfOrder, Urgency};
use super::{Seat, Session, Step, Vm};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    #[default]
    Active,
    Paused {
        at: Timestamp,
    },
    Stopping {
        ending: Ending,
        running: Running,
        at: Timestamp,
    },
    Stopped {
        ending: Ending,
        at: Timestamp,
    },
}

/// Why replication ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Somebody does not want it any more.
    Stop,
    /// The VM was moved.
    Complete,
}

/// What becomes of a cycle that runs when replication is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Running {
    /// It goes on to its recovery point, unless it is the first copy, which may take days.
    Finish,
    /// It ends where it is.
    Cut,
}

/// What happens to a cycle that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    GoesOn,
    /// What is open is put down, and what was published is kept.
    Park,
    Waits,
}

impl Vm {
    /// What happens to the running cycle, as the operator and this process want it.
    pub(super) fn hold(&self, cycle: &Cycle, session: Session) -> Hold {
        match (&cycle.stage, self.course) {
            (Stage::Closed { .. } | Stage::Abandoning { .. }, _) => Hold::GoesOn,
            // Its receipt is there when the agent comes back.
            (Stage::Committed { .. }, _) if session.leaving => Hold::Waits,
            (Stage::Committed { .. }, _) => Hold::GoesOn,
            // Nothing is open yet.
            (Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. }, _) if session.leaving => Hold::Waits,
            (Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. }, Course::Paused { .. }) => Hold::Waits,
            (Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. }, Course::Stopping { .. }) => Hold::Park,
            (Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. }, _) => Hold::GoesOn,
            // The next start finishes it, with this very snapshot.
            (_, Course::Stopping { running: Running::Finish, .. }) if self.point.is_some() && session.leaving => Hold::Waits,
            (_, Course::Stopping { running: Running::Finish, .. }) if self.point.is_some() => Hold::GoesOn,
            (_, Course::Stopping { .. } | Course::Paused { .. }) => Hold::Park,
            _ if session.leaving => Hold::Park,
            _ => Hold::GoesOn,
        }
    }

    /// What to do between two cycles, when the course says more than that cycles go on.
    pub(super) fn off_course(&self, session: Session, seat: Seat) -> Option<Step> {
        match self.course {
            _ if session.leaving => Some(Step::Wait { until: None }),
            // It may cost a snapshot, as turning tracking on does.
            Course::Active | Course::Stopped { .. } if self.wishes.tracking_reset => Some(match seat {
                Seat::None => Step::TakeSeat,
                Seat::Held { .. } => Step::ResetTracking,
            }),
            Course::Active => None,
            Course::Paused { .. } => Some(Step::Wait { until: None }),
            Course::Stopping { .. } => Some(Step::LetGo),
            Course::Stopped { .. } => Some(Step::Wait { until: None }),
        }
    }

    /// Folds a fact of the course.
    pub(super) fn follow(&mut self, fact: Fact) -> Result<(), OutOfOrder> {
        let refused = OutOfOrder { fact: format!("{fact:?}"), state: format!("{:?}", self.course) };
        match (fact, self.course) {
            (Fact::Paused { at }, Course::Active) => self.course = Course::Paused { at },
            (Fact::Resumed { at }, Course::Paused { .. }) => {
                self.course = Course::Active;
                match self.cycle.as_mut() {
                    Some(cycle) => cycle.resume(at),
                    // Somebody waits for it: the next cycle is not put off to its hour.
                    None => self.demand = self.demand.max(Some(Urgency::Scheduled)),
                }
            }
            (Fact::StopBegan { ending, running, at }, Course::Active | Course::Paused { .. }) => {
                self.course = Course::Stopping { ending, running, at };
                self.demand = None;
                self.wishes.in_blackout = None;
            }
            (Fact::Stopped { at }, Course::Stopping { ending, .. }) if self.cycle.is_none() => {
                self.course = Course::Stopped { ending, at };
                self.forget_what_was_let_go();
            }
            (Fact::Restarted { .. }, Course::Stopped { .. }) => {
                self.course = Course::Active;
                self.demand = Some(Urgency::Scheduled);
                self.migration = Default::default();
            }
            _ => return Err(refused),
        }
        Ok(())
    }

    /// Markers were released, so that nothing may be asked since them: a later start compares whole disks with the recovery point.
    fn forget_what_was_let_go(&mut self) {
        self.salvage.clear();
        self.demand = None;
        self.failures = 0;
        self.wishes.resync = None;
        for disk in self.point.iter_mut().flat_map(|point| point.disks.values_mut()) {
            disk.marker = None;
        }
    }

    /// Whether a cycle that is put down now has ended by that.
    pub fn is_stopping(&self) -> bool {
        matches!(self.course, Course::Stopping { .. })
    }

    pub fn is_stopped(&self) -> bool {
        matches!(self.course, Course::Stopped { .. })
    }

    pub fn is_paused(&self) -> bool {
        matches!(self.course, Course::Paused { .. })
    }
}
