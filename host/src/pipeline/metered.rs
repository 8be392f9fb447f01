//! The read units of one copy, each handed out when the meter lets it go.
//!
//! Only one is asked for at a time: a copy that is told to hold still then has nothing queued behind a slow line that it must read first.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::pace::{Pace, Way};
use super::read::{ReadUnit, Units};

pub struct Metered<'a> {
    units: Units,
    pace: &'a Pace,
    next: Next<'a>,
}

enum Next<'a> {
    Unknown,
    Asked(ReadUnit, BoxFuture<'a, ()>),
    Passed(ReadUnit),
}

impl<'a> Metered<'a> {
    pub fn new(units: Units, pace: &'a Pace) -> Metered<'a> {
        Metered { units, pace, next: Next::Unknown }
    }

    /// The next unit, if there is one and it may be read now; else `passed` answers when to ask again.
    pub fn next(&mut self, unit_bytes_max: u64) -> Option<ReadUnit> {
        match std::mem::replace(&mut self.next, Next::Unknown) {
            Next::Passed(unit) => Some(unit),
            asked @ Next::Asked(..) => {
                self.next = asked;
                None
            }
            Next::Unknown => {
                let unit = self.units.next(unit_bytes_max)?;
                let mut passing = self.pace.meter.pass(Way::Read, unit.extent.length);
                if passing.as_mut().now_or_never().is_some() {
                    return Some(unit);
                }
                self.next = Next::Asked(unit, passing);
                None
            }
        }
    }

    pub fn is_asked(&self) -> bool {
        matches!(self.next, Next::Asked(..))
    }

    /// Answers when the unit that was asked for may be read. May be dropped and called again.
    pub async fn passed(&mut self) {
        if let Next::Asked(_, passing) = &mut self.next {
            passing.await;
            if let Next::Asked(unit, _) = std::mem::replace(&mut self.next, Next::Unknown) {
                self.next = Next::Passed(unit);
            }
        }
    }

    /// The first block that was not handed out.
    pub fn reached(&mut self) -> u64 {
        match &self.next {
            Next::Asked(unit, _) | Next::Passed(unit) => unit.blocks[0].block,
            Next::Unknown => self.units.reached(),
        }
    }
}
