//! One VM on the gateway's side: what happened to it, and what to do next.
//!
//! ```text
//!             ┌──────────── due: interval, command, repair ◀───────────────────────────────┐
//!             ▼                                                                            │
//!   idle ─▶ seat ─▶ [final: off] ─▶ intend ─▶ open ─▶ list ─▶ plan, copy (each disk) ─▶ close ─▶ commit ─▶ await receipt
//!                             ▲                         │ snapshot lost                        │ applied:  point and markers move
//!                             └─────── abandon ◀────────┘ (what was published is kept)         │ rejected: they stay, a repair is due
//! ```
//!
//! The state is the fold of the facts and nothing else: after a crash the facts are replayed and `next_steps` goes on. A step may run
//! twice; each has an identity that the outside recognises (a tag, a key, a cycle number).
//!
//! What is recorded stands in `facts.rs`, the course of a cycle that is under way in `cycle.rs`. What a person may ask is judged in
//! `command.rs`; whether cycles go on at all is in `course.rs`, what windows of the calendar mean for them in `window.rs`, what else is wanted
//! of them in `wishes.rs`, tests and moves in `migration.rs`, and what of all that is shown in `shown.rs`. Here stands what outlives a cycle:
//! when one is due, what it starts from, and what its end means for the next.

pub mod command;
mod course;
mod cycle;
mod facts;
mod migration;
mod seat;
pub mod shown;
mod window;
mod wishes;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::commit::{BadBlocks, Mode, PointRef, RejectCode, Rejection};
use crate::model::{Attempt, CycleNumber, DiskId, Epoch, Fault, ResyncReason, SnapshotToken, VmRef};

use super::calendar::Closed;
use super::distrust::{Compared, Trust};
use super::forecast::{Experience, Forecast};
use super::interval::Interval;
use super::set_back::was_set_back;
use super::timing::{Timing, between};

use course::Hold;
pub use course::{Course, Ending, Running};
pub use cycle::{Copying, Cycle, Disks, Stage, Then};
pub use facts::{CopyStats, Fact, OutOfOrder, Plan, Point, Salvage, Urgency};
pub use migration::{Migration, Test};
pub use seat::{Seat, SeatNeed};
pub use wishes::{AtCutover, Exclusion, InBlackout, Repair, Wishes};

/// How a cycle ended, for the table that people look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub cycle: CycleNumber,
    pub urgency: Urgency,
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    pub last: bool,
    pub outcome: EndedAs,
    pub disks: Vec<EndedDisk>,
    pub timing: Timing,
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
    pub size: u64,
    pub mode: Mode,
    pub resync: Option<ResyncReason>,
    pub reported_bytes: u64,
    pub reported_extents: u64,
    pub compared: Compared,
    pub stats: CopyStats,
}

/// Cycles that are remembered for display.
const HISTORY: usize = 100;
/// Attempts at one cycle that may fail before it counts as failed.
const ATTEMPTS_MAX: u32 = 8;
/// Attempts at one cycle, those included that were parked: their numbers are bounded, and so are the layers that a commit names.
const PARKED_MAX: u32 = 64;

/// As a journal's snapshot holds it: whoever changes its form raises `Vm::FORM` (driver/gateway.rs).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    pub course: Course,
    pub wishes: Wishes,
    pub migration: Migration,
    /// Whether change tracking is believed.
    pub trust: Trust,
    /// Of the running cycle.
    timing: Timing,
    pending: Vec<EndedDisk>,
}

/// What this process has done already, beside what the facts say. Lost with the process, on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Session {
    pub owner_checked: bool,
    pub swept: bool,
    /// Preflight found nothing in the way.
    pub prepared: bool,
    /// Change tracking is on.
    pub tracking: bool,
    /// The agent was told to end: nothing is begun, and what is open is put down.
    pub leaving: bool,
    /// The cycle before which a reset of change tracking was tried last. Where the source refuses one, the cycle goes on as a resync.
    pub renewal_tried_before: Option<u64>,
}

/// What decides with the facts: what this process did already, and what the operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    pub session: Session,
    pub interval: Interval,
    /// What the fleet gave this VM to run a cycle with.
    pub seat: Seat,
    /// A window of the calendar holds: nothing begins, and what runs may have to stand still.
    pub blackout: Option<Closed>,
}

