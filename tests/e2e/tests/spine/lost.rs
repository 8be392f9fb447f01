//! The appliance is lost: configuration, key and store are enough to go on, and the old one does no harm when it comes back.

use e2e::agent::{modes, text};
use e2e::{Agent, MIB, Setup, Site};
use lab::Workload;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_agent_goes_on_by_delta_and_the_old_one_is_refused_before_it_touches_anything() {
    let site = Site::small(64 * MIB, 8_000_000).await;
    let old = site.setup(&["db01"]);
    let agent = Agent::start(&old).await;
    agent.settled("db01", 2).await;
    agent.kill();

    // Another machine: nothing but the configuration, the key and the store.
    let new = old.beside("new");
    site.guest_writes("db01", Workload::Scattered { writes: 10, bytes: 4096 }, 1).await;
    let agent = Agent::start(&new).await;
    agent.until("db01", "the rebuilt replica", |vm| (vm["replica"] == "at recovery point 2").then_some(())).await;
    // It has never seen a cycle end, so one begins at once.
    let point = 3;
    agent.settled("db01", point).await;
    let row = agent.ended("db01", point).await;
    assert!(modes(&row).iter().all(|(_, mode)| mode == "delta"), "{row:#}");
    site.assert_replica(&agent, "db01", point).await;

    let stored = || site.lab.s3().list_objects("").unwrap();
    let (snapshots, objects) = (site.lab.vcenter().counters().snapshots_created, stored());
    let returned = Agent::start(&old).await;
    let vm = returned.until("db01", "the halt", |vm| text(&vm["state"]).starts_with("halted").then(|| vm.clone())).await;
    println!("the old one says: {}", vm["trouble"]["fault"]["message"]);
    assert!(text(&vm["trouble"]["fault"]["message"]).contains("owned by another agent"), "{vm:#}");
    let said = returned.ask(&["sync", "db01"]);
    assert_eq!(said.code, 1, "{said:?}");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(site.lab.vcenter().counters().snapshots_created, snapshots, "the old agent took a snapshot");
    assert_eq!(stored(), objects, "the old agent wrote to the store");
    drop(returned);

    // It stays refused over a restart, and the new one is not disturbed.
    let returned = Agent::start(&old).await;
    returned.until("db01", "the halt", |vm| text(&vm["state"]).starts_with("halted").then_some(())).await;
    agent.sync("db01").await;
    site.assert_replica(&agent, "db01", point + 1).await;
    site.assert_no_snapshot();
}

/// A store that was set back is whole, only old. A new agent cannot see that; who knows a newer point names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_expects_a_point_begins_nothing_in_a_store_that_was_rolled_back() {
    let site = Site::small(16 * MIB, 2_000_000).await;
    let old = site.setup(&["db01"]);
    let agent = Agent::start(&old).await;
    agent.settled("db01", 2).await;
    let s3 = site.lab.s3();
    let before = s3.list_objects("").unwrap();
    site.guest_writes("db01", Workload::Scattered { writes: 4, bytes: 65536 }, 1).await;
    agent.sync("db01").await;
    let hash = text(&agent.vm("db01").unwrap()["point"]["hash"]).to_owned();
    let id = text(&agent.vm("db01").unwrap()["id"]).to_owned();
    agent.kill();
    let newer: Vec<String> = s3.list_objects("").unwrap().into_iter().filter(|key| !before.contains(key)).collect();
    let kept: Vec<(String, Vec<u8>)> = newer.iter().map(|key| (key.clone(), s3.read_object(key).unwrap().to_vec())).collect();
    newer.iter().for_each(|key| s3.delete_object(key).unwrap());

    let expecting = vec!["--expect".to_owned(), format!("db01={hash}")];
    let new = Setup { run_arguments: expecting, ..old.beside("new") };
    let (snapshots, held) = (site.lab.vcenter().counters().snapshots_created, s3.list_objects("").unwrap());
    let said = Agent::refused(&new).await;
    println!("{said}");
    assert!(said.contains("it was rolled back, or is another one. Nothing was begun or written"), "{said}");
    assert_eq!((site.lab.vcenter().counters().snapshots_created, s3.list_objects("").unwrap()), (snapshots, held.clone()));
    assert!(!new.replicas().join(&id).exists(), "a replica was made");
    let mistyped = Setup { run_arguments: vec!["--expect".to_owned(), format!("db1={hash}")], ..new.clone() };
    assert!(Agent::refused(&mistyped).await.contains("this store knows no VM db1 (is the name right?)"));

    // An empty place is not begun, and not taken for the store from now on.
    let rolled_back: Vec<(String, Vec<u8>)> = held.iter().map(|key| (key.clone(), s3.read_object(key).unwrap().to_vec())).collect();
    held.iter().for_each(|key| s3.delete_object(key).unwrap());
    let said = Agent::refused(&new).await;
    assert!(said.contains("there is no store in this place: store.json is missing: it was rolled back, or is another one."), "{said}");
    assert!(s3.list_objects("").unwrap().is_empty(), "something was begun");

    for (key, bytes) in rolled_back.into_iter().chain(kept) {
        s3.write_object(&key, &bytes).unwrap();
    }
    let agent = Agent::start(&new).await;
    agent.until("db01", "the replica", |vm| (vm["replica"] == "at recovery point 3").then_some(())).await;
    agent.settled("db01", 4).await;
    site.assert_replica(&agent, "db01", 4).await;
}

/// A store that is not the one the journal knows is never begun anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_not_begun_anew() {
    let site = Site::small(16 * MIB, 1_000_000).await;
    let setup = site.setup(&["db01"]);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    agent.kill();
    for key in site.lab.s3().list_objects("").unwrap() {
        site.lab.s3().delete_object(&key).unwrap();
    }
    let said = Agent::refused(&setup).await;
    println!("{said}");
    assert!(said.contains("is gone: store.json is missing. Nothing was begun in its place."), "{said}");
    assert!(site.lab.s3().list_objects("").unwrap().is_empty());
}

/// Two agents on one journal would each believe the other's facts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_agent_on_the_same_state_is_refused_and_the_first_is_not_disturbed() {
    let site = Site::small(16 * MIB, 1_000_000).await;
    let setup = site.setup(&["db01"]);
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let said = Agent::refused(&setup).await;
    assert!(said.contains("is in use by another agent; stop that one first"), "{said}");
    agent.sync("db01").await;
    site.assert_replica(&agent, "db01", 3).await;
}
