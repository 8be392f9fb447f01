//! One VM on the gateway's side: what happened to it, and what to do next.
//!
//! ```text
//!             ┌──────────── due: interval, command, repair ◀───────────────────────────────┐
//!             ▼                                                                            │
//!   idle ─▶ [final: off] ─▶ intend ─▶ open ─▶ list ─▶ plan, copy (each disk) ─▶ close ─▶ commit ─▶ await receipt
//!                             ▲                         │ snapshot lost                        │ applied:  point and markers move
//!                             └─────── abandon ◀────────┘ (what was published is kept)         │ rejected: they stay, a repair is due
//! ```
//!
//! The state is the fold of the facts and nothing else: after a crash the facts are replayed and `next_steps` goes on. A step may run
//! twice; each has an identity that the outside recognises (a tag, a key, a cycle number).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::commit::{BadBlocks, Layer, Mode, PointRef, RejectCode, Rejection, Sha};
use crate::model::{Attempt, CycleNumber, DiskId, DiskMarker, Epoch, Fault, Marker, ResyncReason, SnapshotDisk, SnapshotToken, VmRef};

use super::interval::Interval;
use super::mode::PointDisk;

/// Why a cycle runs. Later ones are stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    Scheduled,
    Demanded,
    /// The last one: the source is shut down first, if the operator asked for that, and proved off.
    Final,
}

/// A recovery point, as the next cycle builds on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    pub commit: PointRef,
    pub taken_at: Timestamp,
    pub quiesced: bool,
    pub last: bool,
    pub disks: BTreeMap<DiskId, PointDisk>,
}

/// What one disk cost in one cycle. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyStats {
    pub planned: u64,
    pub read: u64,
    pub sent: u64,
    pub stored: u64,
}

/// A plan for one disk in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub mode: Mode,
    pub resync: Option<ResyncReason>,
    pub parts: u32,
    pub digest: Sha,
    /// The bitmap of everything the commit will cover, carried layers included: what the receipt must confirm.
    pub covered_digest: Sha,
    pub planned_bytes: u64,
    /// What the source itself reported as changed; for initial and resync the whole disk.
    pub reported_bytes: u64,
    /// Layers of earlier attempts that this one builds on.
    pub carried: Vec<Layer>,
}

/// What an attempt that was cut short left behind for a disk, for the next one to build on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Salvage {
    pub disk: DiskId,
    pub mode: Mode,
    pub fingerprint: String,
    pub layers: Vec<Layer>,
    /// Where change tracking stood at the first of these attempts: what changed since then supersedes.
    pub marker: Marker,
    /// Blocks that a receipt refused.
    pub bad_blocks: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    Enrolled {
        identity: VmRef,
        source: String,
        name: String,
        at: Timestamp,
    },
    /// The VM is ours from here on. What the store says of its past comes with it, for a journal that does not know.
    Owned {
        epoch: Epoch,
        newest: Option<PointRef>,
        point: Option<Point>,
        next_cycle: CycleNumber,
        unjudged: Option<Point>,
    },
    Demanded {
        urgency: Urgency,
        at: Timestamp,
    },
    CycleBegan {
        cycle: CycleNumber,
        urgency: Urgency,
        at: Timestamp,
    },
    PoweredOff,
    SnapshotIntended {
        attempt: Attempt,
        tag: String,
        at: Timestamp,
    },
    SnapshotOpened {
        attempt: Attempt,
        token: SnapshotToken,
        quiesced: bool,
        at: Timestamp,
    },
    DisksListed {
        disks: Vec<SnapshotDisk>,
        definition: serde_json::Value,
    },
    DiskPlanned {
        disk: DiskId,
        plan: Plan,
    },
    DiskCopied {
        disk: DiskId,
        layer: Layer,
        stats: CopyStats,
    },
    SnapshotClosed {
        markers: Vec<DiskMarker>,
    },
    /// The attempt is given up; its snapshot has to be closed, and what it published may be built on.
    AttemptFailed {
        fault: Fault,
        salvage: Vec<Salvage>,
        retry_at: Timestamp,
    },
    Abandoned,
    Committed {
        point: Point,
    },
    Applied {
        at: Timestamp,
    },
    Rejected {
        rejection: Rejection,
        at: Timestamp,
    },
    CycleFailed {
        fault: Fault,
        at: Timestamp,
    },
    Halted {
        fault: Fault,
        at: Timestamp,
    },
}

