//! The museum of known errors: each test failed once, and its comment tells the story.

use std::sync::Arc;

use bytes::Bytes;
use sim::by_hand::{CELL, MIB};
use sim::scenario::{Plan, Scene};
use sim::source::SourceFault;
use transload::driver::expected::Expected;
use transload::driver::replicas::Replicas;
use transload::log::layout::{self, AttemptFolder};
use transload::model::commit::{Mode, RejectCode, Sha};
use transload::model::{CycleNumber, Epoch, Quiesce, SectorBitmap};
use transload::pipeline::copy::{CopyJob, Progress, copy_disk};
use transload::pipeline::limits::Copies;
use transload::pipeline::source::{Ended, Outcome, Source};
use transload::policy::vm::{EndedAs, Stage, Urgency};
use transload::random::Random;

async fn copied() -> Scene {
    let scene = Scene::calm(&[3 * MIB]);
    scene.applied().await;
    scene
}

/// Asking for the owner failed with `conflict` when a cycle was about to begin, and there was no cycle yet that could fail: the agent
/// asked again at once, for ever, and wrote a fact into its journal each time.
#[tokio::test(start_paused = true)]
async fn an_idle_agent_that_is_taken_over_halts_instead_of_turning_in_circles() {
    let scene = copied().await;
    let (sink, vm) = (scene.sink.clone(), scene.vm.clone());
    scene.world.when("gateway applied", move || sink.tamper(&layout::owner(&vm, Epoch(2)), Some(Bytes::new())));
    let what = scene.live(|_| false).await.unwrap_err();
    assert!(what.contains("owned by another agent"), "{what}");
    assert_eq!(scene.source.open_snapshots(), 0);
}

/// An agent died while its snapshot was open, and another one took the VM over, which had swept before the snapshot was made. The first one
/// came back, saw that the VM was not its own any more, halted, and left its snapshot standing for ever.
#[tokio::test(start_paused = true)]
async fn an_agent_that_lost_its_vm_still_closes_the_snapshot_that_it_left_open() {
    let scene = copied().await;
    scene.until(&["gateway snapshot-opened"]).await;
    scene.sink.tamper(&layout::owner(&scene.vm, Epoch(2)), Some(Bytes::new()));
    assert_eq!(scene.source.open_snapshots(), 1);
    let what = scene.live(|_| false).await.unwrap_err();
    assert!(what.contains("owned by another agent"), "{what}");
    assert_eq!(scene.source.open_snapshots(), 0, "nobody else knows of this snapshot");
}

/// While a page was being published nobody looked at the segments on their way. They held the store's only place, the page waited for it,
/// and the copy stood still for ever.
#[tokio::test(start_paused = true)]
async fn a_store_that_serves_one_request_at_a_time_is_enough() {
    let mut scene = Scene::calm(&[12 * MIB]);
    scene.sink = scene.sink.clone().paced(1);
    for block in 0..12 {
        scene.write(&scene.disk(0), block * MIB, 4 * CELL);
    }
    scene.applied().await;
}

/// The same circle while the store did not answer; and each turn forgot what an unfinished initial had published.
#[test]
fn a_cycle_that_cannot_begin_yet_is_tried_again_and_nothing_fails() {
    use transload::model::{Fault, FaultKind};
    use transload::policy::reaction::{Failing, Patience, Reaction, react};
    use transload::policy::vm::Step;
    let step = Step::BeginCycle { urgency: Urgency::Scheduled };
    let after = |fault: &Fault, tries| {
        let failing = Failing { tries, lasting: std::time::Duration::from_secs(u64::from(tries) * 3600) };
        react(&step, fault, failing, Patience::default())
    };
    for tries in [1, 6, 7, 1000] {
        assert!(matches!(after(&Fault::unavailable("no answer"), tries), Reaction::Retry { .. }), "{tries}");
        assert!(matches!(after(&Fault::new(FaultKind::Denied, "no right"), tries), Reaction::Retry { .. }), "{tries}");
    }
    assert_eq!(after(&Fault::conflict("another agent"), 1), Reaction::Halt);
}

