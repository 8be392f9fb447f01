//! Several VMs, one gateway and one receiver: two processes that meet in the store only, and die at moments of their own.
//!
//! ```text
//!   datacentre: hosts, datastores        store           replicas
//!     vm-1 ─┐                              │
//!     vm-2 ─┼─▶ gateway ── one fleet ──▶ objects ──▶ receiver      each process: a journal, files and a death of its own
//!     vm-3 ─┘    tight limits              │
//! ```
//!
//! Each VM is held to what a VM alone is held to. Over all of them: the datacentre saw no limit broken, everybody gets a recovery point
//! within a time that is known beforehand, and one that is ill keeps nobody else from it.

mod lives;
mod plan;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use transload::driver::gateway::VmView;
use transload::log::layout;
use transload::model::{Epoch, VmId};

use crate::datacentre::{Datacentre, Home, Most};
use crate::files::MemoryFiles;
use crate::journal::MemoryJournal;
use crate::scenario::Scene;
use crate::source::{MemorySource, SourceFault};
use crate::weather::Weather;
use crate::world::World;

pub use plan::{Ill, Illness, SeveralPlan, VmPlan};

/// The scene of several VMs. What outlives its processes.
pub struct Several {
    plan: SeveralPlan,
    vms: Vec<One>,
    centre: Datacentre,
    gateway: World,
    receiver: World,
}

/// One VM, as each of the two processes sees it.
struct One {
    plan: VmPlan,
    sending: Scene,
    receiving: Scene,
    seen: Mutex<Seen>,
}

/// How far a VM came.
struct Seen {
    point: u64,
    since: Instant,
    longest: Duration,
    arrived: bool,
}

/// What a run left behind: equal for equal seeds.
#[derive(Debug, PartialEq, Eq)]
pub struct Played {
    pub trace: Vec<String>,
    pub objects: BTreeMap<String, Bytes>,
    pub most: Most,
    /// The longest that a VM waited for its next recovery point, and the time that was allowed.
    pub longest_wait: Duration,
    pub allowed: Duration,
}

/// Runs one plan to its end on a runtime of its own; answers what it left behind, or what went wrong with the trace.
pub fn run(plan: &SeveralPlan) -> Result<Played, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let several = Several::new(plan);
        let result = several.play().await;
        let trace = several.gateway.trace();
        result.map_err(|what| format!("seed {} of several VMs: {what}\n{}", plan.all.seed, trace.join("\n")))?;
        Ok(Played {
            trace,
            objects: several.vms[0].sending.sink.objects(),
            most: several.centre.most(),
            longest_wait: several.vms.iter().map(|vm| vm.seen().longest).max().unwrap_or_default(),
            allowed: several.allowed(),
        })
    })
}

impl Several {
    pub fn new(plan: &SeveralPlan) -> Several {
        let first = Scene::new(&plan.all);
        let (gateway, receiver) = (first.world.clone(), first.world.another_process());
        let centre = Datacentre::new(&plan.datacentre);
        // What is the gateway's own, and the receiver's.
        let receiving = Scene {
            world: receiver.clone(),
            sink: first.sink.seen_by(&receiver),
            journal: MemoryJournal::new(receiver.clone()).compacting(plan.all.facts_kept),
            replicas: MemoryFiles::new(receiver.clone()).flaky(plan.all.flush_fails),
            work: MemoryFiles::new(receiver.clone()),
            ..first.clone()
        };
        let one = |(number, vm): (usize, &VmPlan)| {
            let id = format!("vm-{}", number + 1);
            let home = Home { centre: centre.clone(), vm: id.clone(), host: vm.host, datastores: vm.datastores.clone() };
            let source = MemorySource::new(gateway.clone(), plan.all.source, &vm.sizes).under(first.sky.clone()).at(home);
            let vm_id = VmId::from(format!("sim-{id}").as_str());
            One {
                plan: vm.clone(),
                sending: Scene { source: source.clone(), vm: vm_id.clone(), ..first.clone() },
                receiving: Scene { source, vm: vm_id, ..receiving.clone() },
                seen: Mutex::new(Seen { point: 0, since: Instant::now(), longest: Duration::ZERO, arrived: false }),
            }
        };
        let vms = plan.vms.iter().enumerate().map(one).collect();
        Several { plan: plan.clone(), vms, centre, gateway, receiver }
    }

    async fn play(&self) -> Result<(), String> {
        tokio::select! {
            biased;
            breach = self.centre.watch() => return Err(breach),
            starved = self.nobody_starves() => return Err(starved),
            result = self.gateway_lives() => result?,
            ended = self.receiver_lives() => return Err(format!("the receiver ended: {ended:?}")),
            () = self.surroundings() => return Err("guests never stop".to_owned()),
        }
        // What is looked at from here on is looked at by nobody who dies.
        self.gateway.revive();
        self.receiver.revive();
        self.centre.unattended();
        if let Some(breach) = self.centre.breach() {
            return Err(breach);
        }
        for vm in self.healthy() {
            vm.check_end(&self.plan).await?;
        }
        Ok(())
    }

