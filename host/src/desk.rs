//! Carries out what is asked of a running agent. Decides nothing that policy decides: it records wishes and reads views.

mod retention;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::agent::{Agent, VmHandle};
use crate::api::command::{Command, Desk, Reply, Restored, Verified, VerifiedDisk};
use crate::api::outlook;
use crate::api::sentences::{missing, refusal};
use crate::api::status::{AgentStatus, vm_status};
use crate::api::tracking;
use crate::api::verdicts;
use crate::driver::order::{self, Trial};
use crate::driver::relay;
use crate::files::Files;
use crate::folder::Folder;
use crate::log::chain::Chain;
use crate::log::dropped::Records;
use crate::log::lease::Leases;
use crate::log::mark;
use crate::model::commit::{DiskCommit, Sha, Verdict};
use crate::model::{CycleNumber, Fault, VmId};
use crate::policy::vm::Repair;
use crate::policy::vm::command::{self as vm_command, Verdict as Judged};
use crate::receiver::places;
use crate::receiver::prepare::Places;
use crate::receiver::rebuild::{compare, restore};

/// Reading a large recovery point again takes its time.
const RELAY_WITHIN: Duration = Duration::from_secs(24 * 3600);

pub struct AgentDesk(pub Arc<Agent>);

#[async_trait]
impl Desk for AgentDesk {
    async fn carry_out(&self, command: Command) -> Reply {
        let result = match command {
            Command::Status => Ok(Reply::Status(Box::new(self.status()))),
            Command::Replicate { vm, source, repair } => self.replicate(&vm, source.as_deref(), repair).await,
            Command::Vm { vm, ask, dry_run } => self.ask(&vm, ask, if dry_run { Trial::Only } else { Trial::No }).await,
            Command::Churn { vm } => self.find(&vm).map(|(_, handle)| Reply::Churn(outlook::churn(&handle.view.borrow().vm))),
            Command::Forecast { vm } => {
                let now = self.0.clock.now();
                self.find(&vm).map(|(_, handle)| Reply::Forecast(outlook::forecast(&handle.view.borrow().vm, now)))
            }
            Command::Verify { vm, point } => self.verify(&vm, point).await,
            Command::Points { vm } => self.points(&vm).await,
            Command::Prune { vm, dry_run, plan } => self.prune(vm.as_deref(), dry_run, plan.as_deref()).await,
            Command::Pin { vm, point } => self.pin(&vm, point).await,
            Command::Unpin { vm, point } => self.unpin(&vm, point).await,
            Command::Restore { vm, disk, point, expect, to } => self.restore(&vm, disk.as_deref(), point, expect, &to).await,
        };
        result.unwrap_or_else(|fault| Reply::Refused(refusal(fault)))
    }
}

impl AgentDesk {
    pub fn status(&self) -> AgentStatus {
        let agent = &self.0;
        let now = agent.clock.now();
        let replicas = agent.replica_views();
        let vms = agent.handles();
        let statuses = vms
            .iter()
            .map(|(id, handle)| vm_status(id, &handle.view.borrow(), replicas.get(id), agent.fleet.why(id), agent.interval(), now));
        let mut statuses: Vec<_> = statuses.collect();
        // A receiver apart shows what it holds.
        for (id, replica) in replicas.iter().filter(|(id, _)| !vms.contains_key(*id)) {
            statuses.push(vm_status(id, &Default::default(), Some(replica), None, agent.interval(), now));
        }
        let (memory_kib, memory_peak_kib) = memory();
        let tracking = tracking::of_sources(statuses.iter().map(|vm| (vm.source.as_str(), vm.tracking.as_ref())));
        AgentStatus {
            tracking,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: format!("{:?}", agent.config.role).to_lowercase(),
            store: agent.store_name(),
            memory_kib,
            memory_peak_kib,
            stores: agent.stores(),
            pace: agent.pace_status(now),
            vms: statuses,
            missing: agent.missing().into_iter().map(missing).collect(),
            plugins: agent.plugins(),
        }
    }

    async fn replicate(&self, vm: &str, source: Option<&str>, repair: Repair) -> Result<Reply, Fault> {
        if self.find(vm).is_ok_and(|(_, handle)| handle.view.borrow().vm.is_stopped()) {
            return self.ask(vm, vm_command::Command::Restart, Trial::No).await;
        }
        let source = self.0.source_or_only(source)?;
        match self.0.want(vm, &source, repair).await? {
            true => Ok(Reply::Accepted { message: format!("{vm} will be replicated from {source}") }),
            false => Ok(Reply::Ignored { message: format!("{vm} is replicated already") }),
        }
    }