/// One forged object far ahead, `commit/9999999999`, was remembered as the newest cycle seen: no commit was ever judged again.
#[tokio::test(start_paused = true)]
async fn a_commit_forged_far_ahead_hides_no_later_one() {
    let scene = copied().await;
    for number in ["0000000005", "9999999999", "18446744073709551615", "99", "+000000004"] {
        scene.sink.tamper(&format!("vm/{}/commit/{number}", scene.vm), Some(Bytes::from_static(b"forged")));
    }
    for _ in 0..2 {
        scene.write(&scene.disk(0), MIB, CELL);
        scene.applied().await;
    }
    let other = scene.another_agent();
    assert_eq!(other.applied().await[&scene.disk(0)], Mode::Delta);
}

/// `owner/18446744073709551615` made the next agent count one further and die.
#[tokio::test(start_paused = true)]
async fn an_owner_that_no_agent_can_have_written_is_passed_over() {
    let scene = copied().await;
    for number in ["18446744073709551615", "7", "00000000001", "x"] {
        scene.sink.tamper(&format!("vm/{}/owner/{number}", scene.vm), Some(Bytes::new()));
    }
    scene.applied().await;
    let other = scene.another_agent();
    other.applied().await;
    assert_eq!(other.vm().await.epoch, Some(Epoch(2)));
}

/// A new agent stopped for ever at a commit that does not open; and later it tried to use the number that it had taken.
#[tokio::test(start_paused = true)]
async fn a_new_agent_passes_over_a_commit_that_does_not_open() {
    let scene = copied().await;
    scene.sink.tamper(&layout::commit(&scene.vm, CycleNumber(2)), Some(Bytes::from_static(b"forged")));
    let other = scene.another_agent();
    assert_eq!(other.applied().await[&scene.disk(0)], Mode::Delta);
    assert_eq!(other.vm().await.point.unwrap().commit.cycle, CycleNumber(3), "the forged name is not ours");
}

/// The old agent's commit was under way when a new agent took over. The receiver applied it, the new agent never heard of it, and from then
/// on every commit built on a base that the replica had left.
#[tokio::test(start_paused = true)]
async fn a_commit_that_arrives_after_the_vm_was_taken_over_blocks_nobody() {
    let scene = copied().await;
    scene.write(&scene.disk(0), 0, CELL);
    scene.until(&["gateway committed"]).await;
    let key = layout::commit(&scene.vm, CycleNumber(2));
    let late = scene.sink.object(&key);
    scene.sink.tamper(&key, None);
    let other = scene.another_agent();
    other.until(&["gateway owned"]).await;
    scene.sink.tamper(&key, late);
    other.write(&scene.disk(0), 2 * MIB, CELL);
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(other.cycle().await.outcome);
    }
    assert_eq!(outcomes.last(), Some(&EndedAs::Applied), "{outcomes:?}");
    other.sound().await;
    assert!(other.vm().await.history.iter().all(|ended| ended.disks.iter().all(|disk| disk.mode == Mode::Delta)));
}

