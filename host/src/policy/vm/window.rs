//! What a window of the calendar means for one VM.
//!
//! ```text
//!                          no cycle                  a cycle runs, finish     a cycle runs, park
//!   a window holds         none begins               it goes on               its copies end at a segment, it asks for no seat; what is
//!                                                                             open stays open
//!   it is over             what is due begins        it goes on               it asks for a seat, and goes on behind what it published
//! ```
//!
//! Where an operator said so, a final cycle begins in a window, and what has to end before it goes on meanwhile.
//!
//! A cycle whose copy is complete is committed whatever window holds, and a final cycle goes on whatever window opens: its source is off.
//! What stands still is governed as anything that is open: its datastore and its age may close the snapshot, and the window's end opens
//! another one.

use jiff::Timestamp;

use crate::policy::calendar::{Closed, OnEnter};
use crate::policy::interval::Interval;
use crate::policy::waiting::Waiting;

use super::facts::Urgency;
use super::{Conditions, Course, Cycle, Stage, Step, Vm};

impl Vm {
    /// The window that holds, unless none counts for this VM: then nothing begins.
    pub(super) fn shut_by<'a>(&self, conditions: &'a Conditions) -> Option<&'a Closed> {
        conditions.blackout.as_ref().filter(|_| !self.goes_in_windows())
    }

    /// A final cycle was asked for in spite of the calendar: no window counts until it is over.
    fn goes_in_windows(&self) -> bool {
        self.demand == Some(Urgency::Final) && self.wishes.in_blackout.is_some()
    }

    /// Whether the cycle that runs stands still while this window holds.
    pub fn stands_still_in(&self, closed: &Closed) -> bool {
        let reads = |cycle: &Cycle| {
            let may = matches!(cycle.stage, Stage::NeedsSnapshot { .. } | Stage::Opening { .. } | Stage::Open { .. });
            may && self.disks_left() != Some(0) && cycle.urgency != Urgency::Final
        };
        closed.on_enter == OnEnter::Park && !self.goes_in_windows() && self.cycle.as_ref().is_some_and(reads)
    }

    /// What a cycle does in a window in which it stands still, instead of what it would do. It waits where it would ask for a seat: before
    /// that, what was read comes into the store, and a complete copy is closed.
    pub(super) fn in_window(&self, cycle: &Cycle, closed: &Closed, steps: Vec<Step>) -> Vec<Step> {
        match &cycle.stage {
            _ if !steps.contains(&Step::TakeSeat) || !self.stands_still_in(closed) => steps,
            // Whether the snapshot is open is not known, and the governor looks only at those that are known.
            Stage::Opening { .. } => vec![Step::Park],
            _ => vec![Step::Wait { until: closed.until }],
        }
    }

    /// What this window keeps the VM from, for people who ask why nothing moves.
    pub fn waits_in(&self, closed: &Closed, interval: Interval, now: Timestamp) -> Option<Waiting> {
        let rests = self.halted.is_some() || self.course != Course::Active || self.waits_for_repair();
        match &self.cycle {
            _ if rests || self.goes_in_windows() => None,
            Some(_) => self.stands_still_in(closed).then(|| Waiting::Parked(closed.clone())),
            None => self.wants_a_cycle(interval, now).then(|| Waiting::Blackout(closed.clone())),
        }
    }
}
