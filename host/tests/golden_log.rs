//! What stands in a store, byte by byte: one example of each encoding, compared with the files in golden/. A difference here means that
//! stores already written are not read any more: it needs a new format number, not new golden files. While format 1 is not released,
//! `TRANSLOAD_GOLDEN=write` writes them anew. docs/format.md explains every byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use transload::api::command::{Command, Reply, Verified, VerifiedDisk};
use transload::log::bound::{Bound, StoreEntry};
use transload::log::checkpoint::{self, Checkpoint, CheckpointDisk};
use transload::log::digest::cell_digest;
use transload::log::dropped::DroppedRecord;
use transload::log::initial::InitialCopy;
use transload::log::keys::{self, Unlock};
use transload::log::layout::AttemptFolder;
use transload::log::lease::Lease;
use transload::log::mark::Mark;
use transload::log::owner::Claim;
use transload::log::page::{self, BlockEntry, Body, Encoding, Entry, ManifestPage, PageKind, SegmentName};
use transload::log::planned;
use transload::log::registry::VmEntry;
use transload::log::relayed::RelayedCommand;
use transload::log::seal::{BlockPlace, DataKey, Role, Sealed, Sealer};
use transload::log::sink::{EntriesPage, Sink, SinkDescription};
use transload::model::commit::{
    AppliedDisk, BadBlocks, Commit, DiskCommit, Layer, Mode, PointRef, Receipt, RejectCode, Rejection, Sha, Verdict,
};
use transload::model::{Attempt, BLOCK, CellMask, CycleNumber, Digest, DiskSize, Epoch, Extent, Fault, SectorBitmap, StoreNumber, VmRef};
use transload::random::Random;

fn golden(name: &str, found: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let shown = if name.ends_with(".hex") { hex(found) } else { String::from_utf8(found.to_vec()).unwrap() };
    if std::env::var("TRANSLOAD_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&path, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(shown, expected, "{name} changed");
}

/// 32 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl Sink for Objects {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        Err(Fault::unsupported("not asked here"))
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        self.0.lock().unwrap().insert(key.to_owned(), body.whole());
        Ok(())
    }

    async fn get(&self, key: &str, _range: Option<Extent>) -> Result<Bytes, Fault> {
        self.0.lock().unwrap().get(key).cloned().ok_or_else(|| Fault::not_found(key))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        Ok(self.0.lock().unwrap().get(key).map(|bytes| bytes.len() as u64))
    }

    async fn entries(&self, _prefix: &str, _cursor: Option<String>) -> Result<EntriesPage, Fault> {
        Err(Fault::unsupported("not asked here"))
    }

    async fn delete(&self, _keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        Err(Fault::unsupported("not asked here"))
    }
}

async fn store(unlock: &Unlock) -> (Objects, Sealer) {
    let sink = Objects::default();
    let sealer = keys::begin(&sink, unlock, &Random::from_seed(1)).await.unwrap();
    (sink, sealer)
}

fn key_file() -> Unlock {
    Unlock::KeyFile(b"thirty-two bytes of a key file..".to_vec().into())
}

fn object(sink: &Objects, prefix: &str) -> (String, Bytes) {
    let objects = sink.0.lock().unwrap();
    let (key, bytes) = objects.iter().find(|(key, _)| key.starts_with(prefix)).unwrap();
    (key.clone(), bytes.clone())
}

#[tokio::test]
async fn a_store_begins_with_these_two_objects() {
    let (sink, _) = store(&key_file()).await;
    golden("store.json", &object(&sink, "store.json").1);
    let (key, slot) = object(&sink, "keys/");
    golden("key-slot-key-file.json", &slot);
    golden("key-slot.name", format!("{key}\n").as_bytes());
    let (sink, _) = store(&Unlock::Passphrase(b"correct horse".to_vec().into())).await;
    golden("key-slot-passphrase.json", &object(&sink, "keys/").1);
}

