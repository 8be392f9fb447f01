//! One VM's task on the receiver's side: takes commits in order, has them verified and applied, and answers with receipts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::clock::Clock;
use crate::journal::{Folded, Journal, Ledger};
use crate::log::chain::Chain;
use crate::log::checkpoint;
use crate::log::dropped::Records;
use crate::log::layout;
use crate::log::lease::Leases;
use crate::log::news::Listener;
use crate::log::store::{Log, Objects};
use crate::model::commit::{AppliedDisk, Commit, FORMAT, Mode, PointRef, Receipt, RejectCode, Rejection, Sha, Verdict};
use crate::model::{CycleNumber, Epoch, Fault, FaultKind, StoreNumber, VmId};
use crate::policy::reaction::pause;
use crate::policy::replica::{Replica, ReplicaFact, ReplicaState};
use crate::policy::verdict;
use crate::receiver::ahead::Ahead;
use crate::receiver::apply::{apply, clean_up};
use crate::receiver::prepare::{Places, Trouble, prepare};
use crate::receiver::rebuild::rebuild;

impl Folded for Replica {
    type Fact = ReplicaFact;
    const FORM: u32 = 1;

    fn fold(&mut self, fact: ReplicaFact) -> Result<(), Fault> {
        self.apply(fact);
        Ok(())
    }
}

/// Everything a replica's task works with.
#[derive(Clone)]
pub struct Receiver {
    pub log: Log,
    pub journal: Arc<dyn Journal>,
    pub places: Places,
    pub clock: Arc<dyn Clock>,
    /// How often the store is asked for commits.
    pub poll: Duration,
    /// A checkpoint is written at every so-manieth cycle.
    pub checkpoint_every: u64,
    /// VMs that are worked on at one time. Each holds up to 64 MiB then, and a receiver that was away finds commits of all of them.
    pub at_once: Arc<Semaphore>,
}

impl Receiver {
    /// Held while blocks are fetched and written, and never while waiting for what a gateway does.
    async fn turn(&self) -> OwnedSemaphorePermit {
        self.at_once.clone().acquire_owned().await.expect("this semaphore is never closed")
    }

    fn leases(&self) -> Leases {
        Leases::new(self.log.clone(), self.clock.clone())
    }
}

/// What the world may see of a replica.
#[derive(Debug, Clone, Default)]
pub struct ReplicaView {
    pub replica: Replica,
    pub trouble: Option<Fault>,
}

pub fn aggregate(vm: &VmId) -> String {
    format!("vm/{vm}/replica")
}

pub struct ReplicaTask {
    receiver: Receiver,
    vm: VmId,
    ledger: Ledger<Replica>,
    ahead: Ahead,
    news: Listener,
    view: watch::Sender<ReplicaView>,
}

impl ReplicaTask {
    pub async fn open(receiver: Receiver, vm: VmId, view: watch::Sender<ReplicaView>) -> Result<ReplicaTask, Fault> {
        let ledger = Ledger::open(receiver.journal.clone(), aggregate(&vm)).await?;
        let news = receiver.log.news().listen();
        Ok(ReplicaTask { receiver, vm, ledger, ahead: Ahead::default(), news, view })
    }

    /// Judges commits as they come. Ends only when nobody looks any more.
    pub async fn run(mut self) -> Result<(), Fault> {
        let mut failures = 0;
        loop {
            let (trouble, wait) = match self.tick().await {
                Ok(true) => (None, Duration::ZERO),
                Ok(false) => (None, self.receiver.poll),
                Err(fault) => {
                    failures += 1;
                    tracing::warn!(vm = %self.vm, kind = %fault.kind, message = %fault.message, "the replica waits");
                    let wait = pause(&fault, failures);
                    (Some(fault), wait)
                }
            };
            let troubled = trouble.is_some();
            failures = if troubled { failures } else { 0 };
            self.view.send_replace(ReplicaView { replica: self.ledger.state().clone(), trouble });
            if self.view.is_closed() {
                return Ok(());
            }
            // What is in the way is not out of it because something new was written.
            let told = async { if troubled { std::future::pending().await } else { self.news.of(&self.vm).await } };
            tokio::select! {
                biased;
                () = told => {}
                () = self.receiver.clock.sleep(wait) => {}
            }
        }
    }

