//! Runs an agent against the memory ends: processes that live, die and come back, guests that write all the while, and an oracle that
//! knows what every snapshot froze.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::SignedDuration;
use tokio::sync::{Semaphore, mpsc, watch};
use transload::clock::Clock;
use transload::cpu::Cpu;
use transload::driver::expected::Expected;
use transload::driver::fleet::Fleet;
use transload::driver::gateway::{self, Enrolment, Gateway, Settings, VmTask, VmView};
use transload::driver::hours::Hours;
use transload::driver::judge::{self, Receiver, ReplicaTask, ReplicaView};
use transload::driver::order::Order;
use transload::driver::retention;
use transload::driver::retry::{PersistentSink, PersistentSource};
use transload::journal::Ledger;
use transload::log::keys::{self, Unlock};
use transload::log::sink::Sink;
use transload::log::store::Log;
use transload::model::commit::{Commit, Verdict};
use transload::model::{Fault, Quiesce, VmId};
use transload::pipeline::limits::{Copies, CopyLimits};
use transload::pipeline::pace::Pace;
use transload::policy::admission::Limits;
use transload::policy::governor::Rules;
use transload::policy::interval::Interval;
use transload::policy::reaction::Patience;
use transload::policy::replica::{Replica, ReplicaState};
use transload::policy::vm::{Repair, Vm};
use transload::random::Random;
use transload::receiver::places;

use crate::clock::VirtualClock;
use crate::files::MemoryFiles;
use crate::further::FurtherStore;
use crate::journal::MemoryJournal;
pub use crate::plan::Plan;
use crate::sink::MemorySink;
use crate::source::MemorySource;
use crate::weather::Sky;
use crate::world::World;

/// All that outlives a process.
#[derive(Clone)]
pub struct Scene {
    pub world: World,
    pub sink: MemorySink,
    pub further: Vec<FurtherStore>,
    /// By name; all of them when none are named.
    pub stores_of_vm: Option<Vec<String>>,
    pub source: MemorySource,
    pub journal: MemoryJournal,
    pub replicas: MemoryFiles,
    pub work: MemoryFiles,
    pub clock: Arc<dyn Clock>,
    /// The same, for those who set it.
    pub wall: Arc<VirtualClock>,
    pub sky: Sky,
    pub vm: VmId,
    pub limits: CopyLimits,
    pub distrust: u64,
    pub retention: Option<retention::Settings>,
    pub pace: Pace,
    pub hours: Arc<Hours>,
    /// One that other VMs have joined; good for one life.
    pub fleet: Option<Arc<Fleet>>,
    pub(crate) seed: u64,
    pub(crate) lives: Arc<AtomicU64>,
    /// Commands that the operator has not given yet.
    pub(crate) commands: Arc<AtomicU64>,
}

/// How a life ended that did not crash.
#[derive(Debug, PartialEq, Eq)]
pub enum Lived {
    Enough,
    /// It was told to leave, and put everything down.
    Left,
}

/// What a run left behind: equal for equal seeds.
#[derive(Debug, PartialEq, Eq)]
pub struct Played {
    pub trace: Vec<String>,
    pub objects: BTreeMap<String, Bytes>,
    /// The same of each further store.
    pub further: Vec<BTreeMap<String, Bytes>>,
    pub effects: u64,
}

/// Runs one plan to its end on a runtime of its own; answers what it left behind, or what went wrong with the trace.
pub fn run(plan: &Plan) -> Result<Played, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let scene = Scene::new(plan);
        let result = scene.play(plan).await;
        let trace = scene.world.trace();
        result.map_err(|what| format!("seed {}: {what}\n{}", plan.seed, trace.join("\n")))?;
        let further = scene.further.iter().map(|store| store.sink.objects()).collect();
        Ok(Played { trace, objects: scene.sink.objects(), further, effects: scene.world.effects() })
    })
}

