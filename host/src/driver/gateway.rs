//! One VM's task on the gateway: asks policy for the next steps, runs them side by side, records what happened.

mod seat;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{AbortHandle, Aborted, BoxFuture, abortable};
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::files::Files;
use crate::journal::{Folded, Journal, Ledger};
use crate::log::store::Log;
use crate::model::{DiskId, Fault, Finding, Quiesce, VmId, VmRef};
use crate::pipeline::copy::Progress;
use crate::pipeline::limits::Copies;
use crate::pipeline::pace::{self, Holder, Pace};
use crate::pipeline::source::Source;
use crate::policy::admission::{Kind, Standing};
use crate::policy::calendar::Closed;
use crate::policy::interval::Interval;
use crate::policy::reaction::{Patience, Reaction, react};
use crate::policy::vm::command::{Verdict, judge};
use crate::policy::vm::{Conditions, Fact, Repair, Seat, Session, Step, Vm};
use crate::waypoint;

use super::fleet::{Fleet, Located, Member};
use super::hours::Hours;
use super::order::{Order, Trial};
use super::perform;
use super::tries::Tries;

impl Folded for Vm {
    type Fact = Fact;
    const FORM: u32 = 1;

    fn fold(&mut self, fact: Fact) -> Result<(), Fault> {
        self.apply(fact).map_err(|error| Fault::internal(error.to_string()))
    }
}

/// How one VM is replicated.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub interval: Interval,
    pub quiesce: Quiesce,
    /// How often the store is asked for receipts.
    pub poll: Duration,
    /// How long a guest may take to shut down before the final cycle.
    pub shutdown_within: Duration,
    /// For how long something may be down before it costs an attempt.
    pub patience: Patience,
    /// Bytes of each disk and delta that are read again, of what the source calls unchanged.
    pub distrust: u64,
}

/// Everything a VM's task works with.
#[derive(Clone)]
pub struct Gateway {
    pub source: Arc<dyn Source>,
    pub log: Log,
    pub journal: Arc<dyn Journal>,
    /// The agent's own files: digest tables.
    pub work: Arc<dyn Files>,
    pub clock: Arc<dyn Clock>,
    pub copies: Arc<Copies>,
    /// Who may begin a cycle, over all VMs.
    pub fleet: Arc<Fleet>,
    /// What this VM's copies are paced by. Who has its reins can hold them, or end them with everything published.
    pub pace: Pace,
    /// When nothing begins.
    pub hours: Arc<Hours>,
    pub settings: Settings,
}

/// What the world may see of a VM while its task runs.
#[derive(Debug, Clone, Default)]
pub struct VmView {
    pub vm: Vm,
    pub steps: Vec<Step>,
    /// The last fault of a step that is being tried again.
    pub trouble: Option<Fault>,
    /// What preflight found that does not stand in the way.
    pub findings: Vec<Finding>,
    /// The window of the calendar that holds.
    pub blackout: Option<Closed>,
    pub progress: BTreeMap<DiskId, Arc<Progress>>,
}

pub fn aggregate(vm: &VmId) -> String {
    format!("vm/{vm}/gateway")
}

/// The VM whose facts an aggregate holds.
pub fn vm_of(aggregate: &str) -> Option<VmId> {
    Some(VmId::from(aggregate.strip_prefix("vm/")?.strip_suffix("/gateway")?))
}

/// Who the VM is, for a journal that has never heard of it.
#[derive(Debug, Clone)]
pub struct Enrolment {
    pub id: VmId,
    pub identity: VmRef,
    pub source: String,
    pub name: String,
    pub repair: Repair,
}

/// The wall clock may be set, and what is waited for is a time on it.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);

/// Moments of steps; those of their facts are the ledger's.
fn moment(step: &Step, which: &str) {
    waypoint::reached(|| format!("step/{}/{which}", waypoint::name_of(step)));
}

/// None for a step that was called off.
type StepResult = (Step, Result<Result<perform::Done, Fault>, Aborted>);