    /// Asks the VM's own task, and tells what it answers.
    async fn ask(&self, name: &str, command: vm_command::Command, trial: Trial) -> Result<Reply, Fault> {
        let (_, handle) = match self.find(name) {
            Err(fault) => return Err(self.0.not_found_yet(name).await.unwrap_or(fault)),
            found => found?,
        };
        let before = handle.view.borrow().vm.clone();
        Ok(match (order::ask(&handle.orders, command.clone(), trial).await?, trial) {
            (Judged::Accepted(_), Trial::No) => Reply::Accepted { message: verdicts::accepted(name, &before, &command) },
            (Judged::Accepted(_), Trial::Only) => {
                Reply::Accepted { message: format!("nothing is done; this would follow. {}", verdicts::accepted(name, &before, &command)) }
            }
            (Judged::Ignored(already), _) => Reply::Ignored { message: verdicts::ignored(name, already) },
            (Judged::Denied(denial), _) => Reply::Refused(verdicts::denied(name, &denial, self.0.clock.now())),
        })
    }

    fn find(&self, wanted: &str) -> Result<(VmId, VmHandle), Fault> {
        let handles = self.0.handles();
        let mut fitting: Vec<(VmId, VmHandle)> =
            handles.into_iter().filter(|(id, handle)| id.as_str() == wanted || handle.view.borrow().vm.name == wanted).collect();
        match fitting.len() {
            0 => Err(Fault::not_found(format!("no VM \"{wanted}\" is replicated here"))),
            1 => Ok(fitting.remove(0)),
            _ => Err(Fault::conflict(format!("several VMs are named \"{wanted}\": use the id that `transload status` shows"))),
        }
    }

    /// The VM's id, also on a receiver that has only the store to ask.
    async fn find_id(&self, wanted: &str) -> Result<VmId, Fault> {
        if let Ok((id, _)) = self.find(wanted) {
            return Ok(id);
        }
        let replicas = self.0.replica_views();
        if let Some(id) = replicas.keys().find(|id| id.as_str() == wanted) {
            return Ok(id.clone());
        }
        for id in replicas.keys() {
            if let Some(point) = self.newest_point(id).await?
                && self.0.log.commit(id, point).await?.0.name == wanted
            {
                return Ok(id.clone());
            }
        }
        Err(Fault::not_found(format!("no VM \"{wanted}\" is in the store")))
    }

    async fn newest_point(&self, id: &VmId) -> Result<Option<CycleNumber>, Fault> {
        for cycle in self.0.log.commits_after(id, CycleNumber(0)).await?.into_iter().rev() {
            let receipt = self.0.log.receipt(id, cycle).await?;
            if receipt.is_some_and(|receipt| matches!(receipt.verdict, Verdict::Applied { .. })) {
                return Ok(Some(cycle));
            }
        }
        Ok(None)
    }

    /// Which recovery point is meant. One that was dropped is refused by name.
    async fn point(&self, id: &VmId, point: Option<CycleNumber>) -> Result<CycleNumber, Fault> {
        match point {
            Some(point) => {
                Records::read(&self.0.log, id).await?.refuse_dropped(point)?;
                let receipt = self.0.log.receipt(id, point).await?;
                if !receipt.is_some_and(|receipt| matches!(receipt.verdict, Verdict::Applied { .. })) {
                    return Err(Fault::not_found(format!("cycle {point} is no recovery point: it has no receipt that says applied")));
                }
                Ok(point)
            }
            None => self.newest_point(id).await?.ok_or_else(|| Fault::not_found("there is no recovery point yet".to_owned())),
        }
    }

    fn leases(&self) -> Leases {
        Leases::new(self.0.log.clone(), self.0.clock.clone())
    }

    async fn verify(&self, vm: &str, point: Option<CycleNumber>) -> Result<Reply, Fault> {
        let Some(places) = &self.0.places else { return self.relay(&Command::Verify { vm: vm.to_owned(), point }).await };
        let id = self.find_id(vm).await?;
        let point = self.point(&id, point).await?;
        let reading = self.compare(places, vm, &id, point);
        Ok(Reply::Verified(self.leases().hold(&id, point, "a comparison", reading).await?))
    }

    async fn compare(&self, places: &Places, vm: &str, id: &VmId, point: CycleNumber) -> Result<Verified, Fault> {
        let chain = Chain::read(&self.0.log, id, point).await?;
        let mut verified = Verified { vm: vm.to_owned(), point, equal: true, disks: Vec::new() };
        for disk in &chain.point().disks {
            let file = places.replicas.open(&places::replica(id, &disk.disk)).await?;
            let compared = compare(&self.0.log, &chain, &disk.disk, &*file).await?;
            verified.equal &= compared.is_equal();
            verified.disks.push(VerifiedDisk {
                disk: disk.label.clone(),
                cells: compared.cells,
                differing_blocks: compared.differing_blocks,
                unreadable_blocks: compared.unreadable_blocks,
            });
        }
        if verified.equal
            && let Err(fault) = mark::remember_verified(&self.0.log, id, chain.point_ref(), self.0.clock.now()).await
        {
            tracing::warn!(vm = %id, %point, message = %fault.message, "that this recovery point was verified is not remembered");
        }
        Ok(verified)
    }

