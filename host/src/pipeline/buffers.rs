//! Buffers of one copy that are used again. A new one would be cleared by somebody before it is filled: a tenth of what a copy costs.
//!
//! A buffer holds what was read before, so it never leaves its copy: whatever a source left out of it would still be bytes of the same disk.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

#[derive(Default)]
pub struct Buffers(Mutex<Spare>);

/// What lies unused, and how many bytes may.
#[derive(Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes_max: u64,
}

/// So many bytes, to be filled. They come back when the last reader of them is gone.
pub struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Arc<Buffers>,
}

impl Spare {
    fn bytes(&self) -> u64 {
        self.buffers.iter().map(|buffer| buffer.len() as u64).sum()
    }
}

impl Buffers {
    /// What lies here beyond this goes at once.
    pub fn keep(&self, bytes_max: u64) {
        let mut spare = self.spare();
        spare.bytes_max = bytes_max;
        while spare.bytes() > bytes_max {
            spare.buffers.pop();
        }
    }

    pub fn take(self: &Arc<Buffers>, length: usize) -> Buffer {
        let mut bytes = self.spare().buffers.pop().unwrap_or_default();
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        Buffer { bytes, length, home: self.clone() }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut spare = self.spare();
        if spare.bytes() + bytes.len() as u64 <= spare.bytes_max {
            spare.buffers.push(bytes);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.0.lock().expect("nothing panics while it holds this")
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
        // The other one lies here already, and both are more than may.
        drop(part);
        assert_eq!(home.spare().bytes(), 600);
        assert_eq!((home.take(100).as_ref().len(), home.take(900).as_ref().len()), (100, 900));
        assert_eq!(home.spare().bytes(), 900);
        home.keep(0);
        drop(home.take(5));
        assert_eq!(home.spare().bytes(), 0);
    }
}
