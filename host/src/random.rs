//! Randomness, as an argument, so that a simulation can repeat it.

use std::sync::{Arc, Mutex};

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

/// A shared generator. ChaCha20 from the operating system's entropy, or from a seed.
#[derive(Clone)]
pub struct Random(Arc<Mutex<ChaCha20Rng>>);

impl Random {
    pub fn from_system() -> Random {
        Random(Arc::new(Mutex::new(ChaCha20Rng::from_os_rng())))
    }

    pub fn from_seed(seed: u64) -> Random {
        Random(Arc::new(Mutex::new(ChaCha20Rng::seed_from_u64(seed))))
    }

    /// A generator of its own, for work that would otherwise wait for the lock again and again.
    pub fn fork(&self) -> ChaCha20Rng {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        ChaCha20Rng::from_seed(seed)
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().expect("no code panics while it holds the generator").fill_bytes(bytes);
    }

    pub fn number(&self) -> u64 {
        self.0.lock().expect("no code panics while it holds the generator").next_u64()
    }
}
