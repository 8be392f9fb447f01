//! A copy that is held, or told to end, has everything in the store that it read; going on costs nothing that was done before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sim::by_hand::{CELL, MIB};
use sim::scenario::Scene;
use transload::driver::fleet::{Fleet, Located, Member, Wish};
use transload::log::layout::AttemptFolder;
use transload::log::page::{self, PageKind};
use transload::log::seal::Role;
use transload::model::{Attempt, CycleNumber, DiskSize};
use transload::pipeline::pace::{Holder, Meter, Order, Pace, Reins, Way};
use transload::policy::admission::{Kind, Standing};
use transload::policy::vm::{Seat, SeatNeed, Vm};

const BLOCKS: u64 = 24;
const HOUR: Duration = Duration::from_secs(3600);

/// Counts what is read, and pulls the reins when so many units were let go.
struct Pulls {
    reins: Reins,
    at: u64,
    order: Order,
    units: AtomicU64,
    sent: AtomicU64,
}

#[async_trait]
impl Meter for Pulls {
    fn grain(&self, _way: Way) -> Option<u64> {
        Some(MIB)
    }

    fn rate(&self, _way: Way) -> Option<u64> {
        None
    }

    fn is_on(&self, _host: &str) {}

    async fn pass(&self, way: Way, bytes: u64) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        match way {
            Way::Send => {
                self.sent.fetch_add(bytes, Ordering::Relaxed);
            }
            Way::Read => {
                if self.units.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
                    self.reins.tell(Holder::Final, self.order);
                }
            }
        }
    }
}

/// A disk with data in every block, read one block at a time, whose reins are pulled at this unit.
fn scene(at: u64, order: Order) -> (Scene, Arc<Pulls>) {
    let mut scene = Scene::calm(&[BLOCKS * MIB]);
    for block in 0..BLOCKS {
        scene.write(&scene.disk(0), block * MIB + 3 * CELL, 2 * CELL);
    }
    let reins = Reins::default();
    let [units, sent] = Default::default();
    let pulls = Arc::new(Pulls { reins: reins.clone(), at, order, units, sent });
    scene.pace = Pace { reins, meter: pulls.clone() };
    (scene, pulls)
}

/// The block that the pages in the store reach to.
async fn published(scene: &Scene) -> u64 {
    let log = scene.quiet_log().await.unwrap();
    let folder = AttemptFolder::new(&scene.vm, CycleNumber(1), Attempt::FIRST, &scene.disk(0));
    let mut reached = 0;
    for number in 0.. {
        let Ok(bytes) = log.read(Role::Page, &folder.page(number)).await else { break };
        reached = page::decode(&bytes, DiskSize::new(BLOCKS * MIB).unwrap(), PageKind::Manifest).unwrap().to_block;
    }
    reached
}

/// The scene lives until its first copy is applied, while something is done to it: nothing is read twice, and all of it is right.
async fn is_applied_beside<T>(scene: &Scene, meanwhile: impl Future<Output = T>) {
    let applied = scene.live(|view| view.vm.point.is_some() && view.vm.cycle.is_none());
    let (_done, result) = tokio::join!(meanwhile, applied);
    result.unwrap();
    assert_eq!(scene.source.bytes_read(), BLOCKS * MIB, "nothing is read twice");
    scene.sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_held_anywhere_has_published_what_it_read_and_goes_on_where_it_stands() {
    for at in 1..=BLOCKS {
        let (scene, pulls) = scene(at, Order::Hold);
        let held = async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            let (read, reached) = (scene.source.bytes_read(), published(&scene).await);
            assert_eq!((read, reached), ((at - 1) * MIB, at - 1), "an hour after it was held before unit {at}");
            assert_eq!(scene.source.open_snapshots(), 1, "it is held in place");
            pulls.reins.tell(Holder::Final, Order::Go);
        };
        is_applied_beside(&scene, held).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_told_to_end_anywhere_leaves_everything_that_it_read_to_the_next_process() {
    for at in 1..BLOCKS {
        let (mut scene, pulls) = scene(at, Order::End);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
            result = scene.live(|_| false) => panic!("{result:?}"),
        }
        assert_eq!((scene.source.bytes_read(), published(&scene).await), ((at - 1) * MIB, at - 1));
        let sent = pulls.sent.load(Ordering::Relaxed);
        assert_eq!(sent > 0, at > 1, "what was read is sent, in segments that were metered");
        scene.pace.reins = Reins::default();
        scene.applied().await;
        assert_eq!(scene.source.bytes_read(), BLOCKS * MIB, "ended before unit {at}: nothing is read twice");
    }
}

/// Another VM on the same appliance, whose final cycle begins when the copy has read a third.
async fn another_vms_final_cycle(scene: &Scene, fleet: &Arc<Fleet>, pulls: &Pulls) -> Member {
    while pulls.units.load(Ordering::Relaxed) < BLOCKS / 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let other = fleet.join(&"other".into(), "other", &Vm::default(), Reins::default());
    let now = scene.clock.now();
    let wish = Wish { kind: Kind::Final, standing: Standing::Replicating, since: now, disks_left: Some(1) };
    other.ask("sim", &Located::default(), wish, now);
    assert_eq!(other.seat(), Seat::Held { disks: 1 });
    other
}

/// A scene among other VMs, in which nobody else pulls the reins.
fn among_others() -> (Scene, Arc<Fleet>, Arc<Pulls>) {
    let (mut scene, pulls) = scene(u64::MAX, Order::Go);
    let fleet = Scene::lone_fleet();
    scene.fleet = Some(fleet.clone());
    (scene, fleet, pulls)
}

#[tokio::test(start_paused = true)]
async fn while_another_vms_final_cycle_runs_a_copy_stands_still_and_then_goes_on_where_it_stands() {
    let (scene, fleet, pulls) = among_others();
    let held = async {
        let other = another_vms_final_cycle(&scene, &fleet, &pulls).await;
        tokio::time::sleep(5 * HOUR).await;
        let (read, reached) = (scene.source.bytes_read(), published(&scene).await);
        assert!(read == reached * MIB && (BLOCKS / 3..BLOCKS / 2).contains(&reached), "{read} bytes read, {reached} blocks published");
        assert_eq!(scene.source.open_snapshots(), 1, "it stands still in place");
        other.keep(SeatNeed::Nothing, scene.clock.now());
        other
    };
    is_applied_beside(&scene, held).await;
}

/// What stands still has a snapshot open, and the governor's age holds for it as for any other. None is opened only to be held.
#[tokio::test(start_paused = true)]
async fn a_copy_that_stands_still_for_too_long_loses_its_snapshot_and_nothing_that_it_read() {
    let (scene, fleet, pulls) = among_others();
    let held = async {
        let other = another_vms_final_cycle(&scene, &fleet, &pulls).await;
        for (hours, open) in [(71, 1), (3, 0), (30, 0)] {
            tokio::time::sleep(hours * HOUR).await;
            assert_eq!(scene.source.open_snapshots(), open);
        }
        other.keep(SeatNeed::Nothing, scene.clock.now());
        other
    };
    is_applied_beside(&scene, held).await;
}
