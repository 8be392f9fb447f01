//! What a person may ask of a VM, and what is answered: accepted, with the facts that record the wish; ignored, because it is so already;
//! or denied, with a reason that has a name.
//!
//! ```text
//!                    first copy     replicating     paused      stopping    stopped, done    halted
//!   sync             (a delta       accepted        resume      denied      replicate        denied
//!                    follows)                       first                   again first
//!   final            denied         accepted        〃          denied      〃               denied
//!                                   but in a window of the calendar, unless it is to run in spite of one
//!   pause            accepted       accepted        (is so)     denied      〃               denied
//!   resume           (is so)        (is so)         accepted    denied      〃               denied
//!   stop             accepted: ends accepted: delta accepted    (is so)     (is so)          denied
//!                    at once        ends first
//!   complete         denied         after the final cycle       (is so)     (is so)          denied
//!   repair           when a cycle failed            resume      denied      replicate        denied
//!   resync           denied         accepted        first       denied      again first      denied
//!   reset tracking   accepted       accepted        〃          denied      accepted         denied
//!   exclude, include accepted       accepted        accepted    denied      accepted         denied
//!   replicate again  (is so)        (is so)         (is so)     denied      accepted         denied
//! ```
//!
//! A judgement changes nothing: the same state gives the same answer, and `--dry-run` is this judgement without what follows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::DiskId;
use crate::policy::calendar::Closed;

use super::course::{Course, Ending, Running};
use super::cycle::Stage;
use super::facts::{Fact, Urgency};
use super::wishes::{AtCutover, asked_for};
use super::{Vm, wishes};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    Sync,
    Final,
    /// The same, whatever window of the calendar holds.
    FinalInBlackout,
    Pause,
    Resume,
    Stop {
        running: Running,
    },
    Repair,
    Resync,
    ResetTracking,
    /// The disk by its id or its label.
    ExcludeDisk {
        disk: String,
        at_cutover: AtCutover,
    },
    IncludeDisk {
        disk: String,
    },
    Complete,
    /// Replicates a VM again that was stopped or moved.
    Restart,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accepted(Vec<Fact>),
    Ignored(Already),
    Denied(Denial),
}

/// Why there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Already {
    Asked,
    /// The first delta follows the first copy by itself.
    DeltaFollows,
    Paused,
    NotPaused,
    Stopping,
    Stopped,
    Replicated,
    RepairRuns,
    Excluded,
    NotExcluded,
}

/// Why it must not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The agent leaves the VM alone, for this reason.
    Halted(String),
    Paused,
    Stopping,
    Stopped,
    /// There is no recovery point yet.
    FirstCopy,
    /// A test migration holds the replica.
    TestOpen,
    /// A window of the calendar holds.
    Blackout(Closed),
    NotMigrated,
    NothingFailed,
    /// No cycle has seen the VM's disks, or one looks at them just now.
    DisksUnknown,
    UnknownDisk {
        known: Vec<String>,
    },
    AmbiguousDisk {
        ids: Vec<String>,
    },
    LastDisk,
}

impl Denial {
    /// The reason's name, as `--json` shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Denial::Halted(_) => "halted",
            Denial::Paused => "paused",
            Denial::Stopping => "stopping",
            Denial::Stopped => "stopped",
            Denial::FirstCopy => "first-copy",
            Denial::TestOpen => "test-migration-open",
            Denial::Blackout(_) => "blackout",
            Denial::NotMigrated => "not-migrated",
            Denial::NothingFailed => "nothing-failed",
            Denial::DisksUnknown => "disks-unknown",
            Denial::UnknownDisk { .. } => "unknown-disk",
            Denial::AmbiguousDisk { .. } => "ambiguous-disk",
            Denial::LastDisk => "last-disk",
        }
    }
}

/// Judges a command by the state, and by the window of the calendar that holds.
pub fn judge(vm: &Vm, command: &Command, blackout: Option<&Closed>, now: Timestamp) -> Verdict {
    match allowed(vm, command, blackout, now) {
        Ok(facts) => Verdict::Accepted(facts),
        Err(No::Already(already)) => Verdict::Ignored(already),
        Err(No::Denied(denial)) => Verdict::Denied(denial),
    }
}

enum No {
    Already(Already),
    Denied(Denial),
}

impl From<Already> for No {
    fn from(already: Already) -> No {
        No::Already(already)
    }
}

impl From<Denial> for No {
    fn from(denial: Denial) -> No {
        No::Denied(denial)
    }
}