/// What to do. Two steps of one answer may run side by side. Serialised for its name alone (`waypoint.rs`): nobody keeps a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Looks for what stands in the way.
    Prepare,
    /// Asks the source where the VM is, and the fleet for a seat there.
    TakeSeat,
    EnableTracking,
    /// Throws away what a tracker says that was found lying, and lets it begin anew.
    RenewTracking,
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
    /// Looks what the attempt published, before it is put down.
    Park,
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
    /// Throws away what change tracking knows, at the source.
    ResetTracking,
    /// Releases what replication holds at the source, and drops what only further cycles need.
    LetGo,
}

impl Vm {
    /// The snapshot that it has on its source, if it knows its token.
    pub fn open_snapshot(&self) -> Option<&SnapshotToken> {
        match &self.cycle.as_ref()?.stage {
            Stage::Open { token, .. } | Stage::Abandoning { token: Some(token), .. } => Some(token),
            _ => None,
        }
    }

    /// What to do now. Same state, time and conditions, same answer.
    pub fn next_steps(&self, now: Timestamp, conditions: &Conditions) -> Vec<Step> {
        let untouched = self.is_stopped() && !self.wishes.tracking_reset;
        // What is to be put down on leaving was opened by an owner; an agent that has not looked yet has opened nothing.
        let left = conditions.session.leaving && !conditions.session.owner_checked;
        if self.identity.is_none() || untouched || left {
            return vec![Step::Wait { until: None }];
        }
        if self.halted.is_some() {
            return match &self.cycle {
                Some(cycle) if matches!(cycle.stage, Stage::Abandoning { .. }) => {
                    cycle.next_steps(now, conditions.session, conditions.seat)
                }
                _ => vec![Step::Wait { until: None }],
            };
        }
        if self.epoch.is_none() {
            return vec![Step::TakeOwnership];
        }
        if !conditions.session.owner_checked {
            return vec![Step::CheckOwner];
        }
        if self.doubtful && self.cycle.is_none() {
            return vec![Step::LearnPast];
        }
        match &self.cycle {
            None => self.when_idle(now, conditions),
            Some(cycle) => match self.hold(cycle, conditions.session) {
                Hold::GoesOn => {
                    let steps = cycle.next_steps(now, conditions.session, conditions.seat);
                    match &conditions.blackout {
                        Some(closed) => self.in_window(cycle, closed, steps),
                        None => steps,
                    }
                }
                Hold::Park => vec![Step::Park],
                Hold::Waits => vec![Step::Wait { until: None }],
            },
        }
    }

    fn when_idle(&self, now: Timestamp, conditions: &Conditions) -> Vec<Step> {
        let session = conditions.session;
        if !session.swept && !session.leaving {
            return vec![Step::Sweep];
        }
        if let Some(step) = self.off_course(session, conditions.seat) {
            return vec![step];
        }
        if self.waits_for_repair() {
            return vec![Step::Wait { until: None }];
        }
        match (self.demand, self.due(conditions.interval, now)) {
            (Some(_), Some(due)) if self.failures > 0 && due > now => vec![Step::Wait { until: Some(due) }],
            (None, Some(due)) if due > now => vec![Step::Wait { until: Some(due) }],
            (None, None) => vec![Step::Wait { until: None }],
            _ if self.shut_by(conditions).is_some() => {
                vec![Step::Wait { until: self.shut_by(conditions).and_then(|closed| closed.until) }]
            }
            _ if !session.prepared => vec![Step::Prepare],
            _ if conditions.seat == Seat::None => vec![Step::TakeSeat],
            _ if self.wants_renewal(session) => vec![Step::RenewTracking],
            _ if !session.tracking => vec![Step::EnableTracking],
            (Some(urgency), _) => vec![Step::BeginCycle { urgency }],
            (None, Some(_)) => vec![Step::BeginCycle { urgency: Urgency::Scheduled }],
        }
    }

    /// A cycle failed, and a person wants to begin the repair.
    pub fn waits_for_repair(&self) -> bool {
        self.failures > 0 && self.cycle.is_none() && self.wishes.repair == Repair::ByCommand
    }

    /// Not before a final cycle: it is a resync anyway, and a reset would cost downtime and help no cycle after it.
    fn wants_renewal(&self, session: Session) -> bool {
        !self.trust.is_whole() && self.demand != Some(Urgency::Final) && session.renewal_tried_before != Some(self.next_cycle)
    }

