//! What a running guest does to its disk between two cycles.

use crate::disk::SECTOR;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// A pattern of writes; the same seed writes the same bytes to the same places.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "pattern", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Workload {
    /// A run of neighbouring writes of `bytes` each, somewhere on the disk.
    Clustered { writes: u64, bytes: u64 },
    /// Single writes of `bytes` each, all over the disk.
    Scattered { writes: u64, bytes: u64 },
    /// One sector, one left alone, and so on.
    EveryOtherSector { start: u64, sectors: u64 },
    /// One sector in every second tracking cell from `start` on: as many separate extents as there are writes.
    EveryOtherCell { start: u64, writes: u64 },
    /// The very last sector of the disk.
    LastSector,
    /// The same range, written three times.
    Overwrite { start: u64, bytes: u64 },
    /// Zeros over a range that may have held data.
    Zeros { start: u64, bytes: u64 },
}

/// One write of the guest; whole sectors, inside the disk.
pub(crate) struct Write {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

impl Workload {
    /// The writes on a disk of `capacity` bytes. Whatever would leave the disk is cut.
    pub(crate) fn writes(&self, capacity: u64, seed: u64) -> Vec<Write> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut places: Vec<(u64, u64)> = Vec::new();
        match *self {
            Workload::Clustered { writes, bytes } => {
                let start = aligned(random.next_u64() % capacity);
                places.extend((0..writes).map(|number| (start + number * bytes, bytes)));
            }
            Workload::Scattered { writes, bytes } => {
                places.extend((0..writes).map(|_| (aligned(random.next_u64() % capacity), bytes)));
            }
            Workload::EveryOtherSector { start, sectors } => {
                places.extend((0..sectors).map(|number| (start + number * 2 * SECTOR, SECTOR)));
            }
            Workload::EveryOtherCell { start, writes } => {
                places.extend((0..writes).map(|number| (start + number * 2 * crate::disk::CELL, SECTOR)));
            }
            Workload::LastSector => places.push((aligned(capacity - 1), SECTOR)),
            Workload::Overwrite { start, bytes } | Workload::Zeros { start, bytes } => {
                let rounds = if matches!(self, Workload::Overwrite { .. }) { 3 } else { 1 };
                places.extend((0..rounds).map(|_| (start, bytes)));
            }
        }
        let zeros = matches!(self, Workload::Zeros { .. });
        let inside = |(offset, length): (u64, u64)| {
            let offset = aligned(offset);
            let length = aligned(length.max(SECTOR)).min(capacity.saturating_sub(offset));
            (length > 0).then_some((offset, length))
        };
        let cut: Vec<_> = places.into_iter().filter_map(inside).collect();
        cut.into_iter()
            .map(|(offset, length)| {
                let mut bytes = vec![0; length as usize];
                if !zeros {
                    random.fill_bytes(&mut bytes);
                }
                Write { offset, bytes }
            })
            .collect()
    }
}

fn aligned(offset: u64) -> u64 {
    offset / SECTOR * SECTOR
}
