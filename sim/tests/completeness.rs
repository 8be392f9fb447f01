//! What the source said changed is what must arrive: an extent that gets lost anywhere on the way makes the cycle fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sim::by_hand::{CELL, MIB};
use sim::scenario::Scene;
use sim::source::SourceFault;
use transload::cpu::Cpu;
use transload::driver::gateway::VmView;
use transload::log::layout::AttemptFolder;
use transload::log::page::{self, Entry, PageKind};
use transload::log::seal::Role;
use transload::log::store::Log;
use transload::model::commit::RejectCode;
use transload::model::{Attempt, CellMask, CycleNumber, DiskSize, SectorBitmap, VmId};
use transload::pipeline::copy::{CopyJob, Progress, copy_disk};
use transload::pipeline::limits::Copies;
use transload::pipeline::source::Source;
use transload::policy::vm::{Copying, EndedAs, Stage};

/// After an initial the guest wrote in two places, and the second cycle has planned them.
async fn with_two_changes() -> (Scene, Log) {
    let scene = Scene::calm(&[4 * MIB]);
    scene.applied().await;
    scene.write(&scene.disk(0), 0, CELL);
    scene.write(&scene.disk(0), 2 * MIB, CELL);
    let log = scene.quiet_log().await.unwrap();
    (scene, log)
}

fn replace(scene: &Scene, log: &Log, role: Role, key: &str, plain: &[u8]) {
    let sealed = log.sealer().seal_object(role, key, plain, &mut log.random().fork());
    scene.sink.tamper(key, Some(sealed.whole()));
}

