//! What killed attempts leave in the store is collected, over a line on which one call in ten fails. Afterwards the bucket holds what recovery
//! points are made of, and nothing else.
//!
//! What names what is sealed, so an outsider finds it out by what is missed: each object is taken away, the point of its cycle must not restore
//! without it, and it is put back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::agent::text;
use e2e::bad_line::{BadLine, started};
use e2e::claims::disk_id;
use e2e::{Agent, MIB, Setup, Site};
use lab::Workload;
use lab::s3::S3;
use lab::vcenter::{DiskSpec, VmSpec};

const VMS: [&str; 2] = ["db01", "web01"];
/// Kills; from half of them on the guests write as well, and further cycles are asked for.
const KILLS: u64 = 6;
/// Segments that a life puts before it is killed: they are published as pages fill, not one by one.
const PUT_BEFORE: usize = 3;

async fn site() -> Site {
    let disks = || vec![DiskSpec::with_files(24 * MIB, 16_000_000), DiskSpec::with_files(8 * MIB, 2_000_000)];
    let site = Site::with(VMS.iter().map(|name| VmSpec::new(name, disks())).collect()).await;
    // Slow enough that a kill hits a copy.
    site.lab.vcenter().set_knobs(|knobs| {
        knobs.folder_latency_milliseconds = 100;
        knobs.task_milliseconds = 100;
    });
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_killed_attempts_left_is_collected_over_a_bad_line_and_all_that_is_left_is_missed_when_it_goes() {
    let site = site().await;
    let s3 = site.lab.s3();
    let line = BadLine::start(site.folder(), &s3.plain_url(), 1975).await;
    let setup = Setup { retention: "automatic = false\n".to_owned(), ..line.setup(&site, &VMS) };
    let mut in_mid_copy = 0;
    for kill in 0..KILLS {
        let agent = started(&setup).await;
        if kill >= KILLS / 2 {
            for name in VMS {
                site.guest_writes(name, Workload::Clustered { writes: 64, bytes: 131_072 }, kill).await;
                agent.demand(name, "sync");
            }
        }
        in_mid_copy += u64::from(copies(&site, s3).await);
        agent.kill();
    }
    assert!(in_mid_copy >= KILLS / 2, "only {in_mid_copy} of {KILLS} kills hit a copy");
    let agent = started(&setup).await;
    let mut vms = BTreeMap::new();
    for name in VMS {
        let point = agent.until(name, "an idle VM", idle_at).await;
        agent.settled(name, point).await;
        vms.insert(name, text(&agent.vm(name).expect("it is there")["id"]).to_owned());
    }
    site.assert_no_snapshot();
    let points: BTreeMap<&str, Vec<u64>> = VMS.into_iter().map(|name| (name, (1..=agent.newest(name)).collect())).collect();

    let before: BTreeSet<String> = s3.list_objects("").unwrap().into_iter().collect();
    for name in VMS {
        collect(&agent, name).await;
    }
    agent.kill();
    let after: BTreeSet<String> = s3.list_objects("").unwrap().into_iter().collect();
    let collected: Vec<&String> = before.difference(&after).collect();
    println!("{} objects, {} of them were orphans: {collected:#?}", before.len(), collected.len());
    let (on_their_way, others): (Vec<&String>, Vec<&String>) = collected.iter().partition(|key| is(key, "seg-"));
    assert!(!on_their_way.is_empty(), "{in_mid_copy} kills in mid-copy left nothing to collect");
    // That an initial copy has begun is of no use when it has ended.
    assert!(others.iter().all(|key| key.contains("/initial/")), "more than segments on their way was collected: {others:#?}");
    assert!(after.is_subset(&before), "collecting put something into the store");
    let (calls, failed) = line.counts();
    let failed: u64 = failed.values().sum();
    assert!(failed * 14 >= calls, "{failed} of {calls} calls failed");

    // Over a line that does not fail: what is looked for is what is there.
    let straight = Setup { role: "receiver", ..site.setup(&VMS).beside("reader") };
    let reader = Reader { agent: Agent::start(&straight).await, site: &site, s3 };
    let mut known = BTreeSet::from(["store.json".to_owned()]);
    for (name, id) in &vms {
        known.insert(format!("vms/{id}"));
        reader.agent.until(id, "a replica", |vm| text(&vm["replica"]).starts_with("at recovery point").then_some(())).await;
        known.extend(reader.all_that_is_missed(name, id, &points[name], &after).await);
    }
    known.extend(after.iter().filter(|key| key.starts_with("keys/")).cloned());
    let nobodys: Vec<&String> = after.difference(&known).collect();
    assert!(nobodys.is_empty(), "nobody needs these: {nobodys:#?}");
}

/// Whether the name of an object begins so.
fn is(key: &str, kind: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(kind))
}

fn segments(s3: &S3) -> usize {
    s3.list_objects("vm/").expect("the bucket can be listed").iter().filter(|key| is(key, "seg-")).count()
}

