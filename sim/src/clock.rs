//! Virtual time: tokio's paused clock, which jumps whenever nothing else can happen.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use transload::clock::Clock;

pub struct VirtualClock {
    began: tokio::time::Instant,
}

impl VirtualClock {
    pub fn new() -> VirtualClock {
        VirtualClock { began: tokio::time::Instant::now() }
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
        Timestamp::UNIX_EPOCH.checked_add(self.began.elapsed()).expect("a simulation does not run for centuries")
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}