/// Both agents counted a cycle's attempts from one. A late page of the old agent then stood where the new one looked for its own
/// progress, and half of one snapshot was committed as half of another.
#[tokio::test(start_paused = true)]
async fn pages_of_an_agent_that_was_taken_over_are_never_taken_for_our_own() {
    let scene = Scene::calm(&[3 * MIB]);
    for block in 0..3 {
        scene.write(&scene.disk(0), block * MIB, 8 * CELL);
    }
    scene.until(&["gateway cycle-began"]).await;
    let old = scene.vm().await.cycle.unwrap();
    let other = scene.another_agent();
    other.until(&["gateway disk-planned"]).await;

    // The old agent's process still runs: it copies a snapshot of its own, of a later moment.
    scene.write(&scene.disk(0), 0, CELL);
    let source: std::sync::Arc<dyn Source> = std::sync::Arc::new(scene.source.clone());
    let opened = match source.open_snapshot(&scene.source.vm(), "the old agent's", Quiesce::Unwanted).await.unwrap() {
        Outcome::Done(opened) => opened,
        Outcome::Pending { operation, .. } => match source.poll(&operation).await.unwrap() {
            Outcome::Done(Ended::Opened(opened)) => opened,
            other => panic!("{other:?}"),
        },
    };
    let log = scene.quiet_log().await.unwrap();
    let size = source.disks(&opened.token).await.unwrap()[0].size;
    let planned = SectorBitmap::whole(size);
    let folder = AttemptFolder::new(&scene.vm, old.number, old.attempt, &scene.disk(0));
    let planned_parts = log.create_planned(&folder, &planned).await.unwrap();
    let planned_digest = transload::model::commit::Sha(transload::log::planned::bitmap_digest(&planned));
    let job = CopyJob {
        vm: scene.vm.clone(),
        cycle: old.number,
        attempt: old.attempt,
        disk: scene.disk(0),
        size,
        token: opened.token.clone(),
        planned: planned.into(),
        planned_parts,
        planned_digest,
        base: None,
    };
    copy_disk(&job, &*source, &log, &Copies::new(scene.limits).enter(), &Progress::default()).await.unwrap();
    source.close_snapshot(&opened.token, transload::model::Closing::DiscardMarkers).await.unwrap();
    other.applied().await;
}

/// The power failed while a commit was being applied. The spool does not promise to survive that, yet what it held was believed to be
/// what had been verified: a file of the right length and of zeros stopped the replica for ever.
#[tokio::test(start_paused = true)]
async fn a_spool_that_did_not_survive_the_power_failure_is_fetched_again() {
    let scene = copied().await;
    scene.write(&scene.disk(0), MIB, 2 * CELL);
    scene.until(&["replica apply-began"]).await;
    let spooled: Vec<String> = scene.work.names().into_iter().filter(|name| name.contains("/spool/")).collect();
    assert!(spooled.len() >= 2);
    for name in spooled {
        scene.work.tamper(&name, |bytes| bytes.fill(0));
    }
    scene.applied().await;
}

/// A digest table that is wrong, by a fault of the local disk, made the receiver refuse every cycle from then on, although the log could
/// have told it better.
#[tokio::test(start_paused = true)]
async fn a_digest_table_that_is_wrong_costs_one_cycle_and_not_all() {
    let scene = copied().await;
    scene.work.tamper(&transload::receiver::places::table(&scene.vm, &scene.disk(0)), |bytes| bytes[4096..].fill(7));
    scene.source.reset();
    scene.rejected(RejectCode::NotSame).await;
    scene.applied().await;
}

/// A damaged checkpoint, which is only a shorter way through manifests that are all there, made the receiver refuse every cycle after it.
#[tokio::test(start_paused = true)]
async fn a_damaged_checkpoint_stops_nothing() {
    for what in ["/done", "/page-"] {
        let scene = copied().await;
        scene.applied().await;
        scene.applied().await;
        scene.until(&["gateway cycle-began"]).await;
        let checkpoint = format!("vm/{}/checkpoint/", scene.vm);
        let key = scene.sink.keys(&checkpoint).into_iter().find(|key| key.contains(what)).unwrap();
        scene.sink.tamper(&key, Some(Bytes::from_static(b"damaged")));
        for _ in 0..2 {
            scene.write(&scene.disk(0), MIB, CELL);
            assert_eq!(scene.cycle().await.outcome, EndedAs::Applied);
            scene.check_replica().await.unwrap();
        }
        if what == "/done" {
            scene.sound().await;
        }
    }
}

