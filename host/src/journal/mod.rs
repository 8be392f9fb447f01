//! The agent's memory: facts, in order, durable before anyone can see their effect. The only truth the agent has of its own.
//!
//! A journal holds aggregates (one VM's gateway side, one VM's replica, the store it belongs to); each is a list of facts and its state is
//! their fold. `Ledger` keeps both together.

mod ledger;
mod sqlite;

use async_trait::async_trait;

use crate::model::Fault;

pub use ledger::{Folded, Ledger, waypoints};
pub use sqlite::{SqliteJournal, UNCOMMITTED};

#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends facts to an aggregate that holds exactly `after` of them; `conflict` when it holds another number. All of the facts are
    /// durable when this returns, or none is there.
    async fn append(&self, aggregate: &str, after: u64, facts: &[String]) -> Result<(), Fault>;

    /// All facts of an aggregate, oldest first.
    async fn load(&self, aggregate: &str) -> Result<Vec<String>, Fault>;

    /// Aggregates whose name starts with the prefix, sorted.
    async fn aggregates(&self, prefix: &str) -> Result<Vec<String>, Fault>;
}