pub struct VmTask {
    gateway: Gateway,
    id: VmId,
    ledger: Ledger<Vm>,
    member: Member,
    /// Where the VM was when that was asked last.
    located: Option<Located>,
    /// As what a seat was asked for.
    asked: Option<(Kind, Standing)>,
    /// Its snapshot could not be closed so far.
    unmerged: bool,
    /// Its snapshot is open since before this process, and where is not known so far.
    unplaced: Option<seat::Unplaced>,
    /// The next look at where it is, while its snapshot is open or it waits.
    look: Option<BoxFuture<'static, Result<Located, Fault>>>,
    session: Session,
    running: FuturesUnordered<BoxFuture<'static, StepResult>>,
    under_way: Vec<(Step, AbortHandle)>,
    tries: Tries,
    progress: BTreeMap<DiskId, Arc<Progress>>,
    orders: mpsc::Receiver<Order>,
    view: watch::Sender<VmView>,
    trouble: Option<Fault>,
    findings: Vec<Finding>,
}

impl VmTask {
    /// Replays the VM's facts, and enrols it if there are none.
    pub async fn open(
        gateway: Gateway,
        enrolment: Enrolment,
        orders: mpsc::Receiver<Order>,
        view: watch::Sender<VmView>,
    ) -> Result<VmTask, Fault> {
        let mut ledger: Ledger<Vm> = Ledger::open(gateway.journal.clone(), aggregate(&enrolment.id)).await?;
        let Enrolment { id, identity, source, name, repair } = enrolment;
        match &ledger.state().identity {
            None => ledger.record(vec![Fact::Enrolled { identity, source, name, at: gateway.clock.now() }]).await?,
            Some(known) if *known != identity => {
                return Err(Fault::conflict(format!(
                    "the VM {name} is not the one that was enrolled under this name; nothing was touched"
                )));
            }
            Some(_) => {}
        }
        if ledger.state().wishes.repair != repair {
            ledger.record(vec![Fact::RepairChosen { repair }]).await?;
        }
        let unplaced = seat::Unplaced::of(ledger.state());
        let member = gateway.fleet.join(&id, &ledger.state().name, ledger.state(), gateway.pace.reins.clone());
        Ok(VmTask {
            gateway,
            id,
            ledger,
            member,
            located: None,
            asked: None,
            unmerged: false,
            unplaced,
            look: None,
            session: Session::default(),
            running: FuturesUnordered::new(),
            under_way: Vec::new(),
            tries: Tries::default(),
            progress: BTreeMap::new(),
            orders,
            view,
            trouble: None,
            findings: Vec::new(),
        })
    }

    /// Runs until it was told to leave and nothing is left to put down, or the orders' sender is dropped, or the journal fails.
    pub async fn run(mut self) -> Result<(), Fault> {
        let mut told = self.gateway.pace.reins.told();
        let mut hours = self.gateway.hours.changes();
        loop {
            let wake = self.start_steps();
            self.show();
            if self.session.leaving && self.under_way.is_empty() && wake.is_none() {
                return Ok(());
            }
            self.keep_looking();
            let sleep = self.sleep_until(wake);
            tokio::select! {
                biased;
                // Orders are few, and steps may follow each other without a pause.
                order = self.orders.recv() => match order {
                    Some(order) => self.ordered(order).await?,
                    None => return Ok(()),
                },
                Some((step, result)) = self.running.next(), if !self.running.is_empty() => if let Ok(result) = result {
                    self.step_ended(step, result).await?;
                },
                // With a seat it looks more often.
                () = self.member.told() => self.look = None,
                located = seat::next(&mut self.look) => self.looked(located).await?,
                () = told.changed() => {}
                _ = hours.changed() => {}
                () = sleep => {}
            }
        }
    }

    pub fn state(&self) -> &Vm {
        self.ledger.state()
    }

