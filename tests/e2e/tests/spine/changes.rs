//! Deltas of every shape, and what becomes of a disk that is not surely the one of last time.

use e2e::agent::{modes, sum, text};
use e2e::claims::{digests_below, outcome};
use e2e::{Agent, MIB, Site};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_right_whatever_the_pattern_of_writes_was() {
    let site = Site::with(vec![VmSpec::new("db01", vec![DiskSpec::blank(320 * MIB)])]).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    let queries = || site.lab.vcenter().counters().calls.get("QueryChangedDiskAreas").copied().unwrap_or(0);

    let patterns: Vec<(&str, Vec<Workload>)> = vec![
        ("every other sector", vec![Workload::EveryOtherSector { start: 10 * MIB, sectors: 500 }]),
        ("more than 2,000 extents", vec![Workload::EveryOtherCell { start: 0, writes: 2100 }]),
        (
            "the same place again and again",
            vec![Workload::Overwrite { start: 20 * MIB, bytes: 300_032 }, Workload::Overwrite { start: 20 * MIB + 4096, bytes: 65536 }],
        ),
        ("the last sector", vec![Workload::LastSector]),
        ("zeros over data", vec![Workload::Zeros { start: 9 * MIB, bytes: 3 * MIB }]),
        ("nothing", vec![]),
    ];
    for (number, (pattern, workloads)) in patterns.into_iter().enumerate() {
        let before = queries();
        for workload in workloads {
            site.guest_writes("db01", workload, number as u64).await;
        }
        let row = agent.sync("db01").await;
        println!("{pattern}: planned {}, read {}, stored {}", sum(&row, "planned"), sum(&row, "read"), sum(&row, "stored"));
        site.assert_replica(&agent, "db01", row["cycle"].as_u64().unwrap()).await;
        match pattern {
            "more than 2,000 extents" => {
                assert!(queries() - before >= 2, "2,100 extents come in two pages");
                assert!(sum(&row, "planned") >= 2100 * 65536);
            }
            "nothing" => assert_eq!((sum(&row, "planned"), sum(&row, "read")), (0, 0)),
            "the last sector" => assert!(sum(&row, "planned") <= 65536),
            _ => {}
        }
    }

    // Windows in the middle of the disk in which nothing changed: the answer goes on behind them.
    site.lab.vcenter().set_knobs(|knobs| knobs.changes_window_bytes = Some(16 * MIB));
    site.guest_writes("db01", Workload::Overwrite { start: 0, bytes: 4096 }, 8).await;
    site.guest_writes("db01", Workload::Overwrite { start: 200 * MIB, bytes: 4096 }, 9).await;
    let before = queries();
    let row = agent.sync("db01").await;
    assert!(queries() - before >= 20, "each of the 20 windows was asked for");
    assert_eq!(sum(&row, "planned"), 2 * 65536);
    site.assert_replica(&agent, "db01", 9).await;

    // Too many cells on both sides are allowed and harmless.
    site.lab.vcenter().set_knobs(|knobs| *knobs = lab::vcenter::Knobs { changes_widen_cells: 3, ..Default::default() });
    site.guest_writes("db01", Workload::Overwrite { start: 100 * MIB, bytes: 4096 }, 10).await;
    let row = agent.sync("db01").await;
    assert_eq!(sum(&row, "planned"), 7 * 65536);
    site.assert_replica(&agent, "db01", 10).await;
    site.assert_no_snapshot();
}

/// A window of changes that begins behind the place that was asked for leaves a hole in the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_between_two_pages_of_changes_is_noticed_and_nothing_is_written() {
    let site = Site::small(64 * MIB, 4 * MIB).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    site.guest_writes("db01", Workload::Scattered { writes: 5, bytes: 4096 }, 1).await;
    let before = digests_below(&agent.setup.replicas());

    site.lab.vcenter().set_knobs(|knobs| knobs.changes_start_shift = MIB);
    agent.demand("db01", "sync");
    let row = agent.ended("db01", 3).await;
    println!("said: {}", outcome(&row));
    assert!(outcome(&row).starts_with("failed: "), "{row:#}");
    let trouble = &agent.vm("db01").unwrap()["trouble"];
    assert_eq!(trouble["fault"]["kind"], "corrupt", "{trouble:#}");
    assert!(text(&trouble["safe"]).starts_with("The replica is complete up to "), "{trouble:#}");
    assert_eq!(digests_below(&agent.setup.replicas()), before);

    site.lab.vcenter().set_knobs(|knobs| knobs.changes_start_shift = 0);
    agent.demand("db01", "sync");
    let repaired =
        agent.until("db01", "a cycle after the refused one", |vm| vm["point"]["cycle"].as_u64().filter(|cycle| *cycle > 3)).await;
    agent.settled("db01", repaired).await;
    site.assert_replica(&agent, "db01", repaired).await;
    assert_eq!(agent.trouble("db01"), None, "what is over is not shown any more");
    site.assert_no_snapshot();
}

/// The bitmaps prove the transport. A source that hides an extent from the very list it is asked for cannot be caught by them; only
/// reading the disk again can. This test keeps that limit known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_hides_a_change_is_not_noticed_by_the_transport() {
    let site = Site::small(64 * MIB, 4 * MIB).await;
    let mut setup = site.setup(&["db01"]);
    setup.replication.push_str("distrust-budget = \"0 B\"\n");
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    site.guest_writes("db01", Workload::EveryOtherCell { start: 0, writes: 6 }, 1).await;
    site.lab.vcenter().set_knobs(|knobs| knobs.changes_hidden_extents = vec![2]);
    let row = agent.sync("db01").await;
    assert_eq!(outcome(&row), "applied");
    let frozen = &site.frozen("db01", 3).await[0];
    let replica = e2e::claims::replica(&agent, "db01", &e2e::claims::disk_id(frozen));
    assert_ne!(Some(lab::sparse_digest(&replica).unwrap()), frozen.digest, "the lab hid an extent");
    assert!(agent.vm("db01").unwrap()["tracking"].is_null(), "nothing was compared, and nothing is claimed");
}

