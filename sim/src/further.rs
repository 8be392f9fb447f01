//! Further stores of a scene, that can be slow, fail, be away and be lost.

use std::sync::Arc;

use transload::clock::Clock;
use transload::driver::retry::PersistentSink;
use transload::driver::spreading::{Spreading, Weighted};
use transload::driver::stores::{self, Watch};
use transload::log::bound::{Begin, Bound};
use transload::log::layout;
use transload::log::store::Log;
use transload::log::stores::{Further, Stores};
use transload::model::{Fault, StoreNumber};

use crate::scenario::Scene;
use crate::sink::{MemorySink, SinkTrouble};
use crate::world::World;

#[derive(Debug, Clone)]
pub struct FurtherPlan {
    pub name: &'static str,
    pub weight: u16,
    pub trouble: SinkTrouble,
    /// Puts that it serves at one time, each of them slowly; at once and as many as come where none is said.
    pub puts_at_once: Option<usize>,
}

/// One further store, for as long as the scene lasts.
#[derive(Clone)]
pub struct FurtherStore {
    pub name: &'static str,
    weight: u16,
    pub sink: MemorySink,
}

impl FurtherStore {
    pub fn new(plan: &FurtherPlan, world: &World) -> FurtherStore {
        let sink = MemorySink::new(world.clone(), plan.trouble);
        let sink = plan.puts_at_once.map_or(sink.clone(), |at_once| sink.paced(at_once));
        FurtherStore { name: plan.name, weight: plan.weight, sink }
    }

    fn weighted(&self) -> Weighted {
        Weighted { name: self.name.to_owned(), weight: self.weight }
    }

    pub fn segments(&self) -> usize {
        self.sink.keys("vm/").len()
    }

    /// What pages call it.
    pub fn number(&self) -> StoreNumber {
        Bound::decode(&self.sink.object(layout::BOUND).expect("it was begun")).expect("and not damaged").number()
    }
}

fn configured(stores: &[FurtherStore], home: &MemorySink, clock: &Arc<dyn Clock>) -> Stores {
    let further = stores.iter().map(|store| {
        let patient = Arc::new(PersistentSink::new(Arc::new(store.sink.clone()), clock.clone()));
        Further::new(store.name.to_owned(), patient, Arc::new(store.sink.clone()))
    });
    Stores::new(Arc::new(home.clone()), further.collect())
}

impl Scene {
    /// The log of one life with all of its stores, and who looks for those that are away.
    pub async fn further_stores(&self, log: Log) -> Result<(Log, Option<Watch>), Fault> {
        if self.further.is_empty() {
            return Ok((log, None));
        }
        let stores = configured(&self.further, &self.sink, &self.clock);
        let (log, watch) = stores::open(log, stores, Arc::new(self.journal.clone()), Begin::Allowed).await?;
        Ok((log, Some(watch)))
    }

    /// The same log, as a gateway writes to it.
    pub fn spread(&self, log: Log) -> Log {
        if self.further.is_empty() {
            return log;
        }
        let home = Weighted { name: "home".to_owned(), weight: 1 };
        let further = self.further.iter().map(FurtherStore::weighted).collect();
        let spreading = Spreading::new(log.clone(), self.clock.clone(), home, further);
        log.placed_by(spreading.over(self.stores_of_vm.clone()))
    }

    /// For the oracle: all stores without their trouble.
    pub async fn quiet_stores(&self, log: Log) -> Result<Log, String> {
        if self.further.is_empty() {
            return Ok(log);
        }
        let quiet: Vec<FurtherStore> =
            self.further.iter().map(|store| FurtherStore { sink: store.sink.quiet(), ..store.clone() }).collect();
        let log = log.with_stores(configured(&quiet, &self.sink.quiet(), &self.clock));
        for store in log.stores().further() {
            // One that was never begun holds nothing.
            match store.bind(&log, None, Begin::Never).await {
                Ok(_) => {}
                Err(fault) if fault.kind.passes() => {}
                Err(fault) => return Err(fault.to_string()),
            }
        }
        Ok(log)
    }
}
