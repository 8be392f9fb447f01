//! Opening the store, and never mistaking another one for it.
//!
//! The journal pins the store's id when it first meets it. A journal that knows a store and finds it gone, empty or another one stops:
//! beginning anew would hide that every recovery point is lost.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cpu::Cpu;
use crate::journal::{Folded, Journal, Ledger};
use crate::log::keys::{self, Unlock};
use crate::log::layout::{self, hex};
use crate::log::sink::Sink;
use crate::log::store::Log;
use crate::model::Fault;
use crate::random::Random;

use super::expected::{self, Expected};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    store: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum PinFact {
    Pinned { store: String },
}

impl Folded for Pin {
    type Fact = PinFact;
    const FORM: u32 = 1;

    fn fold(&mut self, fact: PinFact) -> Result<(), Fault> {
        let PinFact::Pinned { store } = fact;
        self.store = Some(store);
        Ok(())
    }
}

/// Opens the store that the journal knows. A journal that knows none takes the one it finds, or begins one in an empty place.
/// A store that does not hold what is expected of it is neither begun nor pinned.
pub async fn open(
    sink: Arc<dyn Sink>,
    unlock: &Unlock,
    journal: Arc<dyn Journal>,
    expected: &Expected,
    random: Random,
    cpu: Cpu,
) -> Result<Log, Fault> {
    let mut pin: Ledger<Pin> = Ledger::open(journal, "store".to_owned()).await?;
    let exists = keys::exists(&*sink).await?;
    let sealer = match (exists, &pin.state().store) {
        (true, _) => keys::open(&*sink, unlock).await?,
        (false, None) if !expected.is_empty() => return Err(expected::no_store()),
        (false, None) if sink.head(layout::BOUND).await?.is_some() => {
            return Err(Fault::conflict(
                "the place configured as [sink] is a further store of another one (it holds bound.json): are two stores swapped? Nothing was begun",
            ));
        }
        (false, None) => keys::begin(&*sink, unlock, &random).await?,
        (false, Some(store)) => {
            return Err(Fault::not_found(format!(
                "the store {store} that this agent replicates into is gone: store.json is missing. Nothing was begun in its place. Restore \
                 the store, or point the configuration at the right one"
            )));
        }
    };
    let found = hex(&sealer.store_id());
    match &pin.state().store {
        Some(store) if *store != found => {
            return Err(Fault::conflict(format!("this agent replicates into the store {store}, and the one configured is {found}")));
        }
        _ => {}
    }
    let log = Log::new(sink, Arc::new(sealer), random, cpu);
    expected::check(&log, expected).await?;
    if pin.state().store.is_none() {
        pin.record(vec![PinFact::Pinned { store: found }]).await?;
    }
    Ok(log)
}
