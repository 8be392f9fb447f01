//! What may be asked of a running agent, and what it answers.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::commit::Sha;
use crate::model::{CycleNumber, Fault};
use crate::policy::vm::{Repair, command};

use super::outlook::{ChurnReport, ForecastReport};
use super::status::AgentStatus;
use crate::driver::retention::{Outcome, PointKept, PrunePlan};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    Status,
    /// Starts replicating a VM that the configuration does not name, or one that was stopped. Remembered across restarts.
    Replicate {
        vm: String,
        source: Option<String>,
        #[serde(default)]
        repair: Repair,
    },
    /// What is asked of one VM, and judged by its state. `dry_run`: only the judgement.
    Vm {
        vm: String,
        ask: command::Command,
        dry_run: bool,
    },
    /// How much of a VM changes, on which disk, and what makes that dear.
    Churn {
        vm: String,
    },
    /// How long a final cycle would take now, and whether deltas converge.
    Forecast {
        vm: String,
    },
    /// Reads a recovery point from the store again and compares the replica with it.
    Verify {
        vm: String,
        point: Option<CycleNumber>,
    },
    /// The recovery points of a VM, and why each is kept.
    Points {
        vm: String,
    },
    /// Drops the recovery points that need not be kept, of one VM or of all. `plan`: only if it is still this one, as a dry run showed it.
    Prune {
        vm: Option<String>,
        dry_run: bool,
        plan: Option<String>,
    },
    /// Keeps a recovery point until it is unpinned.
    Pin {
        vm: String,
        point: CycleNumber,
    },
    Unpin {
        vm: String,
        point: CycleNumber,
    },
    /// Writes a disk of a kept recovery point to a file.
    /// `expect`: the hash of the point's commit, as `status` showed it when it was applied. A store that was rolled back is told by it.
    Restore {
        vm: String,
        disk: Option<String>,
        point: Option<CycleNumber>,
        expect: Option<Sha>,
        to: PathBuf,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Status(Box<AgentStatus>),
    /// It will be done; `status` shows how it goes.
    Accepted {
        message: String,
    },
    /// It is so already.
    Ignored {
        message: String,
    },
    Churn(ChurnReport),
    Forecast(ForecastReport),
    Verified(Verified),
    Points {
        vm: String,
        points: Vec<PointKept>,
    },
    Pruned {
        vms: Vec<Pruned>,
    },
    Restored {
        files: Vec<Restored>,
    },
    Refused(Refusal),
}

/// What is done, or would be done, with the recovery points of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    pub vm: String,
    /// Names the plan: `prune --plan` executes this one and no other.
    pub id: String,
    pub plan: PrunePlan,
    /// None: it was only shown.
    pub outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub vm: String,
    pub point: CycleNumber,
    pub equal: bool,
    pub disks: Vec<VerifiedDisk>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedDisk {
    pub disk: String,
    pub cells: u64,
    pub differing_blocks: Vec<u64>,
    pub unreadable_blocks: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    pub disk: String,
    pub file: PathBuf,
    pub bytes: u64,
}

/// What happened, whether the data is safe, what comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The name of the reason, where the VM's state denies a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub fault: Fault,
    pub safe: String,
    pub next: String,
}

/// Whoever can carry a command out.
#[async_trait]
pub trait Desk: Send + Sync {
    async fn carry_out(&self, command: Command) -> Reply;
}
