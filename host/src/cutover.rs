//! What the host needs from something that moves names, addresses or traffic. `wasm` implements it for plugins.
//!
//! ```text
//!   plan ─▶ steps, shown and kept        for each:   check ─▶ before, journaled ─▶ apply ─▶ verify
//!                                        going back:                    before ─▶ undo
//! ```
//!
//! Everything returned here is checked already: ids are unique, the steps that prepare come first. Calls may be repeated; wit/cutover.wit
//! says what a second call means.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::Fault;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutoverDescription {
    pub product: String,
}

/// A VM that moves, with the addresses that it had and will have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedVm {
    pub name: String,
    pub source_addresses: Vec<IpAddr>,
    pub target_addresses: Vec<IpAddr>,
}

/// All that a plan is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub wave: String,
    pub vms: Vec<MovedVm>,
    /// The plugin's part of the wave file, as JSON.
    pub settings: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Hours or days ahead.
    Prepare,
    /// In the window.
    Switch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub id: String,
    pub phase: Phase,
    /// For people: what will be different afterwards.
    pub summary: String,
    /// The plugin's own; nobody else reads it.
    pub detail: String,
    /// Time to wait after it before a dependent step may run.
    pub settle: Duration,
}

#[async_trait]
pub trait Cutover: Send + Sync {
    async fn describe(&self) -> Result<CutoverDescription, Fault>;
    /// Reaches nothing.
    async fn plan(&self, context: &Context) -> Result<Vec<Step>, Fault>;
    /// What is there now, as `undo` will need it.
    async fn check(&self, step: &Step) -> Result<String, Fault>;
    /// `conflict` when somebody else changed what is there.
    async fn apply(&self, step: &Step, before: &str, idempotency_key: &str) -> Result<(), Fault>;
    async fn verify(&self, step: &Step) -> Result<bool, Fault>;
    /// `conflict` when somebody else changed what is there.
    async fn undo(&self, step: &Step, before: &str) -> Result<(), Fault>;
}
