//! What an operator is told of a VM's changes and of its next cycle, out of cycles that really ran.

use e2e::agent::text;
use e2e::{Agent, MIB, Site};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churn_is_ranked_and_a_final_cycle_is_foreseen_once_enough_deltas_ran() {
    let disks = vec![DiskSpec::with_files(32 * MIB, 2_000_000), DiskSpec::with_files(32 * MIB, 2_000_000)];
    let site = Site::with(vec![VmSpec::new("db01", disks)]).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    let keys = site.disk_keys("db01");
    let early = agent.ask(&["vm", "forecast", "db01"]).json()["forecast"].clone();
    assert!(early["forecast"].is_null(), "one delta is not enough: {early:#}");
    assert_eq!(early["outlook"]["unknown"]["needed"], 3);

    for round in 0..4 {
        site.guest_writes_to("db01", keys[0], Workload::Scattered { writes: 4, bytes: 4096 }, round).await;
        site.guest_writes_to("db01", keys[1], Workload::Overwrite { start: 8 * MIB, bytes: 4 * MIB }, round).await;
        agent.sync("db01").await;
    }
    let churn = agent.ask(&["vm", "churn", "db01"]).json()["churn"]["churn"].clone();
    println!("{churn:#}");
    let disks = churn["disks"].as_array().unwrap();
    assert_eq!(disks.len(), 2);
    let changed = |disk: usize| disks[disk]["changes"]["changed"].as_u64().unwrap();
    assert!(changed(0) >= 16 * MIB && changed(1) > 0 && changed(1) <= 4 * MIB, "the disk that changes most comes first: {churn:#}");
    assert_eq!(churn["total"]["changed"].as_u64().unwrap(), changed(0) + changed(1));

    let said = agent.ask(&["vm", "forecast", "db01"]).json()["forecast"].clone();
    println!("{said:#}");
    let forecast = &said["forecast"];
    assert_eq!(forecast["cycles"], 5);
    assert!(forecast["p50_ms"].as_u64().unwrap() > 0 && forecast["p50_ms"].as_u64() <= forecast["p95_ms"].as_u64(), "{said:#}");
    // The last two cycles began with three recorded deltas and more.
    assert_eq!(said["calibration"]["forecasts"], 2, "{said:#}");

    let told = agent.setup.run(&["vm", "forecast", "db01"]);
    println!("{}", told.out);
    assert!(told.out.contains("a final cycle that begins now takes") && told.out.contains("Of the last 2 forecasts"), "{told:?}");
    let told = agent.setup.run(&["vm", "churn", "db01"]);
    assert!(told.out.contains("an hour, over 5 deltas in"), "{told:?}");
    let status = agent.setup.run(&["status"]);
    assert!(status.out.contains("final cycle now: "), "{status:?}");
    let vm = agent.vm("db01").unwrap();
    assert_eq!(vm["forecast"]["forecast"]["cycles"], 5, "{vm:#}");
    let unknown = agent.ask(&["vm", "churn", "db02"]);
    assert!(text(&unknown.json()["refused"]["fault"]["message"]).contains("db02"), "{unknown:?}");
}
