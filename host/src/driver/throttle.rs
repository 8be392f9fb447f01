//! The throttle, carried out: copies ask for bytes, and each waits until the tree of `policy/throttle.rs` lets them go.
//!
//! ```text
//!   copy ─ pass ─▶ ask ─▶ wait ──────────────▶ let go
//!   copy ─ pass ─▶ ask ─▶ wait, with the baton: serve, sleep until more may go, serve …
//! ```
//!
//! Whoever waits carries it: one of them has the baton, which goes on to the next one when that one is let go or gives up. So nothing runs
//! while nobody waits, and time is the caller's clock. Where no rate is set, bytes are counted for display and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::log::meter::{Meter, Way};
use crate::policy::throttle::{Node, Rate, Rates, Throttle, Ticket};

use super::flow::Flow;

/// What is asked for at once where bytes are held back, at most.
const GRAIN_MAX: u64 = 64 * 1024;
const OPEN: u64 = u64::MAX;

/// All that goes one way.
struct Line {
    tree: Mutex<Tree>,
    /// Held by the one who serves.
    baton: tokio::sync::Mutex<()>,
    /// Somebody asked, or the rates are others.
    changed: Notify,
    /// Bytes to ask for at once; `OPEN`: nothing is held back anywhere.
    grain: AtomicU64,
    /// All bytes so far.
    passed: AtomicU64,
    flow: Mutex<Flow>,
}

#[derive(Default)]
struct Tree {
    throttle: Throttle,
    waiting: BTreeMap<Ticket, oneshot::Sender<()>>,
}

impl Line {
    fn new() -> Line {
        Line {
            tree: Mutex::default(),
            baton: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            grain: AtomicU64::new(OPEN),
            passed: AtomicU64::new(0),
            flow: Mutex::default(),
        }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().expect("nothing panics while it holds this")
    }

    fn set(&self, rates: Rates, now: Duration) {
        let grain = rates.lowest().map_or(OPEN, |rate| rate.burst_bytes().min(GRAIN_MAX));
        self.tree().throttle.set_rates(rates, now);
        self.grain.store(grain, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn is_open(&self) -> bool {
        self.grain.load(Ordering::Relaxed) == OPEN
    }

    /// Lets go who may go; answers when to serve again.
    fn serve(&self, now: Duration) -> Option<Duration> {
        let mut tree = self.tree();
        let served = tree.throttle.serve(now);
        for grant in served.grants.iter().filter(|grant| grant.done) {
            if let Some(waiting) = tree.waiting.remove(&grant.ticket) {
                // Who gave up meanwhile does not hear it.
                let _ = waiting.send(());
            }
        }
        served.again
    }

    async fn pass(&self, lane: &[Node], bytes: u64, clock: &dyn Clock) {
        if !self.is_open() {
            self.wait(lane, bytes, clock).await;
        }
        self.passed.fetch_add(bytes, Ordering::Relaxed);
    }

    fn flow(&self, now: Duration) -> u64 {
        let passed = self.passed.load(Ordering::Relaxed);
        self.flow.lock().expect("nothing panics while it holds this").bytes_per_second(passed, now)
    }

    async fn wait(&self, lane: &[Node], bytes: u64, clock: &dyn Clock) {
        let (go, mut goes) = oneshot::channel();
        let ticket = {
            let mut tree = self.tree();
            let ticket = tree.throttle.ask(lane, bytes, clock.monotonic());
            tree.waiting.insert(ticket, go);
            ticket
        };
        let _place = Place { line: self, lane, ticket };
        self.changed.notify_one();
        tokio::select! {
            biased;
            _ = &mut goes => {}
            baton = self.baton.lock() => {
                let _baton = baton;
                loop {
                    let again = self.serve(clock.monotonic());
                    if goes.try_recv().is_ok() {
                        return;
                    }
                    tokio::select! {
                        biased;
                        () = self.changed.notified() => {}
                        () = sleep_until(again, clock) => {}
                    }
                }
            }
        }
    }
}

async fn sleep_until(moment: Option<Duration>, clock: &dyn Clock) {
    match moment {
        Some(moment) => clock.sleep(moment.saturating_sub(clock.monotonic())).await,
        None => std::future::pending().await,
    }
}

/// Somebody who waits. Who gives up leaves nothing behind.
struct Place<'a> {
    line: &'a Line,
    lane: &'a [Node],
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut tree = self.line.tree();
        if tree.waiting.remove(&self.ticket).is_some() {
            tree.throttle.withdraw(self.lane, self.ticket);
        }
    }
}

/// What every copy of the agent goes through.
pub struct Lines {
    read: Line,
    send: Line,
    clock: Arc<dyn Clock>,
}

impl Lines {
    /// Open both ways.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Lines> {
        Arc::new(Lines { read: Line::new(), send: Line::new(), clock })
    }

    fn way(&self, way: Way) -> &Line {
        match way {
            Way::Read => &self.read,
            Way::Send => &self.send,
        }
    }

    /// Other rates, at once: also for those who wait.
    pub fn set(&self, way: Way, rates: Rates) {
        self.way(way).set(rates, self.clock.monotonic());
    }

    pub fn rates(&self, way: Way) -> Rates {
        self.way(way).tree().throttle.rates().clone()
    }

    /// Bytes a second over the last ten seconds, if it is asked for every now and then.
    pub fn flow(&self, way: Way) -> u64 {
        self.way(way).flow(self.clock.monotonic())
    }

    /// The meter of one VM.
    pub fn meter(self: &Arc<Lines>, sink: &str, vm: &str) -> VmMeter {
        let lane = Lane::new(Some(sink), None, vm);
        VmMeter { lines: self.clone(), sink: sink.to_owned(), vm: vm.to_owned(), lane: Mutex::new(Arc::new(lane)) }
    }
}

