//! Which store takes the next segment of a VM that may use several.
//!
//! ```text
//!   turn   a store that takes bytes moves on by bytes / weight; whose turn is earliest is next      ─▶ equal stores: shares are the weights
//!   part   of all bytes under way a store has a part by weight × speed; who holds more than its
//!          part is passed over, and keeps no claim to what it missed                                ─▶ full stores: shares are the rates
//!   rest   who failed takes nothing for a while, longer with each failure; the others take its share
//!
//!   acknowledged(bytes, took) ─▶ speed: what one put brings, over the last few     failed(fault) ─▶ rest
//! ```
//!
//! A put's own speed is measured, and not what a store takes in all: a store that is given little takes little, and would be given less and
//! less. A store that has nothing under way is never passed over, so a slow one is measured again all the time, and none starves.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{Fault, StoreNumber};

use super::reaction::pause;

/// A fault that does not pass by itself is looked at this seldom: somebody has to act, and will not be asked by every segment.
const REST_LONG: Duration = Duration::from_secs(60);
/// Of the fastest store's speed a slow one is believed to have at least this part, so that sums stay sums.
const SLOWEST_PART: u64 = 64;
/// What is shown as a store's rate is what it took within this time.
const RATE_OVER: Duration = Duration::from_secs(10);
/// A turn counts bytes by this much per weight, so that small weights divide exactly enough.
const TURN_SCALE: u128 = 1000;

/// All stores of an agent, and what is known of each.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    lanes: Vec<Lane>,
}

#[derive(Debug, Clone)]
struct Lane {
    store: StoreNumber,
    weight: u64,
    turn: u128,
    under_way: u64,
    speed: Speed,
    recent: VecDeque<(Duration, u64)>,
    taken: u64,
    failures: u32,
    rests_until: Duration,
    trouble: Option<Fault>,
}

/// Bytes and time of the last puts, older ones fading.
#[derive(Debug, Clone, Copy, Default)]
struct Speed {
    bytes: u64,
    micros: u64,
}

impl Speed {
    fn add(&mut self, bytes: u64, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 8).max(1);
        self.bytes = self.bytes / 4 * 3 + bytes;
        self.micros = (self.micros / 4 * 3).saturating_add(micros);
    }

    /// Bytes a second of one put; none while nothing was measured.
    fn value(self) -> Option<u64> {
        (self.micros > 0).then(|| (u128::from(self.bytes) * 1_000_000 / u128::from(self.micros)) as u64)
    }
}

/// Where the next segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Take(StoreNumber),
    /// All of them rest. This one is the first to be tried again.
    AllRest(StoreNumber),
    /// There is none.
    None,
}

/// What people are shown of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Bytes a second, over the last seconds.
    pub rate: u64,
    /// Bytes since the agent was started.
    pub taken: u64,
    /// Why it takes nothing just now.
    pub rests: Option<Fault>,
}

impl Spread {
    /// A store that may take segments from now on. Known ones stay as they are.
    pub fn add(&mut self, store: StoreNumber, weight: u16) {
        if self.lane(store).is_some() {
            return;
        }
        // It begins with the others, and not with all that they have taken so far.
        let turn = self.lanes.iter().map(|lane| lane.turn).min().unwrap_or(0);
        self.lanes.push(Lane {
            store,
            weight: u64::from(weight.max(1)),
            turn,
            under_way: 0,
            speed: Speed::default(),
            recent: VecDeque::new(),
            taken: 0,
            failures: 0,
            rests_until: Duration::ZERO,
            trouble: None,
        });
    }

    /// Who of `among` takes a segment of so many bytes.
    pub fn next(&self, among: &[StoreNumber], bytes: u64, now: Duration) -> Next {
        let awake = self.awake(among, now);
        let Some(first) = awake.iter().filter(|lane| !is_crowded(lane, &awake, bytes)).min_by_key(|lane| lane.turn) else {
            let resting = self.lanes.iter().filter(|lane| among.contains(&lane.store));
            // Who is only busy comes before who needs somebody's help.
            let soonest = resting.min_by_key(|lane| (lane.trouble.as_ref().is_some_and(|fault| !fault.kind.passes()), lane.rests_until));
            return soonest.map_or(Next::None, |lane| Next::AllRest(lane.store));
        };
        Next::Take(first.store)
    }

