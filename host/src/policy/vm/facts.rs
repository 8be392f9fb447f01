//! What is recorded of a VM on the gateway's side, as the journal keeps it.
//!
//! A fact says what happened and carries all that the fold needs to know of it, so that a replay asks nobody. It is recorded once and read
//! for ever, by later versions as well: these names are the journal's format, and a field that is not known is an error and not a guess.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::commit::{Layer, Mode, PointRef, Rejection, Sha};
use crate::model::{Attempt, CycleNumber, DiskId, DiskMarker, Epoch, Fault, Marker, ResyncReason, SnapshotDisk, SnapshotToken, VmRef};
use crate::policy::distrust::{Compared, Lie};
use crate::policy::forecast::Forecast;
use crate::policy::mode::PointDisk;

use super::course::{Ending, Running};
use super::wishes::{AtCutover, Repair};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    Enrolled {
        identity: VmRef,
        source: String,
        name: String,
        at: Timestamp,
    },
    /// The VM is ours from here on. What the store says of its past comes with it, for a journal that does not know.
    Owned {
        epoch: Epoch,
        newest: Option<PointRef>,
        point: Option<Point>,
        next_cycle: CycleNumber,
        unjudged: Option<Point>,
    },
    Demanded {
        urgency: Urgency,
        at: Timestamp,
    },
    CycleBegan {
        cycle: CycleNumber,
        urgency: Urgency,
        at: Timestamp,
    },
    /// How long the cycle that began will take, if it is a delta: to be compared with what became of it.
    Foreseen {
        forecast: Forecast,
    },
    PoweredOff,
    SnapshotIntended {
        attempt: Attempt,
        tag: String,
        at: Timestamp,
    },
    SnapshotOpened {
        attempt: Attempt,
        token: SnapshotToken,
        quiesced: bool,
        at: Timestamp,
    },
    DisksListed {
        disks: Vec<SnapshotDisk>,
        definition: serde_json::Value,
    },
    /// Cells that the source called unchanged are not what the base holds. The plan that follows is a resync.
    TrackerLied(Lie),
    /// Change tracking began anew: markers from before mean nothing.
    TrackingRenewed {
        at: Timestamp,
    },
    DiskPlanned {
        disk: DiskId,
        plan: Plan,
        at: Timestamp,
    },
    DiskCopied {
        disk: DiskId,
        layer: Layer,
        stats: CopyStats,
        at: Timestamp,
    },
    SnapshotClosed {
        markers: Vec<DiskMarker>,
    },
    /// The attempt is given up; its snapshot has to be closed, and what it published may be built on.
    AttemptFailed {
        fault: Fault,
        salvage: Vec<Salvage>,
        retry_at: Timestamp,
    },
    /// The attempt is put down, because nothing may be open now; nothing failed. The same follows as after a failure.
    Parked {
        salvage: Vec<Salvage>,
        at: Timestamp,
    },
    Abandoned,
    Committed {
        point: Point,
    },
    Applied {
        at: Timestamp,
    },
    Rejected {
        rejection: Rejection,
        at: Timestamp,
    },
    CycleFailed {
        fault: Fault,
        at: Timestamp,
    },
    Halted {
        fault: Fault,
        at: Timestamp,
    },

    // ---- the course: `course.rs` ----
    Paused {
        at: Timestamp,
    },
    Resumed {
        at: Timestamp,
    },
    StopBegan {
        ending: Ending,
        running: Running,
        at: Timestamp,
    },
    /// Nothing of ours is left at the source.
    Stopped {
        at: Timestamp,
    },
    Restarted {
        at: Timestamp,
    },

    // ---- wishes: `wishes.rs` ----
    RepairChosen {
        repair: Repair,
    },
    /// The next cycle compares every disk whole.
    ResyncAsked {
        reason: ResyncReason,
        at: Timestamp,
    },
    TrackingResetAsked {
        at: Timestamp,
    },
    TrackingReset {
        at: Timestamp,
    },
    DiskExcluded {
        disk: DiskId,
        label: String,
        at_cutover: AtCutover,
        at: Timestamp,
    },
    DiskIncluded {
        disk: DiskId,
        at: Timestamp,
    },
    /// The final cycle that is asked for runs whatever window of the calendar holds. `rule`: the one that held just then.
    BlackoutOverridden {
        rule: Option<String>,
        at: Timestamp,
    },

    // ---- migrations: `migration.rs` ----
    TestMigrationBegan {
        at: Timestamp,
    },
    TestMigrationEnded {
        fault: Option<Fault>,
        at: Timestamp,
    },
    TestMigrationCleanedUp {
        at: Timestamp,
    },
    MigrationCommitted {
        at: Timestamp,
    },
}

/// Why a cycle runs. Later ones are stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    Scheduled,
    Demanded,
    /// The last one: the source is shut down first, if the operator asked for that, and proved off.
    Final,
}

/// A recovery point, as the next cycle builds on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    pub commit: PointRef,
    pub taken_at: Timestamp,
    pub quiesced: bool,
    pub last: bool,
    pub disks: BTreeMap<DiskId, PointDisk>,
}

/// A plan for one disk in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub mode: Mode,
    pub resync: Option<ResyncReason>,
    pub parts: u32,
    pub digest: Sha,
    /// The bitmap of everything the commit will cover, carried layers included: what the receipt must confirm.
    pub covered_digest: Sha,
    pub planned_bytes: u64,
    /// What the source itself reported as changed; for initial and resync the whole disk.
    pub reported_bytes: u64,
    /// In so many extents.
    pub reported_extents: u64,
    /// Layers of earlier attempts that this one builds on.
    pub carried: Vec<Layer>,
    /// What was read again of the rest, to see whether the source is to be believed.
    pub compared: Compared,
}

/// What one disk cost in one cycle. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyStats {
    pub planned: u64,
    pub read: u64,
    pub sent: u64,
    pub stored: u64,
}

/// What an attempt that was cut short left behind for a disk, for the next one to build on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Salvage {
    pub disk: DiskId,
    pub mode: Mode,
    pub fingerprint: String,
    pub layers: Vec<Layer>,
    /// Where change tracking stood at the first of these attempts: what changed since then supersedes.
    pub marker: Marker,
    /// Blocks that a receipt refused.
    pub bad_blocks: Vec<u64>,
}

/// A fact that cannot follow this state: a bug, or a journal that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fact {fact} cannot follow the state {state}")]
pub struct OutOfOrder {
    pub fact: String,
    pub state: String,
}
