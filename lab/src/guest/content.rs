//! File contents that compress well, half, and not at all; the same seed gives the same bytes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Half,
    Random,
}

pub(super) struct Content {
    kind: Kind,
    random: ChaCha8Rng,
    line: u64,
}

impl Content {
    pub fn new(kind: Kind, seed: u64) -> Content {
        Content { kind, random: ChaCha8Rng::seed_from_u64(seed), line: 0 }
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        match self.kind {
            Kind::Text => self.text(length),
            Kind::Half => self.half(length),
            Kind::Random => {
                let mut bytes = vec![0; length];
                self.random.fill_bytes(&mut bytes);
                bytes
            }
        }
    }

    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 160);
        while bytes.len() < length {
            self.line += 1;
            bytes.extend_from_slice(format!("{:010} ", self.line).as_bytes());
            let mut bits = self.random.next_u64();
            for _ in 0..12 {
                bytes.extend_from_slice(WORDS[(bits % 32) as usize].as_bytes());
                bytes.push(b' ');
                bits >>= 5;
            }
            bytes.push(b'\n');
        }
        bytes.truncate(length);
        bytes
    }

    fn half(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![b'.'; length];
        for pair in bytes.chunks_mut(64) {
            let middle = pair.len() / 2;
            self.random.fill_bytes(&mut pair[middle..]);
        }
        bytes
    }
}

const WORDS: [&str; 32] = [
    "order",
    "invoice",
    "accepted",
    "customer",
    "error",
    "retry",
    "session",
    "opened",
    "closed",
    "disk",
    "queue",
    "worker",
    "started",
    "stopped",
    "timeout",
    "payment",
    "shipped",
    "warehouse",
    "north",
    "south",
    "batch",
    "nightly",
    "report",
    "user",
    "login",
    "denied",
    "granted",
    "cache",
    "miss",
    "hit",
    "bytes",
    "seconds",
];
