//! What is decoded is encoded and decoded to the same, whatever a '/' or a '+' means.

use transload_guest::percent::{Slash, decode, encode};

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(bytes) else { return Outcome::Refused };
    same_again(text);
    let read = [false, true].map(|plus_is_space| decode(text, plus_is_space));
    read.iter().flatten().for_each(|decoded| same_again(decoded));
    if read[0].is_some() { Outcome::Read } else { Outcome::Refused }
}

fn same_again(text: &str) {
    for slash in [Slash::Keep, Slash::Encode] {
        let encoded = encode(text, slash);
        assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b"+?#&\"<>".contains(&byte)), "{encoded}");
        assert_eq!(decode(&encoded, false).as_deref(), Some(text));
        assert_eq!(decode(&encoded, true).as_deref(), Some(text));
    }
}

pub fn examples() -> Vec<Vec<u8>> {
    ["site%2Fvm%2Fa+b%2B", "a b/%C3%A9", "[ds 1] vm%25/vm.vmdk"].map(Into::into).into()
}
