//! What `transload status` shows, as values.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::driver::gateway::VmView;
use crate::driver::judge::ReplicaView;
use crate::model::commit::{Mode, Sha};
use crate::model::{Counted, CycleNumber, DiskId, Fault, Finding, VmId};
use crate::policy::interval::Interval;
use crate::policy::replica::ReplicaState;
use crate::policy::vm::shown::{self, MigrationShown, Replication};
use crate::policy::vm::{AtCutover, Copying, Cycle, Ended, EndedAs, InBlackout, Repair, Stage, Step, Then, Vm};
use crate::policy::waiting::Waiting;

use super::outlook::{self, ForecastReport};
use super::pace::PaceStatus;
use super::sentences::{self, Follows, Kept};
use super::tracking::{self, SourceTracking, TrackingStatus};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub version: String,
    pub role: String,
    pub store: String,
    /// Resident memory of the agent, in KiB; its highest value so far.
    pub memory_kib: u64,
    pub memory_peak_kib: u64,
    /// The stores that segments are spread over, the home store first; none when there is only the home store.
    pub stores: Vec<StoreStatus>,
    /// None on a receiver apart: it sends nothing.
    pub pace: Option<PaceStatus>,
    pub vms: Vec<VmStatus>,
    /// VMs that are wanted and not replicated yet: no source knows them, several fit, or their source cannot be asked.
    pub missing: Vec<Missing>,
    pub plugins: Vec<PluginStatus>,
    /// How far each source's change tracking was checked, and how often it was wrong.
    pub tracking: Vec<SourceTracking>,
}

/// A store that segments are spread over. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    pub name: String,
    /// What pages call it; none while it is not bound.
    pub number: Option<String>,
    pub weight: u16,
    /// A second, over the last ten.
    pub rate: u64,
    /// Since the agent was started.
    pub taken: u64,
    /// Why it is not there.
    pub away: Option<String>,
    /// Why it takes no segment for a while.
    pub resting: Option<String>,
}

/// A plugin as it runs, with what it did since the agent was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// What the configuration calls it.
    pub name: String,
    /// Its folder.
    pub plugin: String,
    /// None: it may not run, and waits.
    pub version: Option<String>,
    /// The vendor's key that is pinned.
    pub key: Option<String>,
    /// What it may reach, one sentence each.
    pub grants: Vec<String>,
    #[serde(flatten)]
    pub counted: Counted,
    /// Why what lies in its folder now does not take over, or does not run.
    pub refused: Option<String>,
}