/// A fact that cannot follow this state: a bug, or a journal that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fact {fact} cannot follow the state {state}")]
pub struct OutOfOrder {
    pub fact: String,
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copying {
    pub source: SnapshotDisk,
    pub plan: Option<Plan>,
    pub layer: Option<(Layer, CopyStats)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// The source has to be off before the final snapshot.
    PoweringOff,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    Again { not_before: Timestamp },
    EndCycle { fault: Fault, at: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disks {
    pub definition: serde_json::Value,
    pub each: BTreeMap<DiskId, Copying>,
}

impl Disks {
    fn all_copied(&self) -> bool {
        self.each.values().all(|disk| disk.layer.is_some())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    pub number: CycleNumber,
    pub urgency: Urgency,
    pub began_at: Timestamp,
    pub attempt: Attempt,
    pub stage: Stage,
}

/// How a cycle ended, for the table that people look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub cycle: CycleNumber,
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    pub last: bool,
    pub outcome: EndedAs,
    pub disks: Vec<EndedDisk>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedAs {
    Applied,
    Rejected(Rejection),
    Failed(Fault),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedDisk {
    pub disk: DiskId,
    pub label: String,
    pub mode: Mode,
    pub resync: Option<ResyncReason>,
    pub reported_bytes: u64,
    pub stats: CopyStats,
}

/// Cycles that are remembered for display.
const HISTORY: usize = 100;
/// Attempts at one cycle before it counts as failed.
const ATTEMPTS_MAX: u32 = 8;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vm {
    pub identity: Option<VmRef>,
    pub source: String,
    pub name: String,
    pub epoch: Option<Epoch>,
    /// The newest commit, whatever its verdict.
    pub newest: Option<PointRef>,
    pub point: Option<Point>,
    pub next_cycle: u64,
    pub demand: Option<Urgency>,
    pub cycle: Option<Cycle>,
    pub salvage: BTreeMap<DiskId, Salvage>,
    /// The receiver says that its replica is not where we believed it to be.
    pub doubtful: bool,
    /// Cycles in a row that did not end in a recovery point.
    pub failures: u32,
    pub history: Vec<Ended>,
    pub halted: Option<Fault>,
    pending: Vec<EndedDisk>,
}

/// What this process has done already, beside what the facts say. Lost with the process, on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Session {
    pub owner_checked: bool,
    pub swept: bool,
    /// Preflight found nothing in the way, and change tracking is on.
    pub prepared: bool,
}

/// What to do. Two steps of one answer may run side by side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing before this moment.
    Wait {
        until: Option<Timestamp>,
    },
    TakeOwnership,
    /// Whether the VM is still ours, before anything is touched.
    CheckOwner,
    /// Reads from the store where the VM stands: the receiver holds another recovery point than we believed.
    LearnPast,
    /// Closes snapshots that a lost reply left behind.
    Sweep,
    /// Looks for what stands in the way, and turns change tracking on.
    Prepare,
    BeginCycle {
        urgency: Urgency,
    },
    PowerOff,
    IntendSnapshot {
        attempt: Attempt,
    },
    OpenSnapshot {
        tag: String,
    },
    ListDisks {
        token: SnapshotToken,
    },
    PlanDisk {
        disk: DiskId,
    },
    CopyDisk {
        disk: DiskId,
    },
    CloseSnapshot {
        token: SnapshotToken,
    },
    AbandonSnapshot {
        tag: String,
        token: Option<SnapshotToken>,
    },
    Commit {
        cycle: CycleNumber,
    },
    AwaitReceipt {
        cycle: CycleNumber,
    },
}

impl Vm {
    /// What to do now. Same state and time, same answer.
    pub fn next_steps(&self, now: Timestamp, session: Session, interval: Interval) -> Vec<Step> {
        if self.identity.is_none() || self.halted.is_some() {
            return vec![Step::Wait { until: None }];
        }
        if self.epoch.is_none() {
            return vec![Step::TakeOwnership];
        }
        if !session.owner_checked {
            return vec![Step::CheckOwner];
        }
        if self.doubtful && self.cycle.is_none() {
            return vec![Step::LearnPast];
        }
        match &self.cycle {
            None => self.when_idle(now, session, interval),
            Some(cycle) => cycle.next_steps(now, session),
        }
    }

    fn when_idle(&self, now: Timestamp, session: Session, interval: Interval) -> Vec<Step> {
        if !session.swept {
            return vec![Step::Sweep];
        }
        match (self.demand, self.due(interval)) {
            (Some(_), Some(due)) if self.failures > 0 && due > now => vec![Step::Wait { until: Some(due) }],
            (None, Some(due)) if due > now => vec![Step::Wait { until: Some(due) }],
            (None, None) => vec![Step::Wait { until: None }],
            _ if !session.prepared => vec![Step::Prepare],
            (Some(urgency), _) => vec![Step::BeginCycle { urgency }],
            (None, Some(_)) => vec![Step::BeginCycle { urgency: Urgency::Scheduled }],
        }
    }

    /// When the next cycle is due by itself: at once at first and after the initial one, by the interval after a delta, by a
    /// growing pause after a failure, and never after the final one.
    pub fn due(&self, interval: Interval) -> Option<Timestamp> {
        let Some(ended) = self.history.last() else { return Some(Timestamp::MIN) };
        if self.failures > 0 {
            let pause = Duration::from_secs(5).saturating_mul(1 << self.failures.min(8).saturating_sub(1));
            return ended.ended_at.checked_add(pause).ok();
        }
        if ended.last {
            return None;
        }
        if ended.disks.iter().any(|disk| disk.mode == Mode::Initial) {
            return Some(ended.ended_at);
        }
        let took = Duration::try_from(ended.ended_at.duration_since(ended.began_at)).unwrap_or_default();
        ended.ended_at.checked_add(interval.after(took)).ok()
    }

    /// Folds one recorded fact.
    pub fn apply(&mut self, fact: Fact) -> Result<(), OutOfOrder> {
        let refuse = |vm: &Vm, fact: &Fact| OutOfOrder { fact: format!("{fact:?}"), state: format!("{:?}", vm.cycle) };
        match fact {
            Fact::Enrolled { identity, source, name, .. } => {
                self.identity = Some(identity);
                self.source = source;
                self.name = name;
                self.next_cycle = self.next_cycle.max(1);
            }
            Fact::Owned { epoch, newest, point, next_cycle, unjudged } => self.own(epoch, newest, point, next_cycle, unjudged),
            Fact::Demanded { urgency, .. } => {
                self.demand = self.demand.max(Some(urgency));
                // Somebody looked and asks for more: the reason is looked at again, and halts again if it still stands.
                self.halted = None;
                self.failures = 0;
            }
            Fact::Halted { fault, .. } => self.halted = Some(fault),
            Fact::CycleBegan { cycle, urgency, at } if self.cycle.is_none() => {
                self.demand = self.demand.filter(|demand| *demand > urgency);
                self.next_cycle = cycle.0 + 1;
                let stage = match urgency {
                    Urgency::Final => Stage::PoweringOff,
                    _ => Stage::NeedsSnapshot { not_before: None },
                };
                self.pending.clear();
                let attempt = Attempt::first_of(self.epoch.unwrap_or(Epoch(1)));
                self.cycle = Some(Cycle { number: cycle, urgency, began_at: at, attempt, stage });
            }
            Fact::Applied { at } => {
                let Some(Cycle { stage: Stage::Committed { point, .. }, .. }) = &self.cycle else { return Err(refuse(self, &fact)) };
                self.point = Some(point.clone());
                self.failures = 0;
                self.salvage.clear();
                self.end_cycle(at, EndedAs::Applied);
            }
            Fact::Rejected { ref rejection, at } => {
                let Some(Cycle { stage: Stage::Committed { .. }, .. }) = &self.cycle else { return Err(refuse(self, &fact)) };
                self.keep_for_repair(rejection);
                self.failures += 1;
                self.doubtful = rejection.code == RejectCode::WrongBase;
                if self.cycle.as_ref().is_some_and(|cycle| cycle.urgency == Urgency::Final) {
                    self.demand = Some(Urgency::Final);
                }
                self.end_cycle(at, EndedAs::Rejected(rejection.clone()));
            }
            Fact::CycleFailed { fault, at } => self.fail_cycle(fault, at),
            Fact::Abandoned => {
                let Some(Cycle { stage: Stage::Abandoning { then, .. }, .. }) = self.cycle.clone() else { return Err(refuse(self, &fact)) };
                match then {
                    Then::EndCycle { fault, at } => {
                        self.failures += 1;
                        self.end_cycle(at, EndedAs::Failed(fault));
                    }
                    Then::Again { not_before } => {
                        let cycle = self.cycle.as_mut().expect("matched above");
                        cycle.attempt = cycle.attempt.next();
                        cycle.stage = Stage::NeedsSnapshot { not_before: Some(not_before) };
                    }
                }
            }
            Fact::AttemptFailed { fault, salvage, retry_at } => self.fail_attempt(fault, salvage, retry_at),
            fact => {
                let Some(cycle) = self.cycle.as_mut() else { return Err(refuse(self, &fact)) };
                let repairs = cycle.repairs(&self.salvage);
                let committed = cycle.apply(fact)?;
                if let Some((point, pending)) = committed {
                    self.newest = Some(point);
                    self.pending = pending;
                    self.salvage = repairs;
                }
            }
        }
        Ok(())
    }

    fn own(&mut self, epoch: Epoch, newest: Option<PointRef>, point: Option<Point>, next_cycle: CycleNumber, unjudged: Option<Point>) {
        self.epoch = Some(epoch);
        self.newest = newest;
        self.point = point;
        self.next_cycle = self.next_cycle.max(next_cycle.0);
        self.halted = None;
        self.doubtful = false;
        // What it builds on may be another point now.
        self.salvage.clear();
        self.cycle = unjudged.map(|point| Cycle {
            number: point.commit.cycle,
            urgency: Urgency::Scheduled,
            began_at: point.taken_at,
            attempt: Attempt::first_of(epoch),
            stage: Stage::Committed { point, covered: BTreeMap::new() },
        });
    }

    fn end_cycle(&mut self, at: Timestamp, outcome: EndedAs) {
        let Some(cycle) = self.cycle.take() else { return };
        let last = cycle.urgency == Urgency::Final && outcome == EndedAs::Applied;
        let disks = std::mem::take(&mut self.pending);
        self.history.push(Ended { cycle: cycle.number, began_at: cycle.began_at, ended_at: at, last, outcome, disks });
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
    }

    /// A refused initial need not start from nothing: the blocks that were refused, and what changed since, are enough.
    fn keep_for_repair(&mut self, rejection: &Rejection) {
        let kept = std::mem::take(&mut self.salvage);
        let repairable = rejection.code == RejectCode::Damaged && !rejection.bad_blocks.is_empty();
        if !repairable {
            return;
        }
        let bad =
            |disk: &DiskId| rejection.bad_blocks.iter().find(|bad| bad.disk == *disk).map_or(&[][..], |BadBlocks { blocks, .. }| blocks);
        self.salvage = kept
            .into_iter()
            .filter(|(_, salvage)| salvage.mode == Mode::Initial)
            .map(|(disk, salvage)| {
                let bad_blocks = bad(&disk).to_vec();
                (disk, Salvage { bad_blocks, ..salvage })
            })
            .collect();
    }

    /// Forgets what was copied, as it may be what failed; but a copy that is complete is good, and only its commit could not be made.
    fn fail_cycle(&mut self, fault: Fault, at: Timestamp) {
        self.salvage = self.cycle.as_ref().map_or_else(BTreeMap::new, |cycle| cycle.repairs(&self.salvage));
        self.abandon(Then::EndCycle { fault, at });
    }

    fn fail_attempt(&mut self, fault: Fault, salvage: Vec<Salvage>, retry_at: Timestamp) {
        let exhausted = self.cycle.as_ref().is_some_and(|cycle| cycle.attempt.in_cycle() >= ATTEMPTS_MAX);
        self.salvage = salvage.into_iter().map(|salvage| (salvage.disk.clone(), salvage)).collect();
        match exhausted {
            true => self.abandon(Then::EndCycle { fault, at: retry_at }),
            false => self.abandon(Then::Again { not_before: retry_at }),
        }
    }

    fn abandon(&mut self, then: Then) {
        let Some(cycle) = self.cycle.as_mut() else { return };
        let (tag, token) = match &cycle.stage {
            Stage::Opening { tag } => (tag.clone(), None),
            Stage::Open { tag, token, .. } => (tag.clone(), Some(token.clone())),
            // Nothing is open.
            _ => (String::new(), None),
        };
        cycle.stage = Stage::Abandoning { tag, token, then };
    }
}

impl Cycle {
    fn next_steps(&self, now: Timestamp, session: Session) -> Vec<Step> {
        match &self.stage {
            Stage::PoweringOff => vec![Step::PowerOff],
            Stage::NeedsSnapshot { not_before: Some(until) } if *until > now => vec![Step::Wait { until: Some(*until) }],
            Stage::NeedsSnapshot { .. } if !session.swept => vec![Step::Sweep],
            Stage::NeedsSnapshot { .. } => vec![Step::IntendSnapshot { attempt: self.attempt }],
            Stage::Opening { tag } => vec![Step::OpenSnapshot { tag: tag.clone() }],
            Stage::Open { token, disks: None, .. } => vec![Step::ListDisks { token: token.clone() }],
            Stage::Open { token, disks: Some(disks), .. } if disks.all_copied() => vec![Step::CloseSnapshot { token: token.clone() }],
            Stage::Open { disks: Some(disks), .. } => disks
                .each
                .iter()
                .filter(|(_, copying)| copying.layer.is_none())
                .map(|(disk, copying)| match copying.plan {
                    None => Step::PlanDisk { disk: disk.clone() },
                    Some(_) => Step::CopyDisk { disk: disk.clone() },
                })
                .collect(),
            Stage::Closed { .. } => vec![Step::Commit { cycle: self.number }],
            Stage::Committed { .. } => vec![Step::AwaitReceipt { cycle: self.number }],
            Stage::Abandoning { tag, token, .. } => vec![Step::AbandonSnapshot { tag: tag.clone(), token: token.clone() }],
        }
    }

    /// What a repair of this cycle's initial disks could build on, should the commit be refused.
    fn repairs(&self, before: &BTreeMap<DiskId, Salvage>) -> BTreeMap<DiskId, Salvage> {
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
    fn apply(&mut self, fact: Fact) -> Result<Option<(PointRef, Vec<EndedDisk>)>, OutOfOrder> {
        let refused = OutOfOrder { fact: format!("{fact:?}"), state: format!("{:?}", self.stage) };
        match (fact, &mut self.stage) {
            (Fact::PoweredOff, Stage::PoweringOff) => self.stage = Stage::NeedsSnapshot { not_before: None },
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
            (Fact::DiskPlanned { disk, plan }, Stage::Open { disks: Some(disks), .. }) => {
                disks.each.get_mut(&disk).filter(|disk| disk.plan.is_none()).ok_or(refused)?.plan = Some(plan);
            }
            (Fact::DiskCopied { disk, layer, stats }, Stage::Open { disks: Some(disks), .. }) => {
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
                    mode: plan.mode,
                    resync: plan.resync.clone(),
                    reported_bytes: plan.reported_bytes,
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

#[cfg(test)]
mod tests;
