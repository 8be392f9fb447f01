//! Rates and windows of the calendar, with the real agent: what the store's server counts, and what an edited file changes while it runs.

use std::time::{Duration, UNIX_EPOCH};

use e2e::agent::{LOOK_EVERY, PATIENCE, text};
use e2e::claims::outcome;
use e2e::{Agent, MIB, Setup, Site};
use tokio::time::Instant;

/// A megabyte a second.
const RATE: u64 = 1_000_000;
const THROTTLE: &str = "\n[[throttle]]\nsend = \"8 Mbit/s\"\n";

/// Pages, maps and commits, which are not metered: they are small, and others wait for them.
const NOT_METERED: u64 = 500_000;

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn edit(setup: &Setup, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(setup.config()).unwrap();
    std::fs::write(setup.config(), change(text)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_receives_at_most_the_rate_that_is_set_and_everything_once_the_file_opens_it() {
    let site = Site::small(200 * MIB, 160_000_000).await;
    let mut setup = site.setup(&["db01"]);
    setup.receiver += THROTTLE;
    let received = || site.lab.s3().counters().bytes_in;
    let began = Instant::now();
    let agent = Agent::start(&setup).await;
    let before = received();
    until("16 MB in the store", || received() >= before + 16_000_000).await;
    let (took, bytes) = (began.elapsed().as_secs_f64(), received());
    println!("throttled: {bytes} bytes in {took:.1} s, {:.2} of the rate", bytes as f64 / took / RATE as f64);
    // So many bytes cannot have come sooner; and on a machine that is busy with other things they still come.
    assert!(bytes <= (took * RATE as f64 * 1.05) as u64 + NOT_METERED, "{bytes} bytes in {took} s");
    assert!(took < 4.0 * (bytes / RATE) as f64 + 20.0, "{bytes} bytes took {took} s");
    let pace = agent.status()["pace"].take();
    assert_eq!((&pace["send"]["limit"], &pace["read"]["limit"]), (&RATE.into(), &serde_json::Value::Null));
    let flow = pace["send"]["flow"].as_u64().unwrap();
    assert!(flow > 0 && flow < RATE * 11 / 10, "{pace:#}");
    assert!(setup.run(&["status"]).out.contains(" of 8 Mbit/s"), "{}", setup.run(&["status"]).out);

    // A file that cannot be used changes nothing, and says why.
    edit(&setup, |text| text.replace("8 Mbit/s", "quick"));
    until("the reason", || !agent.status()["pace"]["file_wrong"].as_array().unwrap().is_empty()).await;
    let pace = agent.status()["pace"].take();
    assert!(text(&pace["file_wrong"][0]).contains("\"quick\" must be a whole number and a unit"), "{pace:#}");
    assert_eq!(pace["send"]["limit"], RATE);

    let left = 160_000_000u64.saturating_sub(agent.vm("db01").unwrap()["cycle"]["disks"][0]["stored"].as_u64().unwrap_or(0));
    let (opened, at) = (Instant::now(), received());
    edit(&setup, |text| text.replace("[[throttle]]\nsend = \"quick\"", "").replace("poll = \"100 ms\"", "poll = \"101 ms\""));
    assert_eq!(outcome(&agent.ended("db01", 1).await), "applied");
    let (took, bytes) = (opened.elapsed().as_secs_f64(), received() - at);
    println!("opened: {bytes} bytes in {took:.1} s, of {left} that were left");
    assert!(bytes > 20_000_000, "there was too little left to tell: {bytes} bytes");
    assert!(took < (bytes / RATE) as f64 / 2.0, "{bytes} bytes took {took} s, as if nothing had been opened");
    let pace = agent.status()["pace"].take();
    assert!(pace["send"]["limit"].is_null() && pace["file_wrong"].as_array().unwrap().is_empty(), "{pace:#}");
    assert_eq!(pace["needs_restart"], serde_json::json!(["[replication]"]), "what is not taken over is named");
    site.assert_replica(&agent, "db01", 1).await;
}

/// The time of day in UTC, so many minutes from now.
fn clock(minutes: i64) -> String {
    // What a new file bears is the time that everybody else reads.
    let file = tempfile::tempfile().and_then(|file| file.metadata()?.modified()).unwrap();
    let now = file.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / 60;
    let minute = (now + minutes).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_blackout_no_snapshot_is_taken_until_the_file_ends_it() {
    let site = Site::small(16 * MIB, 8_000_000).await;
    let mut setup = site.setup(&["db01"]);
    let (from, ends) = (clock(-60), clock(120));
    let window = format!("\n[[blackout]]\nfrom = \"{from}\"\nfor = \"3 h\"\nzone = \"UTC\"\n");
    setup.receiver += &window;
    let agent = Agent::start(&setup).await;
    let said =
        agent.until("db01", "the blackout", |vm| text(&vm["state"]).starts_with("waits: blackout").then(|| vm["state"].clone())).await;
    assert!(text(&said).contains(&format!("{ends} UTC")), "{said}");
    let status = setup.run(&["status"]).out;
    assert!(status.contains("no cycle begins"), "{status}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(site.lab.vcenter().counters().snapshots_created, 0);
    edit(&setup, |text| text.replace(&window, ""));
    assert_eq!(outcome(&agent.ended("db01", 1).await), "applied");
    agent.settled("db01", 2).await;
    site.assert_no_snapshot();

    // A final cycle is refused in a window, and nothing is touched; or it runs because somebody said so.
    edit(&setup, |text| text + &window);
    until("the window", || agent.status()["pace"]["blackout"].is_object()).await;
    assert_eq!(agent.denied(&["final", "db01"]), "blackout");
    assert_eq!(agent.vm("db01").unwrap()["migration"]["state"], "test-pending");
    let said = agent.ask(&["final", "db01", "--override-blackout"]);
    assert_eq!(said.code, 0, "{said:?}");
    agent.settled("db01", 3).await;
    assert_eq!(agent.vm("db01").unwrap()["point"]["last"], true);
    assert!(agent.status()["pace"]["blackout"].is_object(), "the window still holds");
    site.assert_no_snapshot();
}
