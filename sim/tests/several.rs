//! Several VMs under the limits of one datacentre, with a gateway and a receiver that die one by one, and in a part of the histories a VM that
//! is ill. `cargo xtask sim --several --seed N` shows one, `--several --seeds 2000` runs what no CI has time for.

use std::collections::BTreeSet;
use std::time::Duration;

use sim::datacentre::Fill;
use sim::several::{Ill, Illness, SeveralPlan, run};
use sim::weather::Stretch;

const MIB: u64 = 1024 * 1024;

fn share(number: u64) {
    let seeds: u64 = std::env::var("SIM_SEVERAL_SEEDS").map_or(60, |text| text.parse().expect("SIM_SEVERAL_SEEDS is a number"));
    for seed in (number..seeds).step_by(2) {
        play(&SeveralPlan::from_seed(seed));
    }
}

fn play(plan: &SeveralPlan) -> sim::several::Played {
    run(plan).unwrap_or_else(|what| panic!("{what}"))
}

#[test]
fn the_first_half_of_seeds_ends_well() {
    share(0);
}

#[test]
fn the_second_half_of_seeds_ends_well() {
    share(1);
}

#[test]
fn same_seed_same_bytes() {
    let [one, other] = [(); 2].map(|()| play(&SeveralPlan::from_seed(4)));
    assert_eq!(one.trace, other.trace);
    assert!(one == other);
}

/// A gateway died with snapshots open. In its next life they counted nowhere before their VMs asked for seats, and others entered.
#[test]
fn found_snapshots_that_nobody_counted_after_a_restart() {
    for seed in [8, 43] {
        play(&SeveralPlan::from_seed(seed));
    }
}

/// A final cycle failed, ordinary ones followed, and the final point never came.
#[test]
fn found_a_final_cycle_that_was_forgotten_when_it_failed() {
    for seed in [41, 72] {
        play(&SeveralPlan::from_seed(seed));
    }
}

/// The oracle that says that no limit was exceeded says nothing where no limit was ever reached.
#[test]
fn the_limits_of_hosts_and_datastores_are_reached_and_datastores_become_full() {
    let plans = (0..12).map(SeveralPlan::from_seed);
    let (mut read, mut open, mut full) = (0, 0, BTreeSet::new());
    for plan in plans {
        let most = play(&plan).most;
        read += most.read.values().filter(|read| **read == plan.datacentre.host_disks).count();
        open += most.open.values().filter(|open| **open == plan.datacentre.datastore_snapshots).count();
        full.extend(most.was_full);
    }
    assert!(read >= 6 && open >= 6 && !full.is_empty(), "hosts were busy {read} times, datastores {open} times, and {full:?} were full");
}

/// Nothing goes wrong with six VMs of which one disk may be read: each waits for its turn, and for no longer than the others take.
#[test]
fn vms_that_wait_for_each_other_all_have_their_turn() {
    let mut plan = SeveralPlan::calm(6, 4);
    // Copies take a while, so that somebody is in the way.
    (plan.all.paced, plan.disks) = (true, 1);
    let played = play(&plan);
    assert_eq!(played.most.read["host-a"], 1);
    assert!(played.longest_wait < Duration::from_secs(2 * 3600), "{:?}", played.longest_wait);
}

#[test]
fn one_that_is_ill_keeps_nobody_from_his_points() {
    for what in [Ill::KeepsSnapshots, Ill::ReadsNothing, Ill::MakesNoSnapshot, Ill::TakenOver] {
        for after in [0, 20, 600] {
            let mut plan = SeveralPlan::calm(4, 3);
            plan.all.paced = true;
            plan.falls_ill(1, Illness { what, after: Duration::from_secs(after) });
            let played = play(&plan);
            assert!(played.trace.iter().any(|line| line == &format!("sim-vm-2: {what:?}")));
        }
    }
}

/// A datastore fills while copies run. They are put down, wait for hours, and go on when there is space.
#[test]
fn on_a_datastore_that_fills_snapshots_are_closed_and_all_go_on_when_there_is_space() {
    let mut plan = SeveralPlan::calm(3, 3);
    plan.all.paced = true;
    for vm in &mut plan.vms {
        vm.sizes = vec![3 * MIB, 2 * MIB];
    }
    plan.all.weather.latency_max = Duration::from_secs(60);
    let when = Stretch { from: Duration::from_secs(60), lasts: Duration::from_secs(5 * 3600) };
    plan.datacentre.fills = vec![Fill { datastore: "store-a", when, leaves: 50 * MIB }];
    let played = play(&plan);
    assert!(played.most.was_full.contains("store-a"));
    assert!(played.longest_wait > Duration::from_secs(2 * 3600), "{:?}", played.longest_wait);
    let given_up = played.trace.iter().filter(|line| line.ends_with("gateway abandoned")).count();
    assert!(given_up >= 1, "no snapshot was open when it filled:\n{}", played.trace.join("\n"));
}
