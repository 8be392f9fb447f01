//! Drops recovery points that need not be kept, and collects what nobody names any more. Done by the gateway that owns the VM, and by
//! nobody else.
//!
//! ```text
//!   survey ─▶ plan ─▶ checkpoints ─▶ record ─▶ [leases?] ─▶ commits ─▶ receipts, marks ─▶ checkpoints ─▶ pages, planned ─▶ segments
//!              │      of the points    │ from here on they are gone,          │
//!              │      behind a gap     │ by name, for every reader            └─ before each thousand: is the VM still ours?
//!              ▼
//!            shown                     a crash anywhere: the next turn reads the record and goes on; deleting twice is deleting once
//! ```
//!
//! The record comes first because a reader must never meet half a point without being told (log/dropped.rs). Names go before what they
//! name, as they come after it when they are written. What is computed to be dead stays dead however late it is deleted: it belongs to
//! cycles that have ended, no kept commit names it, and no later one can. So an owner that lost the VM in mid-turn does no harm either.
//!
//! Memory is bounded whatever a disk's size: dead segments are found by going through the store's list once, and through the pages of kept
//! points once for each half million of candidates (sweep.rs).

mod erase;
mod survey;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard, Semaphore, watch};

use crate::clock::Clock;
use crate::journal::{Folded, Journal, Ledger};
use crate::log::chain::Chain;
use crate::log::dropped::DroppedRecord;
use crate::log::mark::Mark;
use crate::log::seal::Role;
use crate::log::store::Log;
use crate::log::{checkpoint, layout, lease};
use crate::model::commit::Sha;
use crate::model::{CycleNumber, Epoch, Fault, FaultKind, VmId};
use crate::policy::reaction::pause;
use crate::policy::retention::{Batches, Known, Plan, Reason, Rule, Standing, UnderWay, plan};
use crate::policy::vm::{Urgency, Vm};

use super::gateway::VmView;
use erase::Eraser;
pub use erase::Freed;
use survey::Survey;
pub use survey::stored_by_cycle;
use sweep::Sweep;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    pub rule: Rule,
    pub batches: Batches,
}

/// How often it is looked whether a final cycle has ended, or a VM is idle.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What was collected, as the journal remembers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collected {
    /// Everything of cycles up to this one was looked through, also what commits name.
    through: Option<CycleNumber>,
    /// The end of the last turn that came to its end.
    at: Option<Timestamp>,
    /// A turn began and has not come to its end.
    under_way: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CollectedFact {
    TurnBegan { at: Timestamp },
    TurnEnded { through: CycleNumber, dropped: u64, freed: Freed, at: Timestamp },
}

impl Collected {
    fn through(&self) -> CycleNumber {
        self.through.unwrap_or(CycleNumber(0))
    }
}

impl Folded for Collected {
    type Fact = CollectedFact;
    const FORM: u32 = 1;

    fn fold(&mut self, fact: CollectedFact) -> Result<(), Fault> {
        match fact {
            CollectedFact::TurnBegan { .. } => self.under_way = true,
            CollectedFact::TurnEnded { through, at, .. } => {
                *self = Collected { through: self.through.max(Some(through)), at: Some(at), under_way: false }
            }
        }
        Ok(())
    }
}

pub fn aggregate(vm: &VmId) -> String {
    format!("vm/{vm}/retention")
}

/// A plan, and what it would free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunePlan {
    pub plan: Plan,
    pub freed: Freed,
}

impl PrunePlan {
    /// Names what would be done: two plans that drop the same have the same one.
    pub fn id(&self) -> String {
        let dropped: Vec<CycleNumber> = self.plan.dropped.iter().map(|dropped| dropped.cycle).collect();
        let named = serde_json::to_vec(&(dropped, &self.plan.checkpoints)).expect("it has no keys");
        Sha::of(&named).to_string()[..12].to_owned()
    }
}

/// A recovery point, for the table that people look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointKept {
    pub cycle: CycleNumber,
    pub taken_at: Timestamp,
    /// What its cycle put into the store. What it shares with points before it is counted there.
    pub stored_bytes: u64,
    pub verified: bool,
    pub pinned: bool,
    pub checkpoint: bool,
    /// Why it is kept; nothing when it goes with the next batch.
    pub why: Vec<Reason>,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Done(Freed),
    /// The points are recorded as dropped, and go when these readers have ended.
    Waits {
        readers: Vec<String>,
    },
}

/// Keeps the recovery points of one VM in order.
pub struct Keeper {
    log: Log,
    clock: Arc<dyn Clock>,
    id: VmId,
    settings: Settings,
    view: watch::Receiver<VmView>,
    /// Turns over all VMs: each holds up to some 20 MiB, and none is urgent.
    turns: Arc<Semaphore>,
    /// Whoever plans, executes or pins holds it.
    ledger: Mutex<Ledger<Collected>>,
}

impl Keeper {
    pub async fn open(
        log: Log,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        id: VmId,
        settings: Settings,
        view: watch::Receiver<VmView>,
        turns: Arc<Semaphore>,
    ) -> Result<Keeper, Fault> {
        let ledger = Mutex::new(Ledger::open(journal, aggregate(&id)).await?);
        Ok(Keeper { log, clock, id, settings, view, turns, ledger })
    }

