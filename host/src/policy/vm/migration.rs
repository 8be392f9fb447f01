//! Trying the VM at the target, and moving it for good: what happened, and which fact may follow.
//!
//! ```text
//!   untried ─▶ running ─▶ to clean up ─▶ clean        any of them ─▶ moved, once the final cycle is applied
//!                 ▲                        │
//!                 └────────────────────────┘
//! ```
//!
//! The final cycle is the data's part of a migration. Its other parts, and test migrations, are a runbook's work; these are its facts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Fault;

use super::Vm;
use super::facts::{Fact, OutOfOrder};

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    pub test: Test,
    pub committed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    #[default]
    Untried,
    Running {
        at: Timestamp,
    },
    /// It ended, well or not, and what it made is still there.
    ToCleanUp {
        fault: Option<Fault>,
        at: Timestamp,
    },
    Clean {
        fault: Option<Fault>,
        at: Timestamp,
    },
}

impl Test {
    /// Holds on to the replica: nothing may be applied to it, and no migration begins.
    pub fn is_open(&self) -> bool {
        matches!(self, Test::Running { .. } | Test::ToCleanUp { .. })
    }

    pub fn last_run(&self) -> Option<Timestamp> {
        match self {
            Test::Untried => None,
            Test::Running { at } | Test::ToCleanUp { at, .. } | Test::Clean { at, .. } => Some(*at),
        }
    }
}

impl Vm {
    /// Folds a fact of a migration.
    pub(super) fn migrate(&mut self, fact: Fact) -> Result<(), OutOfOrder> {
        let refused = OutOfOrder { fact: format!("{fact:?}"), state: format!("{:?}", self.migration) };
        match (fact, &self.migration.test) {
            // During the first copy there is nothing that could start.
            (Fact::TestMigrationBegan { at }, test) if self.point.is_some() && !test.is_open() && !self.is_stopped() => {
                self.migration.test = Test::Running { at };
            }
            (Fact::TestMigrationEnded { fault, at }, Test::Running { .. }) => self.migration.test = Test::ToCleanUp { fault, at },
            // A test that was cut short is cleaned up without having ended.
            (Fact::TestMigrationCleanedUp { at }, Test::Running { .. }) => self.migration.test = Test::Clean { fault: None, at },
            (Fact::TestMigrationCleanedUp { .. }, Test::ToCleanUp { fault, at }) => {
                self.migration.test = Test::Clean { fault: fault.clone(), at: *at };
            }
            (Fact::MigrationCommitted { at }, test) if self.has_final_point() && !test.is_open() && !self.is_stopped() => {
                self.migration.committed_at = Some(at);
            }
            _ => return Err(refused),
        }
        Ok(())
    }

    /// The source was off when the newest recovery point was taken, and nothing runs since.
    pub fn has_final_point(&self) -> bool {
        self.cycle.is_none() && self.point.as_ref().is_some_and(|point| point.last)
    }
}