impl Scene {
    pub fn new(plan: &Plan) -> Scene {
        let world = World::new(plan.seed);
        let sky = Sky::new(plan.weather.clone(), world.clone());
        let sink = MemorySink::new(world.clone(), plan.sink).under(sky.clone());
        let wall = Arc::new(VirtualClock::new());
        Scene {
            sink: if plan.paced { sink.paced(2) } else { sink },
            further: plan.further.iter().map(|further| FurtherStore::new(further, &world)).collect(),
            stores_of_vm: None,
            source: MemorySource::new(world.clone(), plan.source, &plan.sizes).under(sky.clone()),
            journal: MemoryJournal::new(world.clone()).compacting(plan.facts_kept),
            replicas: MemoryFiles::new(world.clone()).flaky(plan.flush_fails),
            work: MemoryFiles::new(world.clone()),
            clock: wall.clone(),
            wall,
            sky,
            vm: VmId::from("sim-vm-1"),
            // Small enough that small disks have several segments and pages.
            limits: CopyLimits {
                read_ahead: 2 << 20,
                read_unit: 1 << 20,
                segment_bytes: 300_000,
                segments_at_once: 2,
                page_bytes: 500_000,
                page_entries: 3,
                level: 1,
            },
            distrust: plan.distrust,
            retention: plan.retention,
            pace: Pace::default(),
            hours: Arc::default(),
            fleet: None,
            seed: plan.seed,
            lives: Arc::default(),
            commands: Arc::new(AtomicU64::new(plan.commands)),
            world,
        }
    }

    async fn play(&self, plan: &Plan) -> Result<(), String> {
        for death in 0..plan.crashes {
            let fuse = plan.die_at.unwrap_or_else(|| 1 + self.world.below(plan.fuse));
            self.world.light_fuse(fuse);
            tokio::select! {
                biased;
                () = self.world.crashed() => {}
                ended = self.process(plan) => ended?,
            }
            let lost = plan.lose_appliance.is_some_and(|lost| lost < death);
            if !lost {
                self.check_snapshots().await?;
            }
            self.crash(plan.lose_appliance == Some(death));
            self.check_replica().await?;
            self.check_what_rests(plan).await?;
        }
        self.world.revive();
        self.process(plan).await?;
        self.check_end(plan).await?;
        if self.retention.is_some() {
            self.collect().await?;
            self.check_collected().await?;
            self.check_end(plan).await?;
        }
        match plan.rival {
            Some(after) => self.rivalry(plan, after).await,
            None => Ok(()),
        }
    }

    pub fn crash(&self, appliance_lost: bool) {
        self.world.revive();
        self.replicas.crash();
        self.work.crash();
        if self.world.chance(0.2) {
            self.world.note("the snapshot is lost in the crash".to_owned());
            self.source.lose_snapshots();
        }
        if appliance_lost {
            self.world.note("the appliance is lost".to_owned());
            self.journal.lose();
            self.work.lose();
            self.replicas.lose();
        }
    }

    pub fn unlock() -> Unlock {
        Unlock::KeyFile(vec![7; 32].into())
    }

    pub async fn log(&self, sink: Arc<dyn Sink>, random: Random) -> Result<Log, Fault> {
        self.log_that_holds(&Expected::new(), sink, random).await
    }

    pub async fn log_that_holds(&self, expected: &Expected, sink: Arc<dyn Sink>, random: Random) -> Result<Log, Fault> {
        transload::driver::store::open(sink, &Scene::unlock(), Arc::new(self.journal.clone()), expected, random, Cpu::Inline).await
    }

    pub fn gateway(&self, log: Log) -> Gateway {
        Gateway {
            source: Arc::new(PersistentSource::new(Arc::new(self.source.clone()), self.clock.clone())),
            log,
            journal: Arc::new(self.journal.clone()),
            work: Arc::new(self.work.clone()),
            clock: self.clock.clone(),
            copies: Arc::new(Copies::new(self.limits)),
            fleet: self.fleet.clone().unwrap_or_else(Scene::lone_fleet),
            pace: self.pace.clone(),
            hours: self.hours.clone(),
            settings: Settings {
                interval: Interval { shortest: Duration::from_secs(60), longest: Duration::from_secs(3600) },
                quiesce: Quiesce::Wanted,
                poll: Duration::from_secs(1),
                shutdown_within: Duration::from_secs(600),
                distrust: self.distrust,
                patience: Patience::default(),
            },
        }
    }