    /// Takes its turn after cycles, for as long as the VM's task runs.
    pub async fn run(&self) -> Result<(), Fault> {
        let mut failures = 0;
        while self.view.has_changed().is_ok() {
            let mut wait = LOOK_EVERY;
            if self.is_due().await {
                match self.turn().await {
                    Ok(_) => failures = 0,
                    Err(fault) => {
                        failures += 1;
                        wait = pause(&fault, failures).max(LOOK_EVERY);
                        tracing::warn!(vm = %self.id, kind = %fault.kind, message = %fault.message, "recovery points are not collected; none is lost");
                    }
                }
            }
            self.clock.sleep(wait).await;
        }
        Ok(())
    }

    async fn is_due(&self) -> bool {
        let collected = self.ledger.lock().await.state().clone();
        let view = self.view.borrow();
        if view.vm.epoch.is_none() || view.vm.halted.is_some() || view.vm.doubtful || view.vm.cycle.is_some() || final_is_near(&view.vm) {
            return false;
        }
        let cycles = view.vm.next_cycle.saturating_sub(1).saturating_sub(collected.through().0);
        collected.under_way || self.settings.batches.are_due(cycles, collected.at, self.clock.now())
    }

    async fn turn(&self) -> Result<Outcome, Fault> {
        let _turn = self.turns.acquire().await.expect("this semaphore is never closed");
        let mut ledger = self.ledger.lock().await;
        let survey = self.survey().await?;
        let plan = plan(&self.settings.rule, &survey.situation);
        self.execute(&mut ledger, &survey, &plan).await
    }

    /// What would be done now, and what it would free. Changes nothing.
    pub async fn plan(&self) -> Result<PrunePlan, Fault> {
        let ledger = self.by_hand()?;
        let survey = self.survey().await?;
        self.count(&ledger, &survey).await
    }

    /// Plans and executes just that plan. One that is not the `expected` one, as it was shown before, is not executed.
    pub async fn prune(&self, expected: Option<&str>) -> Result<(PrunePlan, Outcome), Fault> {
        let mut ledger = self.by_hand()?;
        let _turn = self.turns.acquire().await.expect("this semaphore is never closed");
        let survey = self.survey().await?;
        let made = self.count(&ledger, &survey).await?;
        if expected.is_some_and(|expected| expected != made.id()) {
            return Err(Fault::conflict("the plan is not the one that was shown: recovery points were made, pinned or dropped since"));
        }
        let outcome = self.execute(&mut ledger, &survey, &made.plan).await?;
        Ok((made, outcome))
    }

    /// All recovery points, why each is kept, and what its cycle put into the store.
    pub async fn points(&self) -> Result<Vec<PointKept>, Fault> {
        let survey = self.survey().await?;
        let (plan, stored) = (plan(&self.settings.rule, &survey.situation), stored_by_cycle(&self.log, &self.id).await?);
        let point = |known: &Known| PointKept {
            cycle: known.cycle,
            taken_at: known.taken_at,
            stored_bytes: stored.get(&known.cycle).copied().unwrap_or_default(),
            verified: known.verified,
            pinned: known.pinned,
            checkpoint: known.checkpoint,
            why: plan.kept.iter().find(|kept| kept.cycle == known.cycle).map_or_else(Vec::new, |kept| kept.why.clone()),
        };
        Ok(survey.situation.commits.iter().filter(|known| known.standing == Standing::Applied).map(point).collect())
    }

    /// Keeps a point until it is unpinned.
    pub async fn pin(&self, cycle: CycleNumber) -> Result<(), Fault> {
        let _nothing_is_dropped_meanwhile = self.by_hand()?;
        let survey = self.survey().await?;
        survey.records.refuse_dropped(cycle)?;
        let is_point = survey.situation.commits.iter().any(|known| known.cycle == cycle && known.standing == Standing::Applied);
        let Some((_, point)) = survey.commits.get(&cycle).filter(|_| is_point) else {
            return Err(Fault::not_found(format!("cycle {cycle} is no recovery point: it has no receipt that says applied")));
        };
        Mark::new(*point, self.clock.now()).put(&self.log, &layout::pin(&self.id, cycle)).await
    }

    pub async fn unpin(&self, cycle: CycleNumber) -> Result<(), Fault> {
        let _nothing_is_dropped_meanwhile = self.by_hand()?;
        let results = self.log.sink().delete(&[layout::pin(&self.id, cycle)]).await?;
        results.into_iter().collect()
    }

