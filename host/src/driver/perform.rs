//! Performs one step and answers the facts it made true. Every step may run twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::chain::Chain;
use crate::log::initial::InitialCopy;
use crate::log::layout::{self, AttemptFolder, hex};
use crate::log::planned::bitmap_digest;
use crate::log::seal::Role;
use crate::log::table::{DigestTable, record_fold};
use crate::model::commit::{Commit, DiskCommit, FORMAT, Mode, PointRef, Sha, Verdict};
use crate::model::{
    Attempt, Closing, CycleNumber, DiskId, DiskMarker, Epoch, Fault, FaultKind, Finding, OpenedSnapshot, PowerAction, PowerState,
    SectorBitmap, Severity, SnapshotDisk, SnapshotToken, VmId,
};
use crate::pipeline::copy::{self, BaseTable, CopyJob, Progress, copy_disk, open_table, table_name};
use crate::pipeline::plan::{Changed, changed_since};
use crate::pipeline::source::{Ended, Outcome};
use crate::policy::mode::{Choice, PointDisk, choose};
use crate::policy::vm::{CopyStats, Copying, Cycle, Disks, Fact, Plan, Point, Salvage, Stage, Step, Vm};

use super::gateway::Gateway;

/// What a step made true.
#[derive(Debug, Default)]
pub struct Done {
    pub facts: Vec<Fact>,
    pub owner_checked: bool,
    pub swept: bool,
    /// What preflight found; there when nothing of it is in the way.
    pub prepared: Option<Vec<Finding>>,
}

impl From<Fact> for Done {
    fn from(fact: Fact) -> Done {
        Done { facts: vec![fact], ..Done::default() }
    }
}

pub struct Performing {
    pub gateway: Gateway,
    pub id: VmId,
    /// The state as it was when the step was started.
    pub vm: Vm,
    pub progress: BTreeMap<DiskId, Arc<Progress>>,
}

impl Performing {
    pub async fn perform(&self, step: &Step) -> Result<Done, Fault> {
        match step {
            Step::Wait { .. } => Ok(Done::default()),
            Step::TakeOwnership => self.take_ownership().await,
            Step::CheckOwner => {
                self.check_owner().await?;
                self.check_newest().await?;
                Ok(Done { owner_checked: true, ..Done::default() })
            }
            Step::LearnPast => self.learn_past().await,
            Step::Sweep => self.sweep().await,
            Step::Prepare => self.prepare().await,
            Step::BeginCycle { urgency } => {
                self.check_owner().await?;
                let cycle = CycleNumber(self.vm.next_cycle.max(1));
                Ok(Fact::CycleBegan { cycle, urgency: *urgency, at: self.gateway.clock.now() }.into())
            }
            Step::PowerOff => self.power_off().await,
            Step::IntendSnapshot { attempt } => {
                let tag = self.new_tag(*attempt);
                Ok(Fact::SnapshotIntended { attempt: *attempt, tag, at: self.gateway.clock.now() }.into())
            }
            Step::OpenSnapshot { tag } => self.open_snapshot(tag).await,
            Step::ListDisks { token } => self.list_disks(token).await,
            Step::PlanDisk { disk } => self.plan_disk(disk).await,
            Step::CopyDisk { disk } => self.copy_disk(disk).await,
            Step::CloseSnapshot { token } => {
                let markers = self.close(token, Closing::KeepMarkers).await?;
                Ok(Fact::SnapshotClosed { markers }.into())
            }
            Step::AbandonSnapshot { tag, token } => self.abandon(tag, token.as_ref()).await,
            Step::Commit { .. } => self.commit().await,
            Step::AwaitReceipt { cycle } => self.await_receipt(*cycle).await,
        }
    }

    fn cycle(&self) -> Result<&Cycle, Fault> {
        self.vm.cycle.as_ref().ok_or_else(|| Fault::internal("a step of a cycle runs while there is none"))
    }

    fn identity(&self) -> Result<&crate::model::VmRef, Fault> {
        self.vm.identity.as_ref().ok_or_else(|| Fault::internal("a step runs for a VM that was never enrolled"))
    }

