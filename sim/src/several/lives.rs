//! Lives of the two processes: each dies at effects of its own, comes back after a while with what its journal and its files hold, and goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use tokio::sync::{Semaphore, mpsc, watch};
use transload::driver::fleet::Fleet;
use transload::driver::gateway::{Enrolment, Gateway, Settings, VmTask, VmView};
use transload::driver::judge::{Receiver, ReplicaTask, ReplicaView};
use transload::driver::order::{Order, Trial, ask};
use transload::driver::retry::PersistentSink;
use transload::log::store::Log;
use transload::model::Fault;
use transload::pipeline::limits::Copies;
use transload::pipeline::pace::Pace;
use transload::policy::admission::Standing;
use transload::policy::governor::Rules;
use transload::policy::interval::Interval;
use transload::policy::vm::command::{Command, Verdict};
use transload::random::Random;

use crate::scenario::Scene;
use crate::world::World;

use super::{One, Several};

/// Histories of several VMs last for days of virtual time, in which every look at the store costs a little of ours.
const POLL: Duration = Duration::from_secs(20);

const INTERVAL: Interval = Interval { shortest: Duration::from_secs(900), longest: Duration::from_secs(4 * 3600) };

/// A VM's task that does not run yet, and what is known of it.
struct Opened<'a> {
    vm: &'a One,
    task: VmTask,
    orders: mpsc::Sender<Order>,
    view: watch::Receiver<VmView>,
}

impl Several {
    /// Gateways, one after the other, until every VM that is not ill is where it has to come.
    pub(super) async fn gateway_lives(&self) -> Result<(), String> {
        for death in 0..self.plan.gateway_deaths {
            self.gateway.light_fuse(1 + self.fuse());
            tokio::select! {
                biased;
                () = self.gateway.crashed() => {}
                ended = self.gateway_life() => return ended,
            }
            self.centre.unattended();
            let lost = self.plan.gateway_lost;
            for vm in &self.vms {
                if lost.is_none_or(|lost| lost >= death) {
                    vm.sending.check_snapshots().await.map_err(|what| format!("{}: {what}", vm.sending.vm))?;
                }
            }
            self.after_a_death(&self.gateway, &self.vms[0].sending, lost == Some(death));
            if lost == Some(death) {
                self.centre.disown();
            }
            for vm in &self.vms {
                vm.check().await?;
            }
            self.is_down().await;
        }
        self.gateway.revive();
        self.gateway_life().await
    }

    /// Receivers, one after the other; the last one lives on.
    pub(super) async fn receiver_lives(&self) -> Result<(), String> {
        for death in 0..self.plan.receiver_deaths {
            self.receiver.light_fuse(1 + self.fuse());
            tokio::select! {
                biased;
                () = self.receiver.crashed() => {}
                ended = self.receiver_life() => return ended,
            }
            self.after_a_death(&self.receiver, &self.vms[0].receiving, self.plan.receiver_lost == Some(death));
            for vm in &self.vms {
                vm.check().await?;
            }
            self.is_down().await;
        }
        self.receiver.revive();
        self.receiver_life().await
    }

    fn fuse(&self) -> u64 {
        self.gateway.below(self.plan.all.fuse * self.vms.len() as u64)
    }

    /// All VMs of a process share its journal and its files.
    fn after_a_death(&self, process: &World, scene: &Scene, lost: bool) {
        process.revive();
        scene.crash_files();
        if lost {
            process.note("everything that it had is lost".to_owned());
            scene.journal.lose();
            scene.work.lose();
            scene.replicas.lose();
        }
    }

    async fn is_down(&self) {
        tokio::time::sleep(Duration::from_secs(self.gateway.below(300))).await;
    }

    async fn opened(&self, scene: &Scene) -> Result<Log, String> {
        let life = scene.lives.fetch_add(1, Ordering::Relaxed);
        let random = Random::from_seed(scene.seed.wrapping_mul(1000).wrapping_add(life));
        loop {
            let sink = Arc::new(PersistentSink::new(Arc::new(scene.sink.clone()), scene.clock.clone()));
            match scene.log(sink, random.clone()).await {
                Ok(log) => return Ok(log),
                Err(fault) if fault.kind.passes() => {}
                Err(fault) => return Err(format!("the store does not open: {fault}")),
            }
        }
    }

