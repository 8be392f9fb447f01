//! What copies may hold at one time: bytes in flight, shared by the disks that are copied just now.
//!
//! A disk that is alone has all of it, which is what a long line needs; fifty at once get small parts, of no less than 3 MiB. Nothing is taken
//! away from a copy: it finds its part smaller when it is about to begin something new. While disks begin one after the other and the store
//! stands still, the parts add up to more: to about twice as much for four disks, to four times for fifty.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::BLOCK;

use super::pace::{Pace, Way};

/// Bounds of one copy, in bytes unless the name says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyLimits {
    /// Plaintext that may be read ahead.
    pub read_ahead: u64,
    /// The longest single request to the source.
    pub read_unit: u64,
    /// A segment is closed before it grows beyond this.
    pub segment_bytes: u64,
    /// Segments that may be on their way into the store at once.
    pub segments_at_once: usize,
    /// A page is published when its segments hold this much. While one is on its way another one gathers: a crash can cost both, what
    /// is in flight, and what was stored behind a segment that takes long (at most twice what is under way).
    pub page_bytes: u64,
    /// Or when it has so many entries.
    pub page_entries: usize,
    /// zstd's level; 1 is what the arithmetic is sized for.
    pub level: i32,
}

impl CopyLimits {
    /// So many bytes between a source and the store: half of them read ahead, half in segments of at most `segment` bytes, and several of
    /// those at once, for each waits for the other end of a long line before its connection is free.
    pub fn within(in_flight: u64, segment: u64, level: i32) -> CopyLimits {
        let segment_bytes = segment.min(in_flight / 24).max(BLOCK);
        CopyLimits {
            read_ahead: in_flight / 2,
            read_unit: (2 * BLOCK).min(in_flight / 8).max(BLOCK),
            segment_bytes,
            segments_at_once: (in_flight / 2 / segment_bytes).max(1) as usize,
            page_bytes: (in_flight / 4).max(segment_bytes),
            page_entries: 8192,
            level,
        }
    }

    /// The part of each, when so many copies share these bytes. Nothing becomes smaller than a block, as long as it was not before.
    pub fn shared_by(self, copies: usize) -> CopyLimits {
        if copies <= 1 {
            return self;
        }
        self.parted(|bytes| (bytes / copies as u64).max(BLOCK.min(bytes)))
    }

    /// What may be held when so many bytes a second go at most: what goes in a few seconds, so that a copy that is told to hold is soon done
    /// with what it read. Not less than a block.
    pub fn at_rate(self, bytes_per_second: Option<u64>) -> CopyLimits {
        let Some(rate) = bytes_per_second else { return self };
        self.parted(|bytes| bytes.min((rate.saturating_mul(IN_FLIGHT_SECONDS)).max(BLOCK)))
    }

    fn parted(self, part: impl Fn(u64) -> u64) -> CopyLimits {
        let read_ahead = part(self.read_ahead);
        let storing = part(self.segment_bytes * self.segments_at_once as u64);
        let segment_bytes = self.segment_bytes.min((storing / 2).max(BLOCK));
        CopyLimits {
            read_ahead,
            read_unit: self.read_unit.min((read_ahead / 2).max(BLOCK)),
            segment_bytes,
            segments_at_once: (storing / segment_bytes).max(1) as usize,
            page_bytes: part(self.page_bytes).max(segment_bytes),
            ..self
        }
    }
}

/// What is in flight on a line that is held back goes within so long.
const IN_FLIGHT_SECONDS: u64 = 4;

/// The disks that are copied just now, over all VMs. How many those may be is decided by admission.
pub struct Copies {
    now: AtomicUsize,
    limits: CopyLimits,
}

/// One disk's part, held for the whole copy.
pub struct Share<'a> {
    copies: &'a Copies,
    pace: Pace,
}

impl Copies {
    /// `limits`: what a copy has that is alone.
    pub fn new(limits: CopyLimits) -> Copies {
        Copies { now: AtomicUsize::new(0), limits }
    }

    pub fn enter(&self) -> Share<'_> {
        self.now.fetch_add(1, Ordering::Relaxed);
        Share { copies: self, pace: Pace::default() }
    }
}

impl Share<'_> {
    /// The copy goes at this pace, instead of as fast as it can.
    pub fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Until the answer is dropped, this copy holds nothing, and its part is the others'.
    pub fn rest(&self) -> Resting<'_> {
        self.copies.now.fetch_sub(1, Ordering::Relaxed);
        Resting(self.copies)
    }

    /// What this copy may hold now.
    pub fn limits(&self) -> CopyLimits {
        let copies = self.copies.now.load(Ordering::Relaxed);
        self.copies.limits.at_rate(self.pace.meter.rate(Way::Send)).shared_by(copies)
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.copies.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A copy that stands still.
pub struct Resting<'a>(&'a Copies);

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_copy_that_is_alone_has_everything_and_fifty_share_it() {
        let all = CopyLimits::within(96 * MIB, 16 * MIB, 1);
        assert_eq!((all.segment_bytes, all.segments_at_once, all.read_unit), (4 * MIB, 12, 2 * MIB));
        let copies = Copies::new(all);
        let first = copies.enter();
        assert_eq!(first.limits(), all);
        let mut others = Vec::new();
        for _ in 1..50 {
            others.push(copies.enter());
        }
        let one = first.limits();
        let held = one.read_ahead + one.segment_bytes * (one.segments_at_once as u64 + 1);
        assert!(50 * held <= 256 * MIB && one.read_unit >= BLOCK && one.segment_bytes >= BLOCK, "{one:?}");
        let resting: Vec<_> = others.iter().map(Share::rest).collect();
        assert_eq!(first.limits(), all, "who stands still holds nothing");
        drop(resting);
        assert_eq!(first.limits(), one);
        others.clear();
        assert_eq!(first.limits(), all);
    }

    #[test]
    fn what_goes_slowly_holds_what_goes_in_seconds() {
        let all = CopyLimits::within(96 * MIB, 16 * MIB, 1);
        assert_eq!((all.at_rate(None), all.at_rate(Some(100_000_000))), (all, all));
        let slow = all.at_rate(Some(2 * MIB));
        assert_eq!((slow.read_ahead, slow.segment_bytes, slow.segments_at_once, slow.read_unit), (8 * MIB, 4 * MIB, 2, 2 * MIB));
        let slowest = all.at_rate(Some(1000));
        assert_eq!((slowest.read_ahead, slowest.segment_bytes, slowest.segments_at_once, slowest.read_unit), (MIB, MIB, 1, MIB));
    }

    #[test]
    fn bounds_that_are_small_already_stay() {
        let small = CopyLimits { read_ahead: 2 * MIB, segment_bytes: 300_000, ..CopyLimits::within(16 * MIB, MIB, 1) };
        let shared = small.shared_by(7);
        assert_eq!((shared.segment_bytes, shared.read_ahead, shared.page_bytes >= shared.segment_bytes), (300_000, MIB, true));
    }
}