    // ---- who owns the VM ----

    async fn take_ownership(&self) -> Result<Done, Fault> {
        let log = &self.gateway.log;
        self.register().await?;
        let epoch = Epoch(log.newest_owner(&self.id).await?.0 + 1);
        let mut proof = [0; 16];
        log.random().fill(&mut proof);
        let claim = serde_json::json!({ "format": FORMAT, "agent": hex(&proof), "at": self.gateway.clock.now() });
        match log.create(Role::Owner, &layout::owner(&self.id, epoch), claim.to_string().as_bytes()).await {
            Err(fault) if fault.kind == FaultKind::Conflict => {
                return Err(Fault::unavailable(format!("another agent took {} over a moment ago", self.vm.name)));
            }
            result => result?,
        }
        let Past { newest, point, next_cycle, unjudged } = self.past().await?;
        let owned = Fact::Owned { epoch, newest, point, next_cycle, unjudged };
        Ok(Done { facts: vec![owned], owner_checked: true, ..Done::default() })
    }

    /// Another agent's commit may have arrived after we took over: the receiver is at that point, and its markers are good.
    async fn learn_past(&self) -> Result<Done, Fault> {
        self.check_owner().await?;
        let epoch = self.vm.epoch.ok_or_else(|| Fault::internal("the past of a VM is learned before it is ours"))?;
        let Past { newest, point, next_cycle, unjudged } = self.past().await?;
        Ok(Fact::Owned { epoch, newest, point, next_cycle, unjudged }.into())
    }

    /// Makes the VM known to receivers that meet us only in the store.
    async fn register(&self) -> Result<(), Fault> {
        let entry = serde_json::json!({ "format": FORMAT, "vm": self.id, "name": self.vm.name, "source": self.vm.source });
        match self.gateway.log.create(Role::Vm, &layout::vm_entry(&self.id), entry.to_string().as_bytes()).await {
            // It was registered under another name; the commits carry the newest one.
            Err(fault) if fault.kind == FaultKind::Conflict => Ok(()),
            result => result,
        }
    }

    async fn past(&self) -> Result<Past, Fault> {
        let log = &self.gateway.log;
        let cycles = log.commits_after(&self.id, CycleNumber(0)).await?;
        let (mut newest, mut point, mut unjudged) = (None, None, None);
        for cycle in cycles.iter().rev() {
            let (commit, found) = match log.commit(&self.id, *cycle).await {
                Ok(found) => found,
                // Forged or damaged: its number is not ours to use, and it says nothing.
                Err(fault) if fault.kind == FaultKind::Corrupt => continue,
                Err(fault) => return Err(fault),
            };
            let receipt = log.receipt(&self.id, *cycle).await?;
            let verdict = receipt.map(|receipt| receipt.verdict);
            match (&newest, verdict) {
                (None, None) => unjudged = Some(point_of(&commit, found)),
                (_, Some(Verdict::Applied { .. })) => point = Some(point_of(&commit, found)),
                _ => {}
            }
            newest = newest.or(Some(found));
            if point.is_some() {
                break;
            }
        }
        let next_cycle = self.first_unused_cycle(newest).await?;
        Ok(Past { newest, point, next_cycle, unjudged })
    }

    /// A cycle that another agent began and never committed has left objects under its number: leave that number alone.
    async fn first_unused_cycle(&self, newest: Option<PointRef>) -> Result<CycleNumber, Fault> {
        let mut next = newest.map_or(CycleNumber(1), |newest| newest.cycle.next());
        loop {
            let prefix = format!("vm/{}/{:010}.", self.id, next.0);
            if self.gateway.log.sink().entries(&prefix, None).await?.entries.is_empty() {
                return Ok(next);
            }
            next = next.next();
        }
    }

    async fn check_owner(&self) -> Result<(), Fault> {
        let newest = self.gateway.log.newest_owner(&self.id).await?;
        if Some(newest) == self.vm.epoch {
            return Ok(());
        }
        let ours = self.vm.epoch.map_or(0, |epoch| epoch.0);
        Err(Fault::conflict(format!(
            "{} is owned by another agent (epoch {newest}, ours is {ours}); nothing was touched, and this agent leaves the VM alone",
            self.vm.name
        )))
    }

