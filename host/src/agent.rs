//! A running agent: every part put together out of the configuration, and the desk that commands come to.
//!
//! ```text
//!   config ─▶ plugins ─▶ sink ─▶ store ─▶ ReplicaTask for every VM in the store        (receiver)
//!                    └─▶ sources ─▶ inventory ─▶ VmTask for every VM that is wanted    (gateway)
//! ```

mod looking;
mod reload;
mod stores;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::api::pace::PaceStatus;
use crate::api::status::{PluginStatus, StoreStatus};
use crate::clock::Clock;
use crate::config::{self, Config, KeyConfig, RepairConfig, Role, VmConfig};
use crate::cpu::Cpu;
use crate::desk::AgentDesk;
use crate::driver::expected::Expected;
use crate::driver::fleet::Fleet;
use crate::driver::gateway::{Enrolment, Gateway, Settings, VmTask, VmView};
use crate::driver::hours::Hours;
use crate::driver::judge::{Receiver, ReplicaView};
use crate::driver::order::Order;
use crate::driver::replicas::Replicas;
use crate::driver::retention::{self, Keeper};
use crate::driver::retry::{PersistentSink, PersistentSource};
use crate::driver::spreading::Spreading;
use crate::driver::stores::Watch;
use crate::driver::throttle::Lines;
use crate::folder::Folder;
use crate::journal::{Folded, Journal, Ledger, SqliteJournal};
use crate::log::keys::Unlock;
use crate::log::layout::{self, hex};
use crate::log::store::Log;
use crate::model::commit::Sha;
use crate::model::{Fault, Quiesce, VmId, VmRef};
use crate::pipeline::limits::{Copies, CopyLimits};
use crate::pipeline::pace::{Pace, Reins};
use crate::pipeline::source::Source;
use crate::policy::admission::Limits;
use crate::policy::governor::Rules;
use crate::policy::interval::Interval;
use crate::policy::reaction::Patience;
use crate::policy::retention::{Batches, Rule};
use crate::policy::vm::Repair;
use crate::random::Random;
use crate::receiver::places;
use crate::receiver::prepare::Places;
use crate::secret::{Secret, SecretError};
use crate::wasm::{Approvals, CodeCache, InUse, Installed, PluginHost};

pub use looking::find;
use reload::Reload;

/// A checkpoint every so many cycles: reading a recovery point then needs at most so many manifests.
const CHECKPOINT_EVERY: u64 = 24;
/// Replicas that are written at one time. One alone fills two cores; several hide what each waits for.
const REPLICAS_AT_ONCE: usize = 4;
/// Two looks that find the same let a new version of a plugin in.
const LOOK_AT_PLUGINS: Duration = Duration::from_secs(2);
/// VMs whose recovery points are collected at one time. It is never urgent, and each may hold 20 MiB.
const COLLECTED_AT_ONCE: usize = 2;
/// Two looks that find the same let a changed configuration in.
const LOOK_AT_CONFIGURATION: Duration = Duration::from_secs(1);
/// Commands of one VM that may wait.
const ORDERS: usize = 8;

pub struct Agent {
    pub config: Config,
    pub log: Log,
    pub places: Option<Places>,
    pub clock: Arc<dyn Clock>,
    journal: Arc<dyn Journal>,
    work: Arc<Folder>,
    plugins: Installed,
    sources: BTreeMap<String, Arc<dyn Source>>,
    vms: Mutex<BTreeMap<VmId, VmHandle>>,
    /// None on a gateway apart.
    replicas: Option<Replicas>,
    wanted: tokio::sync::Mutex<Ledger<Wanted>>,
    missing: Mutex<BTreeMap<String, String>>,
    copies: Arc<Copies>,
    /// Who may begin a cycle, over all VMs.
    pub fleet: Arc<Fleet>,
    /// None while there is only the home store.
    spreading: Option<Arc<Spreading>>,
    /// Looks for further stores that were away at the start, as soon as the agent runs.
    watch: Mutex<Option<Watch>>,
    /// Turns at collecting recovery points.
    collecting: Arc<Semaphore>,
    /// How fast bytes go.
    lines: Arc<Lines>,
    hours: Arc<Hours>,
    reload: Reload,
}

#[derive(Clone)]
pub struct VmHandle {
    pub view: watch::Receiver<VmView>,
    pub orders: mpsc::Sender<Order>,
    pub keeper: Arc<Keeper>,
}

