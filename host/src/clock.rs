//! Time, as an argument. Nothing else in this crate reads a clock; the simulation brings its own.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock, for people and for schedules.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, for durations. Never goes back.
    fn monotonic(&self) -> Duration;

    async fn sleep(&self, wait: Duration);
}

/// The machine's own clocks.
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads a clock")]
    pub fn new() -> SystemClock {
        SystemClock { started: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}
