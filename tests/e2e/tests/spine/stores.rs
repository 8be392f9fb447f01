//! Other stores and their refusals: SeaweedFS plain and over TLS, wrong key, skewed clock, no bucket, no space.

use std::path::Path;
use std::process::Command;

use e2e::agent::text;
use e2e::setup::secret_file;
use e2e::site::s3_sink;
use e2e::weed::{ACCESS_KEY, BUCKET, SECRET_KEY, Weed};
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::Workload;

fn on_weed(site: &Site, weed: &Weed, url: &str, name: &str) -> Setup {
    let secret = secret_file(&site.folder().join("weed.secret-key"), SECRET_KEY);
    let reached = if url.starts_with("https") { format!("trust = {{ pin = \"{}\" }}", weed.pin) } else { "plaintext = true".to_owned() };
    let sink = s3_sink(url, BUCKET, ACCESS_KEY, &secret, &reached).replace("access-key =", &format!("prefix = \"{name}\", access-key ="));
    Setup { sink, ..site.setup(&["db01"]).beside(name) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_replicates_into_seaweedfs_plain_and_over_tls_and_each_refusal_is_one_sentence() {
    let site = Site::small(48 * MIB + 512, 8_000_000).await;
    let Some(weed) = Weed::start(site.folder()).await else { return };
    for (name, url) in [("plain", &weed.plain), ("tls", &weed.tls)] {
        let setup = on_weed(&site, &weed, url, name);
        let checked = setup.check();
        assert_eq!(checked.code, 0, "{:?}", checked.failed_steps());
        let agent = Agent::start(&setup).await;
        agent.settled("db01", 2).await;
        site.assert_restored(&agent, "db01", 1).await;
        for cycle in 3..5 {
            site.guest_writes("db01", Workload::Scattered { writes: 12, bytes: 8192 }, cycle).await;
            agent.sync("db01").await;
            site.assert_replica(&agent, "db01", cycle).await;
        }
        assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
        site.assert_no_snapshot();
    }

    let setup = on_weed(&site, &weed, &weed.tls, "tls");
    let refused = |setup: &Setup, of: &str| {
        let steps = setup.check().failed_steps();
        println!("{of}: {steps:?}");
        assert_eq!(steps.len(), 1, "one thing is wrong and one is said: {steps:?}");
        steps.into_iter().next().unwrap()
    };
    let wrong = secret_file(&site.folder().join("wrong.secret-key"), "not the secret");
    let wrong_key = Setup { sink: setup.sink.replace("weed.secret-key", "wrong.secret-key"), ..setup.beside("wrong") };
    assert!(refused(&wrong_key, "wrong key").contains("refused the signature of access key"), "{}", wrong.display());
    let no_bucket = Setup { sink: setup.sink.replace("bucket = \"transload\"", "bucket = \"nowhere\""), ..setup.beside("nowhere") };
    // To an account that may not make buckets, SeaweedFS does not say which ones there are.
    assert!(refused(&no_bucket, "no bucket").contains("in bucket nowhere: check the policies of the key and of the bucket."));

    let Some(preload) = clock_three_hours_ahead(site.folder()) else { return };
    let skewed = Setup { environment: vec![("LD_PRELOAD".to_owned(), preload)], ..setup.beside("skewed") };
    let said = refused(&skewed, "clock skew");
    assert!(said.contains("because the clocks differ: this machine's is 3 h 0 min ahead (here it was "), "{said}");
    assert!(said.contains("Set this machine's clock by NTP"), "{said}");
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