    /// Starts what is to be done and not under way; answers when to look again.
    fn start_steps(&mut self) -> Option<Timestamp> {
        let now = self.gateway.clock.now();
        let mut wake: Option<Timestamp> = None;
        let mut look_at = |moment: Timestamp| wake = Some(wake.map_or(moment, |wake| wake.min(moment)));
        let hours = self.gateway.hours.at(now);
        let stands_still = hours.blackout.as_ref().is_some_and(|closed| self.ledger.state().stands_still_in(closed));
        let order = if stands_still { pace::Order::End } else { pace::Order::Go };
        self.gateway.pace.reins.tell(Holder::Blackout, order);
        // What runs is brought to its end. After that the seat is for others, and the snapshot stays open.
        let seat = if stands_still && self.under_way.is_empty() { Seat::None } else { self.member.seat() };
        if let (Some(change), true) = (hours.next_change, self.ledger.state().cycle.is_some() && !self.session.leaving) {
            look_at(change);
        }
        let (session, interval, blackout) = (self.session, self.gateway.settings.interval, hours.blackout.clone());
        let conditions = Conditions { session, interval, seat, blackout };
        let mut steps = self.ledger.state().next_steps(now, &conditions);
        if let Some(until) = self.begins_again_at(now)
            && steps.iter().any(Step::wants_seat)
        {
            // Its seat is for others meanwhile.
            steps = vec![Step::Wait { until: Some(until) }];
        }
        self.member.keep(self.ledger.state().seat_need(&steps), now);
        self.call_off_all_but(&steps);
        for step in steps {
            match (&step, self.tries.not_before(&step, now)) {
                (Step::Wait { until }, _) => until.iter().for_each(|until| look_at(*until)),
                _ if self.is_under_way(&step) => {}
                // It would end at once.
                (Step::CopyDisk { .. }, _) if self.gateway.pace.reins.order() == pace::Order::End => {}
                // It would only grow.
                (Step::IntendSnapshot { .. }, _) if self.gateway.pace.reins.order() != pace::Order::Go => {}
                (Step::TakeSeat, _) if self.member.waits() => self.wish_again(now),
                (_, Some(not_before)) => look_at(not_before),
                _ => self.start(step),
            }
        }
        wake
    }

    fn start(&mut self, step: Step) {
        if let Step::CopyDisk { disk } = &step {
            let before = self.progress.get(disk).map(|progress| progress.published());
            self.progress.insert(disk.clone(), Arc::new(Progress::after(before.unwrap_or_default())));
        }
        let performing = perform::Performing {
            gateway: self.gateway.clone(),
            id: self.id.clone(),
            vm: self.ledger.state().clone(),
            progress: self.progress.clone(),
        };
        let name = step.clone();
        let (performance, handle) = abortable(async move {
            moment(&step, "begun");
            let result = performing.perform(&step).await;
            if result.is_ok() {
                moment(&step, "done");
            }
            result
        });
        self.under_way.push((name.clone(), handle));
        self.running.push(Box::pin(async move { (name, performance.await) }));
    }

    fn is_under_way(&self, step: &Step) -> bool {
        self.under_way.iter().any(|(running, _)| running == step)
    }

    /// Ends steps that nothing asks for any more, since something was decided while they ran. They are made to be dropped at any await.
    fn call_off_all_but(&mut self, wanted: &[Step]) {
        self.under_way.retain(|(step, handle)| {
            let kept = wanted.contains(step);
            if !kept {
                handle.abort();
            }
            kept
        });
    }

    async fn step_ended(&mut self, step: Step, result: Result<perform::Done, Fault>) -> Result<(), Fault> {
        self.under_way.retain(|(running, _)| *running != step);
        match result {
            Ok(done) => {
                match step {
                    // What was tried in vain was tried of an attempt that is put down.
                    Step::Park => self.tries.clear(),
                    _ => self.tries.succeeded(&step),
                }
                self.closed(&step);
                self.trouble = None;
                if let Some(located) = done.located {
                    self.wish(located, self.gateway.clock.now());
                }
                self.session.owner_checked |= done.owner_checked;
                self.session.swept |= done.swept;
                self.session.tracking |= done.tracking;
                if let Some(findings) = done.prepared {
                    self.session.prepared = true;
                    self.findings = findings;
                }
                if done.renewal_tried_before.is_some() {
                    self.session.renewal_tried_before = done.renewal_tried_before;
                    // It is turned on again, and proved to be, as at the very first.
                    self.session.tracking = false;
                }
                if !done.facts.is_empty() {
                    self.ledger.record(done.facts).await?;
                }
                Ok(())
            }
            Err(fault) => self.step_failed(step, fault).await,
        }
    }

