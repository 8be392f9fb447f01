use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600;

fn at(hours: i64) -> Timestamp {
    // The first of January 2026, 00:00 UTC.
    Timestamp::from_second(1_767_225_600 + hours * HOUR).unwrap()
}

/// An applied point an hour, each on the one before.
fn hourly(count: u64) -> Vec<Known> {
    let known = |cycle: u64| Known {
        cycle: CycleNumber(cycle),
        base: (cycle > 1).then(|| CycleNumber(cycle - 1)),
        taken_at: at(cycle as i64),
        standing: Standing::Applied,
        checkpoint: false,
        verified: false,
        pinned: false,
    };
    (1..=count).map(known).collect()
}

fn situation(commits: Vec<Known>) -> Situation {
    let base = commits.iter().rfind(|known| known.standing == Standing::Applied).map(|known| known.cycle);
    Situation { commits, base, held: Vec::new() }
}

fn kept(plan: &Plan) -> Vec<u64> {
    plan.kept.iter().map(|kept| kept.cycle.0).collect()
}

fn why(plan: &Plan, cycle: u64) -> Vec<Reason> {
    plan.kept.iter().find(|kept| kept.cycle.0 == cycle).map_or_else(Vec::new, |kept| kept.why.clone())
}

#[test]
fn a_day_of_all_and_a_week_of_days_are_kept_by_default() {
    let plan = plan(&Rule::default(), &situation(hourly(10 * 24)));
    let days: Vec<u64> = (2..9).map(|day| day * 24 + 23).collect();
    let recent: Vec<u64> = (9 * 24..=10 * 24).collect();
    assert_eq!(kept(&plan), [days[1..].to_vec(), recent].concat(), "the last ones of their days, then the last 24 h");
    assert_eq!(why(&plan, 3 * 24 + 23), [Reason::Day]);
    assert_eq!(plan.checkpoints.iter().map(|cycle| cycle.0).collect::<Vec<_>>(), [95, 119, 143, 167, 191, 215], "behind each gap");
}

#[test]
fn what_is_pinned_verified_held_or_built_on_stays_however_old_it_is() {
    let rule = Rule { recent: Duration::from_secs(3600), days: 0, at_least: 1 };
    let mut commits = hourly(30);
    commits[4].pinned = true;
    (commits[7].verified, commits[9].verified) = (true, true);
    commits.push(Known { standing: Standing::Rejected, ..commits[29].clone() });
    (commits[30].cycle, commits[30].base) = (CycleNumber(31), Some(CycleNumber(30)));
    commits.push(Known { cycle: CycleNumber(32), base: Some(CycleNumber(12)), standing: Standing::Unjudged, ..commits[30].clone() });
    let mut situation = situation(commits);
    situation.base = Some(CycleNumber(15));
    let made = plan(&rule, &situation);
    assert_eq!(kept(&made), [5, 10, 12, 15, 29, 30, 32], "the rejected one goes, the newest commit stays");
    assert_eq!(why(&made, 10), [Reason::Verified]);
    assert_eq!(why(&made, 12), [Reason::Base]);
    assert_eq!(why(&made, 32), [Reason::Newest, Reason::Unjudged]);
    assert_eq!(made.checkpoints.len(), 5, "5, 10, 12, 15 and 29 stand behind gaps");

    situation.held = vec![Held { point: CycleNumber(3), purpose: "a restore".to_owned() }];
    let made = plan(&rule, &situation);
    assert_eq!(kept(&made)[..4], [1, 2, 3, 5], "what a leased point builds on is held as well");
    assert_eq!(why(&made, 1), [Reason::Held { purpose: "a restore".to_owned() }]);
}

#[test]
fn a_vm_that_gets_no_new_points_loses_none_and_a_clock_that_jumped_leaves_some() {
    let commits = hourly(5);
    assert!(plan(&Rule::default(), &situation(commits.clone())).dropped.is_empty(), "however long ago that was");
    let jumped = Known { cycle: CycleNumber(6), taken_at: at(24 * 3650), base: Some(CycleNumber(5)), ..commits[0].clone() };
    let plan = plan(&Rule::default(), &situation([commits, vec![jumped]].concat()));
    assert_eq!(kept(&plan), [4, 5, 6]);
}

