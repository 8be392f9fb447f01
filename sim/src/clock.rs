//! Virtual time: tokio's paused clock, which jumps whenever nothing else can happen. Its wall clock can be set, as people and NTP do it.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use transload::clock::Clock;

pub struct VirtualClock {
    began: tokio::time::Instant,
    /// How far the wall clock is off.
    off: Mutex<SignedDuration>,
}

impl VirtualClock {
    pub fn new() -> VirtualClock {
        VirtualClock { began: tokio::time::Instant::now(), off: Mutex::default() }
    }

    /// Sets the wall clock forward or back. Time itself does not care.
    pub fn set_off(&self, by: SignedDuration) {
        *self.off.lock().expect("no panics here") += by;
    }
}

impl Default for VirtualClock {
    fn default() -> VirtualClock {
        VirtualClock::new()
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let off = *self.off.lock().expect("no panics here");
        let true_time = Timestamp::UNIX_EPOCH.checked_add(self.began.elapsed());
        true_time.and_then(|time| time.checked_add(off)).expect("a simulation does not run for centuries")
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}