    fn healthy(&self) -> impl Iterator<Item = &One> {
        self.vms.iter().filter(|vm| vm.plan.illness.is_none())
    }

    async fn surroundings(&self) {
        let guests = futures::future::join_all(self.vms.iter().map(One::guest));
        let illnesses = futures::future::join_all(self.vms.iter().map(One::falls_ill));
        tokio::join!(guests, illnesses, self.vms[0].sending.clock_is_set());
    }

    /// Ends when somebody waits for longer than is allowed, and says who.
    async fn nobody_starves(&self) -> String {
        loop {
            tokio::time::sleep(Duration::from_secs(600)).await;
            for vm in self.healthy() {
                let seen = vm.seen();
                if !seen.arrived && seen.since.elapsed() > self.allowed() {
                    return format!(
                        "{} waits for more than {} h for what comes after its point {}",
                        vm.sending.vm,
                        self.allowed().as_secs() / 3600,
                        seen.point
                    );
                }
            }
        }
    }

    /// How long a VM may be without its next recovery point: what is away is waited for, twice each merge and each patience of the others
    /// on its limits, and whatever somebody does to the clock.
    fn allowed(&self) -> Duration {
        let Weather { outages, busy, merge_max, clock_jumps, .. } = self.plan.all.weather.clone();
        let away: Duration = outages.iter().chain(&busy).map(|stretch| stretch.lasts).sum();
        let full: Duration = self.plan.datacentre.fills.iter().map(|fill| fill.when.lasts).sum();
        let others = self.vms.len() as u32;
        let set = if clock_jumps > 0 { Duration::from_secs(24 * 3600) } else { Duration::ZERO };
        Duration::from_secs(3 * 3600) + away + full + (merge_max * 2 + Duration::from_secs(2 * 3600)) * others + set
    }
}

impl One {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics while it holds what was seen")
    }

    /// Takes in what its task shows; whether the VM is where it has to come.
    fn look(&self, view: &VmView, points: usize) -> bool {
        let point = view.vm.point.as_ref().map_or(0, |point| point.commit.cycle.0);
        let mut seen = self.seen();
        if point > seen.point {
            let waited = seen.since.elapsed();
            *seen = Seen { point, since: Instant::now(), longest: seen.longest.max(waited), arrived: seen.arrived };
        }
        let there = match self.plan.is_moved {
            true => view.vm.has_final_point(),
            false => point >= points as u64,
        };
        seen.arrived |= there;
        // What the process before left open is closed by one that looks after the VM, and not by one that is told to leave at once.
        there && view.vm.cycle.as_ref().is_none_or(|cycle| !cycle.stage.may_be_open())
    }

    async fn guest(&self) {
        loop {
            tokio::time::sleep(Duration::from_millis(200 + self.sending.world.below(240_000))).await;
            self.sending.source.churn();
        }
    }

    async fn falls_ill(&self) {
        let Some(Illness { what, after }) = self.plan.illness else { return };
        tokio::time::sleep(after).await;
        self.sending.world.note(format!("{}: {what:?}", self.sending.vm));
        match what {
            Ill::KeepsSnapshots => self.sending.source.misbehave(SourceFault::KeepsSnapshots),
            Ill::ReadsNothing => self.sending.source.misbehave(SourceFault::ReadsNothing),
            Ill::MakesNoSnapshot => self.sending.source.misbehave(SourceFault::MakesNoSnapshot),
            Ill::TakenOver => self.sending.sink.tamper(&layout::owner(&self.sending.vm, Epoch(99)), Some(Bytes::new())),
        }
    }

    /// Everything that is asked of a VM alone.
    async fn check_end(&self, plan: &SeveralPlan) -> Result<(), String> {
        let named = |what: String| format!("{}: {what}", self.sending.vm);
        self.check().await?;
        self.sending.check_rest().await.map_err(named)?;
        self.sending.check_every_point(plan.all.sink.damaged > 0.0).await.map_err(named)?;
        if self.sending.retention.is_some() {
            self.sending.collect().await.map_err(named)?;
            self.sending.check_collected().await.map_err(named)?;
            self.sending.check_every_point(plan.all.sink.damaged > 0.0).await.map_err(named)?;
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), String> {
        let result = async {
            self.receiving.check_what_it_holds().await?;
            self.sending.check_what_it_builds_on().await
        };
        result.await.map_err(|what| format!("{}: {what}", self.sending.vm))
    }
}
