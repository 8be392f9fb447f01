//! Commands over the socket: what they do to a VM's replication, what is denied by name, and that `--dry-run` does nothing.

use e2e::agent::{modes, sum, text};
use e2e::{Agent, MIB, Site};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};

/// What may be between source and store at one time, and a page or a bitmap more.
const WINDOW: u64 = 5 * MIB;

fn written() -> Workload {
    Workload::Clustered { writes: 16, bytes: 65536 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_paused_closes_its_snapshot_and_goes_on_from_what_is_in_the_store() {
    let disk = || DiskSpec::with_files(48 * MIB, 40_000_000);
    let site = Site::with(vec![VmSpec::new("calm", vec![disk()]), VmSpec::new("db01", vec![disk()])]).await;
    site.lab.vcenter().set_knobs(|knobs| knobs.folder_latency_milliseconds = 150);
    let agent = Agent::start(&site.setup(&["calm"])).await;
    agent.settled("calm", 2).await;
    let calm = site.lab.s3().counters().bytes_in;
    drop(agent);

    let mut setup = site.setup(&[]).beside("paused");
    setup.vms = vec!["db01".to_owned()];
    let before = site.lab.s3().counters().bytes_in;
    let agent = Agent::start(&setup).await;
    agent.until("db01", "half of the copy", |vm| (vm["cycle"]["disks"][0]["done"].as_u64()? > 16 * MIB).then_some(())).await;
    assert_eq!(agent.denied(&["final", "db01"]), "first-copy");
    let told = agent.order(&["pause", "db01", "--dry-run"]);
    assert!(told.starts_with("nothing is done") && agent.vm("db01").unwrap()["replication"]["state"] == "initial", "{told}");
    agent.order(&["pause", "db01"]);
    agent.until_it_is("db01", "paused").await;
    site.assert_no_snapshot();
    assert_eq!(agent.denied(&["sync", "db01"]), "paused");
    assert!(agent.ask(&["vm", "pause", "db01"]).json()["ignored"].is_object());
    let paused = site.lab.s3().counters().bytes_in;
    let changed = site.guest_writes("db01", written(), 5).await;
    agent.kill();

    let agent = Agent::start(&setup).await;
    agent.until_it_is("db01", "paused").await;
    assert_eq!(site.lab.s3().counters().bytes_in, paused, "a restarted agent keeps to it");
    agent.order(&["resume", "db01"]);
    let resumed = |vm: &serde_json::Value| text(&vm["replication"]["state"]).starts_with("resume").then_some(());
    agent.until("db01", "the resumed copy", resumed).await;
    agent.settled("db01", 2).await;
    let sent = site.lab.s3().counters().bytes_in - before;
    println!("paused and resumed: {sent} bytes instead of {calm}, with {changed} changed");
    assert!(sent <= calm + 2 * changed + WINDOW, "{sent} bytes were sent for {calm}");
    site.assert_restored(&agent, "db01", 1).await;
    site.assert_replica(&agent, "db01", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_excluded_disk_is_in_no_point_until_it_is_included_and_comes_back_whole() {
    let disk = || DiskSpec::with_files(8 * MIB, 4_000_000);
    let site = Site::with(vec![VmSpec::new("db01", vec![disk(), disk()])]).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    let row = agent.ended("db01", 2).await;
    let labels: Vec<String> = modes(&row).into_iter().map(|(label, _)| label).collect();
    let (kept, left_out) = (&labels[0], &labels[1]);
    assert_eq!(agent.denied(&["vm", "exclude-disk", "db01", "Hard disk 77"]), "unknown-disk");
    agent.order(&["exclude-disk", "db01", left_out, "--at-cutover", "attach-later"]);
    assert_eq!(agent.denied(&["vm", "exclude-disk", "db01", kept]), "last-disk");
    let shown = agent.vm("db01").unwrap()["excluded"].clone();
    assert_eq!((text(&shown[0]["label"]), text(&shown[0]["at_cutover"])), (left_out.as_str(), "attach-later"));
    let printed = agent.setup.run(&["status"]).out;
    assert!(printed.contains("the VM starts without it, and it is attached later"), "{printed}");

    for key in site.disk_keys("db01") {
        site.guest_writes_to("db01", key, written(), 7).await;
    }
    let row = agent.sync("db01").await;
    assert_eq!(modes(&row), [(kept.clone(), "delta".to_owned())]);
    agent.order(&["include-disk", "db01", left_out]);
    agent.demand("db01", "sync");
    let row = agent.ended("db01", 4).await;
    assert_eq!(modes(&row), [(kept.clone(), "delta".to_owned()), (left_out.clone(), "initial".to_owned())]);
    // A delta follows a first copy at once.
    agent.settled("db01", 5).await;
    site.assert_replica(&agent, "db01", 5).await;
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_vm_stays_stopped_and_is_replicated_again_by_comparison() {
    let site = Site::small(8 * MIB, 4_000_000).await;
    let setup = site.setup(&["db01"]);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    assert_eq!(agent.denied(&["vm", "complete", "db01"]), "not-migrated");
    let told = agent.order(&["stop", "db01", "--dry-run"]);
    assert!(told.contains("digest tables are deleted") && told.contains("Recovery points and the replica stay"), "{told}");
    agent.order(&["stop", "db01"]);
    agent.until_it_is("db01", "stopped").await;
    agent.kill();
    let agent = Agent::start(&setup).await;
    agent.until_it_is("db01", "stopped").await;
    assert_eq!(agent.denied(&["sync", "db01"]), "stopped");
    let changed = site.guest_writes("db01", written(), 9).await;
    assert!(agent.ask(&["replicate", "db01"]).json()["accepted"].is_object());
    agent.settled("db01", 3).await;
    let row = agent.ended("db01", 3).await;
    assert!(modes(&row).iter().all(|(_, mode)| mode == "resync") && sum(&row, "sent") <= 2 * changed, "{row:#}");
    site.assert_replica(&agent, "db01", 3).await;
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_compares_everything_and_a_moved_vm_is_done() {
    let site = Site::small(8 * MIB, 4_000_000).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    assert_eq!(agent.denied(&["vm", "repair", "db01"]), "nothing-failed");
    for (verb, cycle, code) in [("resync", 3, "asked-for"), ("reset-tracking", 4, "tracking-reset")] {
        agent.order(&[verb, "db01"]);
        agent.settled("db01", cycle).await;
        let row = agent.ended("db01", cycle).await;
        assert_eq!((text(&row["disks"][0]["mode"]), text(&row["disks"][0]["resync"]["code"])), ("resync", code), "{row:#}");
        assert_eq!(sum(&row, "sent"), 0, "everything was read, and all of it was the same");
    }
    site.guest_writes("db01", written(), 11).await;
    let row = agent.sync("db01").await;
    assert_eq!(text(&row["disks"][0]["mode"]), "delta", "tracking works again: {row:#}");
    assert_eq!(agent.vm("db01").unwrap()["migration"]["state"], "test-pending");
    agent.demand("db01", "final");
    agent.settled("db01", 6).await;
    assert_eq!(agent.vm("db01").unwrap()["migration"]["state"], "in-progress");
    agent.order(&["complete", "db01"]);
    agent.until_it_is("db01", "done").await;
    assert_eq!(agent.vm("db01").unwrap()["migration"]["state"], "completed");
    site.assert_replica(&agent, "db01", 6).await;
    site.assert_no_snapshot();
}
