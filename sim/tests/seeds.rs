//! Many seeds, each a history of its own: crashes, lost replies, doubled requests, damaged segments, stores that are away for hours, merges
//! that fail, clocks that are set, a second agent, guests that never rest. SIM_SEEDS raises their number; `cargo xtask sim --seed N` shows one,
//! `cargo xtask sim --seeds 20000` runs what no CI has time for.

use sim::scenario::{Plan, run};
use sim::weather::Weather;

const SHARES: u64 = 6;

fn share(number: u64) {
    let seeds: u64 = std::env::var("SIM_SEEDS").map_or(500, |text| text.parse().expect("SIM_SEEDS is a number"));
    for seed in (number..seeds).step_by(SHARES as usize) {
        play(seed);
    }
}

fn play(seed: u64) {
    if let Err(what) = run(&Plan::from_seed(seed)) {
        panic!("{what}");
    }
}

/// A seed that was found before cells were read again to doubt the tracker: with those reads it would be another history.
fn play_as_it_was(seed: u64) {
    if let Err(what) = run(&Plan { distrust: 0, weather: Weather::default(), rival: None, ..Plan::from_seed(seed) }) {
        panic!("{what}");
    }
}

#[test]
fn the_first_share_of_seeds_ends_well() {
    share(0);
}

#[test]
fn the_second_share_of_seeds_ends_well() {
    share(1);
}

#[test]
fn the_third_share_of_seeds_ends_well() {
    share(2);
}

#[test]
fn the_fourth_share_of_seeds_ends_well() {
    share(3);
}

#[test]
fn the_fifth_share_of_seeds_ends_well() {
    share(4);
}

#[test]
fn the_sixth_share_of_seeds_ends_well() {
    share(5);
}

#[test]
fn same_seed_same_bytes() {
    for seed in [3, 14, 159] {
        let (one, other) = (run(&Plan::from_seed(seed)).unwrap(), run(&Plan::from_seed(seed)).unwrap());
        assert_eq!(one.trace, other.trace);
        assert!(one == other, "seed {seed}: the same history left other objects behind");
    }
    assert!(run(&Plan::from_seed(3)).unwrap() != run(&Plan::from_seed(14)).unwrap());
}

/// A network that repeats whatever changes something: each object is created by the first arrival, and what is heard is that it exists.
#[test]
fn everything_may_arrive_twice() {
    let mut plan = Plan::calm(vec![3 * 1024 * 1024 + 512, 1024 * 1024], 4);
    (plan.sink.doubled, plan.source.doubled) = (1.0, 1.0);
    let played = run(&plan).unwrap_or_else(|what| panic!("{what}"));
    let doubled = |what: &str| played.trace.iter().filter(|line| line.contains(what)).count();
    // A lease is taken back when its reading is over.
    let puts = played.trace.iter().filter(|line| line.contains("put arrives twice") && !line.contains("/lease/")).count();
    assert_eq!(puts, played.objects.len(), "each object was put once, and arrived twice");
    assert!(doubled("arrives twice: open snapshot") == 4 && doubled("arrives twice: close snapshot") == 4);
}

/// The reply to the very first object of a store, the wrapped key, was lost: the store would never begin.
#[test]
fn found_a_lost_reply_to_the_key_slot() {
    play_as_it_was(117);
    play_as_it_was(181);
}

/// A lease was renewed while the reading under it was not polled, and the reading held the connection that the renewal waited for.
#[test]
fn found_a_reading_that_stood_still_for_its_own_lease() {
    play(62);
}

/// The bytes of a damaged segment stood already, from an attempt before: it was never read, and the point could not be restored.
#[test]
fn found_a_damaged_segment_that_nobody_read() {
    play_as_it_was(881);
}

/// A small history in which nothing goes wrong, but the process dies at one exact effect: at every one of them, in turn.
fn dies_at_every_effect(parity: u64, paced: bool) {
    let calm = || Plan { seed: 9, paced, ..Plan::calm(vec![1024 * 1024 + 3 * 512], 2) };
    let effects = run(&calm()).unwrap().effects;
    assert!(effects > 100, "{effects} effects are no history");
    for effect in (0..effects).filter(|effect| effect % 2 == parity) {
        let plan = Plan { crashes: 1, die_at: Some(effect), ..calm() };
        let played = run(&plan).unwrap_or_else(|what| panic!("died at effect {effect}: {what}"));
        assert_eq!(played.trace.iter().filter(|line| line.starts_with("crash at")).count(), 1, "no crash at effect {effect}");
    }
}

#[test]
fn dies_at_every_even_effect_and_finishes() {
    dies_at_every_effect(0, false);
}

#[test]
fn dies_at_every_odd_effect_and_finishes() {
    dies_at_every_effect(1, false);
}

#[test]
fn dies_at_every_even_effect_while_the_receiver_fills_ahead_and_finishes() {
    dies_at_every_effect(0, true);
}

#[test]
fn dies_at_every_odd_effect_while_the_receiver_fills_ahead_and_finishes() {
    dies_at_every_effect(1, true);
}
