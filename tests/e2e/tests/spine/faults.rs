//! What a vCenter does on a bad day.

use e2e::agent::text;
use e2e::claims::outcome;
use e2e::{Agent, MIB, Said, Site};
use lab::Workload;
use lab::vcenter::{DiskSpec, FolderFault, Spoil, TaskFault, VmSpec};

/// What `check` says at a step that is well.
fn note(said: &Said, what: &str) -> String {
    let json = said.json();
    let steps = json["steps"].as_array().expect("check answers steps");
    let found = steps.iter().find(|step| step["what"] == what && step["ok"] == true);
    text(&found.unwrap_or_else(|| panic!("no step {what}: {json:#}"))["message"]).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_expire_and_reads_that_break_cost_time_and_nothing_else() {
    let site = Site::small(64 * MIB, 24_000_000).await;
    site.lab.vcenter().set_knobs(|knobs| {
        knobs.session_calls_max = Some(25);
        knobs.task_polls = 2;
        knobs.task_milliseconds = 300;
        knobs.folder_faults = vec![
            FolderFault { after: 4, times: 3, spoil: Spoil::Status(503) },
            FolderFault { after: 12, times: 2, spoil: Spoil::Truncate },
            FolderFault { after: 16, times: 2, spoil: Spoil::Close },
            FolderFault { after: 20, times: 1, spoil: Spoil::Status(401) },
        ];
    });
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    let row = agent.ended("db01", 1).await;
    assert_eq!(outcome(&row), "applied");
    let counters = site.lab.vcenter().counters();
    println!("{} sessions, {} reads", counters.sessions_opened, counters.folder_requests);
    assert!(counters.sessions_opened >= 3, "sessions expired in mid-loop: {counters:?}");
    assert!(site.lab.vcenter().knobs().folder_faults.is_empty(), "every fault was met");
    site.assert_restored(&agent, "db01", 1).await;
    site.guest_writes("db01", Workload::Scattered { writes: 30, bytes: 4096 }, 1).await;
    agent.sync("db01").await;
    site.assert_replica(&agent, "db01", 3).await;
    site.assert_no_snapshot();
}

/// The bytes of a read carry no checksum of the source's, so a bit that is wrong on this way is replicated as it came: TLS guards the way
/// itself, and what the server sends cannot be doubted. What is read again for the tracker's sake shows it one cycle later, and mends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_the_source_itself_sends_wrong_is_noticed_a_cycle_later() {
    let site = Site::small(16 * MIB, 8_000_000).await;
    // Behind the probes with which the first reads begin.
    site.lab.vcenter().set_knobs(|knobs| knobs.folder_faults = vec![FolderFault { after: 8, times: 1, spoil: Spoil::FlipBit }]);
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    assert!(site.lab.vcenter().knobs().folder_faults.is_empty());
    assert_eq!(outcome(&agent.ended("db01", 1).await), "applied", "nothing was noticed");
    let row = agent.ended("db01", 2).await;
    assert_eq!(row["disks"][0]["resync"]["code"], "tracker-lied", "{row:#}");
    site.assert_replica(&agent, "db01", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_the_host_keeps_locked_are_named_and_the_copy_begins_when_they_are_free() {
    let site = Site::small(16 * MIB, 2_000_000).await;
    site.lab.vcenter().set_knobs(|knobs| knobs.folder_locks_running = true);
    let agent = Agent::start(&site.setup(&["db01"])).await;
    let trouble = agent.until("db01", "the trouble", |vm| (!vm["trouble"].is_null()).then(|| vm["trouble"].clone())).await;
    println!("{trouble:#}");
    assert!(text(&trouble["fault"]["message"]).contains("lock"), "{trouble:#}");
    assert_eq!(text(&trouble["safe"]), "There is no recovery point yet. The source is not affected.");
    site.lab.vcenter().set_knobs(|knobs| knobs.folder_locks_running = false);
    let point = agent.until("db01", "a recovery point", |vm| vm["point"]["cycle"].as_u64()).await;
    agent.until("db01", "rest", |vm| text(&vm["state"]).starts_with("idle").then_some(())).await;
    let newest = agent.newest("db01");
    assert!(newest >= point);
    site.assert_replica(&agent, "db01", newest).await;
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_takes_longer_to_shut_down_than_it_may_is_left_running() {
    let site = Site::small(16 * MIB, 2_000_000).await;
    site.lab.vcenter().set_knobs(|knobs| knobs.guest_shutdown_milliseconds = 3_600_000);
    let mut setup = site.setup(&["db01"]);
    setup.replication.push_str("shutdown-within = \"10 s\"\n");
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    agent.demand("db01", "final");
    let trouble = agent.until("db01", "the trouble", |vm| (!vm["trouble"].is_null()).then(|| vm["trouble"].clone())).await;
    assert!(text(&trouble["fault"]["message"]).contains("db01 did not shut down within"), "{trouble:#}");
    assert!(site.lab.vcenter().vm("db01").unwrap().powered_on, "nobody pulls the plug");
    site.assert_replica(&agent, "db01", 2).await;
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_fails_is_made_up_for_and_a_guest_that_cannot_be_quiesced_is_still_copied() {
    let site = Site::small(32 * MIB, 4_000_000).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    let vcenter = site.lab.vcenter();

    vcenter.set_knobs(|knobs| {
        let fault = TaskFault { method: "CreateSnapshot_Task".to_owned(), fault: "FilesystemQuiesceFault".to_owned() };
        knobs.task_faults = vec![fault];
    });
    site.guest_writes("db01", Workload::Scattered { writes: 9, bytes: 4096 }, 1).await;
    agent.sync("db01").await;
    assert_eq!(agent.vm("db01").unwrap()["point"]["quiesced"], false, "the snapshot is crash-consistent, and it says so");
    site.assert_replica(&agent, "db01", 3).await;

    vcenter.set_knobs(|knobs| knobs.consolidation_fails = true);
    site.guest_writes("db01", Workload::Scattered { writes: 9, bytes: 4096 }, 2).await;
    agent.demand("db01", "sync");
    let trouble = agent.until("db01", "the trouble", |vm| (!vm["trouble"].is_null()).then(|| vm["trouble"].clone())).await;
    println!("{trouble:#}");
    assert!(vcenter.vm("db01").unwrap().consolidation_needed);
    vcenter.set_knobs(|knobs| knobs.consolidation_fails = false);
    agent.settled("db01", 4).await;
    site.assert_replica(&agent, "db01", 4).await;
    assert!(!vcenter.vm("db01").unwrap().consolidation_needed, "the agent consolidated");
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named_and_nothing_is_touched_until_it_is_given() {
    let site = Site::small(16 * MIB, 2_000_000).await;
    let vcenter = site.lab.vcenter();
    let setup = site.setup(&["db01"]);
    let denied = |rights: &[&str]| {
        vcenter.set_knobs(|knobs| knobs.denied_privileges = rights.iter().map(|right| (*right).to_owned()).collect());
        setup.check()
    };
    // What a cutover will need stops nothing yet.
    let said = denied(&["VirtualMachine.Interact.PowerOff"]);
    assert_eq!((said.code, said.failed_steps()), (0, vec![]), "{said:?}");
    assert!(note(&said, "vc1: db01 (right-for-cutover-missing)").contains("VirtualMachine.Interact.PowerOff on db01"), "{said:?}");
    let said = denied(&["VirtualMachine.State.CreateSnapshot", "Datastore.FileManagement"]);
    let failed = said.failed_steps();
    assert_eq!((said.code, failed.len()), (3, 2), "{failed:?}");
    for (failed, right, on) in
        [(&failed[0], "VirtualMachine.State.CreateSnapshot", "db01"), (&failed[1], "Datastore.FileManagement", "SSD pool 01")]
    {
        assert!(failed.contains(&format!("{} lacks {right} on {on}", vcenter.user())), "{failed}");
        assert!(failed.contains(&format!("Give the account {right} on {on} (")), "{failed}");
    }
    let agent = Agent::start(&setup).await;
    let trouble = agent.until("db01", "the trouble", |vm| (!vm["trouble"].is_null()).then(|| vm["trouble"].clone())).await;
    println!("{trouble:#}");
    assert!(text(&trouble["fault"]["message"]).contains("VirtualMachine.State.CreateSnapshot"), "{trouble:#}");
    let counters = vcenter.counters();
    assert!(!counters.calls.contains_key("ReconfigVM_Task") && !counters.calls.contains_key("CreateSnapshot_Task"), "{counters:?}");
    vcenter.set_knobs(|knobs| knobs.denied_privileges.clear());
    agent.until("db01", "a recovery point", |vm| vm["point"]["cycle"].as_u64()).await;
    agent.until("db01", "rest", |vm| text(&vm["state"]).starts_with("idle").then_some(())).await;
    site.assert_replica(&agent, "db01", agent.newest("db01")).await;
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_notes_what_a_target_must_know_and_how_much_room_there_is() {
    const GIB: u64 = 1 << 30;
    let machine = VmSpec::new("db01", vec![DiskSpec::with_files(16 * MIB, 2_000_000)]);
    let site =
        Site::with(vec![VmSpec { firmware: "efi".into(), secure_boot: true, guest_id: "windows2022srvNext_64Guest".into(), ..machine }])
            .await;
    let setup = site.setup(&["db01"]);
    let said = setup.check();
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(note(&said, "vc1: db01 (guest-os)"), "Its guest is windows2022srvNext_64Guest.");
    assert_eq!(note(&said, "vc1: db01 (firmware)"), "Its firmware is EFI with secure boot.");
    let placed = note(&said, "vc1: datastore SSD pool 01");
    assert_eq!(placed, "200.00 GiB of 200.00 GiB are free; snapshots of this VM hold 0 B");
    assert!(!said.out.contains("datastore-nearly-full"), "{said:?}");

    // A warning and no obstacle: the agent replicates.
    site.lab.vcenter().set_datastore_capacity("SSD pool 01", 8 * GIB).unwrap();
    site.lab.vcenter().create_snapshot("db01", "transload-room").await.unwrap();
    site.guest_writes("db01", Workload::Scattered { writes: 16, bytes: 65536 }, 1).await;
    let said = setup.check();
    assert_eq!(said.code, 0, "{said:?}");
    let warned = note(&said, "vc1: db01 (datastore-nearly-full)");
    assert!(warned.starts_with("SSD pool 01 has 7.9 GiB of 8.0 GiB free;"), "{warned}");
    let placed = note(&said, "vc1: datastore SSD pool 01");
    assert!(placed.contains(" of 8.00 GiB are free; snapshots of this VM hold ") && !placed.ends_with("hold 0 B"), "{placed}");
}