    pub fn lone_fleet() -> Arc<Fleet> {
        Fleet::new(Limits { disks: 2, ..Limits::default() }, Rules::default())
    }

    pub fn receiver(&self, log: Log) -> Receiver {
        Receiver {
            log,
            journal: Arc::new(self.journal.clone()),
            places: self.places(),
            clock: self.clock.clone(),
            poll: Duration::from_secs(1),
            checkpoint_every: 3,
            at_once: Arc::new(Semaphore::new(1)),
        }
    }

    pub fn enrolment(&self) -> Enrolment {
        Enrolment {
            id: self.vm.clone(),
            identity: self.source.vm(),
            source: "sim".to_owned(),
            name: "db01".to_owned(),
            repair: Repair::Automatic,
        }
    }

    /// Lives of the agent among busy guests: until enough recovery points exist and the VM is between cycles.
    async fn process(&self, plan: &Plan) -> Result<(), String> {
        let enough = |view: &VmView| {
            let reached = view.vm.point.as_ref().map_or(0, |point| point.commit.cycle.0);
            let asked = plan.commands > 0 && self.commands.load(Ordering::Relaxed) > 0;
            reached >= plan.points as u64 && view.vm.cycle.is_none() && view.steps.is_empty() && !asked
        };
        loop {
            let lived = tokio::select! {
                biased;
                result = self.live_among(enough, |orders| self.operator(plan, orders)) => result?,
                () = self.surroundings(plan.reshape) => return Err("guests never stop".to_owned()),
            };
            if lived == Lived::Enough {
                return Ok(());
            }
            self.check_what_rests(plan).await?;
        }
    }

    /// One life of the agent, both roles in one process, until `enough`.
    pub async fn live(&self, enough: impl Fn(&VmView) -> bool) -> Result<(), String> {
        match self.live_among(enough, |_| std::future::pending()).await? {
            Lived::Enough => Ok(()),
            Lived::Left => Err("nobody told it to leave".to_owned()),
        }
    }

