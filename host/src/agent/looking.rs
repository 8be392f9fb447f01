//! Looks for the VMs that are wanted, at their sources: one walk through an inventory serves all of them.
//!
//! ```text
//!   journal ─▶ VMs that are replicated keep their places ─▶ walk each source ─▶ open the tasks of all that are found ─▶ run them
//! ```
//!
//! All that a walk found are known to the fleet before the first of them asks for a seat, so that those whose snapshot is open go first.
//! Sources are walked side by side. One that does not answer is waited for a while, and not by the VMs of others for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::{RepairConfig, VmConfig};
use crate::driver::gateway::{self, Enrolment};
use crate::journal::Ledger;
use crate::model::{Fault, VmId, VmSummary};
use crate::pipeline::source::Source;
use crate::policy::admission::Standing;
use crate::policy::vm::{Repair, Vm};

use super::{Agent, vm_id};

/// A VM that was not found is looked for again after this; an inventory of thousands is not asked for every second.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// VMs whose source is not walked through by then are found later than others begin.
const ASSEMBLED_WITHIN: Duration = Duration::from_secs(30);

/// What was looked for, by source and name: found for good, or not to be asked for again before this moment.
type Looked = BTreeMap<(String, String), Option<Duration>>;

impl Agent {
    /// One search for each source, and one for VMs whose source is gone: a source that answers late keeps no other's VM waiting.
    pub(super) async fn find_vms(self: &Arc<Agent>, failed: mpsc::Sender<Fault>) {
        if !self.config.role.sends() {
            return std::future::pending().await;
        }
        self.fleet.assemble();
        let mut reserved = match self.keep_places().await {
            Ok(reserved) => reserved,
            // The journal: without it nothing may go on.
            Err(fault) => return drop(failed.send(fault).await),
        };
        let sources: Vec<Option<&String>> = self.sources.keys().map(Some).chain([None]).collect();
        let (walked, mut walks) = mpsc::channel(sources.len());
        let mut searches = Vec::new();
        for source in &sources {
            let kept = source.and_then(|source| reserved.remove(source)).unwrap_or_default();
            searches.push(self.find_vms_of(*source, kept, walked.clone(), failed.clone()));
        }
        let assembled = async {
            let all = async {
                for _ in &sources {
                    walks.recv().await;
                }
            };
            tokio::select! {
                biased;
                () = all => {}
                () = self.clock.sleep(ASSEMBLED_WITHIN) => {}
            }
            self.fleet.assembled();
        };
        futures::future::join(assembled, futures::future::join_all(searches)).await;
    }

