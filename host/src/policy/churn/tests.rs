use proptest::prelude::*;

use crate::policy::timing::example::{Delta, ended, history};

use super::*;

const MIB: u64 = 1 << 20;

fn delta(after: i64, bytes: u64) -> Delta {
    Delta { after, bytes, copying: 5, fixed: 4 }
}

#[test]
fn rates_and_shares_are_those_of_the_deltas_between_points() {
    let churn = Churn::of(&history(&[delta(3600, 100 * MIB), delta(1800, 80 * MIB), delta(5400, 120 * MIB)]));
    let disk = &churn.disks[0];
    assert_eq!((disk.changes.deltas, disk.changes.seconds, disk.changes.changed), (3, 10_800, 300 * MIB));
    assert_eq!(disk.changes.bytes_per_hour, 100 * MIB);
    assert_eq!(disk.share_millionths, 97_656, "100 MiB of a GiB in each");
    assert_eq!((disk.patterns.as_slice(), churn.total.bytes_per_hour), (&[][..], 100 * MIB));
}

#[test]
fn the_disk_that_changes_most_comes_first_and_a_resync_is_no_churn() {
    let mut known = history(&[delta(3600, MIB), delta(3600, MIB)]);
    for ended in &mut known[1..] {
        let mut busy = ended.disks[0].clone();
        (busy.disk, busy.label, busy.stats.planned) = ("e".into(), "Hard disk 2".to_owned(), 50 * MIB);
        ended.disks.push(busy);
    }
    known.push(ended(4, 3 * 3600, Mode::Resync, delta(0, 1 << 30)));
    let churn = Churn::of(&known);
    let ranked: Vec<&str> = churn.disks.iter().map(|disk| disk.label.as_str()).collect();
    assert_eq!(ranked, ["Hard disk 2", "Hard disk 1"]);
    assert_eq!(
        churn.total,
        Changes {
            deltas: 2,
            seconds: 7200,
            changed: 102 * MIB,
            reported: 4 * MIB,
            extents: 4,
            sent: 4 * MIB,
            stored: 2 * MIB,
            bytes_per_hour: 51 * MIB,
        }
    );
    assert_eq!(Churn::of(&[]), Churn::default());
}

#[test]
fn patterns_that_hurt_are_named_with_their_numbers() {
    let with = |change: fn(&mut EndedDisk)| {
        let mut known = history(&[delta(3600, 256 * MIB); 3]);
        known.iter_mut().for_each(|ended| change(&mut ended.disks[0]));
        Churn::of(&known).disks[0].patterns.clone()
    };
    let scattered = with(|disk| (disk.reported_bytes, disk.reported_extents) = (16 * MIB, 4096));
    assert_eq!(scattered, [Pattern::Scattered { extents_per_delta: 4096, bytes_per_extent: 4096, read_for_each_reported: 16 }]);
    let rewritten = with(|disk| disk.stats.sent = 32 * MIB);
    assert_eq!(rewritten, [Pattern::Rewritten { sent_of_thousand: 125 }]);
    // Few extents are few requests, however small they are.
    assert_eq!(with(|disk| (disk.reported_bytes, disk.reported_extents) = (16 * MIB, 200)), []);

    let places = |longer: u64| {
        let pauses = [1, 1, 1, 4, 4, 4].map(|hours| delta(hours * 3600, if hours == 1 { 100 * MIB } else { longer }));
        Churn::of(&history(&pauses)).disks[0].patterns.clone()
    };
    assert_eq!(places(120 * MIB), [Pattern::Overwritten { longer_tenths: 40, more_tenths: 12 }]);
    assert_eq!(places(400 * MIB), [], "four times as long and four times as much is new data");
}

proptest! {
    #[test]
    fn whatever_was_recorded_is_added_up(
        deltas in proptest::collection::vec((0i64..1 << 31, 0u64..1 << 46), 0..30),
    ) {
        let deltas: Vec<Delta> = deltas.into_iter().map(|(after, bytes)| delta(after, bytes)).collect();
        let churn = Churn::of(&history(&deltas));
        prop_assert_eq!(churn.total.changed, deltas.iter().map(|delta| delta.bytes).sum::<u64>());
        prop_assert_eq!(churn.disks.len(), usize::from(!deltas.is_empty()));
    }
}
