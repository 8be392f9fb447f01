use crate::model::{Attempt, CycleNumber};
use crate::random::Random;

use super::*;

fn sealer(store: u8, key_id: u8, seed: u64) -> Sealer {
    Sealer::new(&DataKey::random(&mut Random::from_seed(seed).fork()), [store; 16], [key_id; 16])
}

#[test]
fn an_object_opens_only_where_and_as_what_it_was_sealed() {
    let ours = sealer(1, 2, 3);
    let sealed = ours.seal_object(Role::Commit, "vm/v/commit/1", b"plain", &mut Random::from_seed(4).fork());
    let sealed = &sealed.whole()[..];
    assert_eq!(ours.open_object(Role::Commit, "vm/v/commit/1", sealed).unwrap(), b"plain");
    assert!(ours.open_object(Role::Receipt, "vm/v/commit/1", sealed).is_err(), "another role");
    assert!(ours.open_object(Role::Commit, "vm/v/commit/2", sealed).is_err(), "another key");
    assert!(sealer(9, 2, 3).open_object(Role::Commit, "vm/v/commit/1", sealed).is_err(), "another store");
    assert!(sealer(1, 9, 3).open_object(Role::Commit, "vm/v/commit/1", sealed).is_err(), "another key id");
    assert!(sealer(1, 2, 9).open_object(Role::Commit, "vm/v/commit/1", sealed).is_err(), "another data key");
    for place in 0..sealed.len() {
        let mut damaged = sealed.to_vec();
        damaged[place] ^= 1;
        assert!(ours.open_object(Role::Commit, "vm/v/commit/1", &damaged).is_err(), "byte {place}");
        assert!(ours.open_object(Role::Commit, "vm/v/commit/1", &sealed[..place]).is_err(), "cut at {place}");
    }
}

#[test]
fn a_block_opens_only_in_its_place() {
    let ours = sealer(1, 2, 3);
    let folder = |vm: &str, attempt, disk: &str| AttemptFolder::new(&vm.into(), CycleNumber(1), Attempt(attempt), &disk.into());
    let (here, attempt, disk, vm) = (folder("v", 1, "d"), folder("v", 2, "d"), folder("v", 1, "e"), folder("w", 1, "d"));
    let place = BlockPlace { folder: &here, block: 7, cells: CellMask(0b11), encoding: 1 };
    let sealed = ours.seal_block(place, b"cells".to_vec(), &mut Random::from_seed(4).fork());
    let segment = sealed.bytes();
    assert_eq!(segment.len(), 5 + BLOCK_OVERHEAD);
    let mut plain = b"what was there before".to_vec();
    ours.open_block(place, segment, &mut plain).unwrap();
    assert_eq!(plain, b"cells");
    for (what, elsewhere) in [
        ("attempt", BlockPlace { folder: &attempt, ..place }),
        ("disk", BlockPlace { folder: &disk, ..place }),
        ("vm", BlockPlace { folder: &vm, ..place }),
        ("block", BlockPlace { block: 8, ..place }),
        ("cells", BlockPlace { cells: CellMask(0b101), ..place }),
        ("encoding", BlockPlace { encoding: 0, ..place }),
    ] {
        assert!(ours.open_block(elsewhere, segment, &mut plain).is_err(), "another {what}");
    }
    assert!(sealer(9, 2, 3).open_block(place, segment, &mut plain).is_err(), "another store");
    assert!(sealer(1, 9, 3).open_block(place, segment, &mut plain).is_err(), "another key id");
    let (cycle, other_key) = (AttemptFolder::new(&"v".into(), CycleNumber(2), Attempt(1), &"d".into()), sealer(1, 2, 9));
    assert!(ours.open_block(BlockPlace { folder: &cycle, ..place }, segment, &mut plain).is_err(), "another cycle");
    assert!(other_key.open_block(place, segment, &mut plain).is_err(), "another data key");
    for byte in 0..segment.len() {
        let mut damaged = segment.to_vec();
        damaged[byte] ^= 1;
        assert!(ours.open_block(place, &damaged, &mut plain).is_err(), "byte {byte}");
    }
    for length in 0..segment.len() {
        assert!(ours.open_block(place, &segment[..length], &mut plain).is_err(), "cut at {length}");
    }
}

#[test]
fn the_data_key_says_nothing_of_itself() {
    let key = DataKey([0xab; 32]);
    assert_eq!(format!("{key:?}"), "DataKey(…)");
}

#[test]
fn stores_have_digests_of_their_own() {
    let digest = |seed| crate::log::digest::cell_digest(sealer(1, 2, seed).digest_secret(), b"the same content");
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4));
}
