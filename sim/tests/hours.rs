//! The calendar over whole agents in virtual time: windows, rates, and a wall clock that people set forward and back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::{Weekday, time};
use jiff::{SignedDuration, Timestamp};
use sim::by_hand::{CELL, MIB};
use sim::scenario::{Lived, Plan, Scene};
use sim::world::World;
use transload::clock::Clock;
use transload::driver::fleet::{Fleet, Located, Wish};
use transload::driver::hours::Hours;
use transload::driver::order::{self, Trial};
use transload::driver::throttle::Lines;
use transload::log::meter::Way;
use transload::pipeline::pace::{Pace, Reins};
use transload::policy::admission::{Kind, Limits, Standing};
use transload::policy::calendar::{Blackout, Calendar, Days, Direction, Length, Limit, OnEnter, Whose, Window, zone};
use transload::policy::governor::Rules;
use transload::policy::throttle::{Node, Rate};
use transload::policy::vm::command::{Command, Denial, Verdict};
use transload::policy::vm::{Seat, SeatNeed, Vm};

/// Tokio's paused clock, with hands that can be moved.
struct Hands {
    began: tokio::time::Instant,
    at: Mutex<Timestamp>,
}

impl Hands {
    fn at(moment: &str) -> Arc<Hands> {
        Arc::new(Hands { began: tokio::time::Instant::now(), at: Mutex::new(moment.parse().unwrap()) })
    }

    fn move_by(&self, minutes: i64) {
        *self.at.lock().unwrap() += SignedDuration::from_mins(minutes);
    }
}