    async fn step_failed(&mut self, step: Step, fault: Fault) -> Result<(), Fault> {
        // It may take long until it comes back: nobody else waits for that, as soon as what it has open is counted.
        if self.unplaced.is_none() {
            self.member.returned();
        }
        self.not_closed(&step);
        // Somebody may have taken a snapshot since preflight, which says so best.
        self.session.prepared &= step != Step::EnableTracking;
        let now = self.gateway.clock.now();
        let failing = self.tries.failed(&step, self.reached(&step), now);
        let reaction = react(&step, &fault, failing, self.gateway.settings.patience);
        tracing::warn!(vm = %self.id, ?step, kind = %fault.kind, message = %fault.message, ?failing, ?reaction, "a step failed");
        self.trouble = Some(fault.clone());
        let fact = match reaction {
            Reaction::Retry { after } => {
                self.tries.wait(&step, now.checked_add(after).unwrap_or(now));
                return Ok(());
            }
            Reaction::NewSnapshot => {
                let pause = crate::policy::reaction::pause(&fault, self.attempts_so_far());
                return self.give_attempt_up(fault, now.checked_add(pause).unwrap_or(now)).await;
            }
            Reaction::FailCycle => {
                self.stop_running();
                Fact::CycleFailed { fault, at: now }
            }
            Reaction::Halt => {
                self.stop_running();
                Fact::Halted { fault, at: now }
            }
        };
        self.ledger.record(vec![fact]).await
    }

    /// What was published is kept for the next attempt.
    async fn give_attempt_up(&mut self, fault: Fault, retry_at: Timestamp) -> Result<(), Fault> {
        let progress = std::mem::take(&mut self.progress);
        self.stop_running();
        let salvage = perform::salvage(&self.gateway, &self.id, self.ledger.state(), &progress).await;
        self.ledger.record(vec![Fact::AttemptFailed { fault, salvage, retry_at }]).await
    }

    /// How far a step has come, where that can be told.
    fn reached(&self, step: &Step) -> u64 {
        let Step::CopyDisk { disk } = step else { return 0 };
        self.progress.get(disk).map_or(0, |progress| progress.done.load(Ordering::Relaxed))
    }

    fn attempts_so_far(&self) -> u32 {
        self.ledger.state().cycle.as_ref().map_or(1, |cycle| cycle.attempt.in_cycle())
    }

    /// Steps can be dropped at any await: they are made to be repeated.
    fn stop_running(&mut self) {
        self.running.clear();
        self.under_way.clear();
        self.tries.clear();
        self.progress.clear();
    }

    async fn ordered(&mut self, order: Order) -> Result<(), Fault> {
        let Order::Command { command, trial, answer } = order else {
            self.session.leaving = true;
            return Ok(());
        };
        let now = self.gateway.clock.now();
        let verdict = judge(self.ledger.state(), &command, self.gateway.hours.at(now).blackout.as_ref(), now);
        if let (Trial::No, Verdict::Accepted(facts)) = (trial, &verdict) {
            tracing::info!(vm = %self.id, ?command, "a command is accepted");
            self.ledger.record(facts.clone()).await?;
        }
        // Who asked may be gone; what was accepted is done all the same.
        let _ = answer.send(verdict);
        Ok(())
    }

    fn sleep_until(&self, wake: Option<Timestamp>) -> impl Future<Output = ()> + Send + use<> {
        let clock = self.gateway.clock.clone();
        async move {
            match wake {
                None => std::future::pending().await,
                Some(wake) => {
                    let wait = wake.duration_since(clock.now());
                    clock.sleep(Duration::try_from(wait).unwrap_or_default().min(LOOK_AT_CLOCK)).await;
                }
            }
        }
    }

    fn show(&self) {
        self.view.send_replace(VmView {
            vm: self.ledger.state().clone(),
            steps: self.under_way.iter().map(|(step, _)| step.clone()).collect(),
            trouble: self.trouble.clone(),
            findings: self.findings.clone(),
            blackout: self.gateway.hours.at(self.gateway.clock.now()).blackout.clone(),
            progress: self.progress.clone(),
        });
    }
}