#[tokio::test]
async fn an_object_and_a_block_are_sealed_like_this() {
    let (_, sealer) = store(&key_file()).await;
    let random = Random::from_seed(2);
    let sealed = sealer.seal_object(Role::Commit, "vm/v/commit/0000000001", b"the plaintext", &mut random.fork());
    golden("sealed-object.hex", &sealed.whole());
    let place = BlockPlace {
        folder: &AttemptFolder::new(&"v".into(), CycleNumber(1), Attempt(1), &"d".into()),
        block: 7,
        cells: CellMask(0b101),
        encoding: Encoding::Raw.code(),
    };
    golden("sealed-block.hex", sealer.seal_block(place, b"the cells of a block".to_vec(), &mut random.fork()).bytes());
    golden("cell-digest.hex", &cell_digest(sealer.digest_secret(), &[0x5a; 65_536]).0);
    assert_eq!(cell_digest(sealer.digest_secret(), &[0; 65_536]), Digest::ZERO_CELL);
}

fn size() -> DiskSize {
    DiskSize::new(200 * BLOCK + 3 * 512).unwrap()
}

fn sample_page() -> ManifestPage {
    let segment = |number| SegmentName {
        cycle: CycleNumber(3),
        attempt: Attempt(102),
        number,
        random: 0x0123_4567_89ab_cdef,
        store: StoreNumber(0xc0ff_ee00 * number),
    };
    let body = |number, cells| {
        Some(Body { segment: segment(number), offset: 70_000, length: 1234, encoding: Encoding::Zstd, cells: CellMask(cells) })
    };
    let block = |block, data, zero, same, body, digests: &[u8]| {
        let digests = digests.iter().map(|byte| Digest([*byte; 16])).collect();
        Entry::Block(BlockEntry { block, data: CellMask(data), zero: CellMask(zero), same: CellMask(same), body, digests })
    };
    ManifestPage {
        from_block: 0,
        to_block: 201,
        entries: vec![
            Entry::Zeros { block: 0, count: 16 },
            block(16, 0b101, 0b10, 0b1000, body(0, 0b101), &[1, 2, 3]),
            block(17, 0, 0xffff, 0, None, &[]),
            block(90, 1 << 15, 0, 0, body(1, 1 << 15), &[4]),
            Entry::SameZeros { block: 100, count: 50 },
            block(200, 1, 0, 0, body(1, 1), &[5]),
        ],
    }
}

#[test]
fn a_manifest_page_is_encoded_like_this() {
    let bytes = page::encode(&sample_page());
    golden("page.hex", &bytes);
    assert_eq!(page::decode(&bytes, size(), PageKind::Manifest).unwrap(), sample_page());
}

#[test]
fn a_planned_part_is_encoded_like_this() {
    let mut bitmap = SectorBitmap::empty(size());
    bitmap.insert_widened(Extent::new(0, 64 * BLOCK));
    bitmap.insert_widened(Extent::new(150 * BLOCK + 5, 200_000));
    bitmap.insert_widened(Extent::new(size().bytes() - 512, 512));
    let parts = planned::encode(&bitmap);
    assert_eq!(parts.len(), 1);
    golden("planned.hex", &parts[0]);
    golden("planned-digest.hex", &planned::bitmap_digest(&bitmap));
    let mut decoder = planned::Decoder::new(size());
    assert!(decoder.push(&parts[0]).unwrap());
    assert_eq!(decoder.finish().unwrap(), bitmap);
}

fn point(cycle: u64) -> PointRef {
    PointRef { cycle: CycleNumber(cycle), hash: Sha::of(&cycle.to_le_bytes()) }
}