#[async_trait]
impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.at.lock().unwrap() + SignedDuration::try_from(self.began.elapsed()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

fn nightly(zone_name: &str, from: i8, until: i8) -> Window {
    Window::new(Days::ALL, time(from, 0, 0, 0), Length::Until(time(until, 0, 0, 0)), zone(zone_name).unwrap())
}

/// Looks at the clock whenever a cycle begins.
fn watch(world: World, clock: Arc<Hands>, calendar: Calendar, begun: Arc<AtomicU64>) {
    let again = world.clone();
    world.when("gateway cycle-began", move || {
        let now = clock.now();
        assert!(calendar.blackout(now).is_none(), "a cycle began at {now}");
        begun.fetch_add(1, Ordering::Relaxed);
        watch(again, clock, calendar, begun);
    });
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_in_a_window_and_nothing_hangs_however_the_wall_clock_is_set() {
    for seed in 0..12 {
        let calendar = Calendar {
            blackouts: [nightly("Europe/Berlin", 22, 6), nightly("America/New_York", 11, 13)]
                .map(|window| Blackout { window, on_enter: OnEnter::Finish })
                .into(),
            limits: Vec::new(),
        };
        let mut scene = Scene::calm(&[MIB]);
        let clock = Hands::at(["2026-03-28T15:00:00Z", "2026-10-24T15:00:00Z", "2026-12-01T23:30:00Z"][seed % 3]);
        (scene.clock, scene.hours) = (clock.clone(), Arc::new(Hours::new(calendar.clone())));
        let (begun, random) = (Arc::new(AtomicU64::new(0)), World::new(seed as u64));
        watch(scene.world.clone(), clock.clone(), calendar, begun.clone());
        let meddle = async {
            loop {
                tokio::time::sleep(Duration::from_secs(60 + random.below(4 * 3600))).await;
                clock.move_by(random.below(24 * 60) as i64 - 12 * 60);
                scene.write(&scene.disk(0), random.below(15) * CELL, CELL);
            }
        };
        // A clock that is set back by half a day may cost half a day.
        let enough = begun.clone();
        tokio::select! {
            biased;
            result = scene.live(move |view| enough.load(Ordering::Relaxed) > 40 && view.vm.cycle.is_none()) => result.unwrap(),
            () = meddle => {}
        }
        scene.sound().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_takes_what_its_bytes_take_at_the_rate_of_the_hour() {
    // From 07:00 to 08:00 a quarter of a megabyte a second, from then on none.
    let rate = 250_000;
    let limit = Limit {
        window: Some(nightly("UTC", 7, 8)),
        direction: Direction::Send,
        whose: Whose::Node(Node::Appliance),
        rate: Rate::bytes(rate).unwrap(),
    };
    for (began, throttled) in [("2026-12-01T07:00:00Z", true), ("2026-12-01T09:00:00Z", false)] {
        let mut scene = Scene::calm(&[24 * MIB]);
        (0..24).for_each(|block| scene.write(&scene.disk(0), block * MIB, 5 * CELL));
        let clock = Hands::at(began);
        let (lines, hours) =
            (Lines::new(clock.clone()), Arc::new(Hours::new(Calendar { blackouts: Vec::new(), limits: vec![limit.clone()] })));
        scene.pace = Pace { reins: Reins::default(), meter: Arc::new(lines.meter("store", "db01")) };
        (scene.clock, scene.hours) = (clock.clone(), hours.clone());
        tokio::select! {
            biased;
            result = scene.live(|view| view.vm.point.is_some() && view.vm.cycle.is_none()) => result.unwrap(),
            never = hours.keep(&lines, &*clock) => match never {},
        }
        let keys = scene.sink.keys("vm/");
        let stored: u64 = keys.iter().filter(|key| key.contains("/seg-")).map(|key| scene.sink.object(key).unwrap().len() as u64).sum();
        let (took, due) = (clock.monotonic().as_secs_f64(), stored as f64 / rate as f64);
        assert!(stored > 7_000_000, "{stored}");
        match throttled {
            // The store answers at once, and a receipt is looked for every second.
            true => assert!(took > due * 0.95 && took < due * 1.05 + 3.0, "{took} s for {due} s"),
            false => assert!(took < 5.0, "{took} s"),
        }
        assert!(lines.flow(Way::Read) > 0);
        scene.sound().await;
    }
}

const BLOCKS: u64 = 24;

/// A first copy that takes some time, because each put of the store does.
fn first_copy() -> Scene {
    let scene = Scene::new(&Plan { paced: true, ..Plan::calm(vec![BLOCKS * MIB], 0) });
    (0..BLOCKS).for_each(|block| scene.write(&scene.disk(0), block * MIB + 3 * CELL, 2 * CELL));
    scene
}

/// Its agent is started at such a moment that the copy is in its middle when a window opens that parks.
async fn before(window: Window, opens: &str) -> (Scene, Arc<Hands>) {
    let (mut scene, undisturbed) = (first_copy(), first_copy());
    let began = tokio::time::Instant::now();
    let middle = async {
        while undisturbed.sink.keys("vm/").iter().filter(|key| key.contains("/page-")).count() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        () = middle => {}
        result = undisturbed.live(|_| false) => panic!("{result:?}"),
    }
    let (ahead, clock) = (began.elapsed(), Hands::at(opens));
    *clock.at.lock().unwrap() -= SignedDuration::try_from(ahead).unwrap();
    let calendar = Calendar { blackouts: vec![Blackout { window, on_enter: OnEnter::Park }], limits: Vec::new() };
    (scene.clock, scene.hours) = (clock.clone(), Arc::new(Hours::new(calendar)));
    (scene, clock)
}

/// A life that lasts so long and ends as a kill does, or with the first recovery point.
async fn live_for(scene: &Scene, hours: f64) {
    tokio::select! {
        biased;
        result = scene.live(|view| view.vm.point.is_some() && view.vm.cycle.is_none()) => result.unwrap(),
        () = tokio::time::sleep(Duration::from_secs_f64(hours * 3600.0)) => {}
    }
}

/// How much was read, of a copy that is in its middle and has its snapshot open.
fn in_its_middle(scene: &Scene) -> u64 {
    let read = scene.source.bytes_read();
    assert!(0 < read && read < BLOCKS * MIB && scene.source.open_snapshots() == 1, "{read} bytes, {}", scene.world.trace().join("\n"));
    read
}

#[tokio::test(start_paused = true)]
async fn a_first_copy_stands_still_in_a_window_that_parks_and_goes_on_where_it_stands() {
    let (scene, clock) = before(nightly("UTC", 22, 6), "2026-12-01T22:00:00Z").await;
    let look = async {
        let mut seen = Vec::new();
        for hours in [0.1, 1.0, 6.85] {
            tokio::time::sleep(Duration::from_secs_f64(hours * 3600.0)).await;
            seen.push(in_its_middle(&scene));
        }
        assert!(seen[0] == seen[1] && seen[1] == seen[2], "{seen:?}");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = look => {}
        () = live_for(&scene, 24.0) => {}
    }
    let took = clock.monotonic().as_secs();
    assert!((8 * 3600..8 * 3600 + 120).contains(&took), "it went on when the window was over, and took {took} s");
    assert_eq!(scene.source.bytes_read(), BLOCKS * MIB, "nothing is read twice");
    scene.sound().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_killed_in_a_window_that_parks_stands_still_again_and_holds_no_place() {
    let (mut scene, _) = before(nightly("UTC", 22, 6), "2026-12-01T22:00:00Z").await;
    live_for(&scene, 1.0).await;
    let read = in_its_middle(&scene);
    // Another VM, whose final cycle was begun in spite of the window, has the only place while this one stands still.
    let fleet = Fleet::new(Limits { disks: 1, ..Limits::default() }, Rules::default());
    scene.fleet = Some(fleet.clone());
    let look = async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        let other = fleet.join(&"other".into(), "other", &Vm::default(), Reins::default());
        let now = scene.clock.now();
        let wish = Wish { kind: Kind::Final, standing: Standing::Replicating, since: now, disks_left: Some(1) };
        other.ask("sim", &Located::default(), wish, now);
        assert_eq!(other.seat(), Seat::Held { disks: 1 });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        other.keep(SeatNeed::Nothing, scene.clock.now());
        assert_eq!(in_its_middle(&scene), read);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = look => {}
        () = live_for(&scene, 24.0) => {}
    }
    assert_eq!(scene.source.bytes_read(), BLOCKS * MIB, "nothing is read twice");
    scene.sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_longer_than_a_snapshot_may_be_open_loses_the_snapshot_and_nothing_that_was_read() {
    let long = Window::new(
        Days::NONE.with(Weekday::Tuesday),
        time(0, 0, 0, 0),
        Length::For(SignedDuration::from_hours(100)),
        zone("UTC").unwrap(),
    );
    let (scene, clock) = before(long, "2026-12-01T00:00:00Z").await;
    let look = async {
        for (hours, open) in [(71, 1), (3, 0), (25, 0)] {
            tokio::time::sleep(Duration::from_secs(hours * 3600)).await;
            assert_eq!(scene.source.open_snapshots(), open);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = look => {}
        () = live_for(&scene, 200.0) => {}
    }
    let took = clock.monotonic().as_secs();
    assert!((100 * 3600..100 * 3600 + 120).contains(&took), "{took} s");
    assert_eq!(scene.source.bytes_read(), BLOCKS * MIB, "nothing is read twice");
    scene.sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_final_cycle_in_a_window_is_refused_before_anything_is_touched_and_runs_by_an_operators_word() {
    let mut scene = Scene::calm(&[MIB]);
    let clock = Hands::at("2026-12-01T20:00:00Z");
    let calendar = Calendar { blackouts: vec![Blackout { window: nightly("UTC", 22, 6), on_enter: OnEnter::Park }], limits: Vec::new() };
    (scene.clock, scene.hours) = (clock.clone(), Arc::new(Hours::new(calendar.clone())));
    scene.live(|view| view.vm.history.len() == 2 && view.vm.cycle.is_none()).await.unwrap();
    clock.move_by(150);
    let said = |what: &str| scene.world.trace().iter().filter(|line| line.contains(what)).count();
    let operator = |orders| {
        let (scene, said) = (&scene, &said);
        async move {
            let answer = order::ask(&orders, Command::Final, Trial::No).await.unwrap();
            assert!(matches!(answer, Verdict::Denied(Denial::Blackout(_))), "{answer:?}");
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!([said("gateway demanded"), said("gateway powered-off"), said("gateway cycle-began")], [0, 0, 2]);
            assert_eq!(scene.vm().await.demand, None);
            let answer = order::ask(&orders, Command::FinalInBlackout, Trial::No).await.unwrap();
            assert!(matches!(answer, Verdict::Accepted(_)), "{answer:?}");
            std::future::pending().await
        }
    };
    let lived = scene.live_among(|view| view.vm.has_final_point(), operator).await;
    assert_eq!(lived, Ok(Lived::Enough), "{}", scene.world.trace().join("\n"));
    assert!(calendar.blackout(clock.now()).is_some(), "it ran in the window");
    assert_eq!([said("gateway blackout-overridden"), said("gateway powered-off")], [1, 1]);
    scene.sound().await;
}
