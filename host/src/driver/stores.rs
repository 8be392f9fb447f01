//! Opening the further stores of an agent, and never mistaking one for another.
//!
//! ```text
//!   configured ─▶ its place is what it should be ─▶ bound, and pinned in the journal
//!             ├▶ it is something else ─▶ the agent does not start: whatever was written there would be lost
//!             └▶ it does not answer   ─▶ away: the agent starts without it, and looks again
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::journal::{Folded, Journal, Ledger};
use crate::log::bound::{self, Begin};
use crate::log::store::Log;
use crate::log::stores::Stores;
use crate::model::{Fault, FaultKind};

/// How often a store that is away is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The ids of the further stores that this agent has met, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Met(BTreeMap<String, String>);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum MetFact {
    Met { name: String, store: String },
}

impl Folded for Met {
    type Fact = MetFact;
    const FORM: u32 = 1;

    fn fold(&mut self, fact: MetFact) -> Result<(), Fault> {
        let MetFact::Met { name, store } = fact;
        self.0.insert(name, store);
        Ok(())
    }
}

/// Binds what can be bound. Answers the log with all of its stores, and who goes on looking for those that are away.
/// `stores` are those that are configured.
pub async fn open(log: Log, stores: Stores, journal: Arc<dyn Journal>, begin: Begin) -> Result<(Log, Watch), Fault> {
    let met = Ledger::open(journal, "stores".to_owned()).await?;
    let log = log.with_stores(stores);
    let mut watch = Watch { log: log.clone(), met, begin };
    if let Some(wrong) = watch.look().await? {
        return Err(wrong);
    }
    if let Err(fault) = watch.name_missing().await {
        tracing::warn!(kind = %fault.kind, message = %fault.message, "which further stores the home store knows cannot be asked");
    }
    Ok((log, watch))
}

/// Looks for the stores that are away.
pub struct Watch {
    log: Log,
    met: Ledger<Met>,
    begin: Begin,
}

impl Watch {
    /// Until all of them are bound. Answers only when the journal fails.
    pub async fn run(mut self, clock: &dyn Clock) -> Fault {
        while self.log.stores().further().iter().any(|store| store.bound().is_none()) {
            clock.sleep(LOOK_AGAIN).await;
            // One that is found to be another, long after the start, takes nothing with it but its own segments.
            if let Err(fault) = self.look().await {
                return fault;
            }
        }
        std::future::pending().await
    }

    /// One look at each that is not bound. Answers what is not the store that it should be; fails with the journal only.
    async fn look(&mut self) -> Result<Option<Fault>, Fault> {
        let stores = self.log.stores().clone();
        let mut wrong = None;
        for store in stores.further().iter().filter(|store| store.bound().is_none()) {
            let known = self.met.state().0.get(store.name()).cloned();
            match store.bind(&self.log, known.as_deref(), self.begin).await {
                Ok(bound) if known.is_none() => {
                    let (name, store) = (bound.name.clone(), bound.store.clone());
                    tracing::info!(store = name, number = %bound.number(), "a further store is bound");
                    self.met.record(vec![MetFact::Met { name, store }]).await?;
                }
                Ok(_) => {}
                Err(fault) => {
                    tracing::warn!(store = store.name(), kind = %fault.kind, message = %fault.message, "a further store is not bound");
                    let is_wrong = matches!(fault.kind, FaultKind::Conflict | FaultKind::Corrupt | FaultKind::Unsupported);
                    wrong = wrong.or(is_wrong.then_some(fault));
                }
            }
        }
        Ok(wrong)
    }

    /// Says which stores segments may stand in that this agent was not told of.
    async fn name_missing(&self) -> Result<(), Fault> {
        for name in missing(&self.log).await? {
            tracing::warn!(
                store = name,
                "the home store knows a further store that this configuration does not name: what stands there cannot be read"
            );
        }
        Ok(())
    }
}

/// Names of further stores that the home store knows and the configuration does not.
pub async fn missing(log: &Log) -> Result<Vec<String>, Fault> {
    let registered = bound::registered(log).await?;
    let names = registered.into_iter().map(|(number, entry)| entry.map_or_else(|| number.to_string(), |entry| entry.name));
    Ok(names.filter(|name| log.stores().named(name).is_none()).collect())
}
