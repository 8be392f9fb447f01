//! Whether a commit may be applied at all, before a byte of it is fetched.

use super::replica::{Replica, ReplicaState};
use crate::model::commit::{Commit, Mode, PointRef, RejectCode, Rejection};

/// Looks at the commit and at the replica; answers why it is refused.
pub fn check(commit: &Commit, replica: &Replica) -> Result<(), Rejection> {
    let refuse = |code, message: String| Err(Rejection { code, message, bad_blocks: Vec::new() });
    if replica.epoch.is_some_and(|epoch| commit.epoch < epoch) {
        return refuse(RejectCode::Unacceptable, format!("it comes from epoch {}, and a later agent owns the VM", commit.epoch));
    }
    if !replica.continues(commit.previous) {
        let cycle = replica.judged.map_or(0, |judged| judged.cycle.0);
        return refuse(RejectCode::Unacceptable, format!("it does not follow the commit of cycle {cycle}"));
    }
    if let Some(message) = misfit(commit) {
        return refuse(RejectCode::Unacceptable, message);
    }
    if !base_fits(commit, replica) {
        let at = match &replica.state {
            ReplicaState::At(point) => format!("recovery point {}", point.cycle),
            _ => "no recovery point".to_owned(),
        };
        let base = commit.base.map_or_else(|| "nothing".to_owned(), |base| format!("recovery point {}", base.cycle));
        return refuse(RejectCode::WrongBase, format!("it builds on {base}, and the replica is at {at}"));
    }
    Ok(())
}

/// A commit that carries only initial disks builds on nothing; every other one needs the replica exactly at its base.
fn base_fits(commit: &Commit, replica: &Replica) -> bool {
    match commit.base {
        None => true,
        Some(base) => replica.point() == Some(base),
    }
}

/// What contradicts itself inside a commit.
fn misfit(commit: &Commit) -> Option<String> {
    let comes_later = |point: PointRef| point.cycle >= commit.cycle;
    if commit.base.is_some_and(comes_later) || commit.previous.is_some_and(comes_later) {
        return Some("it builds on a later cycle than its own".to_owned());
    }
    for (index, disk) in commit.disks.iter().enumerate() {
        if commit.disks[..index].iter().any(|other| other.disk == disk.disk) {
            return Some(format!("it names disk {} twice", disk.disk));
        }
        if disk.mode != Mode::Initial && commit.base.is_none() {
            return Some(format!("it carries a {} of disk {} without a base", disk.mode, disk.disk));
        }
        if disk.layers.last().is_none_or(|layer| layer.to_block != disk.size.blocks()) {
            return Some(format!("the manifests of disk {} do not reach its end", disk.disk));
        }
        if disk.layers.iter().any(|layer| layer.to_block > disk.size.blocks() || layer.cycle > commit.cycle) {
            return Some(format!("the manifests of disk {} leave the disk or the cycle", disk.disk));
        }
    }
    if commit.disks.is_empty() {
        return Some("it carries no disk".to_owned());
    }
    None
}

#[cfg(test)]
mod tests;
