//! The agent's memory: facts, in order, durable before anyone can see their effect. The only truth the agent has of its own.
//!
//! A journal holds aggregates (one VM's gateway side, one VM's replica, the store it belongs to); each is a list of facts and its state is
//! their fold. `Ledger` keeps both together.
//!
//! ```text
//!   facts   1 2 3 4 5 6 7 8 9 …            a VM has some ten of them a cycle, for ever
//!           └────┬────┘
//!             snapshot of the state        takes their place in one transaction: the state is the fold of the facts behind it
//! ```

mod ledger;
mod sqlite;

use async_trait::async_trait;

use crate::model::Fault;

pub use ledger::{Folded, Ledger, waypoints};
pub use sqlite::{SqliteJournal, UNCOMMITTED};

/// Facts behind a snapshot before the next one is taken. A journal stays at so many for each aggregate, however long it runs.
pub const FACTS_KEPT: u64 = 512;

/// The state that the oldest facts of an aggregate made, in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// How many facts it stands for.
    pub facts: u64,
    pub body: String,
}

/// What a journal holds of an aggregate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    pub snapshot: Option<Snapshot>,
    /// The facts behind the snapshot, oldest first.
    pub facts: Vec<String>,
}

#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends facts to an aggregate in which exactly `after` were recorded, those that a snapshot stands for included; `conflict` when it
    /// is another number. All of the facts are durable when this returns, or none is there.
    async fn append(&self, aggregate: &str, after: u64, facts: &[String]) -> Result<(), Fault>;

    /// Puts a snapshot into the place of all facts of an aggregate, of which there must be exactly `after`; `conflict` when it is another
    /// number. Either the snapshot is durable and the facts are gone, or nothing has changed.
    async fn compact(&self, aggregate: &str, after: u64, snapshot: &str) -> Result<(), Fault>;

    async fn load(&self, aggregate: &str) -> Result<Kept, Fault>;

    /// Facts behind a snapshot before the next one is taken.
    fn facts_kept(&self) -> u64 {
        FACTS_KEPT
    }

    /// Aggregates whose name starts with the prefix, sorted.
    async fn aggregates(&self, prefix: &str) -> Result<Vec<String>, Fault>;
}
