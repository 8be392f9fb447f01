//! Buffers of one copy that are used again. A new one would be cleared by somebody before it is filled: a tenth of what a copy costs.
//!
//! A buffer holds what was read before, so it never leaves its copy: whatever a source left out of it would still be bytes of the same disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

#[derive(Default)]
pub struct Buffers {
    spare: Mutex<Vec<Vec<u8>>>,
    /// Bytes that may lie here unused.
    spare_max: AtomicU64,
}

/// So many bytes, to be filled. They come back when the last reader of them is gone.
pub struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// What lies here beyond this goes at once.
    pub fn keep(&self, spare_max: u64) {
        self.spare_max.store(spare_max, Ordering::Relaxed);
        let mut spare = self.spare.lock().expect("nothing panics while it holds this");
        while spare.iter().map(Vec::len).sum::<usize>() as u64 > spare_max {
            spare.pop();
        }
    }

    pub fn take(self: &Arc<Buffers>, length: usize) -> Buffer {
        let mut bytes = self.spare.lock().expect("nothing panics while it holds this").pop().unwrap_or_default();
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        Buffer { bytes, length, home: self.clone() }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut spare = self.spare.lock().expect("nothing panics while it holds this");
        let held: usize = spare.iter().map(Vec::len).sum();
        if (held + bytes.len()) as u64 <= self.spare_max.load(Ordering::Relaxed) {
            spare.push(bytes);
        }
    }
}

impl Buffer {
    pub fn share(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_lent_again_when_its_last_reader_is_gone_and_not_before() {
        let home = Arc::new(Buffers::default());
        home.keep(1000);
        let mut first = home.take(600);
        first.as_mut().fill(7);
        let shared = first.share();
        let part = shared.slice(10..20);
        drop(shared);
        assert_eq!(home.take(600).as_ref(), [0; 600], "the other one is still read");
        assert_eq!(part[..], [7; 10]);
        // What lies here is what was put back first, and no more than may.
        drop(part);
        assert_eq!(home.spare.lock().unwrap().len(), 1);
        assert_eq!((home.take(100).as_ref().len(), home.take(900).as_ref().len()), (100, 900));
        let kept = |home: &Buffers| home.spare.lock().unwrap().iter().map(Vec::len).sum::<usize>();
        assert!((1..=1000).contains(&kept(&home)));
        home.keep(0);
        assert_eq!(kept(&home), 0);
        drop(home.take(5));
        assert_eq!(kept(&home), 0);
    }
}
