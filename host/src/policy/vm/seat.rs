//! What a VM's state says about its seat: what it would be for, and how much of it is still needed.
//!
//! ```text
//!   idle ─▶ due: asks ─▶ seat ─▶ begins … opens ─▶ copies: a place for each disk that is left ─▶ closed: nothing
//!                                   ├─▶ attempt failed: its snapshots count until they are closed ─▶ asks again
//!                                   └─▶ stands still for a window: its snapshots count ─▶ asks again
//! ```
//!
//! The seat itself is of this process and never recorded: after a restart the state says what to ask for.

use jiff::Timestamp;

use crate::policy::admission::{Kind, Standing};
use crate::policy::interval::Interval;

use super::{Stage, Step, Urgency, Vm};

/// What this process was given to run a cycle with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    None,
    /// So many disks may be read at one time.
    Held {
        disks: usize,
    },
}

/// What a VM still needs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatNeed {
    /// Nothing, and it is not among those that are replicated any longer.
    Gone,
    Nothing,
    /// The copies have ended, but the snapshot may be open still.
    Snapshots,
    /// All of it; or places for so many disks, once it is known how many are left.
    Seat {
        disks_left: Option<usize>,
    },
}

impl Vm {
    /// `steps`: what is to be done now.
    pub fn seat_need(&self, steps: &[Step]) -> SeatNeed {
        let wants_one = steps.iter().any(Step::wants_seat);
        let open = self.cycle.as_ref().is_some_and(|cycle| cycle.stage.may_be_open());
        if self.halted.is_some() {
            return if open { SeatNeed::Snapshots } else { SeatNeed::Nothing };
        }
        let Some(cycle) = &self.cycle else {
            let over = self.is_stopped() || self.point.as_ref().is_some_and(|point| point.last);
            return match wants_one {
                true => SeatNeed::Seat { disks_left: None },
                false if over && self.demand.is_none() => SeatNeed::Gone,
                false => SeatNeed::Nothing,
            };
        };
        match &cycle.stage {
            Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. }
                if steps.iter().any(|step| matches!(step, Step::Wait { .. } | Step::Park)) =>
            {
                SeatNeed::Nothing
            }
            Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. } => SeatNeed::Seat { disks_left: None },
            Stage::Open { .. } if steps.iter().any(|step| matches!(step, Step::Wait { .. })) => SeatNeed::Snapshots,
            Stage::Opening { .. } | Stage::Open { disks: None, .. } => SeatNeed::Seat { disks_left: None },
            Stage::Open { disks: Some(disks), .. } => SeatNeed::Seat { disks_left: Some(disks.not_copied().count()) },
            Stage::Abandoning { .. } if open => SeatNeed::Snapshots,
            Stage::Abandoning { .. } | Stage::Closed { .. } | Stage::Committed { .. } => SeatNeed::Nothing,
        }
    }

    /// Which of its snapshots a seat would be for.
    pub fn kind(&self) -> Kind {
        let urgency = self.cycle.as_ref().map(|cycle| cycle.urgency).or(self.demand);
        match (urgency, &self.point) {
            (Some(Urgency::Final), _) => Kind::Final,
            // Somebody asked for it: it does not stand behind what nobody waits for.
            (Some(Urgency::Demanded), _) | (_, None) => Kind::Initial,
            _ => Kind::Delta,
        }
    }

    pub fn standing(&self) -> Standing {
        match &self.cycle {
            Some(cycle) if cycle.stage.may_be_open() => Standing::SnapshotOpen,
            Some(_) => Standing::Replicating,
            None if self.is_stopped() => Standing::New,
            None if self.point.as_ref().is_some_and(|point| !point.last) || self.failures > 0 => Standing::Replicating,
            None => Standing::New,
        }
    }

    /// Since when a cycle is due, or since when the one that is under way runs; now, if nobody could wait for it before.
    pub fn due_since(&self, interval: Interval, now: Timestamp) -> Timestamp {
        let since = match &self.cycle {
            Some(cycle) => cycle.began_at,
            None if self.demand.is_some() => now,
            None => self.due(interval, now).filter(|due| *due > Timestamp::MIN).unwrap_or(now),
        };
        since.min(now)
    }

    /// Disks that are not copied yet, as far as the state knows them.
    pub fn disks_left(&self) -> Option<usize> {
        match &self.cycle.as_ref()?.stage {
            Stage::Open { disks: Some(disks), .. } => Some(disks.not_copied().count()),
            _ => None,
        }
    }
}

impl Step {
    /// Whether it burdens the source before a cycle is under way: making tracking live may cost a snapshot.
    pub fn needs_seat(&self) -> bool {
        matches!(self, Step::RenewTracking | Step::ResetTracking | Step::EnableTracking | Step::BeginCycle { .. })
    }

    /// Whether the seat is kept, or asked for, while it is to be done.
    pub fn wants_seat(&self) -> bool {
        matches!(self, Step::TakeSeat) || self.needs_seat()
    }
}

impl Stage {
    /// Whether there may be a snapshot of this attempt on the source.
    pub fn may_be_open(&self) -> bool {
        match self {
            Stage::Opening { .. } | Stage::Open { .. } => true,
            Stage::Abandoning { tag, .. } => !tag.is_empty(),
            Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. } | Stage::Closed { .. } | Stage::Committed { .. } => false,
        }
    }
}