    /// Looks for wanted VMs of the source until all of them are found, and again when another one is wanted.
    /// `kept`: those that have a place until they are found. `walked` is told once, after the first walk.
    async fn find_vms_of(
        self: &Arc<Agent>,
        source: Option<&String>,
        mut kept: Vec<VmId>,
        walked: mpsc::Sender<()>,
        failed: mpsc::Sender<Fault>,
    ) {
        let mut walked = Some(walked);
        let mut looked = Looked::new();
        loop {
            for (source, wanted) in self.due(source, &looked).await {
                let found = self.look(&source, &wanted, &failed).await;
                if found.is_ok() {
                    // Who is not found or not wanted any longer has no place to be kept.
                    kept.drain(..).for_each(|id| self.fleet.give_up(&id));
                }
                let again = self.clock.monotonic() + LOOK_AGAIN;
                let mut missing = self.missing.lock().expect("nothing panics while it holds this");
                for vm in wanted {
                    let why = found.as_ref().map_or_else(|fault| Some(fault.message.clone()), |found| found.get(&vm.name).cloned());
                    looked.insert((source.clone(), vm.name.clone()), why.is_some().then_some(again));
                    match why {
                        None => missing.remove(&vm.name),
                        Some(why) => missing.insert(vm.name, why),
                    };
                }
            }
            if let Some(walked) = walked.take() {
                // Nobody waits for it any more when it comes late.
                let _ = walked.send(()).await;
            }
            self.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    /// VMs that are replicated already keep their places among those that are, even while their source cannot be asked.
    async fn keep_places(&self) -> Result<BTreeMap<String, Vec<VmId>>, Fault> {
        let mut reserved: BTreeMap<String, Vec<VmId>> = BTreeMap::new();
        for aggregate in self.journal.aggregates("vm/").await? {
            let Some(id) = gateway::vm_of(&aggregate) else { continue };
            let ledger: Ledger<Vm> = Ledger::open(self.journal.clone(), aggregate).await?;
            let vm = ledger.state();
            if let Some(token) = vm.open_snapshot() {
                // Before any source is asked anything.
                if let Err(fault) = self.fleet.claim(&vm.source, token, &id) {
                    tracing::warn!(vm = %id, message = %fault.message, "two VMs have noted the same snapshot; it counts as the other one's");
                }
            }
            if vm.standing() != Standing::New {
                self.fleet.reserve(&id, &vm.name);
                reserved.entry(vm.source.clone()).or_default().push(id);
            }
        }
        Ok(reserved)
    }

    /// What is to be looked for now at this source, or at those that are gone.
    async fn due(&self, source: Option<&String>, looked: &Looked) -> BTreeMap<String, Vec<VmConfig>> {
        let now = self.clock.monotonic();
        let mut due: BTreeMap<String, Vec<VmConfig>> = BTreeMap::new();
        let here = |vm: &VmConfig| self.sources.get_key_value(&vm.source).map(|(name, _)| name) == source;
        for vm in self.wanted_vms().await.into_iter().filter(here) {
            let again = looked.get(&(vm.source.clone(), vm.name.clone()));
            if again.is_none_or(|again| again.is_some_and(|again| again <= now)) {
                due.entry(vm.source.clone()).or_default().push(vm);
            }
        }
        due
    }

    /// Walks through one inventory and starts what is found in it. Answers, by name, why others are not started.
    async fn look(
        self: &Arc<Agent>,
        source: &str,
        wanted: &[VmConfig],
        failed: &mpsc::Sender<Fault>,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let plugin = self.sources.get(source).ok_or_else(|| Fault::not_found(format!("there is no source {source}")))?.clone();
        let walked = Walked::through(&*plugin).await?;
        let mut why = BTreeMap::new();
        let mut opened = Vec::new();
        let mut running: BTreeSet<VmId> = self.handles().into_keys().collect();
        for vm in wanted {
            let task = match walked.named(&vm.name).and_then(|found| enrolment(vm, found)) {
                // Several names may mean one VM.
                Ok(enrolment) if running.contains(&enrolment.id) => continue,
                Ok(enrolment) => self.open_task(enrolment, vm.stores.clone(), plugin.clone(), failed).await,
                Err(fault) => Err(fault),
            };
            match task {
                Ok(task) => {
                    running.insert(task.id.clone());
                    opened.push(task);
                }
                Err(fault) => drop(why.insert(vm.name.clone(), fault.message)),
            }
        }
        opened.into_iter().for_each(|task| self.run_task(task, failed.clone()));
        Ok(why)
    }
}

fn enrolment(wanted: &VmConfig, found: &VmSummary) -> Result<Enrolment, Fault> {
    let too_large = |limit: u64| found.disks.iter().find(|disk| disk.size > limit);
    if let Some((disk, limit)) = wanted.target_size_max.and_then(|limit| Some((too_large(limit.0)?, limit))) {
        return Err(Fault::denied(format!("{} of {} has {} bytes, the target takes {}", disk.label, wanted.name, disk.size, limit.0)));
    }
    let (identity, source) = (found.vm.clone(), wanted.source.clone());
    let repair = match wanted.repair {
        RepairConfig::Automatic => Repair::Automatic,
        RepairConfig::ByCommand => Repair::ByCommand,
    };
    Ok(Enrolment { id: vm_id(&source, &identity), identity, source, name: found.name.clone(), repair })
}

/// An inventory as it was when it was walked through, by every name that a VM may be wanted by.
struct Walked {
    vms: Vec<VmSummary>,
    names: BTreeMap<String, Vec<usize>>,
}

impl Walked {
    async fn through(source: &dyn Source) -> Result<Walked, Fault> {
        let (mut vms, mut cursor) = (Vec::new(), None);
        loop {
            let page = source.inventory(cursor).await?;
            vms.extend(page.vms);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(Walked::of(vms));
            }
        }
    }

    fn of(vms: Vec<VmSummary>) -> Walked {
        let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, vm) in vms.iter().enumerate() {
            let in_folder = format!("{}/{}", vm.folder.trim_end_matches('/'), vm.name);
            for name in [vm.name.clone(), in_folder, vm.vm.fingerprint.clone(), vm.vm.id.clone()] {
                let fitting = names.entry(name).or_default();
                // One VM may go by one name in two ways.
                if fitting.last() != Some(&index) {
                    fitting.push(index);
                }
            }
        }
        Walked { vms, names }
    }

    /// Two that fit are an error: the wrong VM is never touched.
    fn named(&self, wanted: &str) -> Result<&VmSummary, Fault> {
        match self.names.get(wanted).map_or(&[][..], Vec::as_slice) {
            [] => Err(Fault::not_found(format!("the source knows no VM \"{wanted}\"; nothing was touched"))),
            [only] => Ok(&self.vms[*only]),
            several => {
                let told = |index: &usize| {
                    let vm = &self.vms[*index];
                    format!("{}/{} (id {})", vm.folder, vm.name, vm.vm.fingerprint)
                };
                Err(Fault::conflict(format!(
                    "\"{wanted}\" fits {} VMs: {}. Name one of them by folder/name or by id; nothing was touched",
                    several.len(),
                    several.iter().map(told).collect::<Vec<_>>().join(", ")
                )))
            }
        }
    }
}

/// Finds one VM by name, by folder and name, or by what identifies it.
pub async fn find(source: &dyn Source, wanted: &str) -> Result<VmSummary, Fault> {
    Walked::through(source).await?.named(wanted).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PowerState, VmRef};

    fn vm(id: &str, folder: &str, name: &str) -> VmSummary {
        VmSummary {
            vm: VmRef { id: id.into(), fingerprint: format!("uuid-{id}") },
            name: name.into(),
            folder: folder.into(),
            power: PowerState::On,
            host: String::new(),
            guest_os: String::new(),
            disks: Vec::new(),
        }
    }

    #[test]
    fn a_vm_is_found_by_each_of_its_names_and_never_by_one_that_fits_two() {
        let walked = Walked::of(vec![vm("1", "DC/a", "db"), vm("2", "DC/b/", "db"), vm("web", "DC", "web")]);
        for (wanted, id) in [("DC/a/db", "1"), ("DC/b/db", "2"), ("uuid-2", "2"), ("2", "2"), ("web", "web")] {
            assert_eq!(walked.named(wanted).unwrap().vm.id, id, "{wanted}");
        }
        assert_eq!(
            walked.named("db").unwrap_err().message,
            "\"db\" fits 2 VMs: DC/a/db (id uuid-1), DC/b//db (id uuid-2). Name one of them by folder/name or by id; nothing was touched"
        );
        assert_eq!(walked.named("DB").unwrap_err().message, "the source knows no VM \"DB\"; nothing was touched");
    }
}