/// Where a VM's bytes are counted.
struct Lane {
    read: Vec<Node>,
    send: Vec<Node>,
}

impl Lane {
    fn new(sink: Option<&str>, host: Option<&str>, vm: &str) -> Lane {
        let sink = sink.map(|sink| Node::Sink(sink.to_owned()));
        let read: Vec<Node> = host.map(|host| Node::Host(host.to_owned())).into_iter().chain([Node::Vm(vm.to_owned())]).collect();
        Lane { send: sink.into_iter().chain(read.iter().cloned()).collect(), read }
    }
}

impl Lane {
    fn way(&self, way: Way) -> &[Node] {
        match way {
            Way::Read => &self.read,
            Way::Send => &self.send,
        }
    }
}

/// Counts the bytes of one VM.
pub struct VmMeter {
    lines: Arc<Lines>,
    sink: String,
    vm: String,
    lane: Mutex<Arc<Lane>>,
}

impl VmMeter {
    fn lane(&self) -> Arc<Lane> {
        self.lane.lock().expect("nothing panics while it holds this").clone()
    }
}

#[async_trait]
impl Meter for VmMeter {
    fn grain(&self, way: Way) -> Option<u64> {
        Some(self.lines.way(way).grain.load(Ordering::Relaxed)).filter(|grain| *grain != OPEN)
    }

    fn rate(&self, way: Way) -> Option<u64> {
        let line = self.lines.way(way);
        if line.is_open() {
            return None;
        }
        let (lane, tree) = (self.lane(), line.tree());
        let rates = lane.way(way).iter().chain([&Node::Appliance]).filter_map(|node| tree.throttle.rates().of(node));
        rates.min().map(Rate::bytes_per_second)
    }

    fn is_on(&self, host: &str) {
        let host = Some(host).filter(|host| !host.is_empty());
        *self.lane.lock().expect("nothing panics while it holds this") = Arc::new(Lane::new(Some(&self.sink), host, &self.vm));
    }

    async fn pass(&self, way: Way, bytes: u64) {
        let lane = self.lane();
        self.lines.way(way).pass(lane.way(way), bytes, &*self.lines.clock).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    /// Tokio's paused clock.
    struct Paused(tokio::time::Instant);

    #[async_trait]
    impl Clock for Paused {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            self.0.elapsed()
        }

        async fn sleep(&self, wait: Duration) {
            tokio::time::sleep(wait).await;
        }
    }

    fn lines() -> Arc<Lines> {
        Lines::new(Arc::new(Paused(tokio::time::Instant::now())))
    }

    fn appliance(rate: Option<u64>) -> Rates {
        let mut rates = Rates::default();
        rates.named.extend(rate.and_then(Rate::bytes).map(|rate| (Node::Appliance, rate)));
        rates
    }

    async fn send(meter: &VmMeter, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            let part = meter.grain(Way::Send).unwrap_or(left).min(left);
            meter.pass(Way::Send, part).await;
            left -= part;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_share_one_rate_and_all_of_it_is_used() {
        let lines = lines();
        lines.set(Way::Send, appliance(Some(10_000_000)));
        let meters: Vec<_> = (0..20).map(|number| lines.meter("store", &format!("vm{number}"))).collect();
        let began = tokio::time::Instant::now();
        assert_eq!(lines.flow(Way::Send), 0);
        join_all(meters.iter().map(|meter| send(meter, 5_000_000))).await;
        let took = began.elapsed().as_secs_f64();
        assert!((9.9..10.2).contains(&took), "100 MB at 10 MB/s took {took} s");
        assert!(lines.flow(Way::Send) > 9_500_000 && lines.flow(Way::Read) == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_carries_may_give_up_and_the_others_go_on() {
        let lines = lines();
        lines.set(Way::Send, appliance(Some(1_000_000)));
        let (first, second) = (lines.meter("store", "a"), lines.meter("store", "b"));
        let began = tokio::time::Instant::now();
        tokio::join!(
            async { tokio::time::timeout(Duration::from_millis(700), first.pass(Way::Send, 1 << 30)).await.unwrap_err() },
            send(&second, 2_000_000),
        );
        let took = began.elapsed().as_secs_f64();
        // Half of the first 0.7 s was the other's.
        assert!((2.2..2.5).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_opened_lets_everybody_go_at_once() {
        let lines = lines();
        lines.set(Way::Send, appliance(Some(1_000)));
        let meter = lines.meter("store", "a");
        meter.is_on("esx-01");
        let began = tokio::time::Instant::now();
        tokio::join!(meter.pass(Way::Send, 1 << 30), meter.pass(Way::Read, 1 << 40), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            lines.set(Way::Send, appliance(None));
        });
        assert_eq!(began.elapsed().as_secs(), 5);
        assert!(lines.rates(Way::Send).are_open() && meter.grain(Way::Send).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_a_host_and_of_a_vm_holds_whatever_the_appliance_may() {
        let lines = lines();
        let mut rates = appliance(Some(100_000_000));
        rates.named.extend(Rate::bytes(1_000_000).map(|rate| (Node::Host("esx-01".to_owned()), rate)));
        rates.named.extend(Rate::bytes(200_000).map(|rate| (Node::Vm("a".to_owned()), rate)));
        lines.set(Way::Read, rates);
        let (a, b) = (lines.meter("store", "a"), lines.meter("store", "b"));
        [&a, &b].iter().for_each(|meter| meter.is_on("esx-01"));
        let began = tokio::time::Instant::now();
        tokio::join!(a.pass(Way::Read, 1_000_000), b.pass(Way::Read, 4_000_000));
        let took = began.elapsed().as_secs_f64();
        assert!((4.9..5.1).contains(&took), "{took}");
    }
}
