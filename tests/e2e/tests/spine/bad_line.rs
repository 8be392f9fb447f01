//! One call to the store in ten fails, in every way in which calls fail: all VMs complete, and nothing that a commit names is missing.

use e2e::agent::{row, text};
use e2e::bad_line::{BadLine, Way, started};
use e2e::claims::{disk_id, outcome};
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};

const DELTAS: u64 = 2;

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("vm{number:02}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_one_call_in_ten_in_every_way_costs_time_and_nothing_else() {
    let names = names(if parts::long() { 12 } else { 4 });
    let disks = || vec![DiskSpec::with_files(12 * MIB, 5_000_000), DiskSpec::with_files(8 * MIB, 1_000_000)];
    let site = Site::with(names.iter().map(|name| VmSpec::new(name, disks())).collect()).await;
    let line = BadLine::start(site.folder(), &site.lab.s3().plain_url(), 1974).await;
    let vms: Vec<&str> = names.iter().map(String::as_str).collect();
    let straight = site.setup(&vms);
    let setup = line.setup(&site, &vms);

    let agent = started(&setup).await;
    for name in &names {
        agent.settled(name, 2).await;
    }
    for round in 1..=DELTAS {
        for name in &names {
            site.guest_writes(name, Workload::Clustered { writes: 8, bytes: 65536 }, round).await;
            agent.demand(name, "sync");
        }
        for name in &names {
            agent.settled(name, 2 + round).await;
        }
    }
    let last = 3 + DELTAS;
    for name in &names {
        site.guest_writes(name, Workload::Scattered { writes: 8, bytes: 4096 }, 99).await;
        agent.demand(name, "final");
    }
    for name in &names {
        let vm = agent.until(name, "the final point", |vm| (vm["state"] == "final cycle applied").then(|| vm.clone())).await;
        assert_eq!(vm["point"]["cycle"], last, "{vm:#}");
        for cycle in 1..=last {
            let row = row(&vm, cycle).unwrap_or_else(|| panic!("cycle {cycle} is not remembered: {vm:#}"));
            assert_eq!(outcome(&row), "applied", "a passing fault failed a cycle: {row:#}");
        }
        site.assert_replica(&agent, name, last).await;
    }
    site.assert_no_snapshot();
    let ids: Vec<(String, String)> =
        names.iter().map(|name| (name.clone(), text(&agent.vm(name).expect("the VM is there")["id"]).to_owned())).collect();
    agent.kill();

    let (calls, failed) = line.counts();
    println!("{calls} calls, failed: {failed:?}");
    let all: u64 = failed.values().sum();
    assert!(all * 14 >= calls && all * 7 <= calls, "{all} of {calls} calls failed, which is not one in ten");
    let missed: Vec<Way> = Way::ALL.into_iter().filter(|way| !failed.contains_key(way)).collect();
    assert!(missed.is_empty(), "no call failed by {missed:?}");

    // Everything that a commit names is there: somebody who knows nothing reads all of it, over a line that does not fail.
    let receiver = Setup { role: "receiver", ..straight.beside("reader") };
    let reader = Agent::start(&receiver).await;
    for (name, id) in &ids {
        let at = format!("at recovery point {last}");
        reader.until(id, &at, |vm| (vm["replica"] == at).then_some(())).await;
        site.assert_replica_of(&reader, id, name, last).await;
        for cycle in 1..=last {
            for frozen in site.frozen(name, cycle).await {
                let to = site.folder().join(format!("{name}-{cycle}-{}", frozen.disk_key));
                let (cycle, disk) = (cycle.to_string(), disk_id(&frozen));
                let said = reader.ask(&["restore", id, "--point", &cycle, "--disk", &disk, "--to", &to.to_string_lossy()]);
                assert_eq!(said.code, 0, "{name} point {cycle} disk {disk}: {said:?}");
                assert_eq!(Some(lab::sparse_digest(&to).unwrap()), frozen.digest, "{name} point {cycle} disk {disk}");
                std::fs::remove_file(&to).unwrap();
            }
        }
    }
}