    /// Replicas are on the receiver, and it meets us only in the store.
    async fn relay(&self, command: &Command) -> Result<Reply, Fault> {
        let text = serde_json::to_string(command).map_err(|error| Fault::internal(error.to_string()))?;
        let reply = relay::ask(&self.0.log, &*self.0.clock, &text, RELAY_WITHIN).await?;
        serde_json::from_str(&reply).map_err(|error| Fault::corrupt(format!("the receiver's reply cannot be read: {error}")))
    }

    /// Carries out what gateways ask through the store, one after the other. Only what changes nothing is taken.
    pub async fn hear(&self) -> Fault {
        let agent = &self.0;
        let mut ear = match relay::Ear::open(agent.log.clone(), agent.clock.clone(), agent.journal()).await {
            Ok(ear) => ear,
            Err(fault) => return fault,
        };
        loop {
            let heard = match ear.hear().await {
                Ok(heard) => heard,
                Err(fault) => return fault,
            };
            let reply = match serde_json::from_str(&heard.command) {
                Ok(command @ Command::Verify { .. }) => self.carry_out(command).await,
                _ => Reply::Refused(refusal(Fault::unsupported("this command does not travel through the store"))),
            };
            let text = serde_json::to_string(&reply).expect("a reply has only string keys");
            if let Err(fault) = ear.reply(heard, &text).await {
                tracing::warn!(kind = %fault.kind, message = %fault.message, "a reply could not be written; the command will be carried out again");
                agent.clock.sleep(Duration::from_secs(5)).await;
            }
        }
    }

    async fn restore(
        &self,
        vm: &str,
        disk: Option<&str>,
        point: Option<CycleNumber>,
        expect: Option<Sha>,
        to: &Path,
    ) -> Result<Reply, Fault> {
        let id = self.find_id(vm).await?;
        let point = self.point(&id, point).await?;
        let reading = async {
            let chain = Chain::read(&self.0.log, &id, point).await?;
            self.restore_chain(vm, &chain, disk, expect, to).await
        };
        self.leases().hold(&id, point, "a restore", reading).await
    }

    async fn restore_chain(&self, vm: &str, chain: &Chain, disk: Option<&str>, expect: Option<Sha>, to: &Path) -> Result<Reply, Fault> {
        let found = chain.point_ref().hash;
        if expect.is_some_and(|expect| expect != found) {
            return Err(Fault::conflict(format!(
                "recovery point {} of {vm} in this store has the hash {found}, not the one expected: the store was rolled back, or is another one",
                chain.point().cycle
            )));
        }
        let mut chosen: Vec<&DiskCommit> = chain.point().disks.iter().filter(|candidate| chosen(candidate, disk)).collect();
        chosen.sort_by(|one, other| one.label.cmp(&other.label));
        if chosen.is_empty() {
            return Err(Fault::not_found(format!("recovery point {} of {vm} has no disk \"{}\"", chain.point().cycle, disk.unwrap_or(""))));
        }
        let mut files = Vec::new();
        for (number, disk) in chosen.iter().enumerate() {
            let path = if chosen.len() == 1 { to.to_owned() } else { numbered(to, number) };
            self.restore_disk(chain, disk, &path).await?;
            files.push(Restored { disk: disk.label.clone(), file: path, bytes: disk.size.bytes() });
        }
        Ok(Reply::Restored { files })
    }

    async fn restore_disk(&self, chain: &Chain, disk: &DiskCommit, path: &Path) -> Result<(), Fault> {
        if path.exists() {
            return Err(Fault::conflict(format!("{} exists already; nothing was written over it", path.display())));
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(Fault::invalid(format!("{} is no name for a file", path.display())));
        };
        let folder = Folder::open(parent)?;
        // Under another name until it is whole, so that half a disk is never taken for one.
        let partial = format!("{name}.partial");
        let file = folder.open_sized(&partial, disk.size.bytes()).await?;
        match restore(&self.0.log, chain, &disk.disk, &*file).await {
            Ok(()) => folder.rename(&partial, name).await,
            Err(fault) => {
                folder.remove(&partial).await?;
                Err(fault)
            }
        }
    }
}

fn chosen(disk: &DiskCommit, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| disk.disk.as_str() == wanted || disk.label == wanted)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    path.with_file_name(name)
}

/// Resident memory now and at its highest, in KiB, as Linux tells it.
fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    (field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0))
}
