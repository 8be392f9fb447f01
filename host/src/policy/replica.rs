//! One VM's replica on the receiver's side.
//!
//! ```text
//!   none ──▶ filling(cycle) ──▶ at(point) ──▶ applying(a → b) ──▶ at(b)
//!              ▲ rejected: starts again          │ crash: done again, from what was verified
//!              └──── fell behind what is kept ───┘
//! ```
//!
//! Between `filling` and `at` lies the promotion, which is an `applying` without a base.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::commit::{AppliedDisk, PointRef, RejectCode};
use crate::model::{CycleNumber, Epoch};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReplicaState {
    #[default]
    None,
    Filling(CycleNumber),
    At(PointRef),
    Applying {
        from: Option<PointRef>,
        to: PointRef,
        /// Initial disks that were filled and verified already.
        filled: Vec<AppliedDisk>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReplicaFact {
    FillBegan {
        cycle: CycleNumber,
    },
    /// Everything of the commit is verified; from here on the replica changes.
    ApplyBegan {
        to: PointRef,
        filled: Vec<AppliedDisk>,
    },
    Applied {
        to: PointRef,
        epoch: Epoch,
    },
    Rejected {
        commit: PointRef,
        epoch: Epoch,
        code: RejectCode,
    },
    /// The object that should be the cycle's commit does not open.
    Unreadable {
        cycle: CycleNumber,
    },
    /// The replica is made anew, over the one that is there: it missed cycles that were dropped since.
    RebuildBegan {
        cycle: CycleNumber,
    },
    /// The replica was made out of the store, at a point whose receipt says applied.
    Rebuilt {
        at: PointRef,
        epoch: Epoch,
    },
}

/// As a journal's snapshot holds it: whoever changes its form raises `Replica::FORM` (driver/judge.rs).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    pub state: ReplicaState,
    /// The newest commit that was judged.
    pub judged: Option<PointRef>,
    /// The highest epoch whose commit was judged.
    pub epoch: Option<Epoch>,
    /// Cycles above the newest judged one whose commit did not open. What their writers meant them to be is not known here.
    pub unreadable: BTreeSet<CycleNumber>,
}

impl Replica {
    /// The newest cycle that was judged: only what comes after it is looked at.
    pub fn seen(&self) -> CycleNumber {
        self.judged.map_or(CycleNumber(0), |judged| judged.cycle)
    }

    /// The commit to look at next. One that does not open is passed over and hides no other, however far ahead its number is.
    pub fn next_to_judge(&self, commits: &[CycleNumber]) -> Option<CycleNumber> {
        commits.iter().copied().find(|cycle| *cycle > self.seen() && !self.unreadable.contains(cycle))
    }

    /// Whether a commit that follows `previous` continues the chain that was judged here.
    pub fn continues(&self, previous: Option<PointRef>) -> bool {
        let after_unreadable = previous.is_some_and(|previous| self.unreadable.contains(&previous.cycle));
        self.judged.is_none() || previous == self.judged || after_unreadable
    }

    pub fn apply(&mut self, fact: ReplicaFact) {
        match fact {
            ReplicaFact::FillBegan { cycle } => {
                if !matches!(self.state, ReplicaState::At(_)) {
                    self.state = ReplicaState::Filling(cycle);
                }
            }
            ReplicaFact::RebuildBegan { cycle } => self.state = ReplicaState::Filling(cycle),
            ReplicaFact::ApplyBegan { to, filled } => {
                let from = self.point();
                self.state = ReplicaState::Applying { from, to, filled };
            }
            ReplicaFact::Applied { to, epoch } => {
                self.state = ReplicaState::At(to);
                self.judge(to, epoch);
            }
            ReplicaFact::Rejected { commit, epoch, .. } => self.judge(commit, epoch),
            ReplicaFact::Unreadable { cycle } => {
                self.unreadable.insert(cycle);
            }
            ReplicaFact::Rebuilt { at, epoch } => {
                self.state = ReplicaState::At(at);
                self.judge(at, epoch);
            }
        }
    }

    /// The point the replica holds, if it holds exactly one.
    pub fn point(&self) -> Option<PointRef> {
        match self.state {
            ReplicaState::At(point) => Some(point),
            _ => None,
        }
    }

    fn judge(&mut self, commit: PointRef, epoch: Epoch) {
        self.judged = Some(commit);
        self.epoch = self.epoch.max(Some(epoch));
        self.unreadable.retain(|cycle| *cycle > commit.cycle);
    }
}
