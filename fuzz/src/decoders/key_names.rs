//! A number that is read from a key is the one that writes it, and a foreign name becomes one harmless part of a key.

use transload::log::layout;
use transload::model::{CycleNumber, Epoch, VmId};

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(bytes) else { return Outcome::Refused };
    let part = layout::name(text);
    assert!(!part.is_empty() && part.len() <= 64, "{part}");
    assert!(part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{part}");
    assert_eq!(layout::name(&part), part);
    let Some(number) = layout::number_of(text) else { return Outcome::Refused };
    let vm = VmId::from("v");
    let last = text.rsplit('/').next().unwrap_or_default();
    for key in [layout::owner(&vm, Epoch(number)), layout::commit(&vm, CycleNumber(number)), layout::command(number)] {
        assert_eq!(key.rsplit('/').next(), Some(last), "{text} is not a key that we wrote");
        assert_eq!(layout::number_of(&key), Some(number));
    }
    Outcome::Read
}

pub fn examples() -> Vec<Vec<u8>> {
    ["vm/v/commit/0000000010", "vm/v/owner/9999999999", "cmd/0000000001"].map(Into::into).into()
}