    /// The store must still hold the newest commit that the journal knows: an older or another store is never written to.
    /// A newest commit that was damaged is refused by the receiver, and the next one follows it; but the point that we build on must open.
    async fn check_newest(&self) -> Result<(), Fault> {
        let Some(newest) = self.vm.newest else { return Ok(()) };
        let point = self.vm.point.as_ref().map(|point| point.commit);
        match self.check_known(newest).await {
            Err(fault) if fault.kind == FaultKind::Corrupt && point != Some(newest) => match point {
                Some(point) => self.check_known(point).await.map_err(lost_point),
                None => Ok(()),
            },
            result => result.map_err(lost_point),
        }
    }

    async fn check_known(&self, newest: PointRef) -> Result<(), Fault> {
        let older = || {
            Fault::conflict(format!(
                "the store does not hold the commit of cycle {} that this agent's journal knows: it is older than the journal, or another \
                 store. Nothing was written",
                newest.cycle
            ))
        };
        match self.gateway.log.commit(&self.id, newest.cycle).await {
            Ok((_, found)) if found == newest => Ok(()),
            Ok(_) => Err(older()),
            Err(fault) if fault.kind == FaultKind::NotFound => Err(older()),
            Err(fault) => Err(fault),
        }
    }

    /// Touches nothing but change tracking, and that only when nothing is in the way.
    async fn prepare(&self) -> Result<Done, Fault> {
        let vm = self.identity()?;
        let findings = self.gateway.source.preflight(vm).await?;
        let blocking: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Blocking).collect();
        if !blocking.is_empty() {
            let told: Vec<String> =
                blocking.iter().map(|finding| format!("{}: {} {}", finding.subject, finding.message, finding.remedy)).collect();
            return Err(Fault::denied(told.join("; ")));
        }
        let outcome = self.gateway.source.enable_tracking(vm).await?;
        self.finish(outcome, |ended| matches!(ended, Ended::Done).then_some(())).await?;
        Ok(Done { prepared: Some(findings), ..Done::default() })
    }

    // ---- snapshots ----

    /// Everything of ours on this VM starts with this; another store's agent has another prefix.
    fn tag_prefix(&self) -> String {
        let store = hex(&self.gateway.log.sealer().store_id()[..4]);
        let vm = &Sha::of(self.id.as_str().as_bytes()).to_string()[..8];
        format!("transload-{store}-{vm}-")
    }

    fn new_tag(&self, attempt: Attempt) -> String {
        let cycle = self.vm.cycle.as_ref().map_or(0, |cycle| cycle.number.0);
        format!("{}{cycle}.{attempt}-{:08x}", self.tag_prefix(), self.gateway.log.random().number() as u32)
    }

    async fn sweep(&self) -> Result<Done, Fault> {
        for token in self.gateway.source.leftovers(self.identity()?, &self.tag_prefix()).await? {
            tracing::info!(vm = %self.id, "closing a snapshot that was left behind");
            self.close(&token, Closing::DiscardMarkers).await?;
        }
        Ok(Done { swept: true, ..Done::default() })
    }

    async fn open_snapshot(&self, tag: &str) -> Result<Done, Fault> {
        let outcome = self.gateway.source.open_snapshot(self.identity()?, tag, self.gateway.settings.quiesce).await?;
        let opened: OpenedSnapshot = self
            .finish(outcome, |ended| match ended {
                Ended::Opened(opened) => Some(opened),
                _ => None,
            })
            .await?;
        let OpenedSnapshot { token, quiesced } = opened;
        Ok(Fact::SnapshotOpened { attempt: self.cycle()?.attempt, token, quiesced, at: self.gateway.clock.now() }.into())
    }

    async fn close(&self, token: &SnapshotToken, closing: Closing) -> Result<Vec<DiskMarker>, Fault> {
        match self.gateway.source.close_snapshot(token, closing).await {
            Ok(outcome) => {
                self.finish(outcome, |ended| match ended {
                    Ended::Closed(markers) => Some(markers),
                    _ => None,
                })
                .await
            }
            Err(fault) if fault.kind == FaultKind::NotFound => Ok(Vec::new()),
            Err(fault) => Err(fault),
        }
    }

    async fn abandon(&self, tag: &str, token: Option<&SnapshotToken>) -> Result<Done, Fault> {
        if let Some(token) = token {
            self.close(token, Closing::DiscardMarkers).await?;
        }
        if !tag.is_empty() {
            for token in self.gateway.source.leftovers(self.identity()?, tag).await? {
                self.close(&token, Closing::DiscardMarkers).await?;
            }
        }
        Ok(Fact::Abandoned.into())
    }

    async fn power_off(&self) -> Result<Done, Fault> {
        let outcome = self.gateway.source.power(self.identity()?, PowerAction::Shutdown).await?;
        let off = self.finish(outcome, |ended| match ended {
            Ended::Power(state) => Some(state),
            _ => None,
        });
        let clock = self.gateway.clock.clone();
        tokio::select! {
            biased;
            state = off => match state? {
                PowerState::Off => Ok(Fact::PoweredOff.into()),
                _ => Err(Fault::conflict(format!("{} did not shut down", self.vm.name))),
            },
            () = clock.sleep(self.gateway.settings.shutdown_within) => Err(Fault::cancelled(format!(
                "{} did not shut down in time; shut it down by hand and ask for the final cycle again",
                self.vm.name
            ))),
        }
    }

    /// Polls a long operation to its end. There is no deadline here: what a snapshot costs is the source's business, and giving up
    /// would not end it.
    async fn finish<T>(&self, outcome: Outcome<T>, expected: impl Fn(Ended) -> Option<T>) -> Result<T, Fault> {
        let (mut operation, mut wait) = match outcome {
            Outcome::Done(value) => return Ok(value),
            Outcome::Pending { operation, poll_after } => (operation, poll_after),
        };
        loop {
            self.gateway.clock.sleep(wait).await;
            match self.gateway.source.poll(&operation).await? {
                Outcome::Done(ended) => {
                    return expected(ended).ok_or_else(|| Fault::corrupt("the source ended an operation with another one's result"));
                }
                Outcome::Pending { operation: next, poll_after } => (operation, wait) = (next, poll_after),
            }
        }
    }

    // ---- planning and copying ----

    async fn list_disks(&self, token: &SnapshotToken) -> Result<Done, Fault> {
        let disks = self.gateway.source.disks(token).await?;
        if disks.is_empty() {
            return Err(Fault::invalid(format!("the snapshot of {} holds no disk", self.vm.name)));
        }
        if let Some(disk) = disks.iter().enumerate().find(|(index, disk)| disks[..*index].iter().any(|other| other.id == disk.id)) {
            return Err(Fault::corrupt(format!("the source names disk {} of {} twice", disk.1.id, self.vm.name)));
        }
        let definition = self.gateway.source.definition(self.identity()?).await?;
        let definition = serde_json::to_value(definition).map_err(|error| Fault::internal(error.to_string()))?;
        Ok(Fact::DisksListed { disks, definition }.into())
    }

    fn open_disks(&self) -> Result<(&SnapshotToken, &Disks), Fault> {
        match &self.cycle()?.stage {
            Stage::Open { token, disks: Some(disks), .. } => Ok((token, disks)),
            _ => Err(Fault::internal("a disk's step runs while no snapshot is open")),
        }
    }

    fn copying(&self, disk: &DiskId) -> Result<(&SnapshotToken, &Copying), Fault> {
        let (token, disks) = self.open_disks()?;
        let copying = disks.each.get(disk).ok_or_else(|| Fault::internal(format!("disk {disk} is not in the snapshot")))?;
        Ok((token, copying))
    }

    fn base_disk(&self, disk: &DiskId) -> Option<&PointDisk> {
        self.vm.point.as_ref()?.disks.get(disk)
    }

    async fn plan_disk(&self, disk: &DiskId) -> Result<Done, Fault> {
        let (token, copying) = self.copying(disk)?;
        let drawn = self.draw_plan(token, &copying.source).await?;
        let cycle = self.cycle()?;
        let folder = AttemptFolder::new(&self.id, cycle.number, cycle.attempt, disk);
        let parts = self.gateway.log.create_planned(&folder, &drawn.planned).await?;
        if drawn.mode == Mode::Initial {
            let copy = InitialCopy::new(cycle.number, cycle.attempt, disk.clone(), copying.source.size);
            copy.announce(&self.gateway.log, &self.id).await?;
        }
        let plan = Plan {
            mode: drawn.mode,
            resync: drawn.resync,
            parts,
            digest: Sha(bitmap_digest(&drawn.planned)),
            covered_digest: Sha(bitmap_digest(&drawn.covered)),
            planned_bytes: drawn.planned.sectors() * 512,
            reported_bytes: drawn.reported_bytes,
            carried: drawn.carried,
        };
        Ok(Fact::DiskPlanned { disk: disk.clone(), plan }.into())
    }

    async fn draw_plan(&self, token: &SnapshotToken, disk: &SnapshotDisk) -> Result<Drawn, Fault> {
        let choice = choose(self.base_disk(&disk.id), disk);
        if let Some(salvage) = self.vm.salvage.get(&disk.id).filter(|salvage| salvage.fingerprint == disk.fingerprint)
            && let Some(drawn) = self.draw_on_salvage(token, disk, salvage).await?
        {
            return Ok(drawn);
        }
        let whole = |mode, resync| Drawn {
            mode,
            resync,
            planned: SectorBitmap::whole(disk.size),
            covered: SectorBitmap::whole(disk.size),
            reported_bytes: disk.size.bytes(),
            carried: Vec::new(),
        };
        Ok(match choice {
            Choice::Initial => whole(Mode::Initial, None),
            Choice::Resync(reason) => whole(Mode::Resync, Some(reason)),
            Choice::Delta { since } => match changed_since(&*self.gateway.source, token, &disk.id, disk.size, &since).await? {
                Changed::Unknown(reason) => whole(Mode::Resync, Some(reason)),
                Changed::Cells(planned) => Drawn {
                    mode: Mode::Delta,
                    resync: None,
                    reported_bytes: planned.sectors() * 512,
                    covered: planned.clone(),
                    planned,
                    carried: Vec::new(),
                },
            },
        })
    }

    /// Builds on what earlier attempts published: what changed since the first of them, what they did not reach, and what was refused.
    async fn draw_on_salvage(&self, token: &SnapshotToken, disk: &SnapshotDisk, salvage: &Salvage) -> Result<Option<Drawn>, Fault> {
        let Some(last) = salvage.layers.last() else { return Ok(None) };
        let since = changed_since(&*self.gateway.source, token, &disk.id, disk.size, &salvage.marker).await?;
        let Changed::Cells(mut planned) = since else {
            tracing::info!(vm = %self.id, disk = %disk.id, "what was copied so far cannot be built on: the source does not know what changed since");
            return Ok(None);
        };
        let reported_bytes = planned.sectors() * 512;
        let mut covered = SectorBitmap::empty(disk.size);
        for layer in &salvage.layers {
            let folder = AttemptFolder::new(&self.id, layer.cycle, layer.attempt, &disk.id);
            let of_layer = match self.gateway.log.planned(&folder, disk.size, layer.planned_digest).await {
                // Damaged, or the disk has another size now: what was copied so far describes something else.
                Err(fault) if is_damage(&fault) => return Ok(None),
                result => result?,
            };
            if layer == last {
                let mut not_reached = of_layer.clone();
                not_reached.clear_blocks_before(layer.to_block);
                planned.union(&not_reached);
            }
            covered.union(&of_layer);
        }
        for block in salvage.bad_blocks.iter().filter(|block| **block < disk.size.blocks()) {
            planned.insert_blocks(*block, *block + 1);
        }
        covered.union(&planned);
        Ok(Some(Drawn { mode: salvage.mode, resync: None, planned, covered, reported_bytes, carried: salvage.layers.clone() }))
    }

    async fn copy_disk(&self, disk: &DiskId) -> Result<Done, Fault> {
        let (token, copying) = self.copying(disk)?;
        let plan = copying.plan.as_ref().ok_or_else(|| Fault::internal("a disk is copied before it was planned"))?;
        let _permit = self.gateway.copying.acquire().await.map_err(|_| Fault::cancelled("the agent stops"))?;
        let base = match plan.mode {
            Mode::Initial => None,
            // Without digests of the base nothing is found to be the same, and everything planned is sent.
            Mode::Delta | Mode::Resync => match self.base_table(disk).await {
                Err(fault) if is_damage(&fault) => None,
                result => Some(result?),
            },
        };
        let job = job(&self.gateway, &self.id, self.cycle()?, token, copying, base).await?;
        let progress = self.progress.get(disk).cloned().unwrap_or_default();
        let copied = copy_disk(&job, &*self.gateway.source, &self.gateway.log, self.gateway.settings.limits, &progress).await?;
        let stats = CopyStats {
            planned: plan.planned_bytes,
            read: progress.read.load(Ordering::Relaxed),
            sent: progress.sent.load(Ordering::Relaxed),
            stored: progress.stored.load(Ordering::Relaxed),
        };
        Ok(Fact::DiskCopied { disk: disk.clone(), layer: copied.layer, stats }.into())
    }

    /// The digests of the base: our own table, or one made anew out of the log.
    async fn base_table(&self, disk: &DiskId) -> Result<BaseTable, Fault> {
        let missing = || Fault::internal(format!("disk {disk} has no base to compare with"));
        let point = self.vm.point.as_ref().ok_or_else(missing)?;
        let size = point.disks.get(disk).ok_or_else(missing)?.size;
        if let Some(table) = open_table(&*self.gateway.work, &self.id, disk, size, point.commit).await? {
            return Ok(BaseTable { table, size });
        }
        let table = self.table_from_log(disk, point.commit).await?;
        Ok(BaseTable { table, size })
    }

    async fn table_from_log(&self, disk: &DiskId, point: PointRef) -> Result<DigestTable, Fault> {
        let log = &self.gateway.log;
        let chain = Chain::read(log, &self.id, point.cycle).await?;
        let table = DigestTable::create(&*self.gateway.work, &table_name(&self.id, disk), chain.disk(disk)?.size).await?;
        record_fold(&table, &mut chain.fold(log, disk)?).await?;
        table.settle(chain.point_ref()).await?;
        Ok(table)
    }

    // ---- commit and receipt ----

    async fn commit(&self) -> Result<Done, Fault> {
        self.check_owner().await?;
        let commit = self.draw_commit()?;
        let bytes = commit.encode();
        self.gateway.log.create(Role::Commit, &layout::commit(&self.id, commit.cycle), &bytes).await?;
        let found = PointRef { cycle: commit.cycle, hash: Sha::of(&bytes) };
        Ok(Fact::Committed { point: point_of(&commit, found) }.into())
    }

    /// Out of facts alone, so that a second try writes the same bytes.
    fn draw_commit(&self) -> Result<Commit, Fault> {
        let cycle = self.cycle()?;
        let Stage::Closed { quiesced, opened_at, disks } = &cycle.stage else {
            return Err(Fault::internal("a commit is drawn before the copy is complete"));
        };
        let committed = disks.each.values().map(|copying| draw_disk(copying).ok_or_else(|| Fault::internal("a disk is not copied")));
        let committed: Vec<DiskCommit> = committed.collect::<Result<_, _>>()?;
        let builds_on_base = committed.iter().any(|disk| disk.mode != Mode::Initial);
        Ok(Commit {
            format: FORMAT,
            vm: self.id.clone(),
            identity: self.identity()?.clone(),
            source: self.vm.source.clone(),
            name: self.vm.name.clone(),
            cycle: cycle.number,
            epoch: self.vm.epoch.ok_or_else(|| Fault::internal("a commit is drawn for a VM that is not ours"))?,
            base: self.vm.point.as_ref().filter(|_| builds_on_base).map(|point| point.commit),
            previous: self.vm.newest,
            taken_at: *opened_at,
            quiesced: *quiesced,
            last: cycle.urgency == crate::policy::vm::Urgency::Final,
            definition: disks.definition.clone(),
            disks: committed,
        })
    }

    async fn await_receipt(&self, cycle: CycleNumber) -> Result<Done, Fault> {
        let receipt = loop {
            match self.gateway.log.receipt(&self.id, cycle).await? {
                Some(receipt) => break receipt,
                None => self.gateway.clock.sleep(self.gateway.settings.poll).await,
            }
        };
        let Stage::Committed { point, covered } = &self.cycle()?.stage else {
            return Err(Fault::internal("a receipt is awaited for no commit"));
        };
        let at = self.gateway.clock.now();
        let disks = match receipt.verdict {
            // Also when the receiver met other bytes under the commit's name than we wrote: refused is refused.
            Verdict::Rejected(rejection) => return Ok(Fact::Rejected { rejection, at }.into()),
            Verdict::Applied { disks } => disks,
        };
        if receipt.commit != point.commit {
            return Err(Fault::corrupt(format!("the receiver applied another commit of cycle {cycle} than ours")));
        }
        for (disk, planned) in covered {
            let written = disks.iter().find(|applied| applied.disk == *disk).map(|applied| applied.covered_digest);
            if written != Some(*planned) {
                return Err(Fault::corrupt(format!(
                    "the receiver wrote other sectors of disk {disk} than were planned for cycle {cycle}; the replica is not to be trusted"
                )));
            }
        }
        match self.update_tables(point).await {
            Err(fault) if is_damage(&fault) => {
                tracing::warn!(vm = %self.id, message = %fault.message, "digest tables were not brought up to date")
            }
            result => result?,
        }
        self.release_old_markers().await?;
        Ok(Fact::Applied { at }.into())
    }

    /// Brings our digest tables to the new point. Only a cache: what goes wrong half-way is made anew when it is needed.
    async fn update_tables(&self, point: &Point) -> Result<(), Fault> {
        let log = &self.gateway.log;
        let (commit, found) = log.commit(&self.id, point.commit.cycle).await?;
        for disk in &commit.disks {
            let name = table_name(&self.id, &disk.disk);
            let table = match (disk.mode, commit.base, self.base_disk(&disk.disk)) {
                (Mode::Initial, _, _) => DigestTable::create(&*self.gateway.work, &name, disk.size).await?,
                (_, Some(base), Some(known))
                    if open_table(&*self.gateway.work, &self.id, &disk.disk, known.size, base).await?.is_some() =>
                {
                    DigestTable::open_for_changes(&*self.gateway.work, &name, disk.size).await?
                }
                _ => continue,
            };
            let mut fold = crate::log::fold::Fold::new(Arc::new(log.clone()), log.sealer().clone(), disk.size);
            fold.add_commit(&self.id, commit.cycle, disk);
            record_fold(&table, &mut fold).await?;
            table.settle(found).await?;
        }
        Ok(())
    }

    async fn release_old_markers(&self) -> Result<(), Fault> {
        let Some(old) = &self.vm.point else { return Ok(()) };
        let markers = old.disks.iter().filter_map(|(disk, known)| Some(DiskMarker { disk: disk.clone(), marker: known.marker.clone()? }));
        let markers: Vec<DiskMarker> = markers.collect();
        if markers.is_empty() {
            return Ok(());
        }
        match self.gateway.source.release_markers(self.identity()?, &markers).await {
            Err(fault) if !fault.kind.passes() => {
                // It costs the source some space, and must not hold up a cycle that is applied.
                tracing::warn!(vm = %self.id, message = %fault.message, "markers of an older recovery point are not released");
                Ok(())
            }
            result => result,
        }
    }
}

