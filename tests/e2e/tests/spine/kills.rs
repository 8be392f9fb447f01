//! kill -9 at moments that nobody chose: the restart finishes, and little is sent twice.

use std::time::Duration;

use e2e::agent::modes;
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What may be between source and store at one time, and a page or a bitmap more.
const WINDOW: u64 = 4 * MIB;
const SLACK: u64 = MIB;

async fn site() -> Site {
    let disk = || DiskSpec::with_files(48 * MIB, 40_000_000);
    let site = Site::with(vec![VmSpec::new("calm", vec![disk()]), VmSpec::new("db01", vec![disk()])]).await;
    // Slow enough that the moments hit something.
    site.lab.vcenter().set_knobs(|knobs| {
        knobs.folder_latency_milliseconds = 150;
        knobs.task_milliseconds = 100;
    });
    site
}

/// What the store receives when nothing is killed.
async fn bytes_of_a_calm_initial(site: &Site) -> u64 {
    let agent = Agent::start(&site.setup(&["calm"])).await;
    agent.settled("calm", 2).await;
    let bytes = site.lab.s3().counters().bytes_in;
    println!("undisturbed: {bytes} bytes");
    bytes
}

/// Starts the agent, lets its cycle run for a random while, kills it. Answers whether a snapshot was open at that moment.
async fn live_shortly(site: &Site, setup: &Setup, random: &mut ChaCha8Rng) -> bool {
    let agent = Agent::start(setup).await;
    agent.until("db01", "a cycle", |vm| (!vm["cycle"].is_null()).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(random.next_u64() % 900)).await;
    agent.kill();
    has_snapshot(site)
}

