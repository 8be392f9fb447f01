//! An agent that is told to stop puts its copies down, closes their snapshots and ends; what starts next, the same program or a newer one on
//! the same state, goes on.

use std::time::Duration;

use e2e::{Agent, MIB, Setup, Site};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use tokio::time::Instant;

/// What may be between source and store at one time, and a page or a bitmap more.
const WINDOW: u64 = 5 * MIB;

async fn slow_site() -> Site {
    let disk = || DiskSpec::with_files(48 * MIB, 40_000_000);
    let site = Site::with(vec![VmSpec::new("calm", vec![disk()]), VmSpec::new("db01", vec![disk()])]).await;
    site.lab.vcenter().set_knobs(|knobs| knobs.folder_latency_milliseconds = 150);
    site
}

async fn until_half(agent: &Agent) {
    agent.until("db01", "half of the copy", |vm| (vm["cycle"]["disks"][0]["done"].as_u64()? > 16 * MIB).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_told_to_stop_closes_its_snapshot_and_the_next_one_goes_on() {
    let site = slow_site().await;
    let agent = Agent::start(&site.setup(&["calm"])).await;
    agent.settled("calm", 2).await;
    let calm = site.lab.s3().counters().bytes_in;
    drop(agent);

    let setup = Setup { vms: vec!["db01".to_owned()], ..site.setup(&[]).beside("stopped") };
    let before = site.lab.s3().counters().bytes_in;
    let stops = 3;
    for _ in 0..stops {
        let agent = Agent::start(&setup).await;
        agent.until("db01", "a copy", |vm| (vm["cycle"]["disks"][0]["planned"].as_u64()? > 0).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(agent.terminate(), Some(0));
        site.assert_no_snapshot();
    }
    let changed = site.guest_writes("db01", Workload::Clustered { writes: 16, bytes: 65536 }, 5).await;
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let sent = site.lab.s3().counters().bytes_in - before;
    println!("stopped {stops} times: {sent} bytes instead of {calm}, with {changed} changed");
    assert!(sent <= calm + 2 * changed + stops * WINDOW, "{sent} bytes were sent for {calm}");
    site.assert_restored(&agent, "db01", 1).await;
    site.assert_replica(&agent, "db01", 2).await;
    // Nothing runs: it ends at once.
    let asked = Instant::now();
    assert_eq!(agent.terminate(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_takes_longer_to_close_than_the_grace_time_is_left_to_the_next_start() {
    let site = slow_site().await;
    let mut setup = site.setup(&["db01"]);
    setup.replication.push_str("stop-within = \"1 s\"\n");
    let agent = Agent::start(&setup).await;
    until_half(&agent).await;
    site.lab.vcenter().set_knobs(|knobs| knobs.task_milliseconds = 8000);
    let asked = Instant::now();
    assert_eq!(agent.terminate(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(6), "it took {:?}", asked.elapsed());
    site.lab.vcenter().set_knobs(|knobs| knobs.task_milliseconds = 50);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    site.assert_restored(&agent, "db01", 1).await;
    site.assert_replica(&agent, "db01", 2).await;
    site.assert_no_snapshot();
}
