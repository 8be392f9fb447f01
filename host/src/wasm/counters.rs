//! Counts what a configured plugin does. One value serves all of its versions.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Counted;

#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: AtomicU64,
    faults: AtomicU64,
    traps: AtomicU64,
    time_outs: AtomicU64,
    memory_peak: AtomicU64,
    spliced: AtomicU64,
    peeked: AtomicU64,
}

impl Counters {
    pub fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    pub fn trap(&self) {
        self.traps.fetch_add(1, Ordering::Relaxed);
    }

    pub fn time_out(&self) {
        self.time_outs.fetch_add(1, Ordering::Relaxed);
    }

    pub fn memory(&self, bytes: u64) {
        self.memory_peak.fetch_max(bytes, Ordering::Relaxed);
    }

    pub fn spliced(&self, bytes: u64) {
        self.spliced.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn peeked(&self, bytes: u64) {
        self.peeked.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn read(&self) -> Counted {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            calls: now(&self.calls),
            faults: now(&self.faults),
            traps: now(&self.traps),
            time_outs: now(&self.time_outs),
            memory_peak: now(&self.memory_peak),
            spliced: now(&self.spliced),
            peeked: now(&self.peeked),
        }
    }
}
