//! What was sealed opens at its place; nothing that was not sealed opens, and trying it never panics.

use transload::log::layout::AttemptFolder;
use transload::log::seal::{BlockPlace, DataKey, Role, Sealer};
use transload::model::{Attempt, CellMask, CycleNumber};
use transload::random::Random;

use super::{golden, unhex};
use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let random = Random::from_seed(1);
    let sealer = Sealer::new(&DataKey::random(&mut random.fork()), [1; 16], [2; 16]);
    assert!(sealer.open_object(Role::Page, "vm/v/page", bytes).is_err());
    let folder = AttemptFolder::new(&"v".into(), CycleNumber(1), Attempt(1), &"d".into());
    let place = BlockPlace { folder: &folder, block: 1, cells: CellMask(1), encoding: 0 };
    assert!(sealer.open_block(place, bytes, &mut Vec::new()).is_err());
    let sealed = sealer.seal_object(Role::Page, "vm/v/page", bytes, &mut random.fork());
    assert_eq!(sealer.open_object(Role::Page, "vm/v/page", &sealed.whole()).expect("what was sealed opens"), bytes);
    Outcome::Read
}

pub fn examples() -> Vec<Vec<u8>> {
    vec![unhex(golden!("sealed-object.hex")), unhex(golden!("sealed-block.hex"))]
}
