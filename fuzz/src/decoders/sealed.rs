//! Nothing that was not sealed opens, and trying it never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transload::log::seal::{BlockPlace, DataKey, Role, Sealer};
use transload::model::CellMask;
use transload::random::Random;

fuzz_target!(|bytes: &[u8]| {
    let sealer = Sealer::new(&DataKey::random(&mut Random::from_seed(1).fork()), [1; 16], [2; 16]);
    assert!(sealer.open_object(Role::Page, "vm/v/page", bytes).is_err());
    let place = BlockPlace { segment_key: "vm/v/seg", block: 1, cells: CellMask(1), encoding: 0 };
    assert!(sealer.open_block(place, bytes, &mut Vec::new()).is_err());
});