#[test]
fn points_go_in_batches_or_once_a_day() {
    let batches = Batches::default();
    assert!(!batches.are_due(11, None, at(0)) && batches.are_due(12, None, at(0)), "twelve cycles");
    assert!(!batches.are_due(1, Some(at(0)), at(23)) && batches.are_due(1, Some(at(0)), at(24)), "a day");
    assert!(!batches.are_due(1, Some(at(1000)), at(24)), "a clock that went back hurries nothing");
    assert!(!batches.are_due(0, Some(at(0)), at(1000)), "nothing can have changed");
}

fn any_known() -> impl Strategy<Value = (u8, u8, [bool; 3], u64)> {
    (0u8..10, 0u8..6, any::<[bool; 3]>(), 0u64..40)
}

/// Commits as a gateway makes them: each builds on the newest applied one before it, or on nothing.
fn history(drawn: Vec<(u8, u8, [bool; 3], u64)>) -> Vec<Known> {
    let (mut commits, mut newest, mut hours): (Vec<Known>, Option<CycleNumber>, u64) = (Vec::new(), None, 0);
    for (number, (standing, begins, [checkpoint, verified, pinned], later)) in drawn.into_iter().enumerate() {
        hours += later;
        let standing = match standing {
            0 => Standing::Rejected,
            1 => Standing::Unreadable,
            _ => Standing::Applied,
        };
        let cycle = CycleNumber(2 * number as u64 + 1);
        let base = newest.filter(|_| begins > 0);
        let mostly_not = verified && pinned;
        let checkpoint = checkpoint && standing == Standing::Applied;
        commits.push(Known {
            cycle,
            base,
            taken_at: at(hours as i64),
            standing,
            checkpoint,
            verified: mostly_not,
            pinned: mostly_not && checkpoint,
        });
        if standing == Standing::Applied {
            newest = Some(cycle);
        }
    }
    commits
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (0u64..100, 0u32..9, 1usize..4).prop_map(|(hours, days, at_least)| Rule { recent: Duration::from_secs(hours * 3600), days, at_least })
}

/// What is left when a plan was executed.
fn executed(commits: &[Known], plan: &Plan) -> Vec<Known> {
    let left = commits.iter().filter(|known| plan.keeps(known.cycle)).cloned();
    left.map(|known| Known { checkpoint: known.checkpoint || plan.checkpoints.contains(&known.cycle), ..known }).collect()
}

/// Whether the point can be read: its bases are all there, down to a checkpoint or the beginning.
fn readable(commits: &[Known], cycle: CycleNumber) -> bool {
    let mut at = cycle;
    loop {
        let Some(known) = commits.iter().find(|known| known.cycle == at) else { return false };
        match known.base {
            Some(base) if !known.checkpoint => at = base,
            _ => return true,
        }
    }
}

proptest! {
    #[test]
    fn every_kept_point_stays_readable_and_a_second_plan_drops_nothing(
        drawn in proptest::collection::vec(any_known(), 1..80),
        rule in any_rule(),
        held in proptest::option::of(0u64..160),
    ) {
        let mut situation = situation(history(drawn));
        situation.held = held.iter().map(|point| Held { point: CycleNumber(*point), purpose: "a test".to_owned() }).collect();
        let made = plan(&rule, &situation);
        prop_assert_eq!(made.kept.len() + made.dropped.len(), situation.commits.len());
        let left = executed(&situation.commits, &made);
        for kept in made.kept.iter().filter(|kept| kept.standing == Standing::Applied) {
            prop_assert!(readable(&left, kept.cycle), "{} cannot be read: {:?}", kept.cycle, made);
        }
        let again = plan(&rule, &Situation { commits: left, ..situation });
        prop_assert!(again.dropped.is_empty() && again.checkpoints.is_empty(), "{again:?}");
        prop_assert_eq!(again.kept, made.kept);
    }

    /// Whether points go early and often or late and at once, the same ones are left.
    #[test]
    fn what_one_plan_drops_every_later_one_drops(
        drawn in proptest::collection::vec(any_known(), 2..80),
        rule in any_rule(),
        earlier in 1usize..80,
    ) {
        let commits = history(drawn);
        let earlier = earlier.min(commits.len());
        let before = plan(&rule, &situation(commits[..earlier].to_vec()));
        let after = plan(&rule, &situation(commits));
        for dropped in &before.dropped {
            prop_assert!(after.drops(dropped.cycle), "{} comes back: {before:?}\n{after:?}", dropped.cycle);
        }
    }
}
