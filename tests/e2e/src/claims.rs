//! The claim that matters: a replica's digest, taken from the file, equals what the lab itself computed of the frozen disk.

use std::path::{Path, PathBuf};

use lab::vcenter::DigestRecord;
use serde_json::Value;

use crate::agent::{Agent, text};
use crate::site::Site;

/// The cycle in the name of a snapshot of ours: `transload-<store>-<vm>-<cycle>.<attempt>-<random>`.
pub fn cycle_of(snapshot: &str) -> Option<u64> {
    snapshot.strip_prefix("transload-")?.split('-').nth(2)?.split('.').next()?.parse().ok()
}

impl Site {
    /// What the lab froze for the recovery point: per disk, the digest of the last snapshot of that cycle.
    pub async fn frozen(&self, vm: &str, cycle: u64) -> Vec<DigestRecord> {
        let mut found: Vec<DigestRecord> = Vec::new();
        for record in self.lab.vcenter().digests().await {
            if record.vm_name == vm && cycle_of(&record.snapshot_name) == Some(cycle) {
                found.retain(|known| known.disk_key != record.disk_key);
                found.push(record);
            }
        }
        assert!(!found.is_empty(), "the lab froze nothing of {vm} in cycle {cycle}");
        found
    }

    /// Every disk's replica equals the disk as it was frozen for this recovery point.
    pub async fn assert_replica(&self, agent: &Agent, vm: &str, cycle: u64) {
        let id = text(&agent.vm(vm).expect("the VM is there")["id"]).to_owned();
        self.assert_replica_of(agent, &id, vm, cycle).await;
    }

    /// The same for a receiver apart from its gateway, which knows the VM by its id.
    pub async fn assert_replica_of(&self, receiver: &Agent, id: &str, vm: &str, cycle: u64) {
        self.assert_replica_in(&receiver.setup.replicas(), id, vm, cycle).await;
    }

    /// The same, by the folder of the replicas.
    pub async fn assert_replica_in(&self, replicas: &Path, id: &str, vm: &str, cycle: u64) {
        for frozen in self.frozen(vm, cycle).await {
            let replica = replicas.join(id).join(format!("{}.raw", disk_id(&frozen)));
            let digest = lab::sparse_digest(&replica).unwrap_or_else(|error| panic!("{}: {error}", replica.display()));
            assert_eq!(Some(digest), frozen.digest, "{vm} disk {} is not what was frozen in cycle {cycle}", frozen.disk_key);
            assert_eq!(std::fs::metadata(&replica).unwrap().len(), frozen.capacity);
        }
    }

    /// Every disk of this recovery point, restored out of the store, equals the disk as it was frozen.
    pub async fn assert_restored(&self, agent: &Agent, vm: &str, cycle: u64) {
        for frozen in self.frozen(vm, cycle).await {
            let to = self.folder().join(format!("restored-{vm}-{cycle}-{}", frozen.disk_key));
            let said =
                agent.ask(&["restore", vm, "--point", &cycle.to_string(), "--disk", &disk_id(&frozen), "--to", &to.to_string_lossy()]);
            assert_eq!(said.code, 0, "{said:?}");
            assert_eq!(Some(lab::sparse_digest(&to).unwrap()), frozen.digest, "{vm} disk {} at point {cycle}", frozen.disk_key);
            std::fs::remove_file(&to).unwrap();
        }
    }
}

/// What the agent calls the disk.
pub fn disk_id(frozen: &DigestRecord) -> String {
    frozen.disk_uuid.to_ascii_lowercase()
}

/// The file of a disk's replica.
pub fn replica(agent: &Agent, vm: &str, disk: &str) -> PathBuf {
    let id = text(&agent.vm(vm).expect("the VM is there")["id"]).to_owned();
    agent.setup.replicas().join(id).join(format!("{disk}.raw"))
}

/// Digests of every file below the replicas' folder, to show that nothing was written.
pub fn digests_below(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("the folder can be read").path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => found.push((path.clone(), lab::sparse_digest(&path).expect("the file can be read"))),
            }
        }
    }
    found.sort();
    found
}

/// How a row ended: "applied", or what is said of the rejection or failure.
pub fn outcome(row: &Value) -> String {
    match &row["outcome"] {
        Value::String(word) => word.clone(),
        Value::Object(fields) => {
            let (word, detail) = fields.iter().next().expect("an outcome is one of its kinds");
            format!("{word}: {}", text(&detail["message"]))
        }
        other => panic!("{other} is no outcome"),
    }
}
