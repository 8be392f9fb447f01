//! What stores refuse, and what becomes of a cycle then: wrong key, skewed clock, no bucket, no space, lost replies.

use std::path::Path;
use std::process::Command;

use e2e::agent::text;
use e2e::setup::secret_file;
use e2e::weed::Weed;
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::Workload;

/// In the middle of a cycle the agent dies, and comes back to a store that it cannot use; after each is mended it goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_seaweedfs_is_one_sentence_and_once_mended_the_cycle_goes_on() {
    let site = Site::small(24 * MIB + 512, 3_000_000).await;
    let Some(weed) = Weed::start(site.folder()).await else { return };
    let setup = weed.setup(&site, &weed.tls, "tls", &["db01"]);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    site.guest_writes("db01", Workload::Clustered { writes: 32, bytes: 65536 }, 1).await;
    agent.demand("db01", "sync");
    agent.until("db01", "the cycle", |vm| (!vm["cycle"].is_null()).then_some(())).await;
    agent.kill();

    let refused = async |wrong: &Setup, of: &str| {
        // The same agent, state and all, with this one thing wrong.
        let wrong = Setup { folder: setup.folder.clone(), ..wrong.clone() };
        let at_start = Agent::refused(&wrong).await;
        println!("{of}: {at_start}");
        assert!(at_start.contains("replicas, recovery points and the source are as they were"), "{at_start}");
        let steps = wrong.check().failed_steps();
        println!("{of}: {steps:?}");
        assert_eq!(steps.len(), 1, "one thing is wrong and one is said: {steps:?}");
        steps.into_iter().next().unwrap()
    };
    let wrong = secret_file(&site.folder().join("wrong.secret-key"), "not the secret");
    let wrong_key = Setup { sink: setup.sink.replace("weed.secret-key", "wrong.secret-key"), ..setup.beside("wrong") };
    assert!(refused(&wrong_key, "wrong key").await.contains("refused the signature of access key"), "{}", wrong.display());
    let no_bucket = Setup { sink: setup.sink.replace("bucket = \"transload\"", "bucket = \"nowhere\""), ..setup.beside("nowhere") };
    // To an account that may not make buckets, SeaweedFS does not say which ones there are.
    assert!(refused(&no_bucket, "no bucket").await.contains("in bucket nowhere: check the policies of the key and of the bucket."));

    if let Some(preload) = clock_three_hours_ahead(site.folder()) {
        let skewed = Setup { environment: vec![("LD_PRELOAD".to_owned(), preload)], ..setup.clone() };
        let said = refused(&skewed, "clock skew").await;
        assert!(said.contains("because the clocks differ: this machine's is 3 h 0 min ahead (here it was "), "{said}");
        assert!(said.contains("Set this machine's clock by NTP"), "{said}");
    }

    let agent = Agent::start(&setup).await;
    let point = agent.until("db01", "the next recovery point", |vm| vm["point"]["cycle"].as_u64().filter(|cycle| *cycle > 2)).await;
    agent.settled("db01", point).await;
    site.assert_replica(&agent, "db01", point).await;
    site.assert_restored(&agent, "db01", 1).await;
    assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
    assert_eq!(agent.trouble("db01"), None);
    site.assert_no_snapshot();
}

/// A library that moves the wall clock of the program that it is loaded into.
fn clock_three_hours_ahead(folder: &Path) -> Option<String> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(
        &source,
        "#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
         int clock_gettime(clockid_t id, struct timespec *t) {\n\
         \tint r = syscall(SYS_clock_gettime, id, t);\n\tif (id == CLOCK_REALTIME) t->tv_sec += 3 * 3600;\n\treturn r;\n}\n",
    )
    .unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        parts::skip("there is no C compiler to move the clock with");
        return None;
    }
    Some(library.display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_stops_the_cycle_with_a_sentence_and_goes_on_when_there_is_space() {
    let site = Site::small(48 * MIB, 8_000_000).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    site.guest_writes("db01", Workload::Scattered { writes: 12, bytes: 8192 }, 1).await;
    site.lab.s3().set_knobs(|knobs| knobs.full = true);
    agent.demand("db01", "sync");
    let trouble = agent.until("db01", "the trouble", |vm| (!vm["trouble"].is_null()).then(|| vm["trouble"].clone())).await;
    println!("{trouble:#}");
    assert_eq!(trouble["fault"]["kind"], "full");
    assert!(text(&trouble["safe"]).starts_with("The replica is complete up to "));
    assert!(text(&trouble["next"]).contains("Make space"));
    site.assert_replica(&agent, "db01", 2).await;

    site.lab.s3().set_knobs(|knobs| knobs.full = false);
    let point = agent.until("db01", "the next recovery point", |vm| vm["point"]["cycle"].as_u64().filter(|cycle| *cycle > 2)).await;
    agent.settled("db01", point).await;
    site.assert_replica(&agent, "db01", point).await;
    assert_eq!(agent.trouble("db01"), None);
    site.assert_no_snapshot();
}

/// It does not say that it is full: it says that it failed inside, and takes nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seaweedfs_without_space_stops_the_cycle_loses_nothing_and_goes_on_when_a_disk_is_added() {
    let site = Site::small(16 * MIB, 1_000_000).await;
    let Some(mut weed) = Weed::start_small(site.folder(), 8).await else { return };
    let agent = Agent::start(&weed.setup(&site, &weed.plain, "full", &["db01"])).await;
    agent.settled("db01", 2).await;
    weed.fill();
    site.guest_writes("db01", Workload::Clustered { writes: 16, bytes: 65536 }, 1).await;
    agent.demand("db01", "sync");
    let trouble = agent.until("db01", "the trouble", |vm| (!vm["trouble"].is_null()).then(|| vm["trouble"].clone())).await;
    println!("{trouble:#}");
    assert!(text(&trouble["fault"]["message"]).contains("the store failed inside"), "{trouble:#}");
    assert!(text(&trouble["safe"]).starts_with("The replica is complete up to "), "{trouble:#}");
    assert!(text(&trouble["next"]).contains("tries again by itself"), "{trouble:#}");
    site.assert_replica(&agent, "db01", 2).await;

    weed.add_room();
    let point = agent.until("db01", "the next recovery point", |vm| vm["point"]["cycle"].as_u64().filter(|cycle| *cycle > 2)).await;
    agent.settled("db01", point).await;
    site.assert_replica(&agent, "db01", point).await;
    site.assert_restored(&agent, "db01", 2).await;
    assert_eq!((agent.trouble("db01"), agent.ask(&["verify", "db01"]).code), (None, 0));
    site.assert_no_snapshot();
}

/// Replies are lost, connections closed, requests refused: the cycle takes longer and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stumbles_costs_time_and_nothing_else() {
    let site = Site::small(48 * MIB, 20_000_000).await;
    site.lab.s3().set_knobs(|knobs| {
        knobs.lose_put_replies = 3;
        knobs.truncate_gets = 2;
        knobs.drop_next = 2;
        knobs.fail_next = 3;
        knobs.only_paths_with = Some("/vm/".to_owned());
    });
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    assert_eq!(agent.ended("db01", 1).await["outcome"], "applied");
    let left = site.lab.s3().knobs();
    assert_eq!((left.lose_put_replies, left.truncate_gets, left.drop_next, left.fail_next), (0, 0, 0, 0), "every fault was met");
    site.assert_restored(&agent, "db01", 1).await;
    site.assert_replica(&agent, "db01", 2).await;
    site.assert_no_snapshot();
}
