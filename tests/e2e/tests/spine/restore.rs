//! Reading back: verify compares, restore yields any kept point, and a replica may be a device.

use std::os::unix::fs::FileExt;
use std::process::Command;

use e2e::agent::text;
use e2e::claims::{digests_below, disk_id, replica};
use e2e::{Agent, MIB, Setup, Site, parts};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_finds_one_flipped_byte_and_restore_yields_every_kept_point() {
    let disks = vec![DiskSpec::with_files(40 * MIB + 512, 6_000_000), DiskSpec::with_files(16 * MIB, 2_000_000)];
    let site = Site::with(vec![VmSpec::new("app01", disks)]).await;
    let agent = Agent::start(&site.setup(&["app01"])).await;
    agent.settled("app01", 2).await;
    for cycle in 3..6 {
        for key in site.disk_keys("app01") {
            site.guest_writes_to("app01", key, Workload::Scattered { writes: 8, bytes: 65536 }, cycle).await;
        }
        agent.sync("app01").await;
    }
    for cycle in 1..6 {
        site.assert_restored(&agent, "app01", cycle).await;
    }
    let all = agent.ask(&["restore", "app01", "--to", &site.folder().join("whole").to_string_lossy()]);
    assert_eq!(all.json()["restored"]["files"].as_array().unwrap().len(), 2, "{all:?}");

    let said = agent.ask(&["verify", "app01"]);
    assert_eq!((said.code, said.json()["verified"]["equal"].as_bool()), (0, Some(true)), "{said:?}");
    let older = agent.ask(&["verify", "app01", "--point", "4"]);
    assert_eq!(older.code, 3, "the replica stands at point 5, so it differs from point 4");

    let frozen = &site.frozen("app01", 5).await[0];
    let path = replica(&agent, "app01", &disk_id(frozen));
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 7 * MIB + 123).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 7 * MIB + 123).unwrap();
    let said = agent.ask(&["verify", "app01"]);
    assert_eq!(said.code, 3, "{said:?}");
    let disks = said.json()["verified"]["disks"].clone();
    let differing: Vec<u64> = disks
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|disk| disk["differing_blocks"].as_array().unwrap().clone())
        .map(|block| block.as_u64().unwrap())
        .collect();
    assert_eq!(differing, [7], "{disks:#}");
    file.write_all_at(&byte, 7 * MIB + 123).unwrap();
    assert_eq!(agent.ask(&["verify", "app01"]).code, 0);
}

/// A replica that is right is no proof that the store still is: whoever restores needs the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_reads_the_store_again_and_names_the_block_that_was_damaged_there() {
    let site = Site::small(16 * MIB, 2_000_000).await;
    let agent = Agent::start(&site.setup(&["db01"])).await;
    agent.settled("db01", 2).await;
    site.guest_writes("db01", Workload::Overwrite { start: 5 * MIB, bytes: MIB }, 1).await;
    agent.sync("db01").await;
    assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
    let before = digests_below(&agent.setup.replicas());

    let s3 = site.lab.s3();
    let prefix = format!("vm/{}/{:010}.", text(&agent.vm("db01").unwrap()["id"]), 3);
    let segment = s3.list_objects(&prefix).unwrap().into_iter().find(|key| key.contains("/seg-")).unwrap();
    s3.flip_bit(&segment, 1000).unwrap();
    let said = agent.ask(&["verify", "db01"]);
    let disk = &said.json()["verified"]["disks"][0];
    assert_eq!((said.code, &disk["unreadable_blocks"], &disk["differing_blocks"]), (3, &json!([5]), &json!([])), "{said:?}");
    let shown = agent.setup.run(&["verify", "db01"]);
    assert!(shown.code == 3 && shown.out.contains("  cannot be read: 5\n"), "{shown:?}");
    assert_eq!(digests_below(&agent.setup.replicas()), before, "verify touched the replica");

    s3.flip_bit(&segment, 1000).unwrap();
    assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
}

/// The gateway has no replica to look at: it asks the receiver, and they meet only in the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_apart_has_its_receiver_verify() {
    let site = Site::small(16 * MIB, 3_000_000).await;
    let both = site.setup(&["db01"]);
    let gateway = Agent::start(&Setup { role: "gateway", ..both.beside("gateway") }).await;
    let receiver = Agent::start(&Setup { role: "receiver", ..both.beside("receiver") }).await;
    gateway.settled("db01", 2).await;
    let id = text(&gateway.vm("db01").unwrap()["id"]).to_owned();
    receiver.until(&id, "the replica", |vm| (vm["replica"] == "at recovery point 2").then_some(())).await;
    let said = gateway.ask(&["verify", "db01"]);
    assert_eq!((said.code, said.json()["verified"]["equal"].as_bool()), (0, Some(true)), "{said:?}");

    let path = replica(&receiver, &id, &disk_id(&site.frozen("db01", 2).await[0]));
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 3 * MIB + 5).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 3 * MIB + 5).unwrap();
    let said = gateway.ask(&["verify", "db01"]);
    assert_eq!((said.code, said.json()["verified"]["equal"].as_bool()), (3, Some(false)), "{said:?}");
}

/// A loop device; it is detached when this value goes.
struct Loop(String);

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_on_a_block_device_is_what_was_frozen() {
    let site = Site::small(24 * MIB, 6_000_000).await;
    let backing = site.folder().join("device");
    // Larger than the disk, and not empty: what was there before must not shine through.
    std::fs::write(&backing, vec![0xa5; 32 << 20]).unwrap();
    let attached = Command::new("losetup").args(["--find", "--show"]).arg(&backing).output();
    let device = match attached {
        Ok(output) if output.status.success() => Loop(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        _ => return parts::skip("this machine gives no loop device"),
    };
    let setup = site.setup(&["db01"]);
    let shown = setup.check().json();
    let ids = shown["steps"].as_array().unwrap().iter().find(|step| text(&step["what"]).contains("ids of")).unwrap()["message"].clone();
    let vm = text(&ids).split([' ', ';']).nth(1).unwrap().to_owned();
    let disk = text(&ids).rsplit(' ').next().unwrap().to_owned();
    let device_of =
        format!("[receiver]\nreplicas = \"replicas\"\n[[receiver.device]]\nvm = \"{vm}\"\ndisk = \"{disk}\"\npath = \"{}\"\n", device.0);
    let agent = Agent::start(&Setup { receiver: device_of, ..setup }).await;
    agent.settled("db01", 2).await;
    let compare = async |cycle: u64| {
        let copy = site.folder().join("copy");
        let bytes = std::fs::read(&device.0).unwrap();
        std::fs::write(&copy, &bytes[..24 << 20]).unwrap();
        let frozen = &site.frozen("db01", cycle).await[0];
        assert_eq!(Some(lab::sparse_digest(&copy).unwrap()), frozen.digest, "the device at cycle {cycle}");
        assert!(bytes[24 << 20..].iter().all(|byte| *byte == 0xa5), "something behind the disk's end was written");
    };
    compare(2).await;
    site.guest_writes("db01", Workload::Scattered { writes: 12, bytes: 8192 }, 1).await;
    site.guest_writes("db01", Workload::Zeros { start: MIB, bytes: 2 * MIB }, 1).await;
    agent.sync("db01").await;
    compare(3).await;
    assert_eq!(agent.ask(&["verify", "db01"]).code, 0);
    assert!(!agent.setup.replicas().join(&vm).join(format!("{disk}.raw")).exists(), "the replica is on the device alone");
}