/// A VM's task that does not run yet.
struct Opened {
    id: VmId,
    task: VmTask,
    handle: VmHandle,
}

/// VMs that were asked for by command, beside those of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    vms: Vec<WantedVm>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedVm {
    name: String,
    source: String,
    repair: Repair,
}

impl From<WantedVm> for VmConfig {
    fn from(WantedVm { name, source, repair }: WantedVm) -> VmConfig {
        let repair = match repair {
            Repair::Automatic => RepairConfig::Automatic,
            Repair::ByCommand => RepairConfig::ByCommand,
        };
        VmConfig { name, source, target_size_max: None, repair, stores: None }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WantedFact {
    Wanted {
        name: String,
        source: String,
        #[serde(default)]
        repair: Repair,
    },
}

impl Folded for Wanted {
    type Fact = WantedFact;
    const FORM: u32 = 1;

    fn fold(&mut self, fact: WantedFact) -> Result<(), Fault> {
        let WantedFact::Wanted { name, source, repair } = fact;
        self.vms.push(WantedVm { name, source, repair });
        Ok(())
    }
}

pub fn work_place(state: &Path) -> PathBuf {
    state.join("work")
}

pub fn journal_place(state: &Path) -> PathBuf {
    state.join("journal.db")
}

/// Which plugins the operator let in.
pub fn approvals(state: &Path) -> Approvals {
    Approvals::at(&state.join("approved"))
}

/// The key that opens the store, as the configuration names it.
pub fn unlock(key: &KeyConfig) -> Result<Unlock, Fault> {
    let secret = Secret::load(&key.path().to_string_lossy()).map_err(|error| match error {
        // Another key of the same name opens nothing, so the advice for passwords would be wrong here.
        SecretError::Missing(path) => {
            Fault::invalid(format!("there is no {} {}: restore it from its copy (chmod 600)", key.word(), path.display()))
        }
        other => Fault::invalid(other.to_string()),
    })?;
    let bytes = secret.expose().to_vec().into();
    Ok(match key {
        KeyConfig::File(_) => Unlock::KeyFile(bytes),
        KeyConfig::PassphraseFile(_) => Unlock::Passphrase(bytes),
    })
}

impl Agent {
    /// Opens the journal, the plugins and the store. Nothing is replicated before `run`.
    /// `expected`: by a VM's id or name, the hash of a recovery point that the store must hold.
    pub async fn open(config: Config, expected: Expected, clock: Arc<dyn Clock>) -> Result<Arc<Agent>, Fault> {
        let host = PluginHost::new(clock.clone(), CodeCache::beside(&config.state), approvals(&config.state))
            .map_err(|error| Fault::internal(format!("the plugin engine does not start: {error:#}")))?;
        Agent::open_in(Arc::new(host), config, expected, clock).await
    }

    /// The same, with plugins that run in this host, which may have others.
    pub async fn open_in(host: Arc<PluginHost>, config: Config, expected: Expected, clock: Arc<dyn Clock>) -> Result<Arc<Agent>, Fault> {
        let work = Arc::new(Folder::open(&work_place(&config.state))?);
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::open(&journal_place(&config.state))?);
        let refused = |refused: crate::wasm::PluginRefused| Fault::invalid(refused.to_string());
        let sink = Arc::new(host.sink(&config.sink).await.map_err(refused)?);
        let mut plugins = Installed::new(host);
        plugins.use_sink(config.sink.clone(), sink.clone());
        let mut sources: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
        let mut waiting = Vec::new();
        if config.role.sends() {
            for source in &config.sources {
                let (plugin, waits) = plugins.source(source).await;
                waiting.extend(waits);
                sources.insert(source.name.clone(), Arc::new(PersistentSource::new(plugin, clock.clone())));
            }
        }
        // One that may not run keeps no other from replicating. Where none may, there is nothing to do, and whoever starts this is told at once.
        if !sources.is_empty() && waiting.len() == sources.len() {
            return Err(refused(waiting.remove(0)));
        }
        for cutover in &config.cutovers {
            plugins.cutover(cutover).await;
        }
        plugins.host().forget_unused_code();
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let patient = Arc::new(PersistentSink::new(sink.clone(), clock.clone()));
        let (unlock, random) = (unlock(&config.key)?, Random::from_system());
        let log = crate::driver::store::open(patient, &unlock, journal.clone(), &expected, random, Cpu::threads(threads)).await?;
        let stores::Opened { log, spreading, watch } =
            stores::open(&config, &mut plugins, log, sink, journal.clone(), clock.clone()).await?;
        let places = open_places(&config, work.clone())?;
        let replicas = places.clone().map(|places| {
            Replicas::new(Receiver {
                log: log.clone(),
                journal: journal.clone(),
                places,
                clock: clock.clone(),
                poll: config.replication.poll.0.min(Duration::from_secs(2)),
                checkpoint_every: CHECKPOINT_EVERY,
                at_once: Arc::new(Semaphore::new(REPLICAS_AT_ONCE)),
            })
        });
        let replication = &config.replication;
        let limits = CopyLimits::within(replication.in_flight.0, replication.segment.0, i32::from(replication.compression_level));
        let copies = Arc::new(Copies::new(limits));
        let fleet = Fleet::new(fleet_limits(&config.limits), governor_rules(&config.limits));
        let wanted = tokio::sync::Mutex::new(Ledger::open(journal.clone(), "wanted".to_owned()).await?);
        let (lines, hours) = (Lines::new(clock.clone()), Arc::new(Hours::new(config.calendar.clone())));
        Ok(Arc::new(Agent {
            reload: Reload::of(&config),
            lines,
            hours,
            config,
            log,
            places,
            clock,
            journal,
            work,
            plugins,
            sources,
            vms: Mutex::default(),
            replicas,
            wanted,
            missing: Mutex::default(),
            copies,
            fleet,
            spreading,
            watch: Mutex::new(watch),
            collecting: Arc::new(Semaphore::new(COLLECTED_AT_ONCE)),
        }))
    }

    /// Replicates until the process ends. Answers only when the journal fails: without it nothing may go on.
    pub async fn run(self: &Arc<Agent>) -> Fault {
        let desk = AgentDesk(self.clone());
        let hear = async {
            match self.config.role {
                // Both roles in one process have nothing to say to each other through the store, but another gateway may have.
                Role::Both | Role::Receiver => desk.hear().await,
                Role::Gateway => std::future::pending().await,
            }
        };
        let (failed, mut failures) = mpsc::channel(1);
        tokio::select! {
            Some(fault) = failures.recv() => fault,
            fault = hear => fault,
            fault = self.watch_further() => fault,
            () = self.watch_store(failed.clone()) => Fault::internal("the receiver's watch ended"),
            () = self.find_vms(failed.clone()) => Fault::internal("the search for VMs ended"),
            () = self.watch_plugins() => Fault::internal("the watch over the plugins ended"),
            () = self.watch_configuration() => Fault::internal("the watch over the configuration ended"),
            never = self.hours.keep(&self.lines, &*self.clock) => match never {},
        }
    }

    async fn watch_configuration(&self) {
        loop {
            if let Some(config) = self.reload.look() {
                self.fleet.set_limits(fleet_limits(&config.limits), governor_rules(&config.limits));
                self.hours.set(config.calendar);
            }
            self.clock.sleep(LOOK_AT_CONFIGURATION).await;
        }
    }

    /// Has every VM's copy put down. Answers when nothing of ours is open any more; what runs meanwhile must go on running.
    pub async fn leave(&self) {
        let handles = self.handles();
        for handle in handles.values() {
            // A task that has ended needs no telling.
            let _ = handle.orders.send(Order::Leave).await;
        }
        for handle in handles.into_values() {
            let mut view = handle.view;
            while view.changed().await.is_ok() {}
        }
    }

    async fn watch_further(&self) -> Fault {
        let watch = self.watch.lock().expect("nothing panics while it holds this").take();
        match watch {
            Some(watch) => watch.run(&*self.clock).await,
            None => std::future::pending().await,
        }
    }

    async fn watch_plugins(&self) {
        loop {
            self.plugins.look().await;
            self.clock.sleep(LOOK_AT_PLUGINS).await;
        }
    }

    // ---- gateway ----

    async fn wanted_vms(&self) -> Vec<VmConfig> {
        let by_command = self.wanted.lock().await.state().vms.clone();
        let by_command = by_command.into_iter().map(VmConfig::from);
        self.config.vms.iter().cloned().chain(by_command).collect()
    }

    /// Opens the task of a VM. From here on the fleet knows it; it does nothing yet. `stores`: those that its segments may go to, by name;
    /// all of them when none are named.
    async fn open_task(
        self: &Arc<Agent>,
        enrolment: Enrolment,
        stores: Option<Vec<String>>,
        source: Arc<dyn Source>,
        failed: &mpsc::Sender<Fault>,
    ) -> Result<Opened, Fault> {
        let id = enrolment.id.clone();
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (show, view) = watch::channel(VmView::default());
        let gateway = Gateway {
            source,
            log: match &self.spreading {
                Some(spreading) => self.log.clone().placed_by(spreading.over(stores)),
                None => self.log.clone(),
            },
            journal: self.journal.clone(),
            work: self.work.clone(),
            clock: self.clock.clone(),
            copies: self.copies.clone(),
            fleet: self.fleet.clone(),
            pace: Pace { reins: Reins::default(), meter: Arc::new(self.lines.meter(&self.config.sink.name, &enrolment.name)) },
            hours: self.hours.clone(),
            settings: self.settings(),
        };
        let task = VmTask::open(gateway, enrolment, ordered, show).await?;
        if let Some(replicas) = &self.replicas {
            replicas.take_up(&id, failed.clone()).await?;
        }
        let keeper = self.keeper(&id, view.clone()).await?;
        Ok(Opened { id, task, handle: VmHandle { view, orders, keeper } })
    }

    fn run_task(&self, opened: Opened, failed: mpsc::Sender<Fault>) {
        let Opened { id, task, handle } = opened;
        if self.config.retention.automatic {
            let (keeper, failed) = (handle.keeper.clone(), failed.clone());
            tokio::spawn(async move {
                if let Err(fault) = keeper.run().await {
                    let _ = failed.send(fault).await;
                }
            });
        }
        // Whoever finds it here takes the task for running.
        self.vms.lock().expect("nothing panics while it holds this").insert(id, handle);
        tokio::spawn(async move {
            if let Err(fault) = task.run().await {
                let _ = failed.send(fault).await;
            }
        });
    }

    async fn keeper(&self, id: &VmId, view: watch::Receiver<VmView>) -> Result<Arc<Keeper>, Fault> {
        let (log, journal, clock) = (self.log.clone(), self.journal.clone(), self.clock.clone());
        let settings = retention::Settings { rule: self.retention_rule(), batches: Batches::default() };
        Ok(Arc::new(Keeper::open(log, journal, clock, id.clone(), settings, view, self.collecting.clone()).await?))
    }

    pub fn retention_rule(&self) -> Rule {
        let retention = &self.config.retention;
        Rule { recent: retention.recent.0, days: retention.days, at_least: retention.at_least as usize }
    }

    pub fn settings(&self) -> Settings {
        let replication = &self.config.replication;
        Settings {
            interval: self.interval(),
            quiesce: if replication.quiesce { Quiesce::Wanted } else { Quiesce::Unwanted },
            poll: replication.poll.0,
            shutdown_within: replication.shutdown_within.0,
            distrust: replication.distrust_budget.0,
            patience: Patience { lasting: replication.patience.0, ..Patience::default() },
        }
    }

    pub fn interval(&self) -> Interval {
        let replication = &self.config.replication;
        Interval { shortest: replication.interval_min.0, longest: replication.interval_max.0 }
    }

    /// Starts replicating a VM that the configuration does not name.
    pub async fn want(&self, name: &str, source: &str, repair: Repair) -> Result<bool, Fault> {
        let mut wanted = self.wanted.lock().await;
        let configured = self.config.vms.iter().any(|vm| vm.name == name && vm.source == source);
        if configured || wanted.state().vms.iter().any(|vm| vm.name == name && vm.source == source) {
            return Ok(false);
        }
        wanted.record(vec![WantedFact::Wanted { name: name.to_owned(), source: source.to_owned(), repair }]).await?;
        Ok(true)
    }

    // ---- receiver ----

    /// A receiver apart from its gateway learns of VMs from the store.
    async fn watch_store(self: &Arc<Agent>, failed: mpsc::Sender<Fault>) {
        let Some(replicas) = &self.replicas else { return std::future::pending().await };
        loop {
            match self.log.list(layout::VMS).await {
                Ok(entries) => {
                    for entry in entries {
                        let id = VmId(entry.key[layout::VMS.len()..].to_owned());
                        if let Err(fault) = replicas.take_up(&id, failed.clone()).await {
                            tracing::warn!(vm = %id, message = %fault.message, "the replica's task does not start");
                        }
                    }
                }
                Err(fault) => tracing::warn!(kind = %fault.kind, message = %fault.message, "the store cannot be looked at"),
            }
            self.clock.sleep(self.config.replication.poll.0).await;
        }
    }

    // ---- views ----

    pub fn plugins(&self) -> Vec<PluginStatus> {
        let shown = |InUse { name, plugin, version, key, grants, counted, refused }| PluginStatus {
            name,
            plugin,
            version,
            key,
            grants,
            counted,
            refused,
        };
        self.plugins.in_use().into_iter().map(shown).collect()
    }

    pub fn stores(&self) -> Vec<StoreStatus> {
        self.spreading.as_deref().map(stores::status).unwrap_or_default()
    }

    pub fn handles(&self) -> BTreeMap<VmId, VmHandle> {
        self.vms.lock().expect("nothing panics while it holds this").clone()
    }

    pub fn replica_views(&self) -> BTreeMap<VmId, ReplicaView> {
        self.replicas.as_ref().map(Replicas::views).unwrap_or_default()
    }

    pub fn missing(&self) -> Vec<String> {
        let missing = self.missing.lock().expect("nothing panics while it holds this");
        missing.iter().map(|(name, why)| format!("{name}: {why}")).collect()
    }

    pub fn pace_status(&self, now: Timestamp) -> Option<PaceStatus> {
        let (reloaded, zone) = (self.reload.shown(), self.hours.zone_name());
        let shown = || PaceStatus::new(now, &self.lines, &self.hours.at(now), zone, reloaded.wrong, reloaded.needs_restart);
        self.config.role.sends().then(shown)
    }

    pub fn journal(&self) -> Arc<dyn Journal> {
        self.journal.clone()
    }

    /// Why a VM that is wanted is not replicated yet.
    pub async fn not_found_yet(&self, name: &str) -> Option<Fault> {
        self.wanted_vms().await.iter().find(|vm| vm.name == name)?;
        let missing = self.missing.lock().expect("nothing panics while it holds this").get(name).cloned();
        Some(match missing {
            Some(why) => Fault::not_found(why),
            None => Fault::unavailable(format!("{name} is still being looked for at its source")),
        })
    }

    pub fn store_name(&self) -> String {
        hex(&self.log.sealer().store_id())
    }

    /// Sources that a command may name; the only one needs no name.
    pub fn source_or_only(&self, named: Option<&str>) -> Result<String, Fault> {
        match (named, self.sources.len()) {
            (Some(name), _) if self.sources.contains_key(name) => Ok(name.to_owned()),
            (Some(name), _) => Err(Fault::not_found(format!("there is no source {name}"))),
            (None, 1) => Ok(self.sources.keys().next().cloned().unwrap_or_default()),
            (None, _) => Err(Fault::invalid("there are several sources: say which one with --source".to_owned())),
        }
    }
}

pub fn fleet_limits(limits: &config::Limits) -> Limits {
    Limits {
        vms: limits.vms,
        disks: limits.disks,
        datastore_snapshots: limits.disk_snapshots_per_datastore,
        host_disks: limits.disks_per_host,
        sink_disks: None,
    }
}

pub fn governor_rules(limits: &config::Limits) -> Rules {
    Rules { reserve_percent: limits.datastore_reserve_percent, age_max: limits.snapshot_age_max.0 }
}

fn open_places(config: &Config, work: Arc<Folder>) -> Result<Option<Places>, Fault> {
    let (true, Some(receiver)) = (config.role.receives(), &config.receiver) else { return Ok(None) };
    let mut devices: BTreeMap<String, PathBuf> = BTreeMap::new();
    for device in &receiver.devices {
        let (vm, disk) = (VmId(device.vm.clone()), device.disk.as_str().into());
        devices.insert(places::replica(&vm, &disk), device.path.clone());
        devices.insert(places::filling(&vm, &disk), device.path.clone());
    }
    let root = receiver.replicas.clone().unwrap_or_else(|| config.state.join("replicas"));
    let replicas = Arc::new(Folder::with_devices(&root, devices)?.alone()?);
    Ok(Some(Places { replicas, work }))
}

/// The name a VM has in the log and the journal: which source, and which VM of it.
pub fn vm_id(source: &str, vm: &VmRef) -> VmId {
    let identity = format!("{}\n{}", vm.id, vm.fingerprint);
    VmId(format!("{}-{}", layout::name(source), &Sha::of(identity.as_bytes()).to_string()[..16]))
}
