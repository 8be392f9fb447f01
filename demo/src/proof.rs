//! Digests that nobody of the agent computed: of what the snapshots froze, and of what stands at the target.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::agent::Agent;
use crate::site::Site;

/// One disk of one recovery point, looked at from both sides.
#[derive(Debug, Clone)]
pub struct Proof {
    pub vm: String,
    pub cycle: u64,
    pub disk: String,
    /// The lab's digest of the frozen snapshot.
    pub frozen: String,
    /// The digest of what was compared with it.
    pub found: String,
    /// "replica" or "restored".
    pub what: &'static str,
}

impl Proof {
    pub fn holds(&self) -> bool {
        self.frozen == self.found
    }
}

/// Compares the replicas of all VMs, as they stand now, with what the snapshots of their recovery points froze.
pub async fn replicas(site: &Site, status: &Value) -> Result<Vec<Proof>> {
    let mut proofs = Vec::new();
    for vm in status["vms"].as_array().into_iter().flatten() {
        let (name, id) = (text(&vm["name"]), text(&vm["id"]));
        let cycle = vm["point"]["cycle"].as_u64().with_context(|| format!("{name} has no recovery point"))?;
        for disk in last_applied(vm) {
            let disk = text(&disk["disk"]);
            let file = site.replicas().join(&id).join(format!("{disk}.raw"));
            proofs.push(prove(site, &name, cycle, &disk, &file, "replica").await?);
        }
    }
    Ok(proofs)
}

/// Restores every disk of a recovery point into files, and compares those.
pub async fn restored(site: &Site, agent: &mut Agent, vm: &Value, cycle: u64) -> Result<Vec<Proof>> {
    let name = text(&vm["name"]);
    let mut proofs = Vec::new();
    for disk in ended(vm, cycle).map(|ended| ended["disks"].as_array().cloned().unwrap_or_default()).unwrap_or_default() {
        let disk = text(&disk["disk"]);
        let file = site.folder.join(format!("restored-{name}-{cycle}-{disk}.raw"));
        let to = file.to_string_lossy().into_owned();
        agent.ask(&["restore", &name, "--point", &cycle.to_string(), "--disk", &disk, "--to", &to])?;
        proofs.push(prove(site, &name, cycle, &disk, &file, "restored").await?);
        std::fs::remove_file(&file)?;
    }
    Ok(proofs)
}

async fn prove(site: &Site, vm: &str, cycle: u64, disk: &str, file: &Path, what: &'static str) -> Result<Proof> {
    let frozen = frozen(site, vm, cycle, disk).await?;
    let path = file.to_owned();
    let found = tokio::task::spawn_blocking(move || lab::sparse_digest(&path)).await?;
    let found = found.with_context(|| format!("read {}", file.display()))?;
    Ok(Proof { vm: vm.to_owned(), cycle, disk: disk.to_owned(), frozen, found, what })
}

/// The lab's digest of the disk in the snapshot that this cycle was taken from: the newest attempt's, as the tag says.
async fn frozen(site: &Site, vm: &str, cycle: u64, disk: &str) -> Result<String> {
    let records = site.lab.vcenter().digests().await;
    let mut of_cycle = records.into_iter().filter(|record| {
        let tagged = record.snapshot_name.split('-').nth(3).and_then(|part| part.split('.').next()).and_then(|part| part.parse().ok());
        record.vm_name == vm && tagged == Some(cycle) && record.disk_uuid.eq_ignore_ascii_case(disk)
    });
    let newest = of_cycle.next_back().with_context(|| format!("the lab froze no disk {disk} of {vm} for cycle {cycle}"))?;
    newest.digest.with_context(|| format!("the lab could not digest disk {disk} of {vm} for cycle {cycle}"))
}

fn last_applied(vm: &Value) -> Vec<Value> {
    let history = vm["history"].as_array();
    let applied = history.and_then(|history| history.iter().rev().find(|ended| ended["outcome"] == "applied"));
    applied.and_then(|ended| ended["disks"].as_array().cloned()).unwrap_or_default()
}

fn ended(vm: &Value, cycle: u64) -> Option<&Value> {
    vm["history"].as_array()?.iter().find(|ended| ended["cycle"] == cycle)
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
