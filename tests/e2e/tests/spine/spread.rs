//! A VM's blocks spread over several stores: what stands where is asked of the stores themselves.

use e2e::agent::{row, text};
use e2e::azurite::Azurite;
use e2e::site::second_store;
use e2e::{Agent, MIB, Setup, Site};
use lab::{Lab, LabOptions, Workload};

/// Another S3 server, with an authority of its own.
async fn second_lab(site: &Site) -> Lab {
    Lab::start(LabOptions::new(site.folder().join("second"))).await.expect("a second lab starts")
}

fn segments(lab: &Lab) -> usize {
    let objects = lab.s3().list_objects("").expect("the store can be listed");
    objects.iter().filter(|key| key.contains("/seg-")).count()
}

/// Everything in a further store that is no segment.
fn others(lab: &Lab) -> Vec<String> {
    let objects = lab.s3().list_objects("").expect("the store can be listed");
    objects.into_iter().filter(|key| !key.contains("/seg-")).collect()
}

fn with(setup: Setup, store: &str) -> Setup {
    Setup { sink: format!("{}\n{store}", setup.sink), ..setup }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_stand_in_two_buckets_and_every_point_is_right() {
    let site = Site::small(64 * MIB, 40_000_000).await;
    let second = second_lab(&site).await;
    let setup = with(site.setup(&["db01"]), &second_store(&site, "second", 1, &second));
    let checked = setup.check();
    assert_eq!(checked.failed_steps(), Vec::<String>::new());
    assert!(checked.out.contains("second: store") && checked.out.contains("a gateway will begin it"), "{}", checked.out);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let (home, further) = (segments(&site.lab), segments(&second));
    println!("{home} segments in the home store, {further} in the second");
    assert!(home >= 10 && further >= 10, "{home} and {further}");
    assert_eq!(others(&second), ["bound.json"]);
    // Churn, with a death in the middle of it.
    site.guest_writes("db01", Workload::Scattered { writes: 200, bytes: 65536 }, 1).await;
    agent.demand("db01", "sync");
    agent.until("db01", "the cycle", |vm| (!vm["cycle"].is_null()).then_some(())).await;
    agent.kill();
    let agent = Agent::start(&setup).await;
    let point = agent.until("db01", "the next recovery point", |vm| vm["point"]["cycle"].as_u64().filter(|cycle| *cycle > 2)).await;
    agent.settled("db01", point).await;
    site.assert_replica(&agent, "db01", point).await;
    for point in [1, point] {
        site.assert_restored(&agent, "db01", point).await;
    }
    assert_eq!((agent.ask(&["verify", "db01"]).code, agent.trouble("db01")), (0, None));
    let stores = agent.status()["stores"].clone();
    let names: Vec<&str> = stores.as_array().unwrap().iter().map(|store| text(&store["name"])).collect();
    assert_eq!(names, ["store", "second"], "{stores:#}");
    assert!(stores[1]["taken"].as_u64() > Some(0) && stores[1]["away"].is_null(), "{stores:#}");
    site.assert_no_snapshot();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_stand_in_s3_and_in_azure_together() {
    let site = Site::small(48 * MIB, 30_000_000).await;
    let folder = site.folder().join("azurite");
    std::fs::create_dir_all(&folder).unwrap();
    let Some(azurite) = Azurite::start(&folder) else { return };
    let setup = with(site.setup(&["db01"]), &azurite.table("[[store]]", "[[store.endpoint]]", "azure", &site));
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    site.guest_writes("db01", Workload::Scattered { writes: 100, bytes: 65536 }, 1).await;
    agent.sync("db01").await;
    let (s3, azure) = (segments(&site.lab), azurite.count("/seg-"));
    println!("{s3} segments in S3, {azure} in Azure");
    assert!(s3 >= 8 && azure >= 8 && azurite.count("") == azure + 1, "{s3} and {azure} of {}", azurite.count(""));
    site.assert_replica(&agent, "db01", 3).await;
    site.assert_restored(&agent, "db01", 3).await;
    assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_throttled_gets_less() {
    let site = Site::small(96 * MIB, 80_000_000).await;
    let second = second_lab(&site).await;
    second.s3().set_knobs(|knobs| knobs.latency_milliseconds = 1500);
    let agent = Agent::start(&with(site.setup(&["db01"]), &second_store(&site, "slow", 1, &second))).await;
    agent.settled("db01", 2).await;
    let (home, slow) = (segments(&site.lab), segments(&second));
    println!("{home} segments in the home store, {slow} in the slow one");
    assert!(slow >= 2 && home >= 2 * slow, "{home} and {slow}");
    site.assert_restored(&agent, "db01", 1).await;
}

/// What stands in a store that fails goes elsewhere, and the cycle does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_full_gives_its_share_to_the_other() {
    let site = Site::small(48 * MIB, 24_000_000).await;
    let second = second_lab(&site).await;
    let agent = Agent::start(&with(site.setup(&["db01"]), &second_store(&site, "second", 9, &second))).await;
    agent.settled("db01", 2).await;
    let before = (segments(&site.lab), segments(&second));
    second.s3().set_knobs(|knobs| knobs.full = true);
    site.guest_writes("db01", Workload::Scattered { writes: 100, bytes: 65536 }, 1).await;
    let row = agent.sync("db01").await;
    assert_eq!(row["outcome"], "applied");
    assert_eq!(segments(&second), before.1);
    assert!(segments(&site.lab) > before.0);
    site.assert_replica(&agent, "db01", 3).await;
}

/// A receiver apart that was not told of a store waits and says its name; told, it goes on, and rejects nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_lacks_a_store_says_which_one() {
    let site = Site::small(32 * MIB, 16_000_000).await;
    let second = second_lab(&site).await;
    let alone = site.setup(&["db01"]);
    let both = with(alone.clone(), &second_store(&site, "second", 3, &second));
    let gateway = Agent::start(&Setup { role: "gateway", ..both.beside("gateway") }).await;
    let receiver = Agent::start(&Setup { role: "receiver", ..alone.beside("receiver") }).await;
    let vm = gateway.until("db01", "a commit", |vm| text(&vm["state"]).starts_with("waits: receipt").then(|| text(&vm["id"]).to_owned()));
    let vm = vm.await;
    let said = receiver
        .until(&vm, "the reason", |vm| {
            let said = text(&vm["trouble"]["fault"]["message"]);
            (!said.is_empty()).then(|| said.to_owned())
        })
        .await;
    assert!(said.contains("a segment stands in the store second"), "{said}");
    assert!(said.contains("add a [[store]] with name = \"second\""), "{said}");
    let checked = Setup { role: "receiver", ..alone.beside("checked") }.check();
    assert!(checked.failed_steps().iter().any(|step| step.starts_with("store second:")), "{:?}", checked.failed_steps());
    receiver.kill();
    let receiver = Agent::start(&Setup { role: "receiver", ..both.beside("receiver") }).await;
    let applied = gateway.ended("db01", 1).await;
    assert_eq!(applied["outcome"], "applied", "it waited and did not reject");
    let point = gateway.until("db01", "the second point", |vm| vm["point"]["cycle"].as_u64().filter(|cycle| *cycle >= 2)).await;
    receiver.until(&vm, "the replica", |vm| (vm["replica"] == format!("at recovery point {point}")).then_some(())).await;
    site.assert_replica_of(&receiver, &vm, "db01", point).await;
    assert!(row(&gateway.vm("db01").unwrap(), 1).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_emptied_stops_the_start_by_name() {
    let site = Site::small(16 * MIB, 4_000_000).await;
    let second = second_lab(&site).await;
    let setup = with(site.setup(&["db01"]), &second_store(&site, "second", 1, &second));
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    agent.kill();
    second.s3().delete_object("bound.json").unwrap();
    let said = Agent::refused(&setup).await;
    assert!(said.contains("the store second (") && said.contains("is gone: bound.json is missing"), "{said}");
    assert!(!others(&second).contains(&"bound.json".to_owned()), "nothing was begun in its place");
    let steps = setup.check().failed_steps();
    assert!(steps.len() == 1 && steps[0].starts_with("second: store: the store second ("), "{steps:?}");
}