    /// A person does not wait for a turn that may take an hour.
    fn by_hand(&self) -> Result<MutexGuard<'_, Ledger<Collected>>, Fault> {
        self.ledger.try_lock().map_err(|_| Fault::unavailable(format!("the recovery points of {} are being collected just now", self.id)))
    }

    async fn survey(&self) -> Result<Survey, Fault> {
        let (epoch, under_way) = self.ours()?;
        Survey::of(&self.log, &self.id, epoch, under_way, self.clock.now()).await
    }

    /// The VM as it is now, if it is ours to work on.
    fn ours(&self) -> Result<(Epoch, UnderWay), Fault> {
        let view = self.view.borrow();
        let not_now = |why: &str| Fault::unavailable(format!("the recovery points of {} are left alone: {why}", self.id));
        match view.vm.epoch {
            _ if view.vm.halted.is_some() => Err(not_now("it is halted, and a person has to look")),
            _ if view.vm.doubtful => Err(not_now("it is about to learn where it stands")),
            None => Err(not_now("it has only just been taken up")),
            Some(epoch) => Ok((epoch, UnderWay::of(&view.vm))),
        }
    }

    async fn count(&self, ledger: &Ledger<Collected>, survey: &Survey) -> Result<PrunePlan, Fault> {
        let plan = plan(&self.settings.rule, &survey.situation);
        let mut counting = Eraser::counting(&self.log);
        survey.erase_dropped(&self.log, &plan, &mut counting).await?;
        self.sweep(ledger, survey, &plan).run(&mut counting).await?;
        Ok(PrunePlan { plan, freed: counting.freed() })
    }

    fn sweep<'a>(&'a self, ledger: &Ledger<Collected>, survey: &'a Survey, plan: &Plan) -> Sweep<'a> {
        Sweep::new(&self.log, survey, plan, ledger.state().through())
    }

    async fn execute(&self, ledger: &mut MutexGuard<'_, Ledger<Collected>>, survey: &Survey, plan: &Plan) -> Result<Outcome, Fault> {
        erase::check_owner(&self.log, &self.id, survey.epoch).await?;
        ledger.record(vec![CollectedFact::TurnBegan { at: self.clock.now() }]).await?;
        for cycle in &plan.checkpoints {
            checkpoint::write(&self.log, &Chain::read(&self.log, &self.id, *cycle).await?).await?;
        }
        let recorded_at = match plan.dropped.is_empty() {
            true => survey.records.newest.as_ref().map(|record| record.at),
            false => Some(self.record_dropped(survey, plan).await?),
        };
        if let Some(recorded_at) = recorded_at {
            let readers = self.readers_before(recorded_at).await?;
            if !readers.is_empty() {
                tracing::info!(vm = %self.id, ?readers, "what was dropped stays until it is read to the end");
                return Ok(Outcome::Waits { readers });
            }
        }
        let mut eraser = Eraser::new(&self.log, &self.id, survey.epoch, || self.stand_aside());
        survey.erase_dropped(&self.log, plan, &mut eraser).await?;
        self.sweep(ledger, survey, plan).run(&mut eraser).await?;
        survey.erase_old_records(plan, &mut eraser).await?;
        let freed = eraser.freed();
        let through = CycleNumber(survey.under_way.from.0.saturating_sub(1));
        tracing::info!(vm = %self.id, dropped = plan.dropped.len(), objects = freed.objects, bytes = freed.bytes, "recovery points are collected");
        let ended = CollectedFact::TurnEnded { through, dropped: plan.dropped.len() as u64, freed, at: self.clock.now() };
        ledger.record(vec![ended]).await?;
        Ok(Outcome::Done(freed))
    }

    async fn record_dropped(&self, survey: &Survey, plan: &Plan) -> Result<Timestamp, Fault> {
        erase::check_owner(&self.log, &self.id, survey.epoch).await?;
        let at = self.clock.now();
        let newest = plan.dropped.iter().map(|dropped| dropped.cycle).max().unwrap_or(CycleNumber(0));
        let through = survey.records.newest.as_ref().map_or(newest, |record| record.through.max(newest));
        let kept = plan.kept.iter().map(|kept| kept.cycle).filter(|cycle| *cycle <= through).collect();
        let record = DroppedRecord::new(self.id.clone(), survey.epoch, at, through, kept);
        match self.log.create(Role::Dropped, &survey.records.next_key(&self.id), &record.encode()).await {
            Err(fault) if fault.kind == FaultKind::Conflict => {
                Err(Fault::unavailable("another agent dropped recovery points a moment ago"))
            }
            result => result.map(|()| at),
        }
    }

    /// Those who may have read a chain before the record stood there. Who began later was refused, or reads what is kept.
    async fn readers_before(&self, recorded_at: Timestamp) -> Result<Vec<String>, Fault> {
        let leases = lease::find(&self.log, &self.id, self.clock.now()).await?;
        let surely_later = recorded_at.checked_add(lease::SKEW).unwrap_or(Timestamp::MAX);
        let before = leases.held.into_iter().filter(|lease| lease.since <= surely_later);
        Ok(before.map(|lease| format!("{} of recovery point {}", lease.purpose, lease.point)).collect())
    }

    /// A final cycle has a window to keep; this has time.
    async fn stand_aside(&self) -> Result<(), Fault> {
        while final_is_near(&self.view.borrow().vm) {
            if self.view.has_changed().is_err() {
                return Err(Fault::cancelled("the VM's task has ended"));
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

fn final_is_near(vm: &Vm) -> bool {
    vm.demand == Some(Urgency::Final) || vm.cycle.as_ref().is_some_and(|cycle| cycle.urgency == Urgency::Final)
}
