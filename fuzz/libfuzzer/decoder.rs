//! libFuzzer's door to the decoders. Which one is fed stands in the environment, so that one program serves all of them.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use fuzz::Decoder;
use libfuzzer_sys::fuzz_target;

static DECODER: LazyLock<&Decoder> = LazyLock::new(|| {
    let name = std::env::var("TRANSLOAD_DECODER").expect("TRANSLOAD_DECODER names a decoder");
    fuzz::find(&name).unwrap_or_else(|| panic!("there is no decoder {name}"))
});

fuzz_target!(
    init: {
        // What is known to be read is where inventing begins.
        if let Ok(folder) = std::env::var("TRANSLOAD_CORPUS") {
            for (number, example) in (DECODER.examples)().iter().enumerate() {
                std::fs::write(Path::new(&folder).join(format!("example-{number}")), example).expect("the corpus can be written to");
            }
        }
    },
    |bytes: &[u8]| {
        (DECODER.feed)(bytes);
    }
);
