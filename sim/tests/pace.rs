//! A copy that is held, or told to end, has everything in the store that it read; going on costs nothing that was done before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sim::by_hand::{CELL, MIB};
use sim::scenario::Scene;
use transload::log::layout::AttemptFolder;
use transload::log::page::{self, PageKind};
use transload::log::seal::Role;
use transload::model::{Attempt, CycleNumber, DiskSize};
use transload::pipeline::pace::{Holder, Meter, Order, Pace, Reins, Way};

const BLOCKS: u64 = 24;

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
            std::future::pending::<()>().await;
        };
        let applied = scene.live(|view| view.vm.point.is_some() && view.vm.cycle.is_none());
        tokio::select! {
            () = held => {}
            result = applied => result.unwrap(),
        }
        assert_eq!(scene.source.bytes_read(), BLOCKS * MIB, "held before unit {at}: nothing is read twice");
        scene.sound().await;
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
