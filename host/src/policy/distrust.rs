//! Whether a source's change tracking is believed, and with what probability a lie is found.
//!
//! ```text
//!   believed ─▶ each delta: a random choice of the cells that the source calls unchanged is read and compared ─▶ equal: believed
//!      ▲                                                                                        │ one differs
//!      │ tracking was reset, and the resync after it is applied                                 ▼
//!      └───────────────────────────────────────────── every cycle is a resync "tracker-lied"; its points carry no marker
//! ```
//!
//! The choice is uniform and without replacement among *all* cells that are called unchanged, those that were empty included: a tracker
//! that forgets what was written for the first time is the common one. So the number of wrong cells in a choice is hypergeometric, and what
//! is said here of probabilities is exact and needs no assumption about where the wrong cells lie. It says nothing of a source that knows
//! which cells are going to be compared.
//!
//! A cell that differs makes the plan of the same attempt a resync, before anything was planned or committed: no recovery point is made
//! out of what is known to be incomplete.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{CycleNumber, DiskId, ResyncReason, SectorBitmap};

/// What a person wants to be sure of: that a tracker which hides one cell in a hundred does not go unnoticed.
pub const SHARE: f64 = 0.01;
/// Cells of a lie that are kept by number; all of them are counted.
pub const CELLS_NAMED: usize = 64;

/// How much of what a source calls unchanged was read again and found equal to the base, in one cycle, of a disk or of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    pub cells: u64,
    /// The cells that the source called unchanged.
    pub of: u64,
}

impl Compared {
    /// The probability that at least one of so many wrong cells is among those that were compared.
    pub fn finds(self, wrong: u64) -> f64 {
        let (few, many) = (self.cells.min(wrong), self.cells.max(wrong));
        if few == 0 {
            return 0.0;
        }
        // C(of − wrong, cells) / C(of, cells), in whichever of its two forms has fewer factors.
        let mut missed = 1.0;
        for drawn in 0..few {
            let left = self.of.saturating_sub(many + drawn);
            if left == 0 || missed < f64::EPSILON {
                return 1.0;
            }
            missed *= left as f64 / (self.of - drawn) as f64;
        }
        1.0 - missed
    }

    /// The same, for a tracker that hides this share of the cells that it calls unchanged; at least one of them.
    pub fn finds_share(self, share: f64) -> f64 {
        self.finds(((self.of as f64 * share).ceil() as u64).max(1))
    }

    /// The smallest number of wrong cells that is found with this probability. None, when nothing is compared.
    pub fn found_with(self, probability: f64) -> Option<u64> {
        if self.cells == 0 || self.finds(self.of) < probability {
            return None;
        }
        let (mut too_few, mut enough) = (0, self.of);
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            if self.finds(middle) < probability { too_few = middle } else { enough = middle }
        }
        Some(enough)
    }

    pub fn and(self, other: Compared) -> Compared {
        Compared { cells: self.cells + other.cells, of: self.of + other.of }
    }
}

/// The probability that at least one of several independent choices finds what each of them finds with these. What a tracker hid stays
/// hidden until it is found, so choices of later cycles look for the same cells.
pub fn together(each: impl IntoIterator<Item = f64>) -> f64 {
    1.0 - each.into_iter().map(|finds| 1.0 - finds).product::<f64>()
}

/// A choice of at most `budget` cells among those that are not in `covered`: uniform, without replacement, ascending. `below` draws a
/// number below its argument.
pub fn choose(covered: &SectorBitmap, budget: u64, mut below: impl FnMut(u64) -> u64) -> Vec<u64> {
    let unchanged = covered.clear_cells();
    if unchanged <= budget {
        return covered.clear_cells_at(0..unchanged);
    }
    // Floyd's way: as many draws as places, and none is thrown away.
    let mut places = BTreeSet::new();
    for newest in unchanged - budget..unchanged {
        let drawn = below(newest + 1);
        if !places.insert(drawn) {
            places.insert(newest);
        }
    }
    covered.clear_cells_at(places)
}

/// A disk whose source called a cell unchanged that was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lie {
    pub disk: DiskId,
    pub label: String,
    pub cycle: CycleNumber,
    pub at: Timestamp,
    pub compared: Compared,
    /// Cells that differ among those that were compared. Of the others nothing is known.
    pub wrong: u64,
    /// The first of them, by number.
    pub cells: Vec<u64>,
}

impl Lie {
    pub fn reason(&self) -> ResyncReason {
        ResyncReason {
            code: "tracker-lied".to_owned(),
            message: format!(
                "in cycle {} the source called {} of {} compared cells unchanged that differ from the recovery point",
                self.cycle, self.wrong, self.compared.cells
            ),
        }
    }
}

/// What is known of a VM's change tracking. The fold of what was compared and of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Cells that were compared, over all cycles.
    pub compared: u64,
    /// How often a disk's tracking was found wrong.
    pub lies: u64,
    /// The newest of them, whatever became of it.
    pub newest: Option<Lie>,
    /// Disks whose markers are not used.
    distrusted: BTreeMap<DiskId, Lie>,
}

impl Trust {
    pub fn compared(&mut self, compared: Compared) {
        self.compared += compared.cells;
    }

    pub fn lied(&mut self, lie: Lie) {
        self.lies += 1;
        self.newest = Some(lie.clone());
        self.distrusted.insert(lie.disk.clone(), lie);
    }

    /// Tracking began anew: nothing that it says from now on rests on what it said before.
    pub fn reset(&mut self) {
        self.distrusted.clear();
    }

    pub fn distrusted(&self) -> impl Iterator<Item = &Lie> {
        self.distrusted.values()
    }

    pub fn lie(&self, disk: &DiskId) -> Option<&Lie> {
        self.distrusted.get(disk)
    }

    pub fn is_whole(&self) -> bool {
        self.distrusted.is_empty()
    }
}

#[cfg(test)]
mod tests;