fn sample_commit() -> Commit {
    let layer = |attempt, to_block| Layer {
        cycle: CycleNumber(4),
        attempt: Attempt(attempt),
        to_block,
        pages: 2,
        pages_digest: Sha::of(b"pages"),
        planned_parts: 1,
        planned_digest: Sha::of(b"planned"),
    };
    let disk = |name: &str, mode, layers, marker: Option<&str>| DiskCommit {
        disk: name.into(),
        label: "Hard disk 1".to_owned(),
        fingerprint: "6000C29a".to_owned(),
        size: size(),
        mode,
        layers,
        marker: marker.map(Into::into),
    };
    Commit {
        format: 1,
        vm: "vcenter-1-db01".into(),
        identity: VmRef { id: "vm-42".to_owned(), fingerprint: "5021d1a4".to_owned() },
        source: "vcenter-1".to_owned(),
        name: "db01".to_owned(),
        cycle: CycleNumber(4),
        epoch: Epoch(2),
        base: Some(point(2)),
        previous: Some(point(3)),
        taken_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        quiesced: true,
        last: false,
        definition: serde_json::json!({ "name": "db01", "cpus": 2 }),
        disks: vec![
            disk("scsi0-0", Mode::Delta, vec![layer(101, 100), layer(102, 201)], Some("52 de/7")),
            disk("scsi0-1", Mode::Initial, vec![layer(102, 201)], None),
            disk("scsi0-2", Mode::Resync, vec![layer(102, 201)], Some("52 de/8")),
        ],
    }
}

#[test]
fn a_commit_is_written_like_this() {
    let bytes = sample_commit().encode();
    golden("commit.json", &bytes);
    assert_eq!(Commit::decode(&bytes).unwrap(), sample_commit());
    let more = String::from_utf8(bytes).unwrap().replacen('{', "{\"more\":1,", 1);
    assert!(Commit::decode(more.as_bytes()).is_err(), "unknown members are refused");
}

#[test]
fn receipts_are_written_like_this() {
    let applied = AppliedDisk { disk: "scsi0-0".into(), covered_digest: Sha::of(b"covered"), written_sectors: 2048, same_sectors: 128 };
    let rejection = Rejection {
        code: RejectCode::Damaged,
        message: "2 blocks are missing or damaged".to_owned(),
        bad_blocks: vec![BadBlocks { disk: "scsi0-0".into(), blocks: vec![3, 9] }],
    };
    for (name, verdict) in
        [("receipt-applied.json", Verdict::Applied { disks: vec![applied] }), ("receipt-rejected.json", Verdict::Rejected(rejection))]
    {
        let receipt = Receipt { format: 1, vm: "vcenter-1-db01".into(), commit: point(4), verdict };
        golden(name, &receipt.encode());
        assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
    }
}

#[test]
fn a_checkpoint_is_written_like_this() {
    let disk = CheckpointDisk { disk: "scsi0-0".into(), size: size(), pages: 3, pages_digest: Sha::of(b"pages") };
    let checkpoint = Checkpoint { format: 1, vm: "vcenter-1-db01".into(), point: point(24), disks: vec![disk] };
    let bytes = checkpoint::encode(&checkpoint);
    golden("checkpoint.json", &bytes);
    assert_eq!(checkpoint::decode(&bytes).unwrap(), checkpoint);
}

/// A checkpoint's block may have several entries, and a body more cells than are taken from it.
#[test]
fn a_checkpoint_page_is_encoded_like_this() {
    let body = |cycle, cells| {
        let segment = SegmentName { cycle: CycleNumber(cycle), attempt: Attempt(1), number: 0, random: cycle, store: StoreNumber::HOME };
        Some(Body { segment, offset: 9, length: 70_000, encoding: Encoding::Raw, cells: CellMask(cells) })
    };
    let block = |block, data, zero, body, digest| {
        let digests = vec![Digest([digest; 16])];
        Entry::Block(BlockEntry { block, data: CellMask(data), zero: CellMask(zero), same: CellMask::NONE, body, digests })
    };
    let entries = vec![Entry::Zeros { block: 0, count: 7 }, block(7, 1, 0xfffc, body(2, 0b111), 1), block(7, 0b10, 0, body(5, 0b10), 2)];
    let page = ManifestPage { from_block: 0, to_block: 8, entries };
    let bytes = page::encode(&page);
    golden("checkpoint-page.hex", &bytes);
    assert_eq!(page::decode(&bytes, size(), PageKind::Checkpoint).unwrap(), page);
    assert!(page::decode(&bytes, size(), PageKind::Manifest).is_err(), "a manifest says each block once");
}