/// What happened, whether the data is safe, what comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The VM as it was named, and why it is not there.
    pub message: String,
    pub safe: String,
    pub next: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmStatus {
    pub id: VmId,
    pub name: String,
    pub source: String,
    /// One line: what it does or what it waits for.
    pub state: String,
    /// What keeps it from doing something, by name and with the numbers.
    pub waiting: Option<Waiting>,
    pub replication: Replication,
    pub migration: MigrationShown,
    /// Its final cycle runs whatever window of the calendar holds, because somebody said so.
    pub in_blackout: Option<InBlackout>,
    /// Disks that cycles leave out, and what becomes of them when the VM is moved.
    pub excluded: Vec<ExcludedDisk>,
    pub cycle: Option<CycleStatus>,
    pub point: Option<PointStatus>,
    pub replica: Option<String>,
    pub trouble: Option<Trouble>,
    pub findings: Vec<Finding>,
    /// None before anything was compared.
    pub tracking: Option<TrackingStatus>,
    /// None of a VM that is replicated elsewhere, and after the final cycle.
    pub forecast: Option<ForecastReport>,
    pub history: Vec<Ended>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcludedDisk {
    pub disk: DiskId,
    pub label: String,
    pub at_cutover: AtCutover,
    pub since: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleStatus {
    pub number: CycleNumber,
    pub disks: Vec<DiskStatus>,
}

/// Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    pub label: String,
    pub mode: Option<Mode>,
    pub planned: u64,
    pub done: u64,
    pub read: u64,
    pub sent: u64,
    pub stored: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointStatus {
    pub cycle: CycleNumber,
    /// The hash of its commit: `restore --expect` tells by it whether the store still holds this very point.
    pub hash: Sha,
    pub taken_at: Timestamp,
    pub quiesced: bool,
    pub last: bool,
    /// How old the data at the target is, in seconds.
    pub age_seconds: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub fault: Fault,
    pub safe: String,
    pub next: String,
}

pub fn vm_status(
    id: &VmId,
    view: &VmView,
    replica: Option<&ReplicaView>,
    waiting: Option<Waiting>,
    interval: Interval,
    now: Timestamp,
) -> VmStatus {
    let vm = &view.vm;
    let waiting = waiting.or_else(|| in_window(view, interval, now));
    let point = vm.point.as_ref().map(|point| PointStatus {
        cycle: point.commit.cycle,
        hash: point.commit.hash,
        taken_at: point.taken_at,
        quiesced: point.quiesced,
        last: point.last,
        age_seconds: now.duration_since(point.taken_at).as_secs(),
    });
    let now_in_the_way = vm.halted.clone().or_else(|| view.trouble.clone()).or_else(|| replica.and_then(|replica| replica.trouble.clone()));
    let shown_point = point.as_ref().map(|point| point.taken_at.to_string());
    let in_the_way = now_in_the_way.map(|fault| Trouble {
        safe: sentences::safe(shown_point.as_deref()),
        next: if vm.halted.is_some() { sentences::HALTED } else { sentences::next(&fault) }.to_owned(),
        fault,
    });
    VmStatus {
        id: id.clone(),
        name: vm.name.clone(),
        source: vm.source.clone(),
        state: waiting.as_ref().map_or_else(|| state(view, interval, now), |waiting| sentences::waiting(waiting, now)),
        waiting,
        replication: replication(view),
        migration: shown::migration(vm),
        in_blackout: vm.wishes.in_blackout.clone(),
        excluded: excluded(vm),
        cycle: vm.cycle.as_ref().map(|cycle| cycle_status(cycle, view)),
        trouble: failing(vm, shown_point.as_deref()).or(in_the_way).or_else(|| last_failure(vm, shown_point.as_deref())),
        point,
        replica: replica.map(|replica| replica_state(&replica.replica.state)),
        findings: view.findings.iter().cloned().chain(vm.trust.distrusted().map(tracking::finding)).collect(),
        tracking: tracking::of_vm(vm),
        forecast: vm.point.as_ref().filter(|point| !point.last).map(|_| outlook::forecast(vm, now)),
        history: vm.history.clone(),
    }
}

/// What a window of the calendar keeps it from. Of a VM between two cycles what it does, or what is in its way, comes first.
fn in_window(view: &VmView, interval: Interval, now: Timestamp) -> Option<Waiting> {
    let waiting = view.vm.waits_in(view.blackout.as_ref()?, interval, now)?;
    (view.vm.cycle.is_some() || view.steps.is_empty() && view.trouble.is_none()).then_some(waiting)
}

fn replication(view: &VmView) -> Replication {
    let percent = view.vm.cycle.as_ref().map_or(0, |cycle| percent(&cycle_status(cycle, view).disks));
    shown::replication(&view.vm, percent, view.trouble.as_ref())
}

fn excluded(vm: &Vm) -> Vec<ExcludedDisk> {
    let each = vm.wishes.excluded.iter().map(|(disk, exclusion)| ExcludedDisk {
        disk: disk.clone(),
        label: exclusion.label.clone(),
        at_cutover: exclusion.at_cutover,
        since: exclusion.at,
    });
    each.collect()
}

/// A cycle that failed, and whose snapshot is just being closed.
fn failing(vm: &Vm, point: Option<&str>) -> Option<Trouble> {
    match &vm.cycle.as_ref()?.stage {
        Stage::Abandoning { then: Then::EndCycle { fault, .. }, .. } if vm.halted.is_none() => Some(failed(vm, fault.clone(), point)),
        _ => None,
    }
}

/// Why there is no recovery point since the last cycle. Its attempt is cleaned up by now, and that must not hide the reason.
fn last_failure(vm: &Vm, point: Option<&str>) -> Option<Trouble> {
    let ended = vm.history.last()?;
    let fault = match &ended.outcome {
        EndedAs::Applied => return None,
        EndedAs::Failed(fault) => fault.clone(),
        EndedAs::Rejected(rejection) => Fault::corrupt(format!("cycle {} was rejected: {}", ended.cycle, rejection.message)),
    };
    Some(failed(vm, fault, point))
}

fn failed(vm: &Vm, fault: Fault, point: Option<&str>) -> Trouble {
    let follows = match vm.wishes.repair {
        _ if vm.is_stopped() || vm.is_stopping() => Follows::Nothing,
        Repair::Automatic => Follows::ByItself,
        Repair::ByCommand => Follows::ByCommand,
    };
    let kept = if vm.salvage.is_empty() { Kept::Nothing } else { Kept::Published };
    Trouble { safe: sentences::safe(point), next: sentences::after_failure(&fault, follows, kept), fault }
}

fn replica_state(state: &ReplicaState) -> String {
    match state {
        ReplicaState::None => "none".to_owned(),
        ReplicaState::Filling(cycle) => format!("filling (cycle {cycle})"),
        ReplicaState::At(point) => format!("at recovery point {}", point.cycle),
        ReplicaState::Applying { to, .. } => format!("applying cycle {}", to.cycle),
    }
}

fn state(view: &VmView, interval: Interval, now: Timestamp) -> String {
    let vm = &view.vm;
    match replication(view) {
        Replication::Halted => return "halted: a person has to look".to_owned(),
        Replication::PauseInProgress => return "pausing: the snapshot is being closed".to_owned(),
        Replication::Paused => return "paused".to_owned(),
        Replication::StopFailed | Replication::CompleteFailed => return "waits to end: something is in the way".to_owned(),
        Replication::Stopping => return format!("stopping{}", until_the_cycle_is_over(vm)),
        Replication::Completing => return format!("completing{}", until_the_cycle_is_over(vm)),
        Replication::Stopped => return "stopped".to_owned(),
        Replication::Done => return "done: the VM was moved".to_owned(),
        Replication::RepairNeeded => return "waits: a cycle failed; say `transload vm repair`".to_owned(),
        _ => {}
    }
    let Some(cycle) = &vm.cycle else { return idle(view, interval, now) };
    match &cycle.stage {
        Stage::PoweringOff { .. } => "shutting the guest down".to_owned(),
        Stage::NeedsSnapshot { .. } | Stage::Opening { .. } => "opening a snapshot".to_owned(),
        Stage::Open { disks: None, .. } => "looking at the disks".to_owned(),
        Stage::Open { disks: Some(_), .. } => copying(cycle, view),
        Stage::Closed { .. } => "committing".to_owned(),
        Stage::Committed { .. } => format!("waits: receipt of cycle {}", cycle.number),
        Stage::Abandoning { .. } => "closing the snapshot of a failed attempt".to_owned(),
    }
}

fn until_the_cycle_is_over(vm: &Vm) -> String {
    vm.cycle.as_ref().map_or_else(String::new, |cycle| format!(": cycle {} ends first", cycle.number))
}

fn idle(view: &VmView, interval: Interval, now: Timestamp) -> String {
    let before_a_cycle = |step: &Step| {
        let prepares = matches!(step, Step::Prepare | Step::TakeSeat | Step::RenewTracking | Step::EnableTracking);
        prepares || matches!(step, Step::Sweep | Step::TakeOwnership | Step::CheckOwner)
    };
    if view.steps.iter().any(before_a_cycle) {
        return "getting ready".to_owned();
    }
    if view.trouble.is_some() {
        return "waits: something is in the way".to_owned();
    }
    match view.vm.due(interval, now) {
        _ if view.vm.point.as_ref().is_some_and(|point| point.last) => "final cycle applied".to_owned(),
        Some(due) if due > now && view.vm.failures > 0 => {
            format!("waits: the failed cycle is repeated in {} s", due.duration_since(now).as_secs())
        }
        Some(due) if due > now => format!("idle, next cycle in {} s", due.duration_since(now).as_secs()),
        Some(_) => "queued".to_owned(),
        None => "idle".to_owned(),
    }
}

fn copying(cycle: &Cycle, view: &VmView) -> String {
    let disks = cycle_status(cycle, view).disks;
    let percent = percent(&disks);
    let mode = disks.iter().filter_map(|disk| disk.mode).fold(Mode::Delta, |strongest, mode| match (strongest, mode) {
        (Mode::Initial, _) | (_, Mode::Initial) => Mode::Initial,
        (Mode::Resync, _) | (_, Mode::Resync) => Mode::Resync,
        _ => Mode::Delta,
    });
    let resumed = if cycle.resumed_at.is_some() { "resumed: " } else { "" };
    match mode {
        Mode::Initial => format!("{resumed}initial replication {percent} %"),
        Mode::Resync => format!("{resumed}resync {percent} %"),
        Mode::Delta => format!("{resumed}delta {percent} %"),
    }
}

/// How much of what is planned is done with. A disk that has no plan yet counts for nothing.
fn percent(disks: &[DiskStatus]) -> u8 {
    let (done, planned) = disks.iter().fold((0, 0), |(done, planned), disk| (done + disk.done, planned + disk.planned));
    (done * 100).checked_div(planned).map_or(if disks.is_empty() { 0 } else { 100 }, |percent| percent.min(100) as u8)
}

fn cycle_status(cycle: &Cycle, view: &VmView) -> CycleStatus {
    let disks = match &cycle.stage {
        Stage::Open { disks: Some(disks), .. } | Stage::Closed { disks, .. } => {
            disks.each.values().map(|copying| disk_status(copying, view)).collect()
        }
        _ => Vec::new(),
    };
    CycleStatus { number: cycle.number, disks }
}

fn disk_status(copying: &Copying, view: &VmView) -> DiskStatus {
    let planned = copying.plan.as_ref().map_or(0, |plan| plan.planned_bytes);
    let mut status = DiskStatus {
        label: copying.source.label.clone(),
        mode: copying.plan.as_ref().map(|plan| plan.mode),
        planned,
        done: 0,
        read: 0,
        sent: 0,
        stored: 0,
    };
    if let Some((_, stats)) = &copying.layer {
        (status.done, status.read, status.sent, status.stored) = (planned, stats.read, stats.sent, stats.stored);
    } else if let Some(progress) = view.progress.get(&copying.source.id) {
        status.done = progress.done.load(Ordering::Relaxed).min(planned);
        status.read = progress.read.load(Ordering::Relaxed);
        status.sent = progress.sent.load(Ordering::Relaxed);
        status.stored = progress.stored.load(Ordering::Relaxed);
    }
    status
}
