use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::model::{CELL, DiskSize, Extent};

use super::*;

fn compared(cells: u64, of: u64) -> Compared {
    Compared { cells, of }
}

fn disk(cells: u64) -> SectorBitmap {
    SectorBitmap::empty(DiskSize::new(cells * CELL).unwrap())
}

#[test]
fn probabilities_are_those_of_drawing_without_replacement() {
    // Two of four drawn, one wrong: half. Two wrong: all but one of the six pairs.
    for (cells, of, wrong, expected) in [
        (2, 4, 1, 0.5),
        (2, 4, 2, 5.0 / 6.0),
        (2, 4, 3, 1.0),
        (4, 4, 1, 1.0),
        (0, 4, 4, 0.0),
        (2, 4, 0, 0.0),
        (0, 0, 0, 0.0),
        (1, 1_000_000, 10_000, 0.01),
    ] {
        let found = compared(cells, of).finds(wrong);
        assert!((found - expected).abs() < 1e-12, "{cells} of {of}, {wrong} wrong: {found} and not {expected}");
    }
    // What the default budget promises of a disk of 64 GiB, and of one of 64 TiB.
    assert!(compared(1024, 1 << 20).finds_share(SHARE) > 0.999_96);
    assert!(compared(1024, 1 << 30).finds_share(SHARE) > 0.999_96);
    assert_eq!(compared(1024, 1 << 20).found_with(0.95), Some(3062));
}

#[test]
fn later_cycles_look_for_the_same_cells_and_find_more() {
    let once = compared(100, 10_000).finds(10);
    assert!((0.09..0.1).contains(&once), "{once}");
    assert!((together([once; 24]) - (1.0 - (1.0 - once).powi(24))).abs() < 1e-12);
    assert_eq!(together([]), 0.0);
}

/// Each cell is chosen as often as each other one, however the covered ones lie between them.
#[test]
fn a_choice_favours_no_cell() {
    let mut covered = disk(3000);
    for cell in (0..3000).filter(|cell| cell % 7 == 0 || (900..2200).contains(cell)) {
        covered.insert_widened(Extent::new(cell * CELL, CELL));
    }
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let (mut counts, rounds) = (vec![0u32; 3000], 4000);
    for _ in 0..rounds {
        choose(&covered, 73, |bound| random.random_range(0..bound)).into_iter().for_each(|cell| counts[cell as usize] += 1);
    }
    let unchanged: Vec<u32> = (0..3000).filter(|cell| cell % 7 != 0 && !(900..2200).contains(cell)).map(|cell| counts[cell]).collect();
    assert_eq!(counts.iter().sum::<u32>(), unchanged.iter().sum::<u32>(), "a covered cell was chosen");
    // Chi-square over all of them: its mean is the number of cells less one, its deviation the root of twice that.
    let expected = f64::from(rounds) * 73.0 / unchanged.len() as f64;
    let chi: f64 = unchanged.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    let freedom = (unchanged.len() - 1) as f64 * (1.0 - 73.0 / unchanged.len() as f64);
    assert!((chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "chi-square {chi}, expected about {freedom}");
}

#[test]
fn trust_is_lost_by_disk_and_comes_back_with_a_reset() {
    let lie = |disk: &str| Lie {
        disk: disk.into(),
        label: "Hard disk 1".to_owned(),
        cycle: CycleNumber(7),
        at: Timestamp::UNIX_EPOCH,
        compared: compared(1024, 9000),
        wrong: 2,
        cells: vec![3, 4],
    };
    let mut trust = Trust::default();
    trust.lied(lie("a"));
    assert!(trust.lie(&"a".into()).is_some() && trust.lie(&"b".into()).is_none() && !trust.is_whole());
    assert_eq!(trust.lie(&"a".into()).unwrap().reason().code, "tracker-lied");
    trust.reset();
    assert!(trust.is_whole());
    assert_eq!((trust.lies, trust.newest.as_ref().map(|lie| lie.wrong)), (1, Some(2)), "it is remembered all the same");
}

proptest! {
    #[test]
    fn a_choice_has_what_it_may_and_nothing_of_what_is_covered(
        cells in 1u64..5000,
        inserts in proptest::collection::vec((0.0f64..1.0, 1u64..400), 0..10),
        budget in 0u64..6000,
        seed in any::<u64>(),
    ) {
        let mut covered = disk(cells);
        for (place, length) in inserts {
            let first = (place * cells as f64) as u64;
            covered.insert_widened(Extent::new(first * CELL, length.min(cells - first) * CELL));
        }
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let chosen = choose(&covered, budget, |bound| random.random_range(0..bound));
        prop_assert_eq!(chosen.len() as u64, budget.min(covered.clear_cells()));
        prop_assert!(chosen.is_sorted_by(|one, next| one < next));
        prop_assert!(chosen.iter().all(|cell| !covered.block(cell / 16).contains((cell % 16) as u32)));
    }

    #[test]
    fn more_wrong_cells_and_more_compared_ones_are_never_found_less(of in 1u64..3000, cells in 0u64..3000, wrong in 0u64..3000) {
        let (cells, wrong) = (cells.min(of), wrong.min(of));
        let found = compared(cells, of).finds(wrong);
        prop_assert!((0.0..=1.0).contains(&found));
        prop_assert!(compared(cells, of).finds((wrong + 1).min(of)) >= found - 1e-12);
        prop_assert!(compared((cells + 1).min(of), of).finds(wrong) >= found - 1e-12);
        prop_assert!((compared(wrong, of).finds(cells) - found).abs() < 1e-9, "the two may change places");
    }

    #[test]
    fn the_least_number_that_is_found_is_the_least(of in 1u64..3000, cells in 1u64..3000, probability in 0.05f64..0.999) {
        let compared = compared(cells.min(of), of);
        let wrong = compared.found_with(probability).unwrap();
        prop_assert!(compared.finds(wrong) >= probability);
        prop_assert!(wrong == 1 || compared.finds(wrong - 1) < probability);
    }
}
