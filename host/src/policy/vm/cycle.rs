//! One cycle under way: how far it is, which facts may follow, and what to do next.
//!
//! ```text
//!   [PoweringOff] ─▶ NeedsSnapshot ─▶ Opening ─▶ Open ─▶ Closed ─▶ Committed ─▶ applied, rejected
//!        ▲                ▲                        │ a stage failed, or the copy is parked
//!        └────────────────┴────── Abandoning ◀─────┘
//!                                     └─▶ failed, stopped
//! ```
//!
//! A stage holds what is known in it and nothing else, and accepts only the facts that its own steps make true. What an attempt opened is
//! closed before the next attempt opens anything, and of a final cycle the source is proved off again before each. That a stage failed and how the cycle ended are facts of the VM, which folds them in
//! `vm.rs` and tells the cycle.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::commit::{Layer, Mode, PointRef, Sha};
use crate::model::{Attempt, CycleNumber, DiskId, Epoch, Fault, ResyncReason, SnapshotDisk, SnapshotToken};
use crate::policy::reaction::PAUSE_LONGEST;
use crate::policy::set_back::is_waited_for;

use super::facts::{CopyStats, Fact, OutOfOrder, Plan, Point, Salvage, Urgency};
use super::{EndedDisk, Seat, Session, Step};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cycle {
    pub number: CycleNumber,
    pub urgency: Urgency,
    pub began_at: Timestamp,
    pub attempt: Attempt,
    /// Attempts that failed; one that was parked did not.
    pub failed: u32,
    /// Disks that could be deltas are compared whole, for this reason.
    pub resync: Option<ResyncReason>,
    /// When it went on after a pause.
    pub resumed_at: Option<Timestamp>,
    pub stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Stage {
    /// The source has to be off before the final snapshot.
    PoweringOff {
        not_before: Option<Timestamp>,
    },
    NeedsSnapshot {
        not_before: Option<Timestamp>,
    },
    Opening {
        tag: String,
    },
    Open {
        tag: String,
        token: SnapshotToken,
        quiesced: bool,
        opened_at: Timestamp,
        disks: Option<Disks>,
    },
    /// The copy is complete and the snapshot closed.
    Closed {
        quiesced: bool,
        opened_at: Timestamp,
        disks: Disks,
    },
    Committed {
        point: Point,
        covered: BTreeMap<DiskId, Sha>,
    },
    /// An attempt was given up; its snapshot must go before the next one.
    Abandoning {
        tag: String,
        token: Option<SnapshotToken>,
        then: Then,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Then {
    Again { not_before: Timestamp },
    EndCycle { fault: Fault, at: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disks {
    pub definition: serde_json::Value,
    pub each: BTreeMap<DiskId, Copying>,
}

impl Disks {
    fn all_copied(&self) -> bool {
        self.not_copied().next().is_none()
    }

    /// The first disks that are not copied yet are planned and read, as many as there are places: a plan reads as well, what the source
    /// calls unchanged.
    fn next_steps(&self, seat: Seat) -> Vec<Step> {
        let places = match seat {
            Seat::None => 0,
            Seat::Held { disks } => disks,
        };
        let step = |(disk, copying): (&DiskId, &Copying)| match copying.plan {
            None => Step::PlanDisk { disk: disk.clone() },
            Some(_) => Step::CopyDisk { disk: disk.clone() },
        };
        self.not_copied().take(places).map(step).collect()
    }

    pub fn not_copied(&self) -> impl Iterator<Item = (&DiskId, &Copying)> {
        self.each.iter().filter(|(_, copying)| copying.layer.is_none())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copying {
    pub source: SnapshotDisk,
    pub plan: Option<Plan>,
    pub layer: Option<(Layer, CopyStats)>,
}

impl Cycle {
    pub(super) fn begin(number: CycleNumber, urgency: Urgency, at: Timestamp, epoch: Epoch, resync: Option<ResyncReason>) -> Cycle {
        let attempt = Attempt::first_of(epoch);
        Cycle {
            number,
            urgency,
            began_at: at,
            attempt,
            failed: 0,
            resync,
            resumed_at: None,
            stage: Cycle::before_a_snapshot(urgency, None),
        }
    }

    fn before_a_snapshot(urgency: Urgency, not_before: Option<Timestamp>) -> Stage {
        match urgency {
            Urgency::Final => Stage::PoweringOff { not_before },
            _ => Stage::NeedsSnapshot { not_before },
        }
    }

    /// A cycle that an agent before us committed, and that nobody judged yet.
    pub(super) fn left_committed(point: Point, epoch: Epoch) -> Cycle {
        Cycle {
            number: point.commit.cycle,
            urgency: Urgency::Scheduled,
            began_at: point.taken_at,
            attempt: Attempt::first_of(epoch),
            failed: 0,
            resync: None,
            resumed_at: None,
            stage: Stage::Committed { point, covered: BTreeMap::new() },
        }
    }

    /// What to do now, for as long as the cycle is under way.
    pub(super) fn next_steps(&self, now: Timestamp, session: Session, seat: Seat) -> Vec<Step> {
        match &self.stage {
            Stage::PoweringOff { not_before: Some(until) } | Stage::NeedsSnapshot { not_before: Some(until) }
                if is_waited_for(*until, now, PAUSE_LONGEST) =>
            {
                vec![Step::Wait { until: Some(*until) }]
            }
            Stage::NeedsSnapshot { .. } if !session.swept => vec![Step::Sweep],
            Stage::Open { token, disks: Some(disks), .. } if disks.all_copied() => vec![Step::CloseSnapshot { token: token.clone() }],
            // What opens or reads a snapshot needs a seat: after a restart, and again for the next attempt.
            Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. } | Stage::Opening { .. } | Stage::Open { .. } if seat == Seat::None => {
                vec![Step::TakeSeat]
            }
            Stage::PoweringOff { .. } => vec![Step::PowerOff],
            Stage::NeedsSnapshot { .. } => vec![Step::IntendSnapshot { attempt: self.attempt }],
            Stage::Opening { tag } => vec![Step::OpenSnapshot { tag: tag.clone() }],
            Stage::Open { token, disks: None, .. } => vec![Step::ListDisks { token: token.clone() }],
            Stage::Open { disks: Some(disks), .. } => disks.next_steps(seat),
            Stage::Closed { .. } => vec![Step::Commit { cycle: self.number }],
            Stage::Committed { .. } => vec![Step::AwaitReceipt { cycle: self.number }],
            Stage::Abandoning { tag, token, .. } => vec![Step::AbandonSnapshot { tag: tag.clone(), token: token.clone() }],
        }
    }

    /// Gives the attempt up, at whatever stage it is.
    pub(super) fn abandon(&mut self, then: Then) {
        let (tag, token) = match &self.stage {
            Stage::Opening { tag } => (tag.clone(), None),
            Stage::Open { tag, token, .. } => (tag.clone(), Some(token.clone())),
            // Nothing is open.
            _ => (String::new(), None),
        };
        self.stage = Stage::Abandoning { tag, token, then };
    }

    pub(super) fn try_again(&mut self, not_before: Timestamp) {
        self.attempt = self.attempt.next();
        // Since the source was proved off somebody may have started it.
        self.stage = Cycle::before_a_snapshot(self.urgency, Some(not_before));
    }

    /// Goes on after a pause, which may have been long.
    pub(super) fn resume(&mut self, at: Timestamp) {
        self.resumed_at = Some(at);
        if matches!(self.stage, Stage::NeedsSnapshot { .. }) {
            self.stage = Cycle::before_a_snapshot(self.urgency, None);
        }
    }

    /// Whether nothing of it is open, and nothing is complete either.
    pub fn needs_a_snapshot(&self) -> bool {
        matches!(self.stage, Stage::PoweringOff { .. } | Stage::NeedsSnapshot { .. })
    }

    /// What a repair of this cycle's initial disks could build on, should the commit be refused.
    pub(super) fn repairs(&self, before: &BTreeMap<DiskId, Salvage>) -> BTreeMap<DiskId, Salvage> {
        let Stage::Closed { disks, .. } = &self.stage else { return BTreeMap::new() };
        let repair = |(disk, copying): (&DiskId, &Copying)| {
            let plan = copying.plan.as_ref().filter(|plan| plan.mode == Mode::Initial)?;
            let first = before.get(disk).filter(|_| !plan.carried.is_empty()).map(|salvage| salvage.marker.clone());
            let mut layers = plan.carried.clone();
            layers.push(copying.layer.as_ref()?.0.clone());
            Some((
                disk.clone(),
                Salvage {
                    disk: disk.clone(),
                    mode: plan.mode,
                    fingerprint: copying.source.fingerprint.clone(),
                    layers,
                    marker: first.or_else(|| copying.source.marker.clone())?,
                    bad_blocks: Vec::new(),
                },
            ))
        };
        disks.each.iter().filter_map(repair).collect()
    }

    /// Folds a fact of the cycle's own course. Answers the commit and the table rows when it is the one that commits.
    pub(super) fn apply(&mut self, fact: Fact) -> Result<Option<(PointRef, Vec<EndedDisk>)>, OutOfOrder> {
        let refused = OutOfOrder { fact: format!("{fact:?}"), state: format!("{:?}", self.stage) };
        match (fact, &mut self.stage) {
            (Fact::PoweredOff, Stage::PoweringOff { .. }) => self.stage = Stage::NeedsSnapshot { not_before: None },
            (Fact::SnapshotIntended { attempt, tag, .. }, Stage::NeedsSnapshot { .. }) if attempt == self.attempt => {
                self.stage = Stage::Opening { tag };
            }
            (Fact::SnapshotOpened { attempt, token, quiesced, at }, Stage::Opening { tag }) if attempt == self.attempt => {
                self.stage = Stage::Open { tag: tag.clone(), token, quiesced, opened_at: at, disks: None };
            }
            (Fact::DisksListed { disks, definition }, Stage::Open { disks: listed @ None, .. }) => {
                let each = disks.into_iter().map(|disk| (disk.id.clone(), Copying { source: disk, plan: None, layer: None }));
                *listed = Some(Disks { definition, each: each.collect() });
            }
            (Fact::DiskPlanned { disk, plan, .. }, Stage::Open { disks: Some(disks), .. }) => {
                disks.each.get_mut(&disk).filter(|disk| disk.plan.is_none()).ok_or(refused)?.plan = Some(plan);
            }
            (Fact::DiskCopied { disk, layer, stats, .. }, Stage::Open { disks: Some(disks), .. }) => {
                let copying = disks.each.get_mut(&disk).filter(|disk| disk.plan.is_some() && disk.layer.is_none());
                copying.ok_or(refused)?.layer = Some((layer, stats));
            }
            (Fact::SnapshotClosed { markers }, Stage::Open { quiesced, opened_at, disks: Some(disks), .. }) if disks.all_copied() => {
                for born in markers {
                    if let Some(copying) = disks.each.get_mut(&born.disk) {
                        copying.source.marker = Some(born.marker);
                    }
                }
                self.stage = Stage::Closed { quiesced: *quiesced, opened_at: *opened_at, disks: disks.clone() };
            }
            (Fact::Committed { point }, Stage::Closed { disks, .. }) => {
                let planned = || disks.each.iter().filter_map(|(disk, copying)| Some((disk, copying, copying.plan.as_ref()?)));
                let covered = planned().map(|(disk, _, plan)| (disk.clone(), plan.covered_digest)).collect();
                let rows = planned().map(|(disk, copying, plan)| EndedDisk {
                    disk: disk.clone(),
                    label: copying.source.label.clone(),
                    size: copying.source.size.bytes(),
                    mode: plan.mode,
                    resync: plan.resync.clone(),
                    reported_bytes: plan.reported_bytes,
                    reported_extents: plan.reported_extents,
                    compared: plan.compared,
                    stats: copying.layer.as_ref().map_or_else(CopyStats::default, |(_, stats)| *stats),
                });
                let answer = (point.commit, rows.collect());
                self.stage = Stage::Committed { point, covered };
                return Ok(Some(answer));
            }
            _ => return Err(refused),
        }
        Ok(None)
    }
}
