//! zstd for blocks. A thread keeps its contexts: making them anew for each block costs as much as a small block itself.

use std::cell::RefCell;

use super::seal::BLOCK_OVERHEAD;
use crate::model::{BLOCK, Fault};

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
    static EXPANDER: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The block as one zstd frame, if that is at least a sixteenth smaller: expanding it would cost the receiver more than fewer bytes are
/// worth. Behind the frame there is room for what sealing adds.
pub fn compress(plain: &[u8], level: i32) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(of_level, _)| *of_level != level) {
            *kept = Some((level, zstd::bulk::Compressor::new(level).ok()?));
        }
        let (_, compressor) = kept.as_mut()?;
        let largest = plain.len() - plain.len() / 16;
        let mut frame = Vec::with_capacity(largest + BLOCK_OVERHEAD);
        // A buffer that is too small is how zstd says that the frame is far too large.
        compressor.compress_to_buffer(plain, &mut frame).ok()?;
        (frame.len() <= largest).then_some(frame)
    })
}

/// A frame of at most a block.
pub fn expand(frame: &[u8], what: impl Fn() -> String) -> Result<Vec<u8>, Fault> {
    let broken = || Fault::corrupt(format!("{} does not expand", what()));
    EXPANDER.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Some(zstd::bulk::Decompressor::new().map_err(|error| Fault::internal(format!("zstd does not start: {error}")))?);
        }
        kept.as_mut().ok_or_else(broken)?.decompress(frame, BLOCK as usize).map_err(|_| broken())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shrinks_comes_back_and_what_does_not_is_left_alone() {
        let lines = b"the same line again\n".repeat(1000);
        let frame = compress(&lines, 1).unwrap();
        assert!(frame.len() < lines.len() / 10);
        assert_eq!(expand(&frame, String::new).unwrap(), lines);
        let mut noise = vec![0; 100_000];
        crate::random::Random::from_seed(3).fill(&mut noise);
        assert_eq!(compress(&noise, 1), None);
        assert_eq!(compress(b"", 1), None);
        assert_eq!(expand(&frame[..frame.len() - 1], || "block 7".to_owned()).unwrap_err().message, "block 7 does not expand");
    }
}