    /// Does one thing, if there is one to do.
    pub async fn tick(&mut self) -> Result<bool, Fault> {
        if let ReplicaState::Applying { to, filled, .. } = self.ledger.state().state.clone() {
            let (commit, found) = self.receiver.log.commit(&self.vm, to.cycle).await?;
            if found != to {
                return Err(Fault::corrupt(format!("the commit of cycle {} changed while it was being applied", to.cycle)));
            }
            let _turn = self.receiver.turn().await;
            if let Err(fault) = self.finish(&commit, to, &filled).await {
                // The spool promises nothing across a crash: what it holds may be damaged, while the store still has it whole.
                if matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound) {
                    clean_up(&self.receiver.log, &self.receiver.places, &commit).await?;
                }
                return Err(fault);
            }
            return Ok(true);
        }
        let after = self.ledger.state().seen();
        let commits = self.receiver.log.commits_after(&self.vm, after).await?;
        let Some(next) = self.ledger.state().next_to_judge(&commits) else { return self.fill_ahead().await };
        let _turn = self.receiver.turn().await;
        if self.ledger.state().judged.is_none() && self.rebuild_if_judged().await? {
            return Ok(true);
        }
        self.judge(next).await?;
        Ok(true)
    }

    /// A receiver that knows nothing of the VM, in a store that does: the newest recovery point is made out of the log.
    async fn rebuild_if_judged(&mut self) -> Result<bool, Fault> {
        let log = &self.receiver.log;
        for cycle in log.commits_after(&self.vm, CycleNumber(0)).await?.into_iter().rev() {
            let Some(receipt) = log.receipt(&self.vm, cycle).await? else { continue };
            if let Verdict::Applied { .. } = receipt.verdict {
                tracing::info!(vm = %self.vm, %cycle, "making the replica anew out of the store");
                let rebuilding = async {
                    let chain = Chain::read(log, &self.vm, cycle).await?;
                    rebuild(log, &chain, &self.receiver.places).await?;
                    Ok(chain)
                };
                let chain = self.receiver.leases().hold(&self.vm, cycle, "a receiver's rebuild", rebuilding).await?;
                self.ahead.end(log, &self.receiver.places, &self.vm).await?;
                let (at, epoch) = (chain.point_ref(), chain.point().epoch);
                self.ledger.record(vec![ReplicaFact::Rebuilt { at, epoch }]).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// While there is no replica yet and no commit: follows the pages that an initial copy publishes.
    async fn fill_ahead(&mut self) -> Result<bool, Fault> {
        let Replica { state, .. } = self.ledger.state();
        if !matches!(state, ReplicaState::None | ReplicaState::Filling(_)) {
            return Ok(false);
        }
        let (filling, judged) = (state.clone(), self.ledger.state().seen());
        let Some(page) = self.ahead.next(&self.receiver.log, &self.vm, judged).await? else { return Ok(false) };
        let cycle = page.cycle();
        if filling != ReplicaState::Filling(cycle) {
            self.ledger.record(vec![ReplicaFact::FillBegan { cycle }]).await?;
        }
        let _turn = self.receiver.turn().await;
        self.ahead.follow(&self.receiver.log, &self.receiver.places, &self.vm, page).await?;
        Ok(true)
    }

    async fn judge(&mut self, cycle: CycleNumber) -> Result<(), Fault> {
        let (commit, point) = match self.receiver.log.commit(&self.vm, cycle).await {
            Ok(found) => found,
            Err(fault) if fault.kind == FaultKind::Corrupt => return self.refuse_unreadable(cycle, fault).await,
            Err(fault) => return Err(fault),
        };
        // Refused is refused, also when other bytes stood under the commit's name then: the gateway has gone on.
        let verdict = self.receiver.log.receipt(&self.vm, cycle).await?.map(|receipt| receipt.verdict);
        if let Some(Verdict::Rejected(rejection)) = &verdict {
            return self.remember_rejection(point, commit.epoch, rejection).await;
        }
        if let Err(rejection) = verdict::check(&commit, self.ledger.state()) {
            if verdict.is_some() && self.fell_behind().await? {
                return self.catch_up(cycle).await;
            }
            return self.reject(&commit, point, rejection).await;
        }
        let filling = self.ledger.state().state == ReplicaState::Filling(cycle);
        if !filling && commit.disks.iter().any(|disk| disk.mode == Mode::Initial) {
            self.ledger.record(vec![ReplicaFact::FillBegan { cycle }]).await?;
        }
        match prepare(&self.receiver.log, &self.receiver.leases(), &self.receiver.places, &commit, &self.ahead).await {
            Ok(filled) => {
                self.ledger.record(vec![ReplicaFact::ApplyBegan { to: point, filled: filled.clone() }]).await?;
                self.finish(&commit, point, &filled).await
            }
            Err(Trouble::Refused(rejection)) => self.reject(&commit, point, rejection).await,
            Err(Trouble::Passing(fault)) => Err(fault),
        }
    }

    /// Whether cycles that were never judged here may have been dropped: this receiver was set back, or was away while another one judged.
    async fn fell_behind(&self) -> Result<bool, Fault> {
        let records = Records::read(&self.receiver.log, &self.vm).await?;
        Ok(records.newest.is_some_and(|record| record.through > self.ledger.state().seen()))
    }

    /// No chain of deltas leads from the replica to what is kept. From here on it is no recovery point, and it becomes the newest one.
    async fn catch_up(&mut self, cycle: CycleNumber) -> Result<(), Fault> {
        self.ledger.record(vec![ReplicaFact::RebuildBegan { cycle }]).await?;
        self.rebuild_if_judged().await.map(drop)
    }

    /// A commit that does not open was damaged, forged or replayed: its number is used up, nothing of it is written, and the receipt
    /// says so.
    async fn refuse_unreadable(&mut self, cycle: CycleNumber, fault: Fault) -> Result<(), Fault> {
        tracing::warn!(vm = %self.vm, %cycle, message = %fault.message, "a commit that does not open is rejected");
        let sealed = self.receiver.log.get(StoreNumber::HOME, &layout::commit(&self.vm, cycle), None).await?;
        let rejection = Rejection { code: RejectCode::Damaged, message: fault.message, bad_blocks: Vec::new() };
        self.answer(PointRef { cycle, hash: Sha::of(&sealed) }, Verdict::Rejected(rejection)).await?;
        self.ledger.record(vec![ReplicaFact::Unreadable { cycle }]).await
    }

    /// From "applying" to the receipt; the same way at first and after a crash.
    async fn finish(&mut self, commit: &Commit, point: PointRef, filled: &[AppliedDisk]) -> Result<(), Fault> {
        let Receiver { log, places, .. } = self.receiver.clone();
        let disks = apply(&log, &places, commit, point, filled).await?;
        if !filled.is_empty() {
            self.ahead.end(&log, &places, &self.vm).await?;
        }
        self.answer(point, Verdict::Applied { disks }).await?;
        self.ledger.record(vec![ReplicaFact::Applied { to: point, epoch: commit.epoch }]).await?;
        tracing::info!(vm = %self.vm, cycle = %point.cycle, "a cycle is applied");
        clean_up(&log, &places, commit).await?;
        if point.cycle.0.is_multiple_of(self.receiver.checkpoint_every) {
            let leases = self.receiver.leases();
            let writing = async { checkpoint::write(&log, &Chain::read(&log, &self.vm, point.cycle).await?).await };
            leases.hold(&self.vm, point.cycle, "a receiver's checkpoint", writing).await?;
        }
        Ok(())
    }

    async fn reject(&mut self, commit: &Commit, point: PointRef, rejection: Rejection) -> Result<(), Fault> {
        tracing::warn!(vm = %self.vm, cycle = %point.cycle, code = ?rejection.code, message = %rejection.message, "a cycle is rejected; nothing of it was written");
        self.answer(point, Verdict::Rejected(rejection.clone())).await?;
        self.remember_rejection(point, commit.epoch, &rejection).await
    }

    async fn remember_rejection(&mut self, commit: PointRef, epoch: Epoch, rejection: &Rejection) -> Result<(), Fault> {
        self.ledger.record(vec![ReplicaFact::Rejected { commit, epoch, code: rejection.code }]).await
    }

    /// Writes the receipt. One that is there already, from before a crash, must say the same.
    async fn answer(&self, point: PointRef, verdict: Verdict) -> Result<(), Fault> {
        let receipt = Receipt { format: FORMAT, vm: self.vm.clone(), commit: point, verdict };
        let answered = match self.receiver.log.create_receipt(&receipt).await {
            Err(fault) if fault.kind == FaultKind::Conflict => {
                let existing = self.receiver.log.receipt(&self.vm, point.cycle).await?;
                let agrees = existing.is_some_and(|existing| existing.commit == point && same_side(&existing.verdict, &receipt.verdict));
                if agrees {
                    Ok(())
                } else {
                    Err(Fault::conflict(format!("cycle {} was judged otherwise by another receiver", point.cycle)))
                }
            }
            result => result,
        };
        answered.inspect(|()| self.receiver.log.news().tell(&self.vm))
    }
}

fn same_side(one: &Verdict, other: &Verdict) -> bool {
    match (one, other) {
        (Verdict::Applied { disks: one }, Verdict::Applied { disks: other }) => one == other,
        (Verdict::Rejected(_), Verdict::Rejected(_)) => true,
        _ => false,
    }
}
