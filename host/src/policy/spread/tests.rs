use proptest::prelude::*;

use super::*;

const SEGMENT: u64 = 1 << 20;
const MS: Duration = Duration::from_millis(1);

fn store(number: usize) -> StoreNumber {
    StoreNumber(number as u32)
}

fn of(weights: &[u16]) -> (Spread, Vec<StoreNumber>) {
    let mut spread = Spread::default();
    let stores: Vec<StoreNumber> = (0..weights.len()).map(store).collect();
    stores.iter().zip(weights).for_each(|(store, weight)| spread.add(*store, *weight));
    (spread, stores)
}

/// Stores that share their line among the puts that are under way, and take nothing beyond it.
struct Line {
    spread: Spread,
    stores: Vec<StoreNumber>,
    /// Bytes a millisecond.
    rates: Vec<u64>,
    /// For each store: what is under way, as the bytes still to go and when it began.
    under_way: Vec<Vec<(u64, Duration)>>,
    taken: Vec<u64>,
    now: Duration,
}

impl Line {
    fn new(weights: &[u16], rates: &[u64]) -> Line {
        let (spread, stores) = of(weights);
        let count = stores.len();
        Line { spread, stores, rates: rates.to_vec(), under_way: vec![Vec::new(); count], taken: vec![0; count], now: Duration::ZERO }
    }

    fn put(&mut self) {
        let Next::Take(chosen) = self.spread.next(&self.stores, SEGMENT, self.now) else { panic!("nobody rests here") };
        self.spread.begins(chosen, &self.stores, SEGMENT);
        self.under_way[chosen.0 as usize].push((SEGMENT, self.now));
    }

    fn under_way(&self) -> usize {
        self.under_way.iter().map(Vec::len).sum()
    }

    /// One millisecond.
    fn tick(&mut self) {
        self.now += MS;
        for number in 0..self.stores.len() {
            let puts = &mut self.under_way[number];
            let each = self.rates[number] / puts.len().max(1) as u64;
            puts.iter_mut().for_each(|(left, _)| *left = left.saturating_sub(each));
            let done: Vec<Duration> = puts.iter().filter(|(left, _)| *left == 0).map(|(_, began)| *began).collect();
            puts.retain(|(left, _)| *left > 0);
            for began in done {
                self.taken[number] += SEGMENT;
                self.spread.ended(store(number), SEGMENT);
                self.spread.acknowledged(store(number), SEGMENT, self.now - began, self.now);
            }
        }
    }

    /// Always as many under way as may be.
    fn saturated(mut self, at_once: usize, seconds: u64) -> Vec<f64> {
        for _ in 0..seconds * 1000 {
            while self.under_way() < at_once {
                self.put();
            }
            self.tick();
        }
        shares(&self.taken)
    }

    /// A source that brings a segment every so many milliseconds.
    fn paced(mut self, every: u64, seconds: u64) -> Vec<f64> {
        for tick in 0..seconds * 1000 {
            if tick % every == 0 {
                self.put();
            }
            self.tick();
        }
        shares(&self.taken)
    }
}

fn shares(taken: &[u64]) -> Vec<f64> {
    let all: u64 = taken.iter().sum();
    taken.iter().map(|taken| *taken as f64 / all as f64).collect()
}

fn close(found: &[f64], expected: &[f64], within: f64) -> bool {
    found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= within)
}