/// What the store knows of a VM: the newest commit, the newest recovery point, and a commit that nobody judged yet.
struct Past {
    newest: Option<PointRef>,
    point: Option<Point>,
    next_cycle: CycleNumber,
    unjudged: Option<Point>,
}

/// Nothing can build on a recovery point that does not open, and beginning anew by ourselves would hide that.
fn lost_point(fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::Corrupt => Fault::conflict(format!("{}; nothing can build on it. Put the object back as it was", fault.message)),
        _ => fault,
    }
}

/// What the log holds is damaged, which is another thing than not being able to read it now.
fn is_damage(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound)
}

/// A plan before it is durable.
struct Drawn {
    mode: Mode,
    resync: Option<crate::model::ResyncReason>,
    planned: SectorBitmap,
    covered: SectorBitmap,
    reported_bytes: u64,
    carried: Vec<crate::model::commit::Layer>,
}

fn draw_disk(copying: &Copying) -> Option<DiskCommit> {
    let plan = copying.plan.as_ref()?;
    let mut layers = plan.carried.clone();
    layers.push(copying.layer.as_ref()?.0.clone());
    Some(DiskCommit {
        disk: copying.source.id.clone(),
        label: copying.source.label.clone(),
        fingerprint: copying.source.fingerprint.clone(),
        size: copying.source.size,
        mode: plan.mode,
        layers,
        marker: copying.source.marker.clone(),
    })
}