/// And reading it again catches it: here all of the rest, for the disk is smaller than the budget. The cycle that finds it mends it, change
/// tracking begins anew by itself, and deltas come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tracker_that_lies_is_reported_mended_by_a_resync_and_begun_anew() {
    let site = Site::small(64 * MIB, 4 * MIB).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    let honest = agent.vm("db01").unwrap()["tracking"].clone();
    println!("{honest}");
    assert_eq!((honest["found_millionths"].as_u64(), honest["lies"].as_u64()), (Some(1_000_000), Some(0)), "{honest}");
    let resets = || site.lab.vcenter().counters().calls.get("ReconfigVM_Task").copied().unwrap_or(0);
    let before = resets();

    site.lab.vcenter().set_knobs(|knobs| knobs.changes_hidden_share = 0.3);
    site.guest_writes("db01", Workload::EveryOtherCell { start: 0, writes: 60 }, 1).await;
    let row = agent.sync("db01").await;
    assert_eq!((outcome(&row).as_str(), modes(&row)[0].1.as_str()), ("applied", "resync"), "{row:#}");
    assert_eq!(row["disks"][0]["resync"]["code"], "tracker-lied");
    site.assert_replica(&agent, "db01", 3).await;
    let vm = agent.vm("db01").unwrap();
    let finding =
        vm["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "tracker-lied").unwrap_or_else(|| panic!("{vm:#}"));
    println!("{finding:#}");
    assert_eq!(vm["tracking"]["lies"], 1);
    assert!(vm["tracking"]["distrusted"][0]["wrong"].as_u64().unwrap() > 5, "{vm:#}");

    site.lab.vcenter().set_knobs(|knobs| knobs.changes_hidden_share = 0.0);
    let row = agent.sync("db01").await;
    assert_eq!(modes(&row)[0].1, "resync", "{row:#}");
    assert!(resets() - before >= 2, "off and on again");
    let vm = agent.vm("db01").unwrap();
    assert!(!vm["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == "tracker-lied"), "{vm:#}");
    site.guest_writes("db01", Workload::Scattered { writes: 9, bytes: 4096 }, 2).await;
    let row = agent.sync("db01").await;
    assert_eq!(modes(&row)[0].1, "delta", "{row:#}");
    site.assert_replica(&agent, "db01", 5).await;
    let told = agent.setup.run(&["status"]);
    println!("{}", told.out);
    assert!(told.out.contains("unchanged cells compared") && told.out.contains("found lying once"), "{told:?}");
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_came_went_grew_or_lost_its_tracking_changes_its_own_mode_alone() {
    let disks = vec![DiskSpec::with_files(32 * MIB, 3_000_000), DiskSpec::with_files(24 * MIB, 2_000_000)];
    let site = Site::with(vec![VmSpec::new("app01", disks)]).await;
    let agent = Agent::start(&site.setup(&["app01"])).await;
    agent.settled("app01", 2).await;
    let vcenter = site.lab.vcenter();
    let keys = site.disk_keys("app01");

    let added = vcenter.add_disk("app01", DiskSpec::with_files(20 * MIB, 1_000_000)).await.unwrap();
    site.guest_writes_to("app01", keys[0], Workload::Scattered { writes: 3, bytes: 4096 }, 1).await;
    agent.demand("app01", "sync");
    // After an initial copy, of one disk or of all, a delta follows at once.
    agent.settled("app01", 4).await;
    let row = agent.ended("app01", 3).await;
    let mut counted: Vec<String> = modes(&row).into_iter().map(|(_, mode)| mode).collect();
    counted.sort();
    assert_eq!(counted, ["delta", "delta", "initial"], "{row:#}");
    site.assert_restored(&agent, "app01", 3).await;
    site.assert_replica(&agent, "app01", 4).await;

    vcenter.remove_disk("app01", keys[1]).await.unwrap();
    let row = agent.sync("app01").await;
    assert_eq!(modes(&row).len(), 2, "{row:#}");
    site.assert_replica(&agent, "app01", 5).await;

    vcenter.grow_disk("app01", added, 28 * MIB + 512).await.unwrap();
    let row = agent.sync("app01").await;
    let grown = row["disks"].as_array().unwrap().iter().find(|disk| disk["mode"] == "resync").unwrap_or_else(|| panic!("{row:#}"));
    assert_eq!(grown["resync"]["code"], "disk-grown", "{row:#}");
    site.assert_replica(&agent, "app01", 6).await;

    vcenter.reset_tracking("app01", keys[0]).unwrap();
    site.guest_writes_to("app01", keys[0], Workload::Scattered { writes: 3, bytes: 4096 }, 2).await;
    let row = agent.sync("app01").await;
    let reset = row["disks"].as_array().unwrap().iter().find(|disk| disk["mode"] == "resync").unwrap_or_else(|| panic!("{row:#}"));
    println!("said of the reset: {}", reset["resync"]);
    assert!(!text(&reset["resync"]["code"]).is_empty() && !text(&reset["resync"]["message"]).is_empty(), "{row:#}");
    assert!(reset["stats"]["sent"].as_u64().unwrap() < 2 * MIB, "what is the same is compared and not sent: {row:#}");
    assert_eq!(modes(&row).iter().filter(|(_, mode)| mode == "delta").count(), 1, "{row:#}");
    site.assert_replica(&agent, "app01", 7).await;
    site.assert_no_snapshot();
}
