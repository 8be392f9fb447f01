use proptest::prelude::*;

use crate::policy::timing::example::{Delta, ended, history};

use super::*;

const MIB: u64 = 1 << 20;

fn delta(after: i64, bytes: u64, copying: i64, fixed: i64) -> Delta {
    Delta { after, bytes, copying, fixed }
}

fn foreseen(deltas: &[Delta], since: u64) -> Option<Forecast> {
    Experience::of(&history(deltas)).forecast(Duration::from_secs(since))
}

#[test]
fn a_steady_vm_is_foreseen_exactly() {
    // An hour brings 360 MiB, a second copies 36 MiB of it, and 8 s go by for the rest.
    let deltas = [delta(3600, 360 * MIB, 10, 8); 5];
    let after = |hours: u64| foreseen(&deltas, hours * 3600).unwrap();
    assert_eq!(after(1), Forecast { p50_ms: 18_000, p95_ms: 18_000, bytes: 360 * MIB, cycles: 5 });
    assert_eq!(after(4), Forecast { p50_ms: 48_000, p95_ms: 48_000, bytes: 1440 * MIB, cycles: 5 });
    assert_eq!(after(0).p95_ms, 8000, "what is due at once costs only what is fixed");
}

#[test]
fn with_two_deltas_nothing_is_foreseen_and_that_is_said() {
    let deltas = [delta(3600, MIB, 1, 8); 2];
    assert_eq!(foreseen(&deltas, 60), None);
    assert_eq!(Experience::of(&history(&deltas)).outlook(), Outlook::Unknown { cycles: 2, needed: 3 });
    assert_eq!(Experience::of(&[]).outlook(), Outlook::Unknown { cycles: 0, needed: 3 });
}

#[test]
fn only_deltas_that_became_points_count() {
    let mut known = history(&[delta(3600, 360 * MIB, 10, 8); 4]);
    let before = Experience::of(&known);
    known.push(ended(6, 5 * 3600, Mode::Resync, delta(0, 1 << 30, 900, 8)));
    let mut failed = ended(7, 6 * 3600, Mode::Delta, delta(0, 1 << 30, 900, 8));
    failed.outcome = EndedAs::Failed(crate::model::Fault::unavailable("gone"));
    known.push(failed);
    assert_eq!(Experience::of(&known), before);
    // A cycle of an agent before this one has no times: it is no experience, and neither is the one after it.
    known[2].timing = Default::default();
    assert_eq!(Experience::of(&known).cycles(), 2);
}

#[test]
fn a_small_delta_says_nothing_of_speed() {
    // One cell takes 50 ms: a rate of a MiB a second, which the next large delta will not have.
    let mut deltas = vec![delta(3600, 1800 * MIB, 18, 8); 3];
    deltas.extend([delta(3600, 64 << 10, 0, 8); 3]);
    let forecast = foreseen(&deltas, 3600).unwrap();
    assert_eq!(forecast.p95_ms, 26_000);
}

#[test]
fn deltas_converge_when_less_changes_than_is_copied_and_say_towards_what() {
    let outlook = |bytes| Experience::of(&history(&[delta(3600, bytes, 60, 30); 4])).outlook();
    // 1 MiB/s changes, 60 MiB/s are copied: 30 s of fixed costs, and a sixtieth of it again and again.
    match outlook(3600 * MIB) {
        Outlook::Converges { churn, speed, share_millionths, shortest_ms } => {
            assert_eq!((churn, speed), (MIB, 60 * MIB));
            assert_eq!((share_millionths, shortest_ms), (16_666, 30_508));
        }
        other => panic!("{other:?}"),
    }
    let busy = Experience::of(&history(&[delta(100, 5000 * MIB, 100, 10); 4])).outlook();
    assert!(matches!(busy, Outlook::Diverges { share_millionths: 1_000_000, .. }), "as much as is copied is too much: {busy:?}");
    let still = Experience::of(&history(&[delta(3600, 0, 0, 10); 4])).outlook();
    assert_eq!(still, Outlook::Converges { churn: 0, speed: 0, share_millionths: 0, shortest_ms: 10_000 });
}

#[test]
fn forecasts_are_compared_with_what_became_of_them() {
    let mut known = history(&[delta(3600, 360 * MIB, 10, 8); 25]);
    for (number, ended) in known.iter_mut().enumerate().skip(1) {
        // The oldest ones were far off, one of the newest as well.
        let p95_ms = if number < 4 || number == 20 { 17_999 } else { 18_000 };
        ended.timing.forecast = Some(Forecast { p50_ms: 17_000, p95_ms, bytes: 0, cycles: 3 });
    }
    assert_eq!(Calibration::of(&known), Calibration { forecasts: 20, within_p50: 0, within_p95: 19 });
    assert_eq!(Calibration::of(&[]), Calibration::default());
}

fn any_delta() -> impl Strategy<Value = Delta> {
    (0i64..100_000, 0u64..1 << 40, 0i64..10_000, 0i64..10_000).prop_map(|(after, bytes, copying, fixed)| Delta {
        after,
        bytes,
        copying,
        fixed,
    })
}

proptest! {
    #[test]
    fn the_median_is_never_above_the_upper_bound_and_nothing_divides_by_zero(
        deltas in proptest::collection::vec(any_delta(), 0..60),
        since in 0u64..10_000_000,
    ) {
        let experience = Experience::of(&history(&deltas));
        prop_assert_eq!(experience.cycles(), deltas.len().min(RECENT));
        match experience.forecast(Duration::from_secs(since)) {
            None => prop_assert!(deltas.len() < NEEDED),
            Some(forecast) => {
                prop_assert!(forecast.p50_ms <= forecast.p95_ms);
                let later = experience.forecast(Duration::from_secs(since + 3600)).unwrap();
                prop_assert!(later.p50_ms >= forecast.p50_ms && later.p95_ms >= forecast.p95_ms, "waiting makes no cycle shorter");
            }
        }
        experience.outlook();
    }

    /// More churn at the same speed is never foreseen to take less.
    #[test]
    fn a_forecast_grows_with_churn(deltas in proptest::collection::vec(any_delta(), 3..20), since in 0u64..1_000_000, times in 2u64..9) {
        let more: Vec<Delta> =
            deltas.iter().map(|delta| Delta { bytes: delta.bytes * times, copying: delta.copying * times as i64, ..*delta }).collect();
        // A copy in no time has the same speed for any number of bytes only if there are none.
        prop_assume!(deltas.iter().all(|delta| delta.copying > 0));
        let (before, after) = (foreseen(&deltas, since).unwrap(), foreseen(&more, since).unwrap());
        prop_assert!(after.p50_ms >= before.p50_ms && after.p95_ms >= before.p95_ms, "{before:?} {after:?}");
    }

    /// The bound is a bound: of the recorded cycles, if all are copied at one speed, no more than 5 of 100 take longer.
    #[test]
    fn of_what_was_seen_no_more_than_a_twentieth_lies_above_the_bound(churns in proptest::collection::vec(1u64..100, 20..40)) {
        let deltas: Vec<Delta> = churns.iter().map(|tens| delta(3600, tens * 10 * MIB, *tens as i64, 8)).collect();
        let bound = foreseen(&deltas, 3600).unwrap().p95_ms;
        let above = deltas.iter().filter(|delta| ((delta.copying + delta.fixed) * 1000) as u64 > bound).count();
        prop_assert!(above * 20 <= deltas.len(), "{above} of {} above {bound}", deltas.len());
    }
}
