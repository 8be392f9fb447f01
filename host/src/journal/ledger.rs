//! One aggregate: its state, and the only way to change it.
//!
//! When so many facts were recorded that a journal would grow without end, the state itself is written in their place. A snapshot carries
//! the version of its form: one that this program does not read is refused, and nothing is changed.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::Fault;
use crate::waypoint;

use super::{Journal, Kept};

/// A state that is the fold of facts.
pub trait Folded: Default + Clone + Serialize + DeserializeOwned {
    type Fact: Serialize + DeserializeOwned + Clone;

    /// The form in which a snapshot holds the state. Whoever changes the form raises it.
    const FORM: u32;

    /// Folds one fact; refuses one that cannot follow.
    fn fold(&mut self, fact: Self::Fact) -> Result<(), Fault>;
}

/// Lets the state be read, and changed only by recording facts.
pub struct Ledger<S: Folded> {
    journal: Arc<dyn Journal>,
    aggregate: String,
    /// Facts that were ever recorded, and those of them that a snapshot stands for.
    count: u64,
    in_snapshot: u64,
    state: S,
}

#[derive(Serialize)]
struct SnapshotBody<'a, S> {
    form: u32,
    state: &'a S,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FoundBody {
    form: u32,
    state: serde_json::Value,
}

impl<S: Folded> Ledger<S> {
    /// Replays the aggregate.
    pub async fn open(journal: Arc<dyn Journal>, aggregate: String) -> Result<Ledger<S>, Fault> {
        let Kept { snapshot, facts } = journal.load(&aggregate).await?;
        let (mut state, in_snapshot) = match &snapshot {
            Some(snapshot) => (read_snapshot(&snapshot.body, &aggregate)?, snapshot.facts),
            None => (S::default(), 0),
        };
        for (number, fact) in (in_snapshot..).zip(&facts) {
            let fact = serde_json::from_str(fact)
                .map_err(|error| Fault::corrupt(format!("fact {number} of {aggregate} in the journal cannot be read: {error}")))?;
            state.fold(fact)?;
        }
        Ok(Ledger { journal, aggregate, count: in_snapshot + facts.len() as u64, in_snapshot, state })
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
        if self.count - self.in_snapshot >= self.journal.facts_kept() {
            self.compact().await;
        }
        Ok(())
    }

    /// The facts are durable already, so a snapshot that could not be written costs space and nothing else; the next fact tries again.
    async fn compact(&mut self) {
        let body = SnapshotBody { form: S::FORM, state: &self.state };
        let body = serde_json::to_string(&body).expect("a state has only string keys");
        match self.journal.compact(&self.aggregate, self.count, &body).await {
            Ok(()) => self.in_snapshot = self.count,
            Err(fault) => {
                tracing::warn!(aggregate = self.aggregate, message = %fault.message, "the journal keeps facts that it could fold")
            }
        }
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

fn read_snapshot<S: Folded>(body: &str, aggregate: &str) -> Result<S, Fault> {
    let damaged =
        |error| Fault::corrupt(format!("the snapshot of {aggregate} in the journal cannot be read: {error}; nothing was changed"));
    let found: FoundBody = serde_json::from_str(body).map_err(damaged)?;
    if found.form != S::FORM {
        return Err(Fault::unsupported(format!(
            "the snapshot of {aggregate} in the journal has form {}, this version reads form {}: another version of transload wrote it. \
             Nothing was changed; run that version",
            found.form,
            S::FORM
        )));
    }
    serde_json::from_value(found.state).map_err(damaged)
}

#[cfg(test)]
mod tests;