#[test]
fn equal_weights_share_equally_and_take_turns() {
    let (mut spread, stores) = of(&[1, 1]);
    let mut order = Vec::new();
    for _ in 0..6 {
        let Next::Take(next) = spread.next(&stores, SEGMENT, MS) else { panic!("nobody rests") };
        spread.begins(next, &stores, SEGMENT);
        spread.ended(next, SEGMENT);
        order.push(next.0);
    }
    assert_eq!(order, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn a_store_that_slows_gets_less_and_gets_it_back() {
    let mut line = Line::new(&[1, 1], &[50_000, 50_000]);
    let run = |line: &mut Line, seconds: u64| {
        let before = line.taken.clone();
        for _ in 0..seconds * 1000 {
            while line.under_way() < 6 {
                line.put();
            }
            line.tick();
        }
        shares(&line.taken.iter().zip(before).map(|(now, before)| now - before).collect::<Vec<_>>())
    };
    assert!(close(&run(&mut line, 20), &[0.5, 0.5], 0.05));
    line.rates[1] = 5_000;
    run(&mut line, 5);
    assert!(close(&run(&mut line, 20), &[10.0 / 11.0, 1.0 / 11.0], 0.03));
    line.rates[1] = 50_000;
    run(&mut line, 5);
    assert!(close(&run(&mut line, 20), &[0.5, 0.5], 0.05));
}

#[test]
fn who_fails_rests_longer_each_time_and_the_others_take_its_share() {
    let (mut spread, stores) = of(&[1, 1]);
    let busy = Fault::new(crate::model::FaultKind::Throttled, "slow down");
    let mut now = Duration::from_secs(1);
    let mut rests = Vec::new();
    for _ in 0..4 {
        spread.failed(store(0), &busy, now);
        // What was under way with it is the same failure.
        spread.failed(store(0), &busy, now);
        let began = now;
        while spread.next(&stores[..1], SEGMENT, now) == Next::AllRest(store(0)) {
            assert_eq!(spread.next(&stores, SEGMENT, now), Next::Take(store(1)));
            now += 100 * MS;
        }
        rests.push((now - began).as_millis());
    }
    assert_eq!(rests, [500, 1000, 2000, 4000]);
    spread.acknowledged(store(0), SEGMENT, MS, now);
    assert_eq!(spread.measured(store(0), now).unwrap().rests, None);
    spread.failed(store(0), &busy, now);
    assert_eq!(spread.measured(store(0), now).unwrap().rests, Some(busy.clone()));
    assert_eq!(spread.next(&stores[..1], SEGMENT, now + 500 * MS), Next::Take(store(0)), "one success, and it begins anew");
    // Of two that rest, the one that needs nobody's help is tried first, however long it rests.
    spread.failed(store(1), &Fault::denied("the key was taken back"), now);
    for _ in 0..8 {
        now += Duration::from_secs(61);
        spread.failed(store(0), &busy, now);
        spread.failed(store(1), &Fault::denied("the key was taken back"), now);
    }
    assert_eq!(spread.next(&stores, SEGMENT, now), Next::AllRest(store(0)));
    assert_eq!(spread.next(&[], SEGMENT, now), Next::None);
}

#[test]
fn the_rate_is_what_was_taken_lately() {
    let (mut spread, _) = of(&[2]);
    for second in 0..100 {
        spread.acknowledged(store(0), 10 * SEGMENT, MS, Duration::from_secs(second));
    }
    let measured = spread.measured(store(0), Duration::from_secs(99)).unwrap();
    assert_eq!((measured.rate, measured.taken), (10 * SEGMENT, 1000 * SEGMENT));
    assert_eq!(spread.measured(store(0), Duration::from_secs(200)).unwrap().rate, 0);
    assert!(spread.lanes[0].recent.len() <= 21);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn with_equal_rates_shares_are_the_weights(weights in prop::collection::vec(1u16..6, 2..5), every in 20u64..60) {
        let expected = shares(&weights.iter().map(|weight| u64::from(*weight)).collect::<Vec<_>>());
        let rates = vec![200_000; weights.len()];
        let found = Line::new(&weights, &rates).paced(every, 60);
        prop_assert!(close(&found, &expected, 0.03), "{found:?} of {expected:?}");
    }

    #[test]
    fn when_saturated_shares_are_the_rates(rates in prop::collection::vec(5_000u64..100_000, 2..5), more in 1usize..8) {
        let weights = vec![1; rates.len()];
        let found = Line::new(&weights, &rates).saturated(rates.len() + more, 120);
        let expected = shares(&rates);
        prop_assert!(close(&found, &expected, 0.06), "{found:?} of {expected:?}");
    }

    /// Whatever happens: the same answer for the same state, never a store outside of the set, never one that rests while another is awake.
    #[test]
    fn only_what_may_be_used_is_used_and_the_answer_is_determined(
        weights in prop::collection::vec(1u16..10, 1..6),
        events in prop::collection::vec((0usize..6, 0u8..4, 1u64..30_000_000, 0u64..3000), 1..200),
        among in prop::collection::vec(any::<bool>(), 6),
    ) {
        let (mut spread, stores) = of(&weights);
        let among: Vec<StoreNumber> = stores.iter().zip(&among).filter(|(_, may)| **may).map(|(store, _)| *store).collect();
        let mut now = Duration::ZERO;
        for (number, event, bytes, millis) in events {
            now += millis as u32 * MS;
            let other = store(number % weights.len());
            match event {
                0 => spread.failed(other, &Fault::unavailable("away"), now),
                1 => spread.acknowledged(other, bytes, millis as u32 * MS, now),
                2 => spread.ended(other, bytes),
                _ => spread.begins(other, &stores, bytes),
            }
            let next = spread.next(&among, bytes, now);
            prop_assert_eq!(next, spread.clone().next(&among, bytes, now));
            let awake = |store: &StoreNumber| spread.measured(*store, now).unwrap().rests.is_none();
            match next {
                Next::Take(store) => {
                    prop_assert!(among.contains(&store) && awake(&store));
                    spread.begins(store, &among, bytes);
                }
                Next::AllRest(store) => prop_assert!(among.contains(&store) && !among.iter().any(awake)),
                Next::None => prop_assert!(among.is_empty()),
            }
        }
    }

    /// However slow a store is: as long as it answers it is asked again, as soon as it has nothing under way.
    #[test]
    fn no_store_starves(rates in prop::collection::vec(500u64..200_000, 2..5), weights in prop::collection::vec(1u16..50, 4)) {
        let weights = &weights[..rates.len()];
        let mut line = Line::new(weights, &rates);
        let mut idle = vec![0; rates.len()];
        for _ in 0..60_000 {
            while line.under_way() < rates.len() * 2 {
                line.put();
                let under_way = &line.under_way;
                idle.iter_mut().zip(under_way).for_each(|(idle, puts)| *idle = if puts.is_empty() { *idle + 1 } else { 0 });
                // Its turn comes when the others have taken what their weights allow.
                let most = weights.iter().map(|weight| u64::from(*weight)).sum::<u64>() * 2 + 8;
                prop_assert!(idle.iter().all(|idle| *idle <= most), "{idle:?} of {most}");
            }
            line.tick();
        }
    }
}