/// The name of an initial's commit was taken by something forged. The cycle had failed, and with it everything that it had copied was
/// forgotten.
#[tokio::test(start_paused = true)]
async fn an_initial_whose_commit_was_forged_is_not_copied_again() {
    let scene = Scene::calm(&[3 * MIB]);
    for block in 0..3 {
        scene.write(&scene.disk(0), block * MIB, 8 * CELL);
    }
    let (sink, vm) = (scene.sink.clone(), scene.vm.clone());
    let forge = move || sink.tamper(&layout::commit(&vm, CycleNumber(1)), Some(Bytes::from_static(b"forged")));
    scene.world.when("gateway snapshot-closed", forge);
    assert!(matches!(scene.cycle().await.outcome, EndedAs::Failed(_)));
    let stored = scene.sink.bytes_stored("vm/");
    scene.write(&scene.disk(0), 2 * MIB, CELL);
    assert_eq!(scene.applied().await[&scene.disk(0)], Mode::Initial);
    let again = scene.sink.bytes_stored("vm/") - stored;
    assert!(again < 2 * CELL, "{again} bytes were sent again");
}

/// A segment was damaged on its way and the reply to it lost. Its name was taken by something else than what was sent, and the whole cycle
/// failed, and an initial lost all it had, where another name would have done.
#[tokio::test(start_paused = true)]
async fn a_segment_whose_name_is_taken_gets_another_one() {
    let scene = Scene::calm(&[3 * MIB]);
    scene.sink.spoil_next_segment();
    scene.applied().await;
    assert_eq!(scene.vm().await.point.unwrap().commit.cycle.0, 1);
}

/// A source that cannot release old markers kept a VM waiting for ever, with its cycle applied and nobody told.
#[tokio::test(start_paused = true)]
async fn markers_that_cannot_be_released_hold_nothing_up() {
    let scene = copied().await;
    scene.source.misbehave(SourceFault::KeepsMarkers);
    scene.applied().await;
}

/// A source named one disk twice, and the second description silently replaced the first.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_named_twice_fails_the_cycle() {
    let scene = copied().await;
    scene.source.misbehave(SourceFault::ListsTwice);
    let EndedAs::Failed(fault) = scene.cycle().await.outcome else { panic!("a disk was named twice and nobody noticed") };
    assert!(fault.message.contains("twice"), "{fault}");
    scene.applied().await;
}

/// A halted VM stayed halted when the reason was gone: no command led out of it.
#[tokio::test(start_paused = true)]
async fn a_halted_vm_looks_again_when_it_is_asked_to() {
    let scene = copied().await;
    let key = layout::commit(&scene.vm, CycleNumber(1));
    let commit = scene.sink.object(&key);
    scene.sink.tamper(&key, None);
    assert!(scene.try_until(&[]).await.unwrap_err().contains("does not hold the commit"));
    // Asking alone changes nothing, as long as the reason stands.
    scene.ask(Urgency::Demanded).await;
    assert!(scene.try_until(&[]).await.unwrap_err().contains("does not hold the commit"));
    scene.sink.tamper(&key, commit);
    assert!(scene.try_until(&[]).await.unwrap_err().contains("does not hold the commit"), "it goes on only when it is asked to");
    scene.ask(Urgency::Demanded).await;
    scene.applied().await;
}

/// A receiver refused a forged commit, lost its journal, and met the true commit in its place: it applied what the gateway held for
/// refused, could not say so, and stood still.
#[tokio::test(start_paused = true)]
async fn what_was_refused_once_stays_refused() {
    let scene = copied().await;
    scene.write(&scene.disk(0), MIB, CELL);
    scene.until(&["gateway committed"]).await;
    let key = layout::commit(&scene.vm, CycleNumber(2));
    let commit = scene.sink.object(&key);
    scene.sink.tamper(&key, Some(Bytes::from_static(b"forged")));
    scene.rejected(RejectCode::Damaged).await;
    scene.sink.tamper(&key, commit);
    scene.replicas.lose();
    scene.work.lose();
    scene.journal.forget(&transload::driver::judge::aggregate(&scene.vm));
    scene.write(&scene.disk(0), 2 * MIB, CELL);
    scene.applied().await;
    assert_eq!(scene.vm().await.point.unwrap().commit.cycle.0, 3);
}

