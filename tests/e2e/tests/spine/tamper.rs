//! Somebody changes what is stored, between the gateway's commit and the receiver's look at it.

use e2e::agent::text;
use e2e::claims::{digests_below, outcome};
use e2e::{Agent, MIB, Setup, Site};
use lab::Workload;
use lab::s3::S3;

struct Apart {
    site: Site,
    sending: Agent,
    receiving: Agent,
    id: String,
}

impl Apart {
    async fn start() -> Apart {
        Apart::start_after(async |_, _| {}).await
    }

    /// The receiver comes when something was done.
    async fn start_after(act: impl AsyncFn(&Site, &Agent)) -> Apart {
        let site = Site::small(48 * MIB, 30_000_000).await;
        let both = site.setup(&["db01"]);
        let gateway = Setup { role: "gateway", ..both.beside("gateway") };
        let receiver = Setup { role: "receiver", ..both.beside("receiver") };
        let sending = Agent::start(&gateway).await;
        act(&site, &sending).await;
        let receiving = Agent::start(&receiver).await;
        let id = sending.until("db01", "its id", |vm| Some(text(&vm["id"]).to_owned())).await;
        Apart { site, sending, receiving, id }
    }

    /// Runs a cycle up to its commit while the receiver sleeps. Answers its number.
    async fn committed(&self, seed: u64) -> u64 {
        self.receiving.pause();
        self.site.guest_writes("db01", Workload::Clustered { writes: 48, bytes: 65536 }, seed).await;
        let cycle = self.sending.newest("db01") + 1;
        self.sending.demand("db01", "sync");
        let waits = format!("waits: receipt of cycle {cycle}");
        self.sending.until("db01", &waits, |vm| (vm["state"] == waits).then_some(())).await;
        cycle
    }

    fn objects(&self, cycle: u64, kind: &str) -> Vec<String> {
        let all = self.site.lab.s3().list_objects(&format!("vm/{}/{cycle:010}.", self.id)).unwrap();
        all.into_iter().filter(|key| key.rsplit('/').next().unwrap().starts_with(kind)).collect()
    }

