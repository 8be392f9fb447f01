//! Recovery points: shown, pinned, dropped. All of it is the gateway's, because who owns a VM is who deletes.

use crate::agent::VmHandle;
use crate::api::command::{Pruned, Reply};
use crate::api::sentences::refusal_of_prune;
use crate::driver::retention::Outcome;
use crate::model::{CycleNumber, Fault};

use super::AgentDesk;

impl AgentDesk {
    pub(super) async fn points(&self, vm: &str) -> Result<Reply, Fault> {
        let (_, handle) = self.find(vm)?;
        Ok(Reply::Points { vm: vm.to_owned(), points: handle.keeper.points().await? })
    }

    pub(super) async fn prune(&self, vm: Option<&str>, dry_run: bool, plan: Option<&str>) -> Result<Reply, Fault> {
        let chosen: Vec<VmHandle> = match vm {
            Some(vm) => vec![self.find(vm)?.1],
            None if plan.is_some() => return Err(Fault::invalid("a plan is of one VM: name the VM")),
            None => self.0.handles().into_values().collect(),
        };
        let mut vms = Vec::new();
        for handle in chosen {
            let name = handle.view.borrow().vm.name.clone();
            let (plan, outcome): (_, Option<Outcome>) = if dry_run {
                (handle.keeper.plan().await?, None)
            } else {
                match handle.keeper.prune(plan).await {
                    Ok((plan, outcome)) => (plan, Some(outcome)),
                    Err(fault) => return Ok(Reply::Refused(refusal_of_prune(fault))),
                }
            };
            vms.push(Pruned { vm: name, id: plan.id(), plan, outcome });
        }
        Ok(Reply::Pruned { vms })
    }

    pub(super) async fn pin(&self, vm: &str, point: CycleNumber) -> Result<Reply, Fault> {
        let (_, handle) = self.find(vm)?;
        handle.keeper.pin(point).await?;
        Ok(Reply::Accepted { message: format!("{vm}: recovery point {point} stays until it is unpinned") })
    }

    pub(super) async fn unpin(&self, vm: &str, point: CycleNumber) -> Result<Reply, Fault> {
        let (_, handle) = self.find(vm)?;
        handle.keeper.unpin(point).await?;
        Ok(Reply::Accepted { message: format!("{vm}: recovery point {point} is kept for as long as any other of its age") })
    }
}