/// A disk grew between two attempts at its initial: what the first had published was described for another size, and the cycle failed.
#[tokio::test(start_paused = true)]
async fn a_disk_that_grows_between_two_attempts_begins_anew_without_failing() {
    let scene = Scene::calm(&[6 * MIB]);
    for block in 0..6 {
        scene.write(&scene.disk(0), block * MIB, 4 * CELL);
    }
    let mut fuse = 0;
    while !scene.sink.keys("vm/").iter().any(|key| key.contains("/page-")) {
        fuse += 5;
        scene.world.light_fuse(fuse);
        scene.until(&[]).await;
    }
    assert!(matches!(scene.vm().await.cycle.unwrap().stage, Stage::Open { .. }));
    scene.source.lose_snapshots();
    scene.source.grow(&scene.disk(0), MIB + 512);
    scene.applied().await;
}

/// A final cycle was refused, and the next one was an ordinary one: the cutover waited for a final point that never came.
#[tokio::test(start_paused = true)]
async fn a_final_cycle_that_is_refused_is_followed_by_a_final_one() {
    let scene = copied().await;
    scene.write(&scene.disk(0), MIB, CELL);
    scene.ask(Urgency::Final).await;
    scene.until(&["gateway committed"]).await;
    let segment = scene.sink.keys("vm/").into_iter().rfind(|key| key.contains("0000000002.") && key.contains("/seg-")).unwrap();
    scene.sink.tamper(&segment, None);
    scene.rejected(RejectCode::Damaged).await;
    scene.applied().await;
    assert!(scene.vm().await.point.unwrap().last);
}

/// The same of a final cycle that failed before it was committed: the source stayed off, was replicated as if nothing had been asked for, and
/// the cutover waited for ever. Found by seeds of several VMs (41 and 72), whose final cycles met a page of changes that was left out.
#[tokio::test(start_paused = true)]
async fn a_final_cycle_that_fails_is_followed_by_a_final_one() {
    let scene = copied().await;
    scene.write(&scene.disk(0), MIB, CELL);
    scene.ask(Urgency::Final).await;
    scene.source.misbehave(SourceFault::ListsTwice);
    assert!(matches!(scene.cycle().await.outcome, EndedAs::Failed(_)));
    scene.applied().await;
    assert!(scene.vm().await.point.unwrap().last);
}

/// Whoever mistypes a bucket while expecting a point would be bound to the wrong store from then on.
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_hold_what_is_expected_is_neither_begun_nor_pinned() {
    let plan = Plan::calm(vec![MIB], 1);
    let (scene, anothers, empty) = (Scene::new(&plan), Scene::new(&plan), Scene::new(&plan));
    let random = || Random::from_seed(7);
    anothers.log(Arc::new(anothers.sink.clone()), random()).await.unwrap();
    let expected = Expected::from([("vm".to_owned(), Sha::of(b"a point"))]);
    for wrong in [&anothers.sink, &empty.sink] {
        let held = wrong.keys("");
        let fault = scene.log_that_holds(&expected, Arc::new(wrong.clone()), random()).await.map(drop).unwrap_err();
        assert!(fault.message.ends_with("Nothing was begun or written"), "{}", fault.message);
        assert_eq!(wrong.keys(""), held);
    }
    scene.log(Arc::new(scene.sink.clone()), random()).await.unwrap();
}

/// At a start the VM and its entry in the store ask for the replica's task at the same moment. The second one's view took the place of the
/// first one's, whose task then saw that nobody looked, and ended: no commit of that VM was judged any more, and nothing said why.
#[tokio::test(start_paused = true)]
async fn a_replica_that_is_asked_for_twice_at_once_is_taken_up_once_and_goes_on() {
    let scene = Scene::calm(&[MIB]);
    let log = scene.log(Arc::new(scene.sink.clone()), Random::from_seed(7)).await.unwrap();
    let replicas = Replicas::new(scene.receiver(log));
    let (failed, mut failures) = tokio::sync::mpsc::channel(1);
    let (first, second) = tokio::join!(replicas.take_up(&scene.vm, failed.clone()), replicas.take_up(&scene.vm, failed));
    first.and(second).unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(replicas.views().len(), 1);
    // The task holds the only sender that is left, as long as it lives.
    assert_eq!(failures.try_recv(), Err(tokio::sync::mpsc::error::TryRecvError::Empty));
}