fn allowed(vm: &Vm, command: &Command, blackout: Option<&Closed>, at: Timestamp) -> Result<Vec<Fact>, No> {
    if let Some(fault) = &vm.halted {
        return Err(Denial::Halted(fault.message.clone()).into());
    }
    let fact = match command {
        Command::Sync => sync(vm, at)?,
        Command::Final => last(vm, blackout, at)?,
        Command::FinalInBlackout => return last_in_blackout(vm, blackout, at),
        Command::Pause => pause(vm, at)?,
        Command::Resume => resume(vm, at)?,
        Command::Stop { running } => stop(vm, *running, at)?,
        Command::Complete => complete(vm, at)?,
        Command::Repair => repair(vm, at)?,
        Command::Resync => return resync(vm, at),
        Command::ResetTracking => reset_tracking(vm, at)?,
        Command::ExcludeDisk { disk, at_cutover } => exclude(vm, disk, *at_cutover, at)?,
        Command::IncludeDisk { disk } => include(vm, disk, at)?,
        Command::Restart => restart(vm, at)?,
    };
    Ok(vec![fact])
}

/// Cycles run, or they will.
fn active(vm: &Vm) -> Result<(), No> {
    match vm.course {
        Course::Active => Ok(()),
        Course::Paused { .. } => Err(Denial::Paused.into()),
        Course::Stopping { .. } => Err(Denial::Stopping.into()),
        Course::Stopped { .. } => Err(Denial::Stopped.into()),
    }
}

fn demand(vm: &Vm, urgency: Urgency, at: Timestamp) -> Result<Fact, No> {
    match vm.demand >= Some(urgency) && vm.failures == 0 {
        true => Err(Already::Asked.into()),
        false => Ok(Fact::Demanded { urgency, at }),
    }
}

fn sync(vm: &Vm, at: Timestamp) -> Result<Fact, No> {
    active(vm)?;
    if vm.point.is_none() && vm.cycle.is_some() {
        return Err(Already::DeltaFollows.into());
    }
    demand(vm, Urgency::Demanded, at)
}

fn last(vm: &Vm, blackout: Option<&Closed>, at: Timestamp) -> Result<Fact, No> {
    may_be_last(vm)?;
    let fact = demand(vm, Urgency::Final, at)?;
    match blackout {
        // It would wait for the end of the window without a word, and whoever planned the move would wait with it.
        Some(closed) => Err(Denial::Blackout(closed.clone()).into()),
        None => Ok(fact),
    }
}

/// Also where none holds now: the running cycle ends first, and a window may open meanwhile.
fn last_in_blackout(vm: &Vm, blackout: Option<&Closed>, at: Timestamp) -> Result<Vec<Fact>, No> {
    may_be_last(vm)?;
    if vm.wishes.in_blackout.is_some() {
        return Ok(vec![demand(vm, Urgency::Final, at)?]);
    }
    let rule = blackout.map(|closed| closed.rule.clone());
    Ok(vec![Fact::BlackoutOverridden { rule, at }, Fact::Demanded { urgency: Urgency::Final, at }])
}

fn may_be_last(vm: &Vm) -> Result<(), No> {
    active(vm)?;
    // The source would be off for as long as a whole copy takes.
    if vm.point.is_none() {
        return Err(Denial::FirstCopy.into());
    }
    if vm.migration.test.is_open() {
        return Err(Denial::TestOpen.into());
    }
    match vm.cycle.as_ref().is_some_and(|cycle| cycle.urgency == Urgency::Final) {
        true => Err(Already::Asked.into()),
        false => Ok(()),
    }
}

fn pause(vm: &Vm, at: Timestamp) -> Result<Fact, No> {
    if vm.is_paused() {
        return Err(Already::Paused.into());
    }
    active(vm)?;
    Ok(Fact::Paused { at })
}

fn resume(vm: &Vm, at: Timestamp) -> Result<Fact, No> {
    match vm.course {
        Course::Paused { .. } => Ok(Fact::Resumed { at }),
        Course::Active => Err(Already::NotPaused.into()),
        Course::Stopping { .. } => Err(Denial::Stopping.into()),
        Course::Stopped { .. } => Err(Denial::Stopped.into()),
    }
}

fn stop(vm: &Vm, running: Running, at: Timestamp) -> Result<Fact, No> {
    match vm.course {
        Course::Active | Course::Paused { .. } => Ok(Fact::StopBegan { ending: Ending::Stop, running, at }),
        Course::Stopping { .. } => Err(Already::Stopping.into()),
        Course::Stopped { .. } => Err(Already::Stopped.into()),
    }
}

