//! `[replication]`: how often, how much at once, how hard to compress.

use serde::Deserialize;

use super::units::{Bytes, Span};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Replication {
    /// Not more often than this. A snapshot stuns a busy VM for a moment, so the shortest usual interval is an hour.
    pub interval_min: Span,
    /// Not less often than this, however much changes: a delta that waits grows.
    pub interval_max: Span,
    /// Bytes between the source and the store at one time, shared by the disks that are copied just now. It bounds memory, to about twice as
    /// much while disks begin or the store is slow, and what is sent again after a crash. No disk gets less than 3 MiB.
    pub in_flight: Bytes,
    /// The largest size of an object with blocks, and at most a 24th of `in_flight`: several are on their way at once. Large enough that
    /// requests cost little, small enough to retry.
    pub segment: Bytes,
    /// zstd level. 1 outruns a 10 Gbit/s link on one core; higher ones save little on disks.
    pub compression_level: u8,
    /// Ask the guest to flush its file systems, so that replicas are more than crash-consistent.
    pub quiesce: bool,
    /// How often the store is looked at for receipts and commands. Two seconds are felt as at once, and cost some 40,000 requests a day.
    pub poll: Span,
    /// How long a guest may take to shut down before a final cycle. Databases that write their caches and updates that install themselves
    /// need minutes; one that takes longer than ten mostly hangs, and somebody should look at it.
    pub shutdown_within: Span,
    /// How long the agent may take to put copies down and close their snapshots when it is told to stop; what is open after that is used
    /// again by the next start. A service manager mostly waits 90 s before it kills.
    pub stop_within: Span,
    /// Bytes of each disk that a delta reads again, of what the source calls unchanged. 64 MiB are 1,024 cells: about a second of reads, and a
    /// tracker that hides one cell in a hundred is found with 99.99 % however large the disk is. 0 believes every tracker.
    pub distrust_budget: Bytes,
    /// For how long a step of a cycle is tried again while a source or the store is down, or refuses the login, before its snapshot is closed
    /// and another one taken. Two hours are what a night's maintenance takes; shorter keeps snapshots smaller, longer keeps cycles whole.
    pub patience: Span,
}

impl Default for Replication {
    fn default() -> Replication {
        Replication {
            interval_min: Span::seconds(3600),
            interval_max: Span::seconds(12 * 3600),
            in_flight: Bytes::mib(96),
            segment: Bytes::mib(16),
            compression_level: 1,
            quiesce: true,
            poll: Span::seconds(2),
            shutdown_within: Span::seconds(600),
            stop_within: Span::seconds(60),
            distrust_budget: Bytes::mib(64),
            patience: Span::seconds(2 * 3600),
        }
    }
}

impl Replication {
    pub(super) fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut unless = |holds: bool, why: &str| {
            if !holds {
                wrong.push(format!("[replication] {why}"));
            }
        };
        unless(self.interval_min <= self.interval_max, "interval-min is longer than interval-max");
        unless(self.interval_min.0.as_secs() >= 60, "interval-min is shorter than a minute; a source spends that on one snapshot");
        unless(
            (Bytes::mib(1)..=Bytes::mib(16)).contains(&self.segment),
            "segment must be between 1 MiB and 16 MiB: the format knows no larger one",
        );
        unless(self.in_flight >= Bytes(self.segment.0.saturating_mul(2)), "in-flight must hold at least two segments");
        unless(self.in_flight <= Bytes::mib(4096), "in-flight is memory; more than 4 GiB of it is a mistake");
        unless((1..=19).contains(&self.compression_level), "compression-level must be between 1 and 19");
        unless(self.poll.0.as_millis() >= 100, "poll must be at least 100 ms");
        unless(
            (Span::seconds(10)..=Span::seconds(24 * 3600)).contains(&self.shutdown_within),
            "shutdown-within must be between 10 s and 1 d: a guest needs a moment, and one that needs longer than a day hangs",
        );
        unless(
            self.stop_within <= Span::seconds(3600),
            "stop-within must be at most 1 h: a machine that is shut down does not wait longer",
        );
        unless(
            self.distrust_budget == Bytes(0) || (Bytes(65_536)..=Bytes::mib(65_536)).contains(&self.distrust_budget),
            "distrust-budget must be 0, or between 64 KiB (one cell) and 64 GiB: more than that is a resync, and `resync` compares everything",
        );
        unless(
            (Span::seconds(60)..=Span::seconds(7 * 24 * 3600)).contains(&self.patience),
            "patience must be between 1 min and 7 d: a restart of what is down takes a minute, and no snapshot should wait for a week",
        );
        wrong
    }
}
