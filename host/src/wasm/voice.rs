//! The `log`, `config` and `clock` imports: what a plugin may say, what it is told about itself, and what time it is.

use std::sync::Mutex;
use std::time::Duration;

use super::bindings::{clock, config, log};
use super::state::InstanceState;

/// Enough for one line per request of a busy plugin, too little to drown the agent's own lines.
const LINES_PER_SECOND: f64 = 20.0;
const LINES_AT_ONCE: f64 = 100.0;
pub const LINE_BYTES_MAX: usize = 2000;

/// How many lines a plugin may still write; what is over is dropped and counted.
pub struct LineRate(Mutex<Rate>);

struct Rate {
    lines: f64,
    filled_at: Duration,
    dropped: u64,
}

impl LineRate {
    pub fn new(now: Duration) -> LineRate {
        LineRate(Mutex::new(Rate { lines: LINES_AT_ONCE, filled_at: now, dropped: 0 }))
    }

    /// Whether a line may be written now; if so, how many were dropped before it.
    fn admit(&self, now: Duration) -> Option<u64> {
        let mut rate = self.0.lock().expect("no holder of this lock panics");
        let waited = now.saturating_sub(rate.filled_at).as_secs_f64();
        rate.lines = (rate.lines + waited * LINES_PER_SECOND).min(LINES_AT_ONCE);
        rate.filled_at = now;
        if rate.lines < 1.0 {
            rate.dropped += 1;
            return None;
        }
        rate.lines -= 1.0;
        Some(std::mem::take(&mut rate.dropped))
    }
}

impl log::Host for InstanceState {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let plugin = &self.plugin;
        let Some(dropped) = plugin.line_rate().admit(plugin.clock().monotonic()) else { return Ok(()) };
        let name = plugin.name();
        if dropped > 0 {
            tracing::warn!(target: "transload::plugin", plugin = name, dropped, "lines were dropped: the plugin writes too many");
        }
        let line = plugin.masks().line(&message, LINE_BYTES_MAX);
        match level {
            log::Level::Debug => tracing::debug!(target: "transload::plugin", plugin = name, "{line}"),
            log::Level::Info => tracing::info!(target: "transload::plugin", plugin = name, "{line}"),
            log::Level::Warn => tracing::warn!(target: "transload::plugin", plugin = name, "{line}"),
            log::Level::Error => tracing::error!(target: "transload::plugin", plugin = name, "{line}"),
        }
        Ok(())
    }
}

impl config::Host for InstanceState {
    async fn json(&mut self) -> wasmtime::Result<String> {
        Ok(self.plugin.config_json().to_owned())
    }
}

impl clock::Host for InstanceState {
    async fn now(&mut self) -> wasmtime::Result<clock::Timestamp> {
        let now = self.plugin.clock().now();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        Ok(clock::Timestamp { seconds, nanoseconds: u32::try_from(now.subsec_nanosecond()).unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_rate_are_dropped_and_counted() {
        let rate = LineRate::new(Duration::ZERO);
        let admitted = (0..250).filter(|_| rate.admit(Duration::ZERO).is_some()).count();
        assert_eq!(admitted, 100);
        assert_eq!(rate.admit(Duration::from_secs(1)), Some(150));
        assert_eq!(rate.admit(Duration::from_secs(1)), Some(0));
    }
}