fn point_of(commit: &Commit, found: PointRef) -> Point {
    let disk = |disk: &DiskCommit| {
        let known = PointDisk { fingerprint: disk.fingerprint.clone(), size: disk.size, marker: disk.marker.clone() };
        (disk.disk.clone(), known)
    };
    Point {
        commit: found,
        taken_at: commit.taken_at,
        quiesced: commit.quiesced,
        last: commit.last,
        disks: commit.disks.iter().map(disk).collect(),
    }
}

async fn job(
    gateway: &Gateway,
    vm: &VmId,
    cycle: &Cycle,
    token: &SnapshotToken,
    copying: &Copying,
    base: Option<BaseTable>,
) -> Result<CopyJob, Fault> {
    let plan = copying.plan.as_ref().ok_or_else(|| Fault::internal("a disk has no plan"))?;
    let folder = AttemptFolder::new(vm, cycle.number, cycle.attempt, &copying.source.id);
    let planned = gateway.log.planned(&folder, copying.source.size, plan.digest).await?;
    Ok(CopyJob {
        vm: vm.clone(),
        cycle: cycle.number,
        attempt: cycle.attempt,
        disk: copying.source.id.clone(),
        size: copying.source.size,
        token: token.clone(),
        planned: Arc::new(planned),
        planned_parts: plan.parts,
        planned_digest: plan.digest,
        base,
    })
}

