//! What may be asked of a running agent, and what it answers.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::commit::Sha;
use crate::model::{CycleNumber, Fault};
use crate::policy::vm::{Repair, command};

use super::outlook::{ChurnReport, ForecastReport};
use super::status::AgentStatus;

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
    Restored {
        files: Vec<Restored>,
    },
    Refused(Refusal),
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