    /// As an agent begins: who is replicated already keeps its place, and all are known before the first of them asks for a seat.
    async fn gateway_life(&self) -> Result<(), String> {
        let log = self.opened(&self.vms[0].sending).await?;
        let fleet = Fleet::new(self.plan.limits(), Rules::default());
        fleet.assemble();
        for vm in &self.vms {
            vm.keep_its_place(&fleet).await?;
        }
        let copies = Arc::new(Copies::new(self.vms[0].sending.limits));
        let opened = try_join_all(self.vms.iter().map(|vm| vm.open(&log, &fleet, &copies))).await.map_err(|fault| fault.to_string())?;
        fleet.assembled();
        self.centre.attended();
        let keepers = try_join_all(opened.iter().map(|one| one.vm.sending.keeper(log.clone(), one.view.clone()))).await?;
        let keeping = async {
            join_all(keepers.iter().flatten().map(|keeper| keeper.run())).await;
            std::future::pending::<()>().await;
        };
        let (mut tasks, mut ill, mut goals, mut orders) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Opened { vm, task, orders: to, view } in opened {
            match vm.plan.illness {
                None => tasks.push(vm.ends(task)),
                Some(_) => ill.push(vm.ends(task)),
            }
            goals.push(vm.arrives(view, to.clone(), self.plan.all.points));
            orders.push(to);
        }
        let ill = async {
            try_join_all(ill).await?;
            std::future::pending().await
        };
        let leaving = async {
            try_join_all(goals).await?;
            for order in &orders {
                // One that is halted hears nothing any more.
                let _ = order.send(Order::Leave).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            result = try_join_all(tasks) => result.map(drop),
            result = ill => result,
            result = leaving => result,
            () = keeping => Err("the keepers of recovery points ended".to_owned()),
        }
    }

    async fn receiver_life(&self) -> Result<(), String> {
        let log = self.opened(&self.vms[0].receiving).await?;
        let at_once = Arc::new(Semaphore::new(2));
        let mut views: Vec<watch::Receiver<ReplicaView>> = Vec::new();
        let mut tasks = Vec::new();
        for vm in &self.vms {
            let (show, view) = watch::channel(ReplicaView::default());
            let receiver = Receiver { at_once: at_once.clone(), poll: POLL, ..vm.receiving.receiver(log.clone()) };
            let task = ReplicaTask::open(receiver, vm.receiving.vm.clone(), show).await.map_err(|fault| fault.to_string())?;
            tasks.push(task.run());
            views.push(view);
        }
        let ended = try_join_all(tasks).await;
        Err(format!("the replicas' tasks ended: {ended:?}"))
    }
}

impl One {
    async fn keep_its_place(&self, fleet: &Fleet) -> Result<(), String> {
        let vm = self.sending.vm_state().await?;
        if let Some(token) = vm.open_snapshot() {
            fleet.claim(&vm.source, token, &self.sending.vm).map_err(|fault| fault.to_string())?;
        }
        if vm.standing() != Standing::New {
            fleet.reserve(&self.sending.vm, &vm.name);
        }
        Ok(())
    }

    async fn open(&self, log: &Log, fleet: &Arc<Fleet>, copies: &Arc<Copies>) -> Result<Opened<'_>, Fault> {
        let (orders, ordered) = mpsc::channel(4);
        let (show, view) = watch::channel(VmView::default());
        let gateway = self.sending.gateway(log.clone());
        let settings = Settings { poll: POLL, interval: INTERVAL, ..gateway.settings };
        let gateway = Gateway { fleet: fleet.clone(), copies: copies.clone(), pace: Pace::default(), settings, ..gateway };
        let enrolment = Enrolment { name: self.sending.vm.to_string(), ..self.sending.enrolment() };
        let task = VmTask::open(gateway, enrolment, ordered, show).await?;
        Ok(Opened { vm: self, task, orders, view })
    }

    async fn ends(&self, task: VmTask) -> Result<(), String> {
        task.run().await.map_err(|fault| format!("the task of {} ended: {fault}", self.sending.vm))
    }

    /// Ends when the VM is where it has to come; at once for one that is ill.
    async fn arrives(&self, mut view: watch::Receiver<VmView>, orders: mpsc::Sender<Order>, points: usize) -> Result<(), String> {
        let arrives = async {
            loop {
                {
                    let view = view.borrow_and_update();
                    if self.look(&view, points) {
                        return Ok(());
                    }
                    if let Some(fault) = view.vm.halted.as_ref() {
                        return Err(format!("{} is halted: {fault}", self.sending.vm));
                    }
                }
                if view.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match (self.plan.illness, self.plan.is_moved) {
            (Some(_), _) => Ok(()),
            (None, false) => arrives.await,
            (None, true) => tokio::select! {
                biased;
                arrived = arrives => arrived,
                denied = self.is_moved(orders) => Err(denied),
            },
        }
    }

    /// Somebody asks for its final cycle, as soon as it has a point. Answers only what should not be.
    async fn is_moved(&self, orders: mpsc::Sender<Order>) -> String {
        loop {
            tokio::time::sleep(Duration::from_secs(60 + self.sending.world.below(900))).await;
            if self.seen().point == 0 {
                continue;
            }
            match ask(&orders, Command::Final, Trial::No).await {
                Ok(Verdict::Accepted(_)) => {
                    self.sending.world.note(format!("{} is moved", self.sending.vm));
                    return std::future::pending().await;
                }
                // It is asked for already, or runs.
                Ok(Verdict::Ignored(_)) => return std::future::pending().await,
                Ok(Verdict::Denied(denial)) => return format!("the final cycle of {} is denied: {denial:?}", self.sending.vm),
                Err(fault) => return fault.to_string(),
            }
        }
    }
}
