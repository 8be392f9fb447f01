//! An operator who gives commands at moments that nobody would choose: right when a fact was recorded, or at any hour. When all commands of the
//! plan are given he puts everything in order again, so that the history can end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use transload::driver::order::{Order, Trial};
use transload::policy::vm::command::{Command, Verdict};
use transload::policy::vm::{AtCutover, Cycle, Running};

use crate::scenario::{Plan, Scene};

/// Facts at which a command may come. What runs then is asked at its worst moment.
const MOMENTS: [&str; 11] = [
    "cycle-began",
    "snapshot-intended",
    "snapshot-opened",
    "disks-listed",
    "disk-planned",
    "disk-planned",
    "disk-copied",
    "snapshot-closed",
    "committed",
    "parked",
    "abandoned",
];

/// How long he waits for his moment.
const PATIENCE: Duration = Duration::from_secs(300);

impl Scene {
    /// Never ends: he goes with the process.
    pub(crate) async fn operator(&self, plan: &Plan, orders: mpsc::Sender<Order>) {
        if plan.commands == 0 {
            return std::future::pending().await;
        }
        while self.commands.load(Ordering::Relaxed) > 0 {
            self.commands.fetch_sub(1, Ordering::Relaxed);
            let at = match self.world.chance(0.8) {
                true => Some(MOMENTS[self.world.below(MOMENTS.len() as u64) as usize]),
                false => None,
            };
            match self.drawn() {
                Some(command) => self.say(&orders, command, at).await,
                None => self.tell_to_leave(&orders, at).await,
            }
        }
        loop {
            self.put_in_order(&orders).await;
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
    }

    /// A command, or none for a process that is to leave.
    fn drawn(&self) -> Option<Command> {
        let disks = self.source.disk_ids();
        let disk = disks[self.world.below(disks.len() as u64) as usize].to_string();
        Some(match self.world.below(20) {
            0..4 => Command::Pause,
            4..7 => Command::Resume,
            7 => Command::Sync,
            8 => Command::Stop { running: Running::Finish },
            9 => Command::Stop { running: Running::Cut },
            10 => Command::Repair,
            11 => Command::Resync,
            12 => Command::ResetTracking,
            13 | 14 => Command::ExcludeDisk { disk, at_cutover: AtCutover::AttachLater },
            15 => Command::IncludeDisk { disk },
            16 => Command::Final,
            17 => Command::Complete,
            18 => Command::Restart,
            _ => return None,
        })
    }

    async fn say(&self, orders: &mpsc::Sender<Order>, command: Command, at: Option<&str>) {
        let (answer, verdict) = oneshot::channel();
        let order = Order::Command { command: command.clone(), trial: Trial::No, answer };
        self.send(orders, order, at).await;
        let verdict = match tokio::time::timeout(PATIENCE, verdict).await {
            Ok(Ok(Verdict::Accepted(_))) => "accepted".to_owned(),
            Ok(Ok(verdict)) => format!("{verdict:?}"),
            Ok(Err(_)) | Err(_) => "not heard".to_owned(),
        };
        self.world.note(format!("{command:?}: {verdict}"));
    }

    async fn tell_to_leave(&self, orders: &mpsc::Sender<Order>, at: Option<&str>) {
        self.send(orders, Order::Leave, at).await;
        tokio::time::sleep(PATIENCE).await;
    }

    async fn send(&self, orders: &mpsc::Sender<Order>, order: Order, at: Option<&str>) {
        match at {
            Some(fact) => {
                let orders = orders.clone();
                self.world.when(&format!("gateway {fact}"), move || drop(orders.try_send(order)));
            }
            None => {
                tokio::time::sleep(Duration::from_secs(self.world.below(200))).await;
                let _ = orders.send(order).await;
            }
        }
    }

    /// Whatever was paused, stopped, moved or left out is replicated again.
    async fn put_in_order(&self, orders: &mpsc::Sender<Order>) {
        let Ok(vm) = self.vm_state().await else { return };
        self.source.power_on();
        for disk in vm.wishes.excluded.keys() {
            self.say(orders, Command::IncludeDisk { disk: disk.to_string() }, None).await;
        }
        for command in [Command::Resume, Command::Restart] {
            self.say(orders, command, None).await;
        }
        if vm.has_final_point() {
            self.say(orders, Command::Sync, None).await;
        }
    }

    /// Where nothing may be open, nothing is.
    pub(crate) async fn check_what_rests(&self, plan: &Plan) -> Result<(), String> {
        let vm = self.vm_state().await?;
        let rests = vm.is_stopped() || vm.is_paused() && vm.cycle.as_ref().is_none_or(Cycle::needs_a_snapshot);
        let open = self.source.open_snapshots();
        // An agent that lost its journal finds what the one before it left when it looks.
        match rests && open > 0 && plan.lose_appliance.is_none() {
            true => Err(format!("{open} snapshots are open while the VM rests: {:?}", vm.course)),
            false => Ok(()),
        }
    }
}
