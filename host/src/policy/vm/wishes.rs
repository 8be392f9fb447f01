//! What the operator wants of a VM's cycles, until it is done or taken back: how failures are repaired, disks that are left out, a
//! comparison of everything, change tracking begun anew, a final cycle in spite of the calendar.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{DiskId, ResyncReason};

use super::cycle::Stage;
use super::facts::{Fact, OutOfOrder, Urgency};
use super::{EndedDisk, Vm};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    pub repair: Repair,
    /// The next cycle compares every disk whole, for this reason.
    pub resync: Option<ResyncReason>,
    pub tracking_reset: bool,
    pub excluded: BTreeMap<DiskId, Exclusion>,
    /// The final cycle runs whatever window of the calendar holds. Left out where nobody said so, as in journals that are older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_blackout: Option<InBlackout>,
}

/// An operator's word that a final cycle runs in spite of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InBlackout {
    /// The window that held when it was given.
    pub rule: Option<String>,
    pub at: Timestamp,
}

/// Who begins the cycle that repairs a failed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// The agent, after a growing pause.
    #[default]
    Automatic,
    /// A person, with `transload vm repair`.
    ByCommand,
}

/// A disk that cycles leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    pub label: String,
    pub at_cutover: AtCutover,
    pub at: Timestamp,
}

/// What becomes of an excluded disk when the VM is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtCutover {
    /// It is copied before the VM starts over there, and the VM waits for it.
    CopyBeforeStart,
    /// The VM starts without it, and it is attached when it has arrived.
    AttachLater,
    /// It is not needed over there.
    Leave,
}

impl Vm {
    /// Folds a fact about what is wanted.
    pub(super) fn wish(&mut self, fact: Fact) -> Result<(), OutOfOrder> {
        let refused = OutOfOrder { fact: format!("{fact:?}"), state: format!("{:?}", self.wishes) };
        match fact {
            Fact::RepairChosen { repair } => self.wishes.repair = repair,
            Fact::ResyncAsked { reason, .. } => self.wishes.resync = Some(reason),
            Fact::TrackingResetAsked { .. } => self.wishes.tracking_reset = true,
            Fact::TrackingReset { .. } if self.wishes.tracking_reset && self.cycle.is_none() => {
                self.wishes.tracking_reset = false;
                // No marker from before means anything, and no lie either.
                self.salvage.clear();
                self.trust.reset();
                if self.point.is_some() && !self.is_stopped() {
                    self.wishes.resync = Some(tracking_reset());
                    self.demand = self.demand.max(Some(Urgency::Demanded));
                }
            }
            Fact::DiskExcluded { disk, label, at_cutover, at } => {
                self.leave_out(&disk).map_err(|()| refused)?;
                self.wishes.excluded.insert(disk, Exclusion { label, at_cutover, at });
            }
            Fact::BlackoutOverridden { rule, at } => self.wishes.in_blackout = Some(InBlackout { rule, at }),
            Fact::DiskIncluded { disk, .. } => drop(self.wishes.excluded.remove(&disk).ok_or(refused)?),
            _ => return Err(refused),
        }
        Ok(())
    }

    /// A disk that is being copied is left out of the running cycle as well; the last one cannot be, as a commit carries something.
    fn leave_out(&mut self, disk: &DiskId) -> Result<(), ()> {
        match self.cycle.as_mut().map(|cycle| &mut cycle.stage) {
            // What is listed just now was asked for without this disk's exclusion.
            Some(Stage::Open { disks: None, .. }) => Err(()),
            Some(Stage::Open { disks: Some(disks), .. }) if disks.each.len() == 1 && disks.each.contains_key(disk) => Err(()),
            Some(Stage::Open { disks: Some(disks), .. }) => {
                disks.each.remove(disk);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What the snapshot holds, without the disks that cycles leave out.
    pub(super) fn without_excluded(&self, fact: Fact) -> Result<Fact, OutOfOrder> {
        let Fact::DisksListed { mut disks, definition } = fact else { return Ok(fact) };
        disks.retain(|disk| !self.wishes.excluded.contains_key(&disk.id));
        match disks.is_empty() {
            true => Err(OutOfOrder { fact: "disks of which each is excluded".to_owned(), state: format!("{:?}", self.wishes.excluded) }),
            false => Ok(Fact::DisksListed { disks, definition }),
        }
    }

    /// The VM's disks as far as a cycle has seen them, with their labels; excluded ones as well.
    pub fn known_disks(&self) -> BTreeMap<DiskId, String> {
        let excluded = self.wishes.excluded.iter().map(|(disk, exclusion)| (disk.clone(), exclusion.label.clone()));
        excluded.chain(self.replicated_disks()).collect()
    }

    /// Those that the running cycle copies, or that the newest one did.
    pub(super) fn replicated_disks(&self) -> BTreeMap<DiskId, String> {
        if let Some(Stage::Open { disks: Some(disks), .. } | Stage::Closed { disks, .. }) = self.cycle.as_ref().map(|cycle| &cycle.stage) {
            return disks.each.iter().map(|(disk, copying)| (disk.clone(), copying.source.label.clone())).collect();
        }
        let rows = self.history.iter().rev().map(|ended| &ended.disks).find(|disks| !disks.is_empty());
        let of_rows = |rows: &Vec<EndedDisk>| rows.iter().map(|row| (row.disk.clone(), row.label.clone())).collect();
        let of_point = || self.point.iter().flat_map(|point| point.disks.keys()).map(|disk| (disk.clone(), disk.to_string())).collect();
        let mut disks: BTreeMap<DiskId, String> = rows.map_or_else(of_point, of_rows);
        disks.retain(|disk, _| !self.wishes.excluded.contains_key(disk));
        disks
    }
}

fn tracking_reset() -> ResyncReason {
    ResyncReason { code: "tracking-reset".to_owned(), message: "change tracking was begun anew by command".to_owned() }
}

/// Why everything is compared when somebody wants just that.
pub(super) fn asked_for() -> ResyncReason {
    ResyncReason { code: "asked-for".to_owned(), message: "a comparison of everything was asked for".to_owned() }
}