    /// The store begins to take a segment, one of `among`, as `next` answered.
    pub fn begins(&mut self, store: StoreNumber, among: &[StoreNumber], bytes: u64) {
        let Some(turn) = self.lane(store).map(|lane| lane.turn) else { return };
        for lane in self.lanes.iter_mut().filter(|lane| among.contains(&lane.store)) {
            // Whose turn was earlier was passed over, and what it missed is not owed to it.
            lane.turn = lane.turn.max(turn);
            if lane.store == store {
                lane.turn += u128::from(bytes) * TURN_SCALE / u128::from(lane.weight);
                lane.under_way += bytes;
            }
        }
    }

    /// Nothing is under way any more, whatever became of it.
    pub fn ended(&mut self, store: StoreNumber, bytes: u64) {
        if let Some(lane) = self.lane_mut(store) {
            lane.under_way = lane.under_way.saturating_sub(bytes);
        }
    }

    /// The store has it.
    pub fn acknowledged(&mut self, store: StoreNumber, bytes: u64, took: Duration, now: Duration) {
        let Some(lane) = self.lane_mut(store) else { return };
        lane.speed.add(bytes, took);
        lane.taken += bytes;
        lane.remember(bytes, now);
        // What began before it failed does not say that it is well again.
        if lane.rests_until <= now {
            lane.failures = 0;
            lane.trouble = None;
        }
    }

    /// The store did not take it.
    pub fn failed(&mut self, store: StoreNumber, fault: &Fault, now: Duration) {
        let Some(lane) = self.lane_mut(store) else { return };
        // Everything that was under way when it began to fail is one failure.
        if now < lane.rests_until {
            return;
        }
        lane.failures += 1;
        let rest = if fault.kind.passes() { pause(fault, lane.failures) } else { REST_LONG };
        lane.rests_until = now + rest;
        lane.trouble = Some(fault.clone());
    }

    pub fn measured(&self, store: StoreNumber, now: Duration) -> Option<Measured> {
        let lane = self.lane(store)?;
        let recent: u64 = lane.recent.iter().filter(|(at, _)| *at + RATE_OVER > now).map(|(_, bytes)| bytes).sum();
        Some(Measured {
            rate: recent / RATE_OVER.as_secs(),
            taken: lane.taken,
            rests: lane.trouble.clone().filter(|_| lane.rests_until > now),
        })
    }

    fn awake(&self, among: &[StoreNumber], now: Duration) -> Vec<&Lane> {
        self.lanes.iter().filter(|lane| among.contains(&lane.store) && lane.rests_until <= now).collect()
    }

    fn lane(&self, store: StoreNumber) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.store == store)
    }

    fn lane_mut(&mut self, store: StoreNumber) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.store == store)
    }
}

impl Lane {
    fn remember(&mut self, bytes: u64, now: Duration) {
        match self.recent.back_mut() {
            Some((at, taken)) if *at + RATE_OVER / 20 > now => *taken += bytes,
            _ => self.recent.push_back((now, bytes)),
        }
        while self.recent.front().is_some_and(|(at, _)| *at + RATE_OVER <= now) {
            self.recent.pop_front();
        }
    }
}

/// Whether a store holds more than its part of what is under way, the new segment included. They cannot all: their parts are all of it.
fn is_crowded(lane: &Lane, awake: &[&Lane], bytes: u64) -> bool {
    let fastest = awake.iter().filter_map(|lane| lane.speed.value()).max().unwrap_or(1).max(1);
    // One of which nothing is known yet is taken for the fastest, and so it is soon known.
    let pull = |lane: &Lane| {
        let speed = lane.speed.value().unwrap_or(fastest).max(fastest / SLOWEST_PART).max(1);
        u128::from(lane.weight) * u128::from(speed)
    };
    let all: u128 = awake.iter().map(|lane| pull(lane)).sum();
    let under_way: u64 = awake.iter().map(|lane| lane.under_way).sum::<u64>() + bytes;
    u128::from(lane.under_way) * all > u128::from(under_way) * pull(lane)
}

#[cfg(test)]
mod tests;
