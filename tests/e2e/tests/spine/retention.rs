//! Recovery points are dropped by a plan that is shown first, and what is kept restores.

use e2e::agent::text;
use e2e::{Agent, MIB, Site};
use lab::Workload;
use serde_json::{Value, json};

/// Nothing by itself, and next to nothing kept.
const BY_HAND: &str = "automatic = false\nrecent = \"0 s\"\ndays = 0\nat-least = 1\n";

async fn site_with_points(count: u64) -> (Site, Agent) {
    let site = Site::small(16 * MIB, 3_000_000).await;
    let mut setup = site.setup(&["db01"]);
    setup.retention = BY_HAND.to_owned();
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    for cycle in 3..=count {
        site.guest_writes("db01", Workload::Scattered { writes: 6, bytes: 65536 }, cycle).await;
        agent.sync("db01").await;
    }
    (site, agent)
}

fn plan(agent: &Agent, arguments: &[&str]) -> Value {
    let said = agent.ask(arguments);
    assert_eq!(said.code, 0, "{said:?}");
    said.json()["pruned"]["vms"][0].take()
}

fn cycles(list: &Value) -> Vec<u64> {
    list.as_array().expect("a list").iter().map(|point| point["cycle"].as_u64().expect("a cycle")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plan_that_is_shown_is_executed_kept_points_restore_and_dropped_ones_are_refused_by_name() {
    let (site, agent) = site_with_points(6).await;
    assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
    site.guest_writes("db01", Workload::Scattered { writes: 6, bytes: 65536 }, 7).await;
    agent.sync("db01").await;
    assert_eq!(agent.ask(&["pin", "db01", "3"]).code, 0);
    let points = agent.ask(&["points", "db01"]).json()["points"]["points"].take();
    assert_eq!(cycles(&points), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((&points[2]["why"], &points[5]["verified"], &points[0]["why"]), (&json!(["pinned"]), &json!(true), &json!([])));

    let s3 = site.lab.s3();
    let prefix = format!("vm/{}/", text(&agent.vm("db01").unwrap()["id"]));
    let before = s3.list_objects(&prefix).unwrap();
    let shown = plan(&agent, &["prune", "db01", "--dry-run"]);
    assert_eq!(cycles(&shown["plan"]["plan"]["dropped"]), [1, 2, 4, 5], "{shown:#}");
    assert_eq!(shown["plan"]["plan"]["checkpoints"], json!([3, 6]), "they stand behind gaps");
    assert_eq!(s3.list_objects(&prefix).unwrap(), before, "a plan changed the store");
    let printed = agent.setup.run(&["prune", "db01", "--dry-run"]).out;
    assert!(printed.contains(&format!("transload prune db01 --plan {}", text(&shown["id"]))), "{printed}");

    let other = agent.ask(&["prune", "db01", "--plan", "000000000000"]);
    assert!(other.code == 1 && other.fault().contains("not the one that was shown"), "{other:?}");
    let done = plan(&agent, &["prune", "db01", "--plan", text(&shown["id"])]);
    assert_eq!(done["plan"], shown["plan"]);
    assert_eq!(done["outcome"]["done"], shown["plan"]["freed"], "it frees what was said");
    let after = s3.list_objects(&prefix).unwrap();
    assert!(after.len() < before.len(), "{} objects of {}", after.len(), before.len());
    for cycle in [3, 6, 7] {
        site.assert_restored(&agent, "db01", cycle).await;
    }
    for cycle in ["1", "5"] {
        let refused = agent.ask(&["restore", "db01", "--point", cycle, "--to", &site.folder().join("gone").to_string_lossy()]);
        assert_eq!(refused.code, 1);
        assert!(refused.fault().starts_with(&format!("recovery point {cycle} of ")), "{refused:?}");
        assert!(refused.fault().contains(" was dropped by retention on "), "{refused:?}");
    }
    assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
    assert_eq!(cycles(&agent.ask(&["points", "db01"]).json()["points"]["points"]), [3, 6, 7]);

    // That verified 7, so that 6 is no longer the newest that was.
    assert_eq!(cycles(&plan(&agent, &["prune", "db01"])["plan"]["plan"]["dropped"]), [6]);
    let again = plan(&agent, &["prune", "db01"]);
    assert_eq!(again["outcome"]["done"]["objects"], 0, "{again:#}");
    agent.sync("db01").await;
    site.assert_restored(&agent, "db01", 8).await;
}

/// The appliance is lost after points were dropped: another one goes on by delta, and prunes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_appliance_goes_on_by_delta_where_points_were_dropped() {
    let (site, agent) = site_with_points(5).await;
    plan(&agent, &["prune", "db01"]);
    let setup = agent.setup.beside("second");
    agent.kill();
    let second = Agent::start(&setup).await;
    let row = second.settled("db01", 6).await;
    assert_eq!(row["disks"][0]["mode"], "delta", "{row:#}");
    site.assert_restored(&second, "db01", 5).await;
    assert_eq!(cycles(&plan(&second, &["prune", "db01"])["plan"]["plan"]["dropped"]), [5]);
    site.assert_restored(&second, "db01", 6).await;
}
