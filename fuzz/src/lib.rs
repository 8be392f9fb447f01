//! What is promised of every decoder of bytes from outside: it never panics, and what it reads has a property that its file names.
//!
//! ```text
//!   cargo xtask fuzz NAME ─▶ libFuzzer invents inputs ─┐
//!                                                      ├─▶ decoders::NAME::feed ─▶ the product's decoder
//!   unit tests: the examples, shortened and damaged ───┘
//! ```
//!
//! libFuzzer's own crate lies in `libfuzzer/` and holds nothing but the arrow.

pub mod decoders;
mod peer;

pub use decoders::{DECODERS, Decoder, find};

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was read, and the decoder's property held.
    Read,
    Refused,
}

impl Outcome {
    fn of<T, E>(result: &Result<T, E>) -> Outcome {
        if result.is_ok() { Outcome::Read } else { Outcome::Refused }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// At most so many places of an example are damaged; more is a fuzzer's work.
    const PLACES: usize = 200;

    #[test]
    fn every_example_is_read() {
        for decoder in DECODERS {
            let examples = (decoder.examples)();
            assert!(!examples.is_empty(), "{} has no example", decoder.name);
            for example in examples {
                assert_eq!((decoder.feed)(&example), Outcome::Read, "{}: {}", decoder.name, String::from_utf8_lossy(&example));
            }
        }
    }

    #[test]
    fn shortened_and_damaged_examples_break_no_promise() {
        for decoder in DECODERS {
            for example in (decoder.examples)() {
                for place in (0..example.len()).step_by(example.len().div_ceil(PLACES).max(1)) {
                    (decoder.feed)(&example[..place]);
                    for flip in [0x01, 0x10, 0x80, 0xff] {
                        let mut damaged = example.clone();
                        damaged[place] ^= flip;
                        (decoder.feed)(&damaged);
                    }
                }
            }
        }
    }

    #[test]
    fn every_file_is_a_decoder_that_can_be_asked_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join("decoders");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<String> = files.filter(|file| file != "mod.rs").map(|file| file.trim_end_matches(".rs").to_owned()).collect();
        let known: BTreeSet<String> = DECODERS.iter().map(|decoder| decoder.name.to_owned()).collect();
        assert_eq!(files, known);
    }
}