fn complete(vm: &Vm, at: Timestamp) -> Result<Fact, No> {
    match vm.course {
        Course::Stopping { .. } => return Err(Already::Stopping.into()),
        Course::Stopped { .. } => return Err(Already::Stopped.into()),
        Course::Active | Course::Paused { .. } => {}
    }
    let moved = vm.migration.committed_at.is_some() || vm.has_final_point();
    match moved && !vm.migration.test.is_open() {
        true => Ok(Fact::StopBegan { ending: Ending::Complete, running: Running::Finish, at }),
        false => Err(Denial::NotMigrated.into()),
    }
}

fn repair(vm: &Vm, at: Timestamp) -> Result<Fact, No> {
    active(vm)?;
    match (vm.failures, &vm.cycle) {
        (0, _) => Err(Denial::NothingFailed.into()),
        (_, Some(_)) => Err(Already::RepairRuns.into()),
        (_, None) => Ok(Fact::Demanded { urgency: vm.demand.unwrap_or(Urgency::Demanded).max(Urgency::Demanded), at }),
    }
}

fn resync(vm: &Vm, at: Timestamp) -> Result<Vec<Fact>, No> {
    active(vm)?;
    if vm.point.is_none() {
        return Err(Denial::FirstCopy.into());
    }
    if vm.wishes.resync.is_some() {
        return Err(Already::Asked.into());
    }
    Ok(vec![Fact::ResyncAsked { reason: asked_for(), at }, Fact::Demanded { urgency: Urgency::Demanded, at }])
}

fn reset_tracking(vm: &Vm, at: Timestamp) -> Result<Fact, No> {
    match vm.course {
        Course::Paused { .. } => return Err(Denial::Paused.into()),
        Course::Stopping { .. } => return Err(Denial::Stopping.into()),
        Course::Active | Course::Stopped { .. } => {}
    }
    match vm.wishes.tracking_reset {
        true => Err(Already::Asked.into()),
        false => Ok(Fact::TrackingResetAsked { at }),
    }
}

fn exclude(vm: &Vm, wanted: &str, at_cutover: AtCutover, at: Timestamp) -> Result<Fact, No> {
    if vm.is_stopping() {
        return Err(Denial::Stopping.into());
    }
    let (disk, label) = find(vm, wanted)?;
    match vm.wishes.excluded.get(&disk) {
        Some(wishes::Exclusion { at_cutover: known, .. }) if *known == at_cutover => return Err(Already::Excluded.into()),
        Some(_) => {}
        None if vm.replicated_disks().keys().all(|other| *other == disk) => return Err(Denial::LastDisk.into()),
        None => {}
    }
    Ok(Fact::DiskExcluded { disk, label, at_cutover, at })
}

fn include(vm: &Vm, wanted: &str, at: Timestamp) -> Result<Fact, No> {
    if vm.is_stopping() {
        return Err(Denial::Stopping.into());
    }
    let (disk, _) = find(vm, wanted)?;
    match vm.wishes.excluded.contains_key(&disk) {
        true => Ok(Fact::DiskIncluded { disk, at }),
        false => Err(Already::NotExcluded.into()),
    }
}

/// The disk that is meant. Two that fit are none.
fn find(vm: &Vm, wanted: &str) -> Result<(DiskId, String), No> {
    if matches!(vm.cycle.as_ref().map(|cycle| &cycle.stage), Some(Stage::Open { disks: None, .. })) {
        return Err(Denial::DisksUnknown.into());
    }
    let known = vm.known_disks();
    if known.is_empty() {
        return Err(Denial::DisksUnknown.into());
    }
    let fits = |(disk, label): &(&DiskId, &String)| disk.as_str() == wanted || *label == wanted;
    let fitting: Vec<(&DiskId, &String)> = known.iter().filter(fits).collect();
    match fitting[..] {
        [(disk, label)] => Ok((disk.clone(), label.clone())),
        [] => Err(Denial::UnknownDisk { known: known.iter().map(|(disk, label)| format!("{label} ({disk})")).collect() }.into()),
        _ => Err(Denial::AmbiguousDisk { ids: fitting.iter().map(|(disk, _)| disk.to_string()).collect() }.into()),
    }
}

fn restart(vm: &Vm, at: Timestamp) -> Result<Fact, No> {
    match vm.course {
        Course::Stopped { .. } => Ok(Fact::Restarted { at }),
        Course::Stopping { .. } => Err(Denial::Stopping.into()),
        Course::Active | Course::Paused { .. } => Err(Already::Replicated.into()),
    }
}

#[cfg(test)]
mod tests;