    /// How long a cycle takes that begins now.
    pub fn forecast(&self, now: Timestamp) -> Option<Forecast> {
        Experience::of(&self.history).forecast(between(self.point.as_ref()?.taken_at, now))
    }

    /// Whether a cycle would begin now, if nothing else spoke against it.
    pub fn wants_a_cycle(&self, interval: Interval, now: Timestamp) -> bool {
        match (self.demand, self.due(interval, now)) {
            (Some(_), due) => self.failures == 0 || due.is_none_or(|due| due <= now),
            (None, due) => due.is_some_and(|due| due <= now),
        }
    }

    /// When the next cycle is due by itself: at once at first and after the initial one, by the interval after a delta, by a
    /// growing pause after a failure, and never after the final one. Now, when the last one ended by a clock that was set back since: how long
    /// ago that was is not known, and a cycle too many costs less than hours without one.
    pub fn due(&self, interval: Interval, now: Timestamp) -> Option<Timestamp> {
        let Some(ended) = self.history.last() else {
            // An agent that took over has seen no cycle end. The point says whether it was the final one.
            let over = self.point.as_ref().is_some_and(|point| point.last);
            return (!over).then_some(Timestamp::MIN);
        };
        if was_set_back(ended.ended_at, now) && (self.failures > 0 || !ended.last) {
            return Some(now);
        }
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
        let mut timing = self.timing;
        timing.observe(&fact);
        self.fold(fact)?;
        self.timing = timing;
        Ok(())
    }