    /// The same, while somebody gives orders.
    pub async fn live_among<O: Future<Output = ()>>(
        &self,
        enough: impl Fn(&VmView) -> bool,
        operator: impl FnOnce(mpsc::Sender<Order>) -> O,
    ) -> Result<Lived, String> {
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        let random = Random::from_seed(self.seed.wrapping_mul(1000).wrapping_add(life));
        let (log, watch) = loop {
            let opened = async {
                let sink = Arc::new(PersistentSink::new(Arc::new(self.sink.clone()), self.clock.clone()));
                self.further_stores(self.log(sink, random.clone()).await?).await
            };
            match opened.await {
                Ok(opened) => break opened,
                Err(fault) if fault.kind.passes() => continue,
                Err(fault) => return Err(format!("the store does not open: {fault}")),
            }
        };
        let (orders, ordered) = mpsc::channel(1);
        let (show_vm, mut vm) = watch::channel(VmView::default());
        let stuck = vm.clone();
        let (show_replica, _replica) = watch::channel(ReplicaView::default());
        let task = VmTask::open(self.gateway(self.spread(log.clone())), self.enrolment(), ordered, show_vm)
            .await
            .map_err(|fault| fault.to_string())?;
        let keeper = self.keeper(log.clone(), vm.clone()).await?;
        let keeping = async {
            match &keeper {
                Some(keeper) => keeper.run().await,
                None => std::future::pending().await,
            }
        };
        let replica = ReplicaTask::open(self.receiver(log), self.vm.clone(), show_replica).await.map_err(|fault| fault.to_string())?;
        let enough = async {
            loop {
                if vm.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let view = vm.borrow_and_update().clone();
                // What it has open it still closes.
                if let Some(fault) = view.vm.halted.as_ref().filter(|_| view.steps.is_empty()) {
                    return Err(format!("the VM is halted: {fault}"));
                }
                if enough(&view) {
                    return Ok(Lived::Enough);
                }
            }
        };
        let limit = Duration::from_secs(3600 * 24 * 60);
        let watching = async {
            match watch {
                Some(watch) => watch.run(&*self.clock).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            fault = watching => Err(format!("the watch over the further stores ended: {fault}")),
            result = task.run() => match result {
                Ok(()) => Ok(Lived::Left),
                Err(fault) => Err(format!("the VM's task ended: {fault}")),
            },
            result = replica.run() => Err(format!("the replica's task ended: {result:?}")),
            result = keeping => Err(format!("the keeper of recovery points ended: {result:?}")),
            result = enough => result,
            () = operator(orders.clone()) => Err("the operator went home".to_owned()),
            () = tokio::time::sleep(limit) => {
                let view = stuck.borrow();
                Err(format!("nothing moves any more: {:?}, {:?}", view.steps, view.trouble))
            }
        }
    }

    /// What goes on whatever the agent does.
    pub(crate) async fn surroundings(&self, reshape: bool) {
        tokio::join!(self.guests(reshape), self.clock_is_set());
    }

    /// Somebody sets the wall clock, hours forward or back.
    pub(crate) async fn clock_is_set(&self) {
        let jumps = self.sky.weather().clock_jumps;
        if jumps == 0 {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(Duration::from_secs(self.world.below(7200 / jumps))).await;
            let by = SignedDuration::from_secs(self.world.below(12 * 3600) as i64 - 6 * 3600);
            self.world.note(format!("the wall clock is set by {} s", by.as_secs()));
            self.wall.set_off(by);
        }
    }

    async fn guests(&self, reshape: bool) {
        loop {
            tokio::time::sleep(Duration::from_millis(200 + self.world.below(60_000))).await;
            self.source.churn();
            if reshape && self.world.chance(0.05) {
                self.reshape();
            }
        }
    }

    fn reshape(&self) {
        let disks = self.source.disk_ids();
        let disk = disks[self.world.below(disks.len() as u64) as usize].clone();
        match self.world.below(4) {
            0 => {
                self.world.note("tracking is reset".to_owned());
                self.source.reset();
            }
            1 => {
                self.world.note(format!("{disk} grows"));
                self.source.grow(&disk, (1 + self.world.below(3000)) * 512);
            }
            2 if disks.len() < 4 => {
                self.world.note("a disk is added".to_owned());
                self.source.add_disk((1 + self.world.below(4000)) * 512);
            }
            3 if disks.len() > 1 => {
                self.world.note(format!("{disk} is removed"));
                self.source.remove_disk(&disk);
            }
            _ => {}
        }
    }

    // ---- the oracle ----

    pub async fn quiet_log(&self) -> Result<Log, String> {
        let sink: Arc<dyn Sink> = Arc::new(self.sink.quiet());
        let sealer = keys::open(&*sink, &Scene::unlock()).await.map_err(|fault| fault.to_string())?;
        self.quiet_stores(Log::new(sink, Arc::new(sealer), Random::from_seed(0), Cpu::Inline)).await
    }

    pub async fn replica_state(&self) -> Result<Replica, String> {
        let ledger: Ledger<Replica> =
            Ledger::open(Arc::new(self.journal.clone()), judge::aggregate(&self.vm)).await.map_err(|fault| fault.to_string())?;
        Ok(ledger.state().clone())
    }

    pub async fn vm_state(&self) -> Result<Vm, String> {
        let ledger: Ledger<Vm> =
            Ledger::open(Arc::new(self.journal.clone()), gateway::aggregate(&self.vm)).await.map_err(|fault| fault.to_string())?;
        Ok(ledger.state().clone())
    }

    /// A replica that says it stands at a point holds exactly what the snapshot of that point froze, and markers never run ahead.
    pub async fn check_replica(&self) -> Result<(), String> {
        self.check_what_it_holds().await?;
        self.check_what_it_builds_on().await
    }

    /// The receiver's part of it.
    pub(crate) async fn check_what_it_holds(&self) -> Result<(), String> {
        let replica = self.replica_state().await?;
        if let ReplicaState::At(point) = replica.state {
            let log = self.quiet_log().await?;
            let (commit, _) = log.commit(&self.vm, point.cycle).await.map_err(|fault| fault.to_string())?;
            for disk in &commit.disks {
                let name = places::replica(&self.vm, &disk.disk);
                let held = self.replicas.content(&name).ok_or_else(|| format!("{name} is missing"))?;
                self.compare(&commit, disk, &held, "the replica")?;
                let durable = self.replicas.durable(&name).unwrap_or_default();
                self.compare(&commit, disk, &durable, "what the replica's medium holds")?;
            }
        }
        Ok(())
    }

    /// The gateway's part of it.
    pub(crate) async fn check_what_it_builds_on(&self) -> Result<(), String> {
        if let Some(point) = self.vm_state().await?.point {
            let log = self.quiet_log().await?;
            match log.receipt(&self.vm, point.commit.cycle).await.map_err(|fault| fault.to_string())? {
                Some(receipt) if matches!(receipt.verdict, Verdict::Applied { .. }) => {}
                other => return Err(format!("the gateway builds on cycle {}, whose receipt is {other:?}", point.commit.cycle)),
            }
        }
        Ok(())
    }

    /// No snapshot outlives its cycle: whatever is open, the journal knows of, at any moment of a death.
    pub async fn check_snapshots(&self) -> Result<(), String> {
        let open = self.source.open_snapshots();
        let cycle = self.vm_state().await?.cycle;
        match open {
            0 => Ok(()),
            1 if cycle.as_ref().is_some_and(|cycle| cycle.stage.may_be_open()) => Ok(()),
            _ => Err(format!("{open} snapshots are open while the journal says {:?}", cycle.map(|cycle| cycle.stage))),
        }
    }

    pub(crate) fn compare(
        &self,
        commit: &Commit,
        disk: &transload::model::commit::DiskCommit,
        held: &[u8],
        what: &str,
    ) -> Result<(), String> {
        let Some(marker) = disk.marker.as_ref() else {
            // Its tracker lied. Which snapshot it was is not told, so it must be one of them, whole.
            return match self.source.was_frozen(&disk.disk, held) {
                true => Ok(()),
                false => Err(format!("{what} of {} at cycle {} is no snapshot of it", disk.disk, commit.cycle)),
            };
        };
        let frozen = self.source.frozen(&disk.disk, marker).ok_or_else(|| format!("no snapshot has the marker {marker}"))?;
        if held == frozen {
            return Ok(());
        }
        let place = held.iter().zip(&frozen).position(|(a, b)| a != b);
        Err(format!("{what} of {} at cycle {} differs from the snapshot, first at {place:?}", disk.disk, commit.cycle))
    }

    pub(crate) async fn check_end(&self, plan: &Plan) -> Result<(), String> {
        self.check_replica().await?;
        self.check_rest().await?;
        let damaged = plan.sink.damaged > 0.0;
        self.check_every_point(damaged).await
    }

    /// Nothing is left behind, and nobody was accused.
    pub(crate) async fn check_rest(&self) -> Result<(), String> {
        let open = self.source.open_snapshots();
        if open != 0 {
            return Err(format!("{open} snapshots were left behind"));
        }
        match self.vm_state().await?.trust.newest {
            Some(lie) => Err(format!("an honest tracker was accused: {lie:?}")),
            None => Ok(()),
        }
    }
}