#[test]
fn an_owner_and_a_registered_vm_are_written_like_this() {
    golden("owner.json", &Claim::new([0xa5; 16], "2026-01-02T03:04:05.678Z".parse().unwrap()).encode());
    let entry = VmEntry::new("vcenter-1-db01".into(), "db01".to_owned(), "vcenter-1".to_owned());
    golden("vm-entry.json", &entry.encode());
    assert_eq!(VmEntry::decode(&entry.encode()).unwrap(), entry);
}

#[test]
fn a_command_and_its_reply_are_written_like_this() {
    let command = Command::Verify { vm: "db01".to_owned(), point: Some(CycleNumber(4)) };
    let relayed = RelayedCommand::new(0x0123_4567_89ab_cdef, serde_json::to_string(&command).unwrap());
    golden("command.json", &relayed.encode());
    assert_eq!(RelayedCommand::decode(&relayed.encode()).unwrap(), relayed);
    let disk = VerifiedDisk { disk: "scsi0-0".to_owned(), cells: 3203, differing_blocks: vec![7], unreadable_blocks: Vec::new() };
    let reply = Reply::Verified(Verified { vm: "db01".to_owned(), point: CycleNumber(4), equal: false, disks: vec![disk] });
    let bytes = serde_json::to_vec(&reply).unwrap();
    golden("reply.json", &bytes);
    assert_eq!(serde_json::from_slice::<Reply>(&bytes).unwrap(), reply);
}

/// Which object is sealed as which role is part of the format: an object of another role does not open.
#[test]
fn each_role_seals_differently() {
    let sealer = Sealer::new(&DataKey::random(&mut Random::from_seed(3).fork()), [1; 16], [2; 16]);
    let roles = [
        Role::Store,
        Role::Owner,
        Role::Planned,
        Role::Page,
        Role::Commit,
        Role::Receipt,
        Role::Checkpoint,
        Role::Command,
        Role::Reply,
        Role::Spool,
        Role::Vm,
        Role::Initial,
        Role::Further,
        Role::Dropped,
        Role::Lease,
        Role::Mark,
    ];
    let sealed = roles.map(|role| sealer.seal_object(role, "a key", b"the same", &mut Random::from_seed(4).fork()));
    golden("sealed-roles.hex", &sealed.iter().flat_map(|sealed| sealed.whole()).collect::<Vec<_>>());
}

#[test]
fn an_initial_copy_is_announced_like_this() {
    let copy = InitialCopy::new(CycleNumber(1), Attempt(2), "scsi0-0".into(), size());
    golden("initial.json", &copy.encode());
    assert_eq!(InitialCopy::decode(&copy.encode()).unwrap(), copy);
}

#[test]
fn a_further_store_and_its_entry_are_written_like_this() {
    let bound = Bound::new([0xa5; 16], [0xc0; 16], "fast".to_owned());
    golden("bound.json", &bound.encode());
    assert_eq!(Bound::decode(&bound.encode()).unwrap(), bound);
    assert_eq!(bound.number(), StoreNumber(0xc0c0_c0c0));
    let entry = StoreEntry::of(&bound);
    golden("store-entry.json", &entry.encode());
    assert_eq!(StoreEntry::decode(&entry.encode()).unwrap(), entry);
}

#[test]
fn a_record_of_dropped_points_a_lease_and_a_mark_look_like_this() {
    let at = |seconds: i64| jiff::Timestamp::from_second(1_767_225_600 + seconds).unwrap();
    let record = DroppedRecord::new("v".into(), Epoch(2), at(0), CycleNumber(9), vec![CycleNumber(3), CycleNumber(7)]);
    golden("dropped.json", &record.encode());
    assert_eq!(DroppedRecord::decode(&record.encode()).unwrap(), record);
    let lease = Lease::new("a restore".to_owned(), CycleNumber(7), at(60), at(960));
    golden("lease.json", &lease.encode());
    assert_eq!(Lease::decode(&lease.encode()).unwrap(), lease);
    let mark = Mark::new(PointRef { cycle: CycleNumber(7), hash: Sha::of(b"a commit") }, at(60));
    golden("mark.json", &mark.encode());
    assert_eq!(Mark::decode(&mark.encode()).unwrap(), mark);
}