async fn open_copy(scene: &Scene) -> (Copying, transload::model::SnapshotToken) {
    match scene.vm().await.cycle.unwrap().stage {
        Stage::Open { token, disks: Some(disks), .. } => (disks.each.into_values().next().unwrap(), token),
        other => panic!("no snapshot is open: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_extent_dropped_between_plan_and_read_fails_the_cycle() {
    let (scene, log) = with_two_changes().await;
    scene.until(&["gateway disk-planned"]).await;
    let (copying, token) = open_copy(&scene).await;
    let plan = copying.plan.unwrap();
    let mut lacking = SectorBitmap::empty(copying.source.size);
    lacking.insert_block(0, CellMask(1));
    let job = CopyJob {
        vm: scene.vm.clone(),
        cycle: CycleNumber(2),
        attempt: Attempt::FIRST,
        disk: scene.disk(0),
        size: copying.source.size,
        token,
        planned: Arc::new(lacking),
        planned_parts: plan.parts,
        planned_digest: plan.digest,
        base: None,
    };
    let source: Arc<dyn Source> = Arc::new(scene.source.clone());
    copy_disk(&job, &*source, &log, &Copies::new(scene.limits).enter(), &Progress::default()).await.unwrap();
    // The agent finds the copy done, as after a crash, and commits it.
    let message = scene.rejected(RejectCode::Incomplete).await;
    assert!(message.contains("planned 256 sectors"), "{message}");
    scene.applied().await;
}

/// Rewrites the page of cycle 2 as a gateway with a fault would have published it, before anything names its digest.
fn spoil_page(scene: &Scene, log: &Log, spoil: impl FnOnce(&mut Vec<Entry>)) {
    let size = DiskSize::new(4 * MIB).unwrap();
    let key = AttemptFolder::new(&scene.vm, CycleNumber(2), Attempt::FIRST, &scene.disk(0)).page(0);
    let sealed = scene.sink.object(&key).unwrap();
    let plain = log.sealer().open_object(Role::Page, &key, &sealed).unwrap();
    let mut page = page::decode(&plain, size, PageKind::Manifest).unwrap();
    assert_eq!(page.entries.len(), 2);
    spoil(&mut page.entries);
    replace(scene, log, Role::Page, &key, &page::encode(&page));
}

/// All was read and published, but the process died before the fact: it will take what it finds for its own work.
async fn until_published(scene: &Scene) {
    scene.until(&["gateway disk-planned"]).await;
    let mut effects = 0;
    while scene.sink.keys("vm/").iter().all(|key| !key.contains("0000000002.0001/") || !key.contains("/page-")) {
        effects += 1;
        scene.world.light_fuse(effects);
        scene.until(&[]).await;
        assert!(effects < 1000 && scene.vm().await.cycle.unwrap().number.0 == 2, "no page came");
    }
}

#[tokio::test(start_paused = true)]
async fn an_extent_dropped_between_read_and_manifest_fails_the_cycle() {
    let (scene, log) = with_two_changes().await;
    until_published(&scene).await;
    spoil_page(&scene, &log, |entries| {
        entries.pop();
    });
    let message = scene.rejected(RejectCode::Incomplete).await;
    assert!(message.contains("its manifests do not carry exactly those"), "{message}");
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn a_page_that_lost_an_entry_after_it_was_named_fails_the_cycle() {
    let (scene, log) = with_two_changes().await;
    scene.until(&["gateway committed"]).await;
    spoil_page(&scene, &log, |entries| {
        entries.remove(0);
    });
    let message = scene.rejected(RejectCode::Damaged).await;
    assert!(message.contains("are not the ones that the commit names"), "{message}");
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_nobody_planned_is_not_written_either() {
    let (scene, log) = with_two_changes().await;
    until_published(&scene).await;
    spoil_page(&scene, &log, |entries| entries.push(Entry::Zeros { block: 3, count: 1 }));
    scene.rejected(RejectCode::Incomplete).await;
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn a_whole_page_of_changes_dropped_fails_the_cycle() {
    let (scene, _) = with_two_changes().await;
    let (replicas, point) = (scene.replica_bytes(), scene.vm().await.point);
    scene.source.misbehave(SourceFault::DropsPage);
    let ended = scene.cycle().await;
    let EndedAs::Failed(fault) = ended.outcome else { panic!("not failed but {:?}", ended.outcome) };
    assert!(fault.message.contains("a page of changes covers"), "{fault}");
    assert!(scene.replica_bytes() == replicas && scene.vm().await.point == point);
    assert_eq!(scene.source.open_snapshots(), 0);
    scene.applied().await;
}

/// The source opens a snapshot for this VM, and names it as one that another VM of this agent has open.
#[tokio::test(start_paused = true)]
async fn the_snapshot_of_another_vm_is_neither_read_nor_closed() {
    let (mut scene, _) = with_two_changes().await;
    let (replicas, read, made) = (scene.replica_bytes(), scene.source.bytes_read(), scene.source.snapshots_made());
    let fleet = Scene::lone_fleet();
    fleet.claim(&scene.enrolment().source, &format!("snapshot-{}", made + 1).as_str().into(), &VmId::from("another-vm")).unwrap();
    scene.fleet = Some(fleet);
    let said = |view: &VmView| {
        let failed = view.vm.history.iter().filter_map(|ended| match &ended.outcome {
            EndedAs::Failed(fault) => Some(fault),
            _ => None,
        });
        view.trouble.iter().chain(&view.vm.halted).chain(failed).any(|fault| fault.message.contains("belongs to the VM another-vm"))
    };
    if let Err(why) = scene.live(said).await {
        assert!(why.contains("belongs to the VM another-vm"), "{why}");
    }
    assert!(scene.replica_bytes() == replicas && scene.source.bytes_read() == read);
    assert_eq!(scene.source.open_snapshots(), 1, "the other VM's is left alone");
}

#[tokio::test(start_paused = true)]
async fn changes_that_end_before_the_disk_does_fail_the_cycle() {
    let (scene, _) = with_two_changes().await;
    scene.source.misbehave(SourceFault::EndsEarly);
    let ended = scene.cycle().await;
    let EndedAs::Failed(fault) = ended.outcome else { panic!("not failed but {:?}", ended.outcome) };
    assert!(fault.message.contains("and then stopped"), "{fault}");
    scene.applied().await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_for_other_sectors_than_were_planned_halts_the_vm() {
    let (scene, log) = with_two_changes().await;
    scene.until(&["gateway committed"]).await;
    scene.until(&["replica applied"]).await;
    let key = transload::log::layout::receipt(&scene.vm, CycleNumber(2), 0);
    let plain = log.read(Role::Receipt, &key).await.unwrap();
    let mut receipt = transload::model::commit::Receipt::decode(&plain).unwrap();
    let transload::model::commit::Verdict::Applied { disks } = &mut receipt.verdict else { panic!("cycle 2 was not applied") };
    disks[0].covered_digest = transload::model::commit::Sha::of(b"other sectors");
    replace(&scene, &log, Role::Receipt, &key, &receipt.encode());
    let point = scene.vm().await.point;
    let what = scene.try_until(&["gateway applied"]).await.unwrap_err();
    assert!(what.contains("wrote other sectors of disk"), "{what}");
    assert_eq!(scene.vm().await.point, point);
}

/// A store that takes its time holds the source back: what is read and cannot be stored yet is memory.
#[tokio::test(start_paused = true)]
async fn no_more_is_read_than_may_be_in_flight() {
    const BLOCKS: u64 = 64;
    let scene = Scene::calm(&[BLOCKS * MIB]);
    for block in 0..BLOCKS {
        scene.write(&scene.disk(0), block * MIB, 4 * CELL);
    }
    scene.until(&["gateway disk-planned"]).await;
    let (copying, token) = open_copy(&scene).await;
    let (plan, size) = (copying.plan.unwrap(), copying.source.size);
    let job = CopyJob {
        vm: scene.vm.clone(),
        cycle: CycleNumber(1),
        attempt: Attempt::FIRST,
        disk: scene.disk(0),
        size,
        token,
        planned: Arc::new(SectorBitmap::whole(size)),
        planned_parts: plan.parts,
        planned_digest: plan.digest,
        base: None,
    };
    let quiet = scene.quiet_log().await.unwrap();
    let log = Log::new(Arc::new(scene.sink.quiet().paced(1)), quiet.sealer().clone(), quiet.random().clone(), Cpu::Inline);
    let (source, progress): (Arc<dyn Source>, _) = (Arc::new(scene.source.clone()), Progress::default());
    let copies = Copies::new(scene.limits);
    let share = copies.enter();
    // Shorter than one put takes.
    let copying = copy_disk(&job, &*source, &log, &share, &progress);
    tokio::time::timeout(Duration::from_secs(1), copying).await.map(drop).unwrap_err();
    let read = progress.read.load(Ordering::Relaxed);
    // 256 KiB of each MiB are data: what is read ahead, and what fills the segments on their way and the next one.
    let stored = (scene.limits.segments_at_once as u64 + 1) * scene.limits.segment_bytes * 4;
    assert!(read > 0 && read <= scene.limits.read_ahead + stored + 2 * MIB, "{read} bytes were read");
}