/// What a failing attempt leaves for the next one. Whatever cannot be found out now is copied again.
pub async fn salvage(gateway: &Gateway, id: &VmId, vm: &Vm) -> Vec<Salvage> {
    let Some(cycle) = &vm.cycle else { return Vec::new() };
    let Stage::Open { token, disks: Some(disks), .. } = &cycle.stage else { return vm.salvage.values().cloned().collect() };
    let mut kept = Vec::new();
    for (disk, copying) in &disks.each {
        let before = vm.salvage.get(disk);
        match salvage_disk(gateway, id, cycle, token, copying, before).await {
            Some(salvage) => kept.push(salvage),
            None => kept.extend(before.filter(|_| copying.plan.is_none()).cloned()),
        }
    }
    kept
}

async fn salvage_disk(
    gateway: &Gateway,
    id: &VmId,
    cycle: &Cycle,
    token: &SnapshotToken,
    copying: &Copying,
    before: Option<&Salvage>,
) -> Option<Salvage> {
    let plan = copying.plan.as_ref()?;
    let mut layers = plan.carried.clone();
    let job = job(gateway, id, cycle, token, copying, None).await.ok()?;
    layers.extend(copy::published_layer(&job, &gateway.log).await.ok()?);
    let marker = match before.filter(|_| !plan.carried.is_empty()) {
        Some(before) => before.marker.clone(),
        None => copying.source.marker.clone()?,
    };
    let bad_blocks = before.map_or_else(Vec::new, |before| before.bad_blocks.clone());
    let disk = copying.source.id.clone();
    let fingerprint = copying.source.fingerprint.clone();
    (!layers.is_empty()).then_some(Salvage { disk, mode: plan.mode, fingerprint, layers, marker, bad_blocks })
}