    fn fold(&mut self, fact: Fact) -> Result<(), OutOfOrder> {
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
            Fact::Halted { fault, at } => {
                self.halted = Some(fault);
                // What an attempt opened is closed all the same: it is ours by its tag, and whoever owns the VM now has swept already.
                if self.cycle.as_ref().is_some_and(|cycle| matches!(cycle.stage, Stage::Opening { .. } | Stage::Open { .. })) {
                    self.abandon(Then::Again { not_before: at });
                }
            }
            Fact::CycleBegan { cycle, urgency, at } if self.cycle.is_none() => {
                self.demand = self.demand.filter(|demand| *demand > urgency);
                self.next_cycle = cycle.0 + 1;
                self.pending.clear();
                let resync = self.wishes.resync.clone();
                if resync.is_some() {
                    // What a delta left covers only what had changed.
                    self.salvage.retain(|_, salvage| salvage.mode != Mode::Delta);
                }
                self.cycle = Some(Cycle::begin(cycle, urgency, at, self.epoch.unwrap_or(Epoch(1)), resync));
            }
            Fact::Applied { at } => {
                let Some(Cycle { stage: Stage::Committed { point, .. }, .. }) = &self.cycle else { return Err(refuse(self, &fact)) };
                self.point = Some(point.clone());
                self.failures = 0;
                self.salvage.clear();
                let done = self.cycle.as_ref().and_then(|cycle| cycle.resync.clone());
                self.wishes.resync.take_if(|wanted| done.as_ref() == Some(wanted));
                self.end_cycle(at, EndedAs::Applied);
            }
            Fact::Rejected { ref rejection, at } => {
                let Some(Cycle { stage: Stage::Committed { .. }, .. }) = &self.cycle else { return Err(refuse(self, &fact)) };
                self.keep_for_repair(rejection);
                self.failures += 1;
                self.doubtful = rejection.code == RejectCode::WrongBase;
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
                    Then::Again { not_before } => self.cycle.as_mut().expect("matched above").try_again(not_before),
                }
            }
            Fact::AttemptFailed { fault, salvage, retry_at } => self.fail_attempt(fault, salvage, retry_at),
            Fact::Parked { salvage, at } => {
                let parks = self.cycle.as_ref().is_some_and(|cycle| match &cycle.stage {
                    Stage::Opening { .. } | Stage::Open { .. } => true,
                    _ => cycle.needs_a_snapshot() && self.is_stopping(),
                });
                if !parks {
                    return Err(refuse(self, &Fact::Parked { salvage, at }));
                }
                self.park(salvage, at);
            }
            Fact::Paused { .. } | Fact::Resumed { .. } | Fact::StopBegan { .. } | Fact::Stopped { .. } | Fact::Restarted { .. } => {
                self.follow(fact)?;
            }
            Fact::RepairChosen { .. }
            | Fact::ResyncAsked { .. }
            | Fact::TrackingResetAsked { .. }
            | Fact::TrackingReset { .. }
            | Fact::DiskExcluded { .. }
            | Fact::DiskIncluded { .. }
            | Fact::BlackoutOverridden { .. } => self.wish(fact)?,
            Fact::TestMigrationBegan { .. }
            | Fact::TestMigrationEnded { .. }
            | Fact::TestMigrationCleanedUp { .. }
            | Fact::MigrationCommitted { .. } => self.migrate(fact)?,
            Fact::Foreseen { .. } if self.cycle.is_some() => {}
            Fact::TrackerLied(lie) => {
                // What an earlier attempt planned by the same tracker is not whole either.
                self.salvage.remove(&lie.disk);
                self.trust.lied(lie);
            }
            Fact::TrackingRenewed { .. } => self.forget_markers(),
            fact => {
                let fact = self.without_excluded(fact)?;
                let Some(cycle) = self.cycle.as_mut() else { return Err(refuse(self, &fact)) };
                if let Fact::DiskPlanned { plan, .. } = &fact {
                    self.trust.compared(plan.compared);
                }
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

    fn forget_markers(&mut self) {
        self.trust.reset();
        self.salvage.clear();
        for disk in self.point.iter_mut().flat_map(|point| point.disks.values_mut()) {
            disk.marker = None;
        }
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
        self.cycle = unjudged.map(|point| Cycle::left_committed(point, epoch));
    }

    fn end_cycle(&mut self, at: Timestamp, outcome: EndedAs) {
        let Some(cycle) = self.cycle.take() else { return };
        // Whoever asked for the final point still waits for it, and the source is off.
        if cycle.urgency == Urgency::Final && outcome != EndedAs::Applied && !self.is_stopping() {
            self.demand = Some(Urgency::Final);
        }
        let last = cycle.urgency == Urgency::Final && outcome == EndedAs::Applied;
        if cycle.urgency == Urgency::Final && self.demand != Some(Urgency::Final) {
            self.wishes.in_blackout = None;
        }
        let disks = std::mem::take(&mut self.pending);
        self.history.push(Ended {
            cycle: cycle.number,
            urgency: cycle.urgency,
            began_at: cycle.began_at,
            ended_at: at,
            last,
            outcome,
            disks,
            timing: self.timing,
        });
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

    /// Forgets what was copied, as it may be what failed; but a copy that is complete is good, and only its commit could not be made. And
    /// what passes by itself says nothing against what earlier attempts published.
    fn fail_cycle(&mut self, fault: Fault, at: Timestamp) {
        if !fault.kind.passes() {
            self.salvage = self.cycle.as_ref().map_or_else(BTreeMap::new, |cycle| cycle.repairs(&self.salvage));
        }
        self.abandon(Then::EndCycle { fault, at });
    }

    fn fail_attempt(&mut self, fault: Fault, salvage: Vec<Salvage>, retry_at: Timestamp) {
        self.salvage = by_disk(salvage);
        let Some(cycle) = self.cycle.as_mut() else { return };
        cycle.failed += 1;
        let exhausted = cycle.failed >= ATTEMPTS_MAX || cycle.attempt.in_cycle() >= PARKED_MAX;
        match exhausted || self.is_stopping() {
            true => self.abandon(Then::EndCycle { fault, at: retry_at }),
            false => self.abandon(Then::Again { not_before: retry_at }),
        }
    }

    /// Puts the attempt down. What was published waits for the next one, in this cycle or in another one.
    fn park(&mut self, salvage: Vec<Salvage>, at: Timestamp) {
        self.salvage = by_disk(salvage);
        let often = self.cycle.as_ref().is_some_and(|cycle| cycle.attempt.in_cycle() >= PARKED_MAX);
        self.abandon(match (self.is_stopping(), often) {
            (true, _) => Then::EndCycle { fault: Fault::cancelled("replication was stopped while the cycle ran"), at },
            (false, true) => {
                Then::EndCycle { fault: Fault::cancelled("the cycle was put down too often to go on; the next one goes on"), at }
            }
            (false, false) => Then::Again { not_before: at },
        });
    }

    fn abandon(&mut self, then: Then) {
        if let Some(cycle) = self.cycle.as_mut() {
            cycle.abandon(then);
        }
    }
}

fn by_disk(salvage: Vec<Salvage>) -> BTreeMap<DiskId, Salvage> {
    salvage.into_iter().map(|salvage| (salvage.disk.clone(), salvage)).collect()
}

#[cfg(test)]
mod tests;
