//! The test's side of the vCenter: what a client cannot do or must not know.

use super::inventory::{Counters, DigestRecord, Power, Vm};
use super::knobs::Knobs;
use super::load::LoadView;
use super::specification::{DiskSpec, VmSpec};
use super::{Datacentre, digests, machines, snapshots};
use crate::disk::{SECTOR, Tracker};
use crate::guest::Workload;
use crate::server::Server;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// A running vCenter. Methods that name a VM take its moref (`vm-1001`) or its name.
pub struct VCenter {
    pub(crate) centre: Arc<Datacentre>,
    pub(crate) server: Server,
    pub(crate) authority_pem: String,
    pub(crate) leaf_sha256: String,
}

/// A VM as the lab sees it.
#[derive(Clone, Debug, Serialize)]
pub struct VmView {
    pub id: String,
    pub name: String,
    pub instance_uuid: String,
    pub bios_uuid: String,
    pub powered_on: bool,
    pub tracking_enabled: bool,
    pub consolidation_needed: bool,
    pub disks: Vec<DiskView>,
    pub snapshots: Vec<SnapshotView>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DiskView {
    pub key: i32,
    pub uuid: String,
    pub capacity: u64,
    /// The chain's files on this machine, base first.
    pub files: Vec<PathBuf>,
    pub change_id: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SnapshotView {
    pub id: String,
    pub name: String,
    pub description: String,
    pub quiesced: bool,
}

impl VCenter {
    /// `https://127.0.0.1:port`; SOAP is at `/sdk`.
    pub fn url(&self) -> String {
        format!("https://{}", self.server.address)
    }

    pub fn user(&self) -> &str {
        &self.centre.options.user
    }

    pub fn password(&self) -> &str {
        &self.centre.options.password
    }

    /// The authority that signed the server's certificate.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// SHA-256 of the server's own certificate (DER), lower-case hexadecimal.
    pub fn leaf_sha256(&self) -> &str {
        &self.leaf_sha256
    }

    /// The inventory path that `/folder` wants as `dcPath`, not yet encoded.
    pub fn datacenter_path(&self) -> String {
        super::properties::datacenter_path(&self.centre.state())
    }

    pub fn knobs(&self) -> Knobs {
        self.centre.knobs()
    }

    /// Changes knobs; takes effect with the next request.
    pub fn set_knobs(&self, change: impl FnOnce(&mut Knobs)) {
        self.centre.with_knobs(change);
    }

    /// Every client must log in again.
    pub fn expire_sessions(&self) {
        self.centre.state().sessions.close_all();
    }

    /// As if no client had kept its lease alive.
    pub fn expire_leases(&self) {
        super::lease::expire_all(&self.centre);
    }

    pub fn counters(&self) -> Counters {
        let state = self.centre.state();
        Counters { sessions_live: state.sessions.live() as u64, ..state.counters.clone() }
    }

    /// What was read and frozen at one time, as this vCenter saw it.
    pub fn load(&self) -> LoadView {
        let state = self.centre.state();
        state.load.view(&state)
    }

    /// Creates a VM and builds its disks. Answers its moref.
    pub async fn add_vm(&self, spec: VmSpec) -> Result<String> {
        machines::add(&self.centre, spec).await
    }

    /// Takes a powered-off VM out of the inventory and deletes its files.
    pub async fn remove_vm(&self, vm: &str) -> Result<()> {
        let id = self.id(vm)?;
        let gate = self.centre.gate(&id).map_err(machines::message)?;
        let _exclusive = gate.write_owned().await;
        let gone = self.centre.state().vms.remove(&id).context("the VM is gone")?;
        for layer in gone.disks.iter().flat_map(|disk| &disk.chain.layers) {
            std::fs::remove_file(&layer.file_path)?;
        }
        Ok(())
    }

    pub fn vms(&self) -> Vec<VmView> {
        self.centre.state().vms.values().map(view).collect()
    }

    pub fn vm(&self, vm: &str) -> Result<VmView> {
        let id = self.id(vm)?;
        Ok(view(&self.centre.state().vms[&id]))
    }

    /// The snapshots that exist now, as (VM name, snapshot).
    pub fn snapshots(&self) -> Vec<(String, SnapshotView)> {
        self.vms().into_iter().flat_map(|vm| vm.snapshots.into_iter().map(move |snapshot| (vm.name.clone(), snapshot))).collect()
    }

    /// Plugs in a fresh disk; answers its key.
    pub async fn add_disk(&self, vm: &str, spec: DiskSpec) -> Result<i32> {
        machines::add_disk(&self.centre, &self.id(vm)?, spec).await
    }

    pub async fn remove_disk(&self, vm: &str, disk_key: i32) -> Result<()> {
        machines::remove_disk(&self.centre, &self.id(vm)?, disk_key).await
    }

    pub async fn grow_disk(&self, vm: &str, disk_key: i32, capacity: u64) -> Result<()> {
        machines::grow_disk(&self.centre, &self.id(vm)?, disk_key, capacity).await
    }

    /// Makes a datastore larger or smaller; what lies on it stays, and what is free follows.
    pub fn set_datastore_capacity(&self, name: &str, capacity: u64) -> Result<()> {
        let mut state = self.centre.state();
        let found = state.datastores.iter_mut().find(|datastore| datastore.name == name);
        found.with_context(|| format!("there is no datastore {name}"))?.capacity = capacity;
        Ok(())
    }

    /// A write of the guest: whole sectors, VM running. Waits while the VM is stunned.
    pub async fn write(&self, vm: &str, disk_key: i32, offset: u64, bytes: Vec<u8>) -> Result<()> {
        let id = self.id(vm)?;
        let gate = self.centre.gate(&id).map_err(machines::message)?;
        let _not_stunned = gate.read_owned().await;
        let top = {
            let mut state = self.centre.state();
            let vm = state.vms.get_mut(&id).context("the VM is gone")?;
            ensure!(vm.power == Power::On, "the VM {} is off, its guest cannot write", vm.name);
            let disk = vm.disk_mut(disk_key).with_context(|| format!("there is no disk {disk_key}"))?;
            let end = offset + bytes.len() as u64;
            ensure!(offset.is_multiple_of(SECTOR) && end.is_multiple_of(SECTOR), "a guest writes whole sectors of {SECTOR} bytes");
            ensure!(end <= disk.chain.capacity, "the write ends at {end}, behind the disk's {} bytes", disk.chain.capacity);
            if let Some(tracker) = &mut disk.tracker {
                tracker.mark(offset..end);
            }
            disk.chain.top().clone()
        };
        tokio::task::spawn_blocking(move || top.write(offset, &bytes)).await??;
        Ok(())
    }

    /// Lets the guest run a workload; answers how many bytes it wrote.
    pub async fn run_workload(&self, vm: &str, disk_key: i32, workload: &Workload, seed: u64) -> Result<u64> {
        let view = self.vm(vm)?;
        let disk = view.disks.iter().find(|disk| disk.key == disk_key).with_context(|| format!("there is no disk {disk_key}"))?;
        let mut written = 0;
        for write in workload.writes(disk.capacity, seed) {
            written += write.bytes.len() as u64;
            self.write(&view.id, disk_key, write.offset, write.bytes).await?;
        }
        Ok(written)
    }

    /// What the guest reads now.
    pub async fn read(&self, vm: &str, disk_key: i32, offset: u64, length: usize) -> Result<Vec<u8>> {
        let id = self.id(vm)?;
        let gate = self.centre.gate(&id).map_err(machines::message)?;
        let guard = gate.read_owned().await;
        let chain = self.live_chain(&id, disk_key)?;
        tokio::task::spawn_blocking(move || {
            let _guard = guard;
            let mut bytes = vec![0; length];
            chain.read(&mut bytes, offset)?;
            Ok(bytes)
        })
        .await?
    }

    /// The sparse digest of what the guest reads now.
    pub async fn live_digest(&self, vm: &str, disk_key: i32) -> Result<String> {
        let id = self.id(vm)?;
        let gate = self.centre.gate(&id).map_err(machines::message)?;
        let guard = gate.read_owned().await;
        let chain = self.live_chain(&id, disk_key)?;
        tokio::task::spawn_blocking(move || {
            let _guard = guard;
            Ok(chain.digest()?)
        })
        .await?
    }

    /// Digests a snapshot that exists; the records stay in the table.
    pub async fn digest_snapshot(&self, snapshot: &str) -> Result<Vec<DigestRecord>> {
        digests::compute(&self.centre, snapshot).await
    }

    /// All digests so far, once those under way are done.
    pub async fn digests(&self) -> Vec<DigestRecord> {
        loop {
            let records = self.centre.state().digests.clone();
            if records.iter().all(|record| record.digest.is_some()) {
                return records;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Invalidates change tracking of a disk: a new UUID, and every older changeId is worthless.
    pub fn reset_tracking(&self, vm: &str, disk_key: i32) -> Result<()> {
        let id = self.id(vm)?;
        let mut state = self.centre.state();
        let uuid = state.random_bytes();
        let disk = state.vms.get_mut(&id).and_then(|vm| vm.disk_mut(disk_key)).with_context(|| format!("there is no disk {disk_key}"))?;
        disk.tracker = Some(Tracker::new(uuid));
        Ok(())
    }

    /// Takes a snapshot behind the client's back, as an operator or a backup product would. Answers its moref.
    pub async fn create_snapshot(&self, vm: &str, name: &str) -> Result<String> {
        let made = snapshots::create(self.centre.clone(), self.id(vm)?, name.to_owned(), String::new(), false).await;
        made.map_err(machines::message)?.map(|moref| moref.id).context("a snapshot has a moref")
    }

    pub async fn remove_snapshot(&self, snapshot: &str) -> Result<()> {
        let vm = self
            .centre
            .state()
            .snapshot(snapshot)
            .map(|(vm, _)| vm.id.clone())
            .with_context(|| format!("there is no snapshot {snapshot}"))?;
        let work = snapshots::remove(self.centre.clone(), vm, snapshot.to_owned(), snapshots::Children::Keep, snapshots::Merge::Now);
        work.await.map(drop).map_err(machines::message)
    }

    pub async fn power_on(&self, vm: &str) -> Result<()> {
        machines::power_on(self.centre.clone(), self.id(vm)?).await.map(drop).map_err(machines::message)
    }

    pub async fn power_off(&self, vm: &str) -> Result<()> {
        machines::power_off(self.centre.clone(), self.id(vm)?).await.map(drop).map_err(machines::message)
    }

    /// By moref, else by name; of two VMs with one name the elder.
    fn id(&self, vm: &str) -> Result<String> {
        let state = self.centre.state();
        let found = state.vms.get(vm).or_else(|| state.vms.values().find(|known| known.name == vm));
        found.map(|vm| vm.id.clone()).with_context(|| format!("there is no VM {vm}"))
    }

    fn live_chain(&self, id: &str, disk_key: i32) -> Result<crate::disk::Chain> {
        let state = self.centre.state();
        let disk = state.vms.get(id).and_then(|vm| vm.disk(disk_key)).with_context(|| format!("there is no disk {disk_key}"))?;
        Ok(disk.chain.clone())
    }
}

fn view(vm: &Vm) -> VmView {
    VmView {
        id: vm.id.clone(),
        name: vm.name.clone(),
        instance_uuid: vm.instance_uuid.clone(),
        bios_uuid: vm.bios_uuid.clone(),
        powered_on: vm.power == Power::On,
        tracking_enabled: vm.tracking_enabled,
        consolidation_needed: vm.consolidation_needed,
        disks: vm
            .disks
            .iter()
            .map(|disk| DiskView {
                key: disk.key,
                uuid: disk.uuid.clone(),
                capacity: disk.chain.capacity,
                files: disk.chain.layers.iter().map(|layer| layer.file_path.clone()).collect(),
                change_id: disk.tracker.as_ref().map(Tracker::change_id),
            })
            .collect(),
        snapshots: vm
            .snapshots
            .iter()
            .map(|snapshot| SnapshotView {
                id: snapshot.id.clone(),
                name: snapshot.name.clone(),
                description: snapshot.description.clone(),
                quiesced: snapshot.quiesced,
            })
            .collect(),
    }
}
