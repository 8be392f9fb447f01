//! The main job: initial, deltas, final; each replica equals what was frozen.

use e2e::agent::{modes, sum};
use e2e::azurite::Azurite;
use e2e::claims::outcome;
use e2e::weed::Weed;
use e2e::{Agent, MIB, Setup, Site};
use lab::{Size, Workload, populate};

/// Three VMs: one large sparse disk, one of odd size, one with three disks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vm_of_the_lab_goes_from_initial_to_final_and_each_replica_is_what_was_frozen() {
    let site = populated().await;
    let names = ["db01", "web01", "app01"];
    from_initial_to_final(&site, &site.setup(&names), &names).await;
}

/// A server that others wrote, and its two sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_goes_for_seaweedfs_plain_and_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let Some(weed) = Weed::start(folder.path()).await else { return };
    for (name, url) in [("plain", &weed.plain), ("tls", &weed.tls)] {
        let (site, names) = (populated().await, ["web01", "app01"]);
        from_initial_to_final(&site, &weed.setup(&site, url, name, &names), &names).await;
    }
}

/// A store that speaks another language.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_goes_for_azure_blob_storage_as_its_emulator_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(azurite) = Azurite::start(folder.path()) else { return };
    let (site, names) = (populated().await, ["web01", "app01"]);
    from_initial_to_final(&site, &azurite.setup(&site, &names), &names).await;
}

async fn populated() -> Site {
    let site = Site::empty().await;
    populate(site.lab.vcenter(), Size::Small).await.unwrap();
    site
}

async fn from_initial_to_final(site: &Site, setup: &Setup, names: &[&str]) {
    let checked = setup.check();
    assert_eq!((checked.code, checked.failed_steps()), (0, vec![]));
    let agent = Agent::start(setup).await;
    for &name in names {
        agent.settled(name, 2).await;
        let initial = agent.ended(name, 1).await;
        assert!(modes(&initial).iter().all(|(_, mode)| mode == "initial"), "{initial:#}");
        let delta = agent.ended(name, 2).await;
        assert!(modes(&delta).iter().all(|(_, mode)| mode == "delta"), "{delta:#}");
        assert_eq!(sum(&delta, "read"), 0, "nothing was written between the two: {delta:#}");
        site.assert_replica(&agent, name, 2).await;
        site.assert_restored(&agent, name, 1).await;
    }
    for round in 3..6 {
        let mut writes = Vec::new();
        for &name in names {
            let mut written = 0;
            for key in site.disk_keys(name) {
                written += site.guest_writes_to(name, key, Workload::Scattered { writes: 10, bytes: 4096 }, round).await;
            }
            writes.push((name, written / 4096));
            agent.demand(name, "sync");
        }
        for (name, writes) in writes {
            let row = agent.settled(name, round).await;
            assert_eq!(outcome(&row), "applied");
            // A write touches at most two tracking cells, and of each block what lies between two changed cells is read along.
            let (planned, read) = (sum(&row, "planned"), sum(&row, "read"));
            assert!(planned > 0 && planned <= writes * 2 * 65536, "cycle {round} of {name} planned {planned} bytes for {writes} writes");
            assert!(read >= planned && read <= writes * 2 * MIB, "cycle {round} of {name} read {read} bytes for {planned} planned ones");
            site.assert_replica(&agent, name, round).await;
        }
    }
    for &name in names {
        agent.demand(name, "final");
    }
    for &name in names {
        let row = agent.settled(name, 6).await;
        assert!(row["last"] == true && agent.vm(name).unwrap()["state"] == "final cycle applied", "{row:#}");
        assert!(!site.lab.vcenter().vm(name).unwrap().powered_on, "{name} still runs");
        site.assert_replica(&agent, name, 6).await;
        let frozen = &site.frozen(name, 6).await[0];
        let live = site.lab.vcenter().live_digest(name, frozen.disk_key).await.unwrap();
        assert_eq!(Some(live), frozen.digest, "the source is off, so nothing comes after the final snapshot");
    }
    site.assert_no_snapshot();
    let peak = agent.status()["memory_peak_kib"].as_u64().unwrap();
    assert!(peak < 300 * 1024, "the agent needed {peak} KiB");
}