fn has_snapshot(site: &Site) -> bool {
    !site.lab.vcenter().vm("db01").expect("the VM is there").snapshots.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_at_random_moments_finishes_and_sends_little_again() {
    let site = site().await;
    let calm = bytes_of_a_calm_initial(&site).await;
    let setup = Setup { vms: vec!["db01".to_owned()], ..site.setup(&[]).beside("killed") };
    let mut random = ChaCha8Rng::seed_from_u64(20_260_708);
    let rounds = if parts::long() { 60 } else { 11 };

    let before = site.lab.s3().counters().bytes_in;
    let (mut kills, mut while_open) = (0, 0);
    for _ in 0..rounds {
        while_open += u64::from(live_shortly(&site, &setup, &mut random).await);
        kills += 1;
    }
    assert!(while_open >= rounds / 2, "only {while_open} of {kills} kills hit a copy");
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let sent = site.lab.s3().counters().bytes_in - before;
    let again = sent.saturating_sub(calm) / kills;
    println!("killed {kills} times in the initial cycle, {while_open} of them with the snapshot open: {sent} bytes, {again} again a kill");
    assert!(sent <= calm + kills * (WINDOW + SLACK), "{sent} bytes were sent for {calm}");
    site.assert_restored(&agent, "db01", 1).await;
    site.assert_replica(&agent, "db01", 2).await;
    site.assert_no_snapshot();

    let mut newest = agent.newest("db01");
    drop(agent);
    for round in 0..rounds {
        let changed = site.guest_writes("db01", Workload::Clustered { writes: 32, bytes: 65536 }, round).await;
        let agent = Agent::start(&setup).await;
        let before = site.lab.s3().counters().bytes_in;
        agent.demand("db01", "sync");
        tokio::time::sleep(Duration::from_millis(random.next_u64() % 1500)).await;
        agent.kill();
        kills += 1;
        while_open += u64::from(has_snapshot(&site));
        let agent = Agent::start(&setup).await;
        newest = agent
            .until("db01", "the end of the killed cycle", |vm| {
                let cycle = vm["point"]["cycle"].as_u64()?;
                (cycle > newest && vm["replica"] == format!("at recovery point {cycle}") && vm["cycle"].is_null()).then_some(cycle)
            })
            .await;
        let row = agent.ended("db01", newest).await;
        assert!(modes(&row).iter().all(|(_, mode)| mode == "delta"), "a kill costs no resync: {row:#}");
        let sent = site.lab.s3().counters().bytes_in - before;
        assert!(sent <= 2 * changed + WINDOW + SLACK, "{sent} bytes were sent for {changed} changed ones");
        site.assert_replica(&agent, "db01", newest).await;
        site.assert_no_snapshot();
    }
    println!("{kills} kills in all, {while_open} of them with a snapshot open");
    assert!(kills >= 20 && while_open >= kills / 3, "{kills} kills prove too little when {while_open} hit a copy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_apart_are_killed_one_after_the_other_and_meet_again_in_the_store() {
    let site = site().await;
    let both = Setup { vms: vec!["db01".to_owned()], ..site.setup(&[]) };
    let gateway = Setup { role: "gateway", ..both.beside("gateway") };
    let receiver = Setup { role: "receiver", ..both.beside("receiver") };
    let mut random = ChaCha8Rng::seed_from_u64(708);
    let rounds = if parts::long() { 30 } else { 5 };

    for _ in 0..rounds {
        let (sending, receiving) = (Agent::start(&gateway).await, Agent::start(&receiver).await);
        tokio::time::sleep(Duration::from_millis(random.next_u64() % 900)).await;
        // One of them dies, the other does not notice; then the other one.
        match random.next_u64() % 2 {
            0 => drop((sending, receiving)),
            _ => drop((receiving, sending)),
        }
    }
    let (sending, mut receiving) = (Agent::start(&gateway).await, Agent::start(&receiver).await);
    sending.settled("db01", 2).await;
    let id = sending.vm("db01").unwrap()["id"].as_str().unwrap().to_owned();
    at_point(&receiving, &id, 2).await;
    site.assert_replica_of(&receiving, &id, "db01", 2).await;
    site.assert_no_snapshot();

    for round in 0..rounds {
        site.guest_writes("db01", Workload::Clustered { writes: 32, bytes: 65536 }, round).await;
        sending.demand("db01", "sync");
        tokio::time::sleep(Duration::from_millis(random.next_u64() % 2500)).await;
        receiving.kill();
        receiving = Agent::start(&receiver).await;
        let cycle = 3 + round;
        sending.settled("db01", cycle).await;
        at_point(&receiving, &id, cycle).await;
        site.assert_replica_of(&receiving, &id, "db01", cycle).await;
    }
    site.assert_no_snapshot();
}

async fn at_point(receiver: &Agent, id: &str, cycle: u64) {
    let point = format!("at recovery point {cycle}");
    receiver.until(id, &point, |vm| (vm["replica"] == point).then_some(())).await;
}

/// The snapshot that a dead agent was reading is gone when it comes back, and the guest went on writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_was_lost_while_the_agent_was_dead_costs_only_what_changed() {
    let site = site().await;
    let calm = bytes_of_a_calm_initial(&site).await;
    let setup = Setup { vms: vec!["db01".to_owned()], ..site.setup(&[]).beside("killed") };
    let before = site.lab.s3().counters().bytes_in;
    let agent = Agent::start(&setup).await;
    agent.until("db01", "half of the copy", |vm| (vm["cycle"]["disks"][0]["done"].as_u64()? > 16 * MIB).then_some(())).await;
    agent.kill();

    let (_, snapshot) = site.lab.vcenter().snapshots().into_iter().find(|(vm, _)| vm == "db01").expect("it was being read");
    site.lab.vcenter().remove_snapshot(&snapshot.id).await.unwrap();
    let changed = site.guest_writes("db01", Workload::Clustered { writes: 16, bytes: 65536 }, 5).await;

    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let sent = site.lab.s3().counters().bytes_in - before;
    println!("snapshot lost: {sent} bytes instead of {calm}, with {changed} changed");
    assert!(sent <= calm + 2 * changed + WINDOW + SLACK, "{sent} bytes were sent for {calm}");
    site.assert_restored(&agent, "db01", 1).await;
    site.assert_replica(&agent, "db01", 2).await;
    site.assert_no_snapshot();
}
