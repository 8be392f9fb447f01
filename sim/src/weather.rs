//! What goes wrong around the engine for a while, and not once: a store that is away for hours, that throttles, that is slow; a hypervisor
//! that is busy with another task, or takes long to merge a snapshot; a wall clock that somebody sets.
//!
//! Drawn from a generator of its own, so that a seed's other troubles are what they were before there was weather.

use std::time::Duration;

use tokio::time::Instant;
use transload::model::Fault;

use crate::world::World;

/// A stretch of virtual time, counted from the beginning of the scene.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub from: Duration,
    pub lasts: Duration,
}

impl Stretch {
    pub fn holds(&self, moment: Duration) -> bool {
        moment >= self.from && moment < self.from + self.lasts
    }
}

#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// The store answers nothing.
    pub outages: Vec<Stretch>,
    /// How often the store asks for patience.
    pub throttled: f64,
    /// The longest that the store takes for a call.
    pub latency_max: Duration,
    /// Another task is in progress on the VM: no snapshot is made, and none is removed.
    pub busy: Vec<Stretch>,
    /// How often a merge fails, and the snapshot stays.
    pub merge_fails: f64,
    /// The longest that a merge takes. Meanwhile the VM is busy, whether or not somebody asks how it goes.
    pub merge_max: Duration,
    /// How often the wall clock is set, per hour of virtual time.
    pub clock_jumps: u64,
}

impl Weather {
    /// Half of all seeds have calm weather: what fails there fails by the draws of old.
    pub fn from_seed(seed: u64) -> Weather {
        let world = World::new(seed ^ 0x0077_ea7e);
        if world.chance(0.5) {
            return Weather::default();
        }
        let stretches = |chance: f64, minutes_max: u64| {
            let count = if world.chance(chance) { 1 + world.below(2) } else { 0 };
            let minutes = |bound: u64| Duration::from_secs(60 * world.below(bound) + world.below(60));
            (0..count).map(|_| Stretch { from: minutes(30), lasts: minutes(minutes_max) }).collect()
        };
        let often = |chance: f64, probability: f64| if world.chance(chance) { probability } else { 0.0 };
        Weather {
            outages: stretches(0.4, 300),
            throttled: often(0.4, 0.1),
            latency_max: Duration::from_millis([0, 0, 50, 2_000, 30_000][world.below(5) as usize]),
            busy: stretches(0.3, 90),
            merge_fails: often(0.3, 0.4),
            merge_max: Duration::from_secs([0, 0, 30, 1_800, 14_400][world.below(5) as usize]),
            clock_jumps: if world.chance(0.3) { 1 + world.below(10) } else { 0 },
        }
    }
}

/// The weather over one scene, which began at some moment.
#[derive(Clone)]
pub struct Sky {
    weather: Weather,
    began: Instant,
    world: World,
}

impl Sky {
    pub fn new(weather: Weather, world: World) -> Sky {
        Sky { weather, began: Instant::now(), world }
    }

    pub fn clear(world: World) -> Sky {
        Sky::new(Weather::default(), world)
    }

    pub fn weather(&self) -> &Weather {
        &self.weather
    }

    fn is(&self, stretches: &[Stretch]) -> bool {
        let now = self.began.elapsed();
        stretches.iter().any(|stretch| stretch.holds(now))
    }

    /// What a call to the store meets before anything else.
    pub async fn over_the_store(&self) -> Result<(), Fault> {
        if !self.weather.latency_max.is_zero() {
            tokio::time::sleep(Duration::from_millis(self.world.below(self.weather.latency_max.as_millis() as u64 + 1))).await;
        }
        if self.is(&self.weather.outages) {
            return Err(Fault::unavailable("the store is away"));
        }
        match self.world.rarely(self.weather.throttled) {
            true => Err(Fault::new(transload::model::FaultKind::Throttled, "slow down").retry_after(Duration::from_secs(7))),
            false => Ok(()),
        }
    }

    /// What a call that makes or removes a snapshot meets.
    pub fn over_the_source(&self) -> Result<(), Fault> {
        match self.is(&self.weather.busy) {
            true => Err(Fault::unavailable("another task is already in progress")),
            false => Ok(()),
        }
    }

    pub fn merge_fails(&self) -> bool {
        self.world.rarely(self.weather.merge_fails)
    }

    /// How long the merge that begins now takes.
    pub fn merge_takes(&self) -> Duration {
        match self.weather.merge_max.as_millis() as u64 {
            0 => Duration::ZERO,
            longest => Duration::from_millis(self.world.below(longest)),
        }
    }
}
