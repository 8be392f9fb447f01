//! One aggregate: its state, and the only way to change it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::Fault;
use crate::model::waypoint;

use super::Journal;

/// A state that is the fold of facts.
pub trait Folded: Default {
    type Fact: Serialize + DeserializeOwned + Clone;

    /// Folds one fact; refuses one that cannot follow.
    fn fold(&mut self, fact: Self::Fact) -> Result<(), Fault>;
}

/// Lets the state be read, and changed only by recording facts.
pub struct Ledger<S: Folded> {
    journal: Arc<dyn Journal>,
    aggregate: String,
    count: u64,
    state: S,
}

impl<S: Folded + Clone> Ledger<S> {
    /// Replays the aggregate.
    pub async fn open(journal: Arc<dyn Journal>, aggregate: String) -> Result<Ledger<S>, Fault> {
        let mut state = S::default();
        let facts = journal.load(&aggregate).await?;
        for (number, fact) in facts.iter().enumerate() {
            let fact = serde_json::from_str(fact)
                .map_err(|error| Fault::corrupt(format!("fact {number} of {aggregate} in the journal cannot be read: {error}")))?;
            state.fold(fact)?;
        }
        Ok(Ledger { journal, aggregate, count: facts.len() as u64, state })
    }

    /// Makes facts durable, then folds them. When this fails nothing has changed.
    pub async fn record(&mut self, facts: Vec<S::Fact>) -> Result<(), Fault> {
        let mut next = self.state.clone();
        facts.iter().try_for_each(|fact| next.fold(fact.clone()))?;
        let lines: Vec<String> = facts.iter().map(|fact| serde_json::to_string(fact).expect("a fact has only string keys")).collect();
        pass::<S>(&lines, "unrecorded");
        self.journal.append(&self.aggregate, self.count, &lines).await?;
        pass::<S>(&lines, "recorded");
        self.count += lines.len() as u64;
        self.state = next;
        Ok(())
    }

    pub fn state(&self) -> &S {
        &self.state
    }
}

/// Moments of facts are called after their state: `vm/committed/recorded`.
fn pass<S>(lines: &[String], moment: &str) {
    lines.iter().for_each(|line| waypoint::reached(|| format!("{}/{}/{moment}", state_name::<S>(), waypoint::variant(line))));
}

/// Every moment of the facts of this state.
pub fn waypoints<S: Folded>() -> Vec<String> {
    let facts = waypoint::names::<S::Fact>();
    facts.iter().flat_map(|fact| ["unrecorded", "recorded"].map(|moment| format!("{}/{fact}/{moment}", state_name::<S>()))).collect()
}

/// The last part of the type's own name, in small letters.
fn state_name<S>() -> String {
    std::any::type_name::<S>().rsplit("::").next().unwrap_or_default().to_ascii_lowercase()
}
