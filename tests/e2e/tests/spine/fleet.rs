//! A whole fleet under limits: the lab's own counters say that none was exceeded, and its own digests that every replica is right.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::agent::text;
use e2e::claims::{cycle_of, disk_id};
use e2e::setup::QUICK;
use e2e::weed::Weed;
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::vcenter::{DigestRecord, LoadView};
use lab::{FLEET_VMS, fleet_disks, fleet_vm};
use serde_json::Value;
use tokio::time::Instant;

/// What the configuration and the source say.
const VMS_MAX: usize = 300;
const DISKS_MAX: usize = 52;
const DISKS_PER_HOST_MAX: usize = 8;
const SNAPSHOTS_PER_DATASTORE_MAX: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_of_300_is_replicated_under_its_limits_and_the_301st_waits_by_name() {
    let (disk_bytes, patience) = if parts::long() { (4 * MIB, 3600) } else { (MIB, 600) };
    let site = Site::fleet(disk_bytes).await;
    // The lab's own store walks through all of its objects for each listing, which is too slow for so many VMs.
    let Some(weed) = Weed::start(site.folder()).await else { return };
    // Slow enough that disks are read beside each other and limits bind.
    site.lab.vcenter().set_knobs(|knobs| knobs.folder_latency_milliseconds = 40);
    // As often as unless told otherwise: three hundred VMs ask the store in turns.
    let replication = QUICK.replace("100 ms", "2 s");
    let vms = (0..FLEET_VMS).map(fleet_vm).collect();
    let setup = Setup { vms, replication, ..weed.setup(&site, &weed.plain, "fleet", &[]) };
    let began = Instant::now();
    let agent = Agent::start(&setup).await;

    let mut named: Vec<String> = Vec::new();
    // Killed in the middle: what was open counts and goes on first, and no limit is exceeded afterwards either.
    until(&agent, VMS_MAX / 5, began, patience, &mut named).await;
    agent.kill();
    let agent = Agent::start(&setup).await;
    let vms = until(&agent, VMS_MAX, began, patience, &mut named).await;
    println!("{VMS_MAX} VMs had an initial and a delta after {:.0?}", began.elapsed());

    // Whoever was ready last.
    let left_over: Vec<&Value> = vms.iter().filter(|vm| vm["point"].is_null()).collect();
    assert_eq!(left_over.len(), 1);
    assert_eq!(left_over[0]["state"], "waits: this appliance replicates 300 of 300 VMs");
    assert_eq!(left_over[0]["waiting"]["limit"]["limit"], "vms");
    let one_too_many = text(&left_over[0]["name"]);
    for limit in ["host esx-", "datastore pool-"] {
        assert!(named.iter().any(|state| state.contains(limit)), "nobody ever waited for a {limit}: {named:?}");
    }

    let load = site.lab.vcenter().load();
    assert_limits(&load);
    assert_nobody_starved(&load, one_too_many);
    let its_disks: usize = (0..FLEET_VMS).filter(|no| fleet_vm(*no) == one_too_many).map(fleet_disks).sum();
    let disks: usize = (0..FLEET_VMS).map(fleet_disks).sum();
    assert_eq!(replicas_that_are_right(&site, &agent, &vms).await, disks - its_disks);
    site.assert_no_snapshot();
}

/// Waits until so many VMs have their first delta. Takes down what the others say that they wait for.
async fn until(agent: &Agent, ready: usize, began: Instant, patience: u64, named: &mut Vec<String>) -> Vec<Value> {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let vms = agent.status()["vms"].as_array().expect("the status lists VMs").clone();
        named.extend(vms.iter().filter(|vm| !vm["waiting"].is_null()).map(|vm| text(&vm["state"]).to_owned()));
        let now = vms.iter().filter(|vm| vm["point"]["cycle"].as_u64() >= Some(2) && vm["cycle"].is_null()).count();
        if now >= ready {
            return vms;
        }
        let shown = || vms.iter().map(|vm| format!("{}: {}", text(&vm["name"]), text(&vm["state"]))).collect::<Vec<_>>().join("\n");
        assert!(began.elapsed().as_secs() < patience, "{now} are ready after {:?}:\n{}", began.elapsed(), shown());
    }
}

fn assert_limits(load: &LoadView) {
    for host in &load.hosts {
        assert!((1..=DISKS_PER_HOST_MAX).contains(&host.disks_peak), "{host:?}");
    }
    for datastore in &load.datastores {
        assert!(datastore.snapshots_peak_shared <= SNAPSHOTS_PER_DATASTORE_MAX, "{datastore:?}");
    }
    // The VM with more disks than that went alone, if it is not the one too many, and only it.
    let above = load.datastores.iter().filter(|datastore| datastore.snapshots_peak > SNAPSHOTS_PER_DATASTORE_MAX).count();
    let largest = (0..FLEET_VMS).map(fleet_disks).max().unwrap_or_default();
    assert!(above <= 1 && load.datastores.iter().all(|datastore| datastore.snapshots_peak <= largest), "{:?}", load.datastores);
    assert!(load.disks_peak <= DISKS_MAX, "{} disks at one time", load.disks_peak);
    let hosts: Vec<usize> = load.hosts.iter().map(|host| host.disks_peak).collect();
    let stores: Vec<usize> = load.datastores.iter().map(|datastore| datastore.snapshots_peak).collect();
    println!("at one time, at most: {} disks, by host {hosts:?}; disk snapshots by datastore {stores:?}", load.disks_peak);
}

fn assert_nobody_starved(load: &LoadView, one_too_many: &str) {
    for vm in &load.vms {
        // Turning change tracking on takes a snapshot of its own for a tenth of them, and the kill may have cost one.
        let expected = if vm.name == one_too_many { 0..=0 } else { 2..=4 };
        assert!(expected.contains(&vm.cycles), "{vm:?}");
    }
    let mut first: Vec<u64> = load.vms.iter().filter_map(|vm| vm.first_snapshot_milliseconds).collect();
    first.sort_unstable();
    let at = |percent: usize| first[(first.len() - 1) * percent / 100] as f64 / 1000.0;
    println!("first snapshot of a VM after {:.0} s (half of them), {:.0} s (the last one)", at(50), at(100));
}

/// Every replica equals what the lab froze for the recovery point that it stands at; answers how many there are.
async fn replicas_that_are_right(site: &Site, agent: &Agent, vms: &[Value]) -> usize {
    let frozen = site.lab.vcenter().digests().await;
    let mut verified = 0;
    for vm in vms.iter().filter(|vm| !vm["point"].is_null()) {
        let (name, cycle) = (text(&vm["name"]), vm["point"]["cycle"].as_u64().expect("a point has a cycle"));
        assert_eq!(vm["replica"], format!("at recovery point {cycle}"), "{name}");
        let of_point = frozen.iter().filter(|disk| disk.vm_name == name && cycle_of(&disk.snapshot_name) == Some(cycle));
        // Of several attempts the last one counts.
        let disks: BTreeMap<i32, &DigestRecord> = of_point.map(|disk| (disk.disk_key, disk)).collect();
        for disk in disks.into_values() {
            let replica = agent.setup.replicas().join(text(&vm["id"])).join(format!("{}.raw", disk_id(disk)));
            let digest = lab::sparse_digest(&replica).unwrap_or_else(|error| panic!("{}: {error}", replica.display()));
            assert_eq!(Some(digest), disk.digest, "{name} disk {}", disk.disk_key);
            verified += 1;
        }
    }
    println!("{verified} replicas equal what was frozen");
    verified
}