    fn replica(&self) -> Vec<(std::path::PathBuf, String)> {
        digests_below(&self.receiving.setup.replicas())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_changed_in_the_store_the_cycle_is_refused_whole_and_the_next_one_repairs_it() {
    let apart = Apart::start().await;
    apart.sending.settled("db01", 2).await;
    let Apart { site, sending, receiving, id } = &apart;
    let s3 = site.lab.s3();
    let first =
        |kind: &str, cycle: u64| apart.objects(cycle, kind).into_iter().next().unwrap_or_else(|| panic!("cycle {cycle} has no {kind}"));
    let middle = |s3: &S3, key: &str| s3.read_object(key).unwrap().len() as u64 / 2;
    let commit = |cycle: u64| format!("vm/{id}/commit/{cycle:010}");

    type Tamper<'a> = Box<dyn Fn(u64) + 'a>;
    let cases: Vec<(&str, Tamper<'_>)> = vec![
        ("a bit of a segment is flipped", Box::new(|cycle| s3.flip_bit(&first("seg-", cycle), middle(s3, &first("seg-", cycle))).unwrap())),
        ("a segment is cut off", Box::new(|cycle| s3.truncate_object(&first("seg-", cycle), middle(s3, &first("seg-", cycle))).unwrap())),
        ("a segment is missing", Box::new(|cycle| s3.delete_object(&first("seg-", cycle)).unwrap())),
        (
            "two segments change places",
            Box::new(|cycle| {
                let segments = apart.objects(cycle, "seg-");
                s3.swap_objects(&segments[0], &segments[1]).unwrap();
            }),
        ),
        ("an old segment is played again", Box::new(|cycle| s3.copy_object(&first("seg-", 1), &first("seg-", cycle)).unwrap())),
        ("a manifest page is flipped", Box::new(|cycle| s3.flip_bit(&first("page-", cycle), middle(s3, &first("page-", cycle))).unwrap())),
        ("a manifest page is missing", Box::new(|cycle| s3.delete_object(&first("page-", cycle)).unwrap())),
        ("the plan is flipped", Box::new(|cycle| s3.flip_bit(&first("planned-", cycle), middle(s3, &first("planned-", cycle))).unwrap())),
        ("the commit is flipped", Box::new(|cycle| s3.flip_bit(&commit(cycle), 60).unwrap())),
        ("an old commit is played again", Box::new(|cycle| s3.copy_object(&commit(1), &commit(cycle)).unwrap())),
        ("the commit is forged", Box::new(|cycle| s3.write_object(&commit(cycle), &[7; 900]).unwrap())),
    ];
    for (number, (what, tamper)) in cases.into_iter().enumerate() {
        let cycle = apart.committed(number as u64).await;
        let before = apart.replica();
        tamper(cycle);
        receiving.resume();
        let row = sending.ended("db01", cycle).await;
        println!("{what}: {}", outcome(&row));
        assert!(outcome(&row).starts_with("rejected: ") && outcome(&row).len() > 20, "{what}: {row:#}");
        assert_eq!(apart.replica(), before, "{what}: something of the refused cycle was written");
        let vm = sending.vm("db01").unwrap();
        if vm["cycle"].is_null() {
            assert!(text(&vm["trouble"]["fault"]["message"]).contains("rejected"), "{what}: the status does not say why: {vm:#}");
        }

        sending.demand("db01", "sync");
        sending.settled("db01", cycle + 1).await;
        receiving.until(id, "the repaired replica", |vm| (vm["replica"] == format!("at recovery point {}", cycle + 1)).then_some(())).await;
        site.assert_replica_of(receiving, id, "db01", cycle + 1).await;
    }
    site.assert_no_snapshot();
}

/// The first copy of all is damaged on its way: the refused blocks are read again, and not the whole disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_initial_is_refused_and_repaired_by_reading_the_bad_blocks_again() {
    let apart = Apart::start_after(async |site, sending| {
        sending.until("db01", "the commit", |vm| (vm["state"] == "waits: receipt of cycle 1").then_some(())).await;
        let mut segments = site.lab.s3().list_objects("vm/").unwrap().into_iter().filter(|key| key.contains("/seg-"));
        site.lab.s3().flip_bit(&segments.nth(3).unwrap(), 5000).unwrap();
    })
    .await;
    let Apart { site, sending, receiving, id } = &apart;
    let row = sending.ended("db01", 1).await;
    assert!(outcome(&row).starts_with("rejected: "), "{row:#}");
    let repair = sending.ended("db01", 2).await;
    println!("refused: {}; repaired by reading {} bytes", outcome(&row), e2e::agent::sum(&repair, "read"));
    assert_eq!(outcome(&repair), "applied", "{repair:#}");
    assert!(e2e::agent::sum(&repair, "read") <= 4 * MIB, "a repair reads what was refused: {repair:#}");
    sending.settled("db01", 3).await;
    receiving.until(id, "the replica", |vm| (vm["replica"] == "at recovery point 3").then_some(())).await;
    site.assert_replica_of(receiving, id, "db01", 3).await;
}

/// A receipt that somebody else wrote, or an old one under a new name, is not believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_or_replayed_receipt_moves_no_marker() {
    let apart = Apart::start().await;
    apart.sending.settled("db01", 2).await;
    let Apart { site, sending, receiving, id } = &apart;
    let receipt = |cycle: u64| format!("vm/{id}/receipt/{cycle:010}.0");
    let s3 = site.lab.s3();
    let old = s3.list_objects(&format!("vm/{id}/receipt/")).unwrap().into_iter().find(|key| key.contains("0000000002")).unwrap();

    for (what, forge) in [("replayed", true), ("forged", false)] {
        let cycle = apart.committed(77 + u64::from(forge)).await;
        let before = apart.replica();
        let name = old.replace("0000000002", &format!("{cycle:010}"));
        match forge {
            true => s3.copy_object(&old, &name).unwrap(),
            false => s3.write_object(&name, &[9; 300]).unwrap(),
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let vm = sending.vm("db01").unwrap();
        println!("{what} receipt ({}): {} / {}", receipt(cycle), vm["state"], vm["trouble"]["fault"]["message"]);
        assert_ne!(vm["point"]["cycle"], cycle, "{what}: the gateway believed it: {vm:#}");
        assert_eq!(apart.replica(), before);
        receiving.resume();
        sending.settled("db01", cycle).await;
        receiving.until(id, "the replica", |vm| (vm["replica"] == format!("at recovery point {cycle}")).then_some(())).await;
        site.assert_replica_of(receiving, id, "db01", cycle).await;
    }
}
