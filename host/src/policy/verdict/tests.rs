use crate::model::commit::{DiskCommit, FORMAT, Layer, Sha};
use crate::model::{Attempt, CycleNumber, DiskSize, Epoch, VmRef};
use crate::policy::replica::ReplicaFact;

use super::RejectCode::{Unacceptable, WrongBase};
use super::*;

fn reference(cycle: u64) -> PointRef {
    PointRef { cycle: CycleNumber(cycle), hash: Sha::of(&cycle.to_le_bytes()) }
}

/// A replica at point 4, after commit 5 was refused and something at 6 did not open.
fn replica() -> Replica {
    let mut replica = Replica::default();
    replica.apply(ReplicaFact::Applied { to: reference(4), epoch: Epoch(2) });
    replica.apply(ReplicaFact::Rejected { commit: reference(5), epoch: Epoch(2), code: WrongBase });
    replica.apply(ReplicaFact::Unreadable { cycle: CycleNumber(6) });
    replica
}

fn commit() -> Commit {
    let digest = Sha::of(b"");
    let layer = Layer {
        cycle: CycleNumber(7),
        attempt: Attempt::FIRST,
        to_block: 2,
        pages: 1,
        pages_digest: digest,
        planned_parts: 1,
        planned_digest: digest,
    };
    let disk = DiskCommit {
        disk: "d".into(),
        label: String::new(),
        fingerprint: String::new(),
        size: DiskSize::new(2 << 20).unwrap(),
        mode: Mode::Delta,
        layers: vec![layer],
        marker: None,
    };
    Commit {
        format: FORMAT,
        vm: "v".into(),
        identity: VmRef { id: String::new(), fingerprint: String::new() },
        source: String::new(),
        name: String::new(),
        cycle: CycleNumber(7),
        epoch: Epoch(2),
        base: Some(reference(4)),
        previous: Some(reference(5)),
        taken_at: jiff::Timestamp::UNIX_EPOCH,
        quiesced: true,
        last: false,
        definition: serde_json::Value::Null,
        disks: vec![disk],
    }
}

fn verdict(change: impl FnOnce(&mut Commit)) -> Option<RejectCode> {
    let mut commit = commit();
    change(&mut commit);
    check(&commit, &replica()).err().map(|rejection| rejection.code)
}

#[test]
fn a_commit_that_follows_and_fits_is_accepted() {
    assert_eq!(verdict(|_| ()), None);
    assert_eq!(verdict(|commit| commit.epoch = Epoch(3)), None);
    assert_eq!(
        verdict(|commit| commit.previous = Some(PointRef { cycle: CycleNumber(6), ..reference(1) })),
        None,
        "after an unreadable one"
    );
}

#[test]
fn everything_that_does_not_follow_or_fit_is_refused_by_name() {
    assert_eq!(verdict(|commit| commit.epoch = Epoch(1)), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.previous = None), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.previous = Some(reference(4))), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.base = Some(reference(5))), Some(WrongBase));
    assert_eq!(verdict(|commit| commit.base = Some(PointRef { hash: Sha::of(b"another"), ..reference(4) })), Some(WrongBase));
    assert_eq!(verdict(|commit| commit.base = Some(reference(7))), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.base = None), Some(Unacceptable), "a delta of nothing");
    assert_eq!(verdict(|commit| commit.disks.clear()), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.disks.push(commit.disks[0].clone())), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.disks[0].layers.clear()), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.disks[0].layers[0].to_block = 1), Some(Unacceptable));
    assert_eq!(verdict(|commit| commit.disks[0].layers[0].cycle = CycleNumber(8)), Some(Unacceptable));
}

#[test]
fn an_initial_needs_no_base_and_no_replica() {
    let mut initial = commit();
    initial.base = None;
    initial.disks[0].mode = Mode::Initial;
    assert!(check(&initial, &replica()).is_ok());
    assert!(check(&initial, &Replica::default()).is_ok());
    assert_eq!(check(&commit(), &Replica::default()).unwrap_err().code, WrongBase);
}

#[test]
fn unreadable_commits_are_passed_over_and_hide_nothing() {
    let mut replica = replica();
    replica.apply(ReplicaFact::Unreadable { cycle: CycleNumber(9_999_999_999) });
    let commits = [4, 5, 6, 7, 8, 9_999_999_999].map(CycleNumber);
    assert_eq!(replica.next_to_judge(&commits), Some(CycleNumber(7)));
    replica.apply(ReplicaFact::Applied { to: reference(7), epoch: Epoch(2) });
    assert_eq!(replica.next_to_judge(&commits), Some(CycleNumber(8)));
    assert_eq!(replica.unreadable.len(), 1, "what lies behind is forgotten");
}
