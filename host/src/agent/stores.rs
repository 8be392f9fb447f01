//! The stores of an agent, out of its configuration: the home store is open already, further ones are bound to it, and segments are spread
//! over all of them.

use std::sync::Arc;

use crate::api::status::StoreStatus;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver::retry::PersistentSink;
use crate::driver::spreading::{Spreading, Weighted};
use crate::driver::stores::{self, Watch};
use crate::journal::Journal;
use crate::log::bound::Begin;
use crate::log::sink::Sink;
use crate::log::store::Log;
use crate::log::stores::{Further, Stores};
use crate::model::Fault;
use crate::wasm::Installed;

/// What a log is with its further stores. With the home store alone it is the log itself, and nothing is between a copy and its store.
pub(super) struct Opened {
    pub log: Log,
    pub spreading: Option<Arc<Spreading>>,
    pub watch: Option<Watch>,
}

/// `home`: the home store's plugin, which fails at once.
pub(super) async fn open(
    config: &Config,
    plugins: &mut Installed,
    log: Log,
    home: Arc<dyn Sink>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
) -> Result<Opened, Fault> {
    let mut further = Vec::new();
    for store in &config.stores {
        let plugin = plugins.host().sink(&store.plugin).await.map_err(|refused| Fault::invalid(refused.to_string()))?;
        let plugin = Arc::new(plugin);
        plugins.use_sink(store.plugin.clone(), plugin.clone());
        let patient = Arc::new(PersistentSink::new(plugin.clone(), clock.clone()));
        further.push(Further::new(store.plugin.name.clone(), patient, plugin));
    }
    let begin = if config.role.sends() { Begin::Allowed } else { Begin::Never };
    let (log, watch) = stores::open(log, Stores::new(home, further), journal, begin).await?;
    if config.stores.is_empty() {
        return Ok(Opened { log, spreading: None, watch: None });
    }
    let weighted = |name: &str, weight: u16| Weighted { name: name.to_owned(), weight };
    let others = config.stores.iter().map(|store| weighted(&store.plugin.name, store.weight.0)).collect();
    let spreading = Spreading::new(log.clone(), clock, weighted(&config.sink.name, config.home_weight.0), others);
    Ok(Opened { log, spreading: Some(spreading), watch: Some(watch) })
}

/// The home store and the further ones, when there are any.
pub(super) fn status(spreading: &Spreading) -> Vec<StoreStatus> {
    let further = |name: &str| spreading.log().stores().named(name);
    let shown = spreading.measured().into_iter().map(|(store, number, measured)| {
        let away = further(&store.name).and_then(Further::away);
        let resting = measured.as_ref().and_then(|measured| measured.rests.clone());
        StoreStatus {
            name: store.name.clone(),
            number: number.map(|number| number.to_string()),
            weight: store.weight,
            rate: measured.as_ref().map_or(0, |measured| measured.rate),
            taken: measured.as_ref().map_or(0, |measured| measured.taken),
            away: away.map(|fault| fault.message),
            resting: resting.map(|fault| fault.message),
        }
    });
    shown.collect()
}