/// Waits until some segments more are stored; whether a snapshot is open then, so that a kill now is one in mid-copy.
async fn copies(site: &Site, s3: &S3) -> bool {
    let before = segments(s3);
    for _ in 0..600 {
        if segments(s3) >= before + PUT_BEFORE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    !site.lab.vcenter().snapshots().is_empty()
}

fn idle_at(vm: &serde_json::Value) -> Option<u64> {
    let idle = vm["cycle"].is_null() && text(&vm["state"]).starts_with("idle");
    vm["point"]["cycle"].as_u64().filter(|_| idle)
}

/// Whoever asks may not get through: he asks again.
async fn collect(agent: &Agent, name: &str) {
    for _ in 0..20 {
        let said = agent.ask(&["prune", name]);
        if said.code == 0 {
            let pruned = said.json()["pruned"]["vms"][0].take();
            assert_eq!(pruned["plan"]["plan"]["dropped"], serde_json::json!([]), "all points are kept: {pruned:#}");
            assert!(pruned["outcome"]["done"].is_object(), "{pruned:#}");
            let kept = pruned["plan"]["plan"]["kept"].as_array().map_or(0, Vec::len) as u64;
            assert_eq!(kept, agent.newest(name), "each cycle is a point: {pruned:#}");
            return;
        }
        assert_eq!(said.json()["refused"]["fault"]["kind"], "unavailable", "{said:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{name} is not collected in twenty tries");
}

/// Somebody who knows nothing but the store.
struct Reader<'a> {
    agent: Agent,
    site: &'a Site,
    s3: &'a S3,
}

impl Reader<'_> {
    /// Restores every point of a VM, and then tries each of its objects: answers those that are needed.
    async fn all_that_is_missed(&self, name: &str, id: &str, points: &[u64], all: &BTreeSet<String>) -> BTreeSet<String> {
        let mut disks = BTreeSet::new();
        for cycle in points {
            for frozen in self.site.frozen(name, *cycle).await {
                let (code, digest) = self.restore(id, *cycle, &disk_id(&frozen));
                assert_eq!((code, digest), (0, frozen.digest.clone()), "{name} point {cycle} disk {}", frozen.disk_key);
                disks.insert(disk_id(&frozen));
            }
        }
        let of_vm = format!("vm/{id}/");
        let mut needed = BTreeSet::new();
        for key in all.iter().filter(|key| key.starts_with(&of_vm)) {
            if self.is_missed(id, &key[of_vm.len()..], key, points, &disks) {
                needed.insert(key.clone());
            }
        }
        // What was planned of a disk goes with the pages that carry it.
        let folders: BTreeSet<&str> =
            needed.iter().filter(|key| is(key, "page-")).filter_map(|key| key.rsplit_once('/')).map(|(folder, _)| folder).collect();
        let planned = |key: &&String| is(key, "planned-") && key.rsplit_once('/').is_some_and(|(folder, _)| folders.contains(folder));
        let planned: Vec<String> = all.iter().filter(planned).cloned().collect();
        for folder in &folders {
            assert!(planned.iter().any(|key| key.starts_with(folder)), "{folder} has pages, and nothing says what was planned");
        }
        needed.extend(planned);
        println!("{name}: {} points, {} of their objects are needed", points.len(), needed.len());
        needed
    }

    /// `below`: the key, without the VM.
    fn is_missed(&self, id: &str, below: &str, key: &str, points: &[u64], disks: &BTreeSet<String>) -> bool {
        let mut parts = below.split('/');
        let (kind, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match kind {
            // Who owns the VM, and whoever was reading when he was killed.
            "owner" | "lease" => true,
            "commit" | "receipt" => second.get(..10).and_then(|cycle| cycle.parse().ok()).is_some_and(|cycle| points.contains(&cycle)),
            _ if is(key, "seg-") || is(key, "page-") => {
                let Some(cycle) = kind.get(..10).and_then(|cycle| cycle.parse().ok()).filter(|cycle| points.contains(cycle)) else {
                    return false;
                };
                let Some(disk) = disks.iter().find(|disk| *disk == second) else { panic!("{key} is of no disk") };
                let bytes = self.s3.read_object(key).unwrap();
                self.s3.delete_object(key).unwrap();
                let (code, _) = self.restore(id, cycle, disk);
                self.s3.write_object(key, &bytes).unwrap();
                code != 0
            }
            _ => false,
        }
    }

    /// How it ended, and the digest of what was restored.
    fn restore(&self, id: &str, cycle: u64, disk: &str) -> (i32, Option<String>) {
        let to = self.site.folder().join("restored");
        let said = self.agent.ask(&["restore", id, "--point", &cycle.to_string(), "--disk", disk, "--to", &to.to_string_lossy()]);
        let digest = (said.code == 0).then(|| lab::sparse_digest(&to).expect("it was restored"));
        let _ = std::fs::remove_file(&to);
        (said.code, digest)
    }
}
