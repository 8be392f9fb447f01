//! Spreads the segments of an agent's VMs over its stores, as `policy::spread` decides.
//!
//! ```text
//!   segment ─▶ next ─▶ put, once ─▶ stands there            measured, named in the page
//!               ▲          │ failed: the store rests
//!               └──────────┘ another one, under a new name
//!               all of them rest or failed: the first to be back, with patience; its fault is the copy's
//! ```
//!
//! A put whose reply was lost may leave a segment that no page names. It is waste in one store, as it would be in the home store, and is
//! collected in the same way.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::clock::Clock;
use crate::log::layout::AttemptFolder;
use crate::log::page::SegmentName;
use crate::log::seal::Sealed;
use crate::log::store::Log;
use crate::log::stores::{Placing, Tries};
use crate::model::{Fault, StoreNumber};
use crate::policy::spread::{Measured, Next, Spread};

/// A store by its configured name, and how much it takes beside the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighted {
    pub name: String,
    pub weight: u16,
}

/// What all VMs of an agent share: what the stores have under way, and how fast they are.
pub struct Spreading {
    log: Log,
    clock: Arc<dyn Clock>,
    home: Weighted,
    further: Vec<Weighted>,
    spread: Mutex<Spread>,
}

impl Spreading {
    pub fn new(log: Log, clock: Arc<dyn Clock>, home: Weighted, further: Vec<Weighted>) -> Arc<Spreading> {
        let mut spread = Spread::default();
        spread.add(StoreNumber::HOME, home.weight);
        Arc::new(Spreading { log, clock, home, further, spread: Mutex::new(spread) })
    }

    /// For a VM: the stores it may use, by name; all of them when none are named.
    pub fn over(self: &Arc<Spreading>, names: Option<Vec<String>>) -> Arc<dyn Placing> {
        Arc::new(VmStores { spreading: self.clone(), names })
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// As configured, the home store first: the number of one that is bound, and what was measured of one that was used.
    pub fn measured(&self) -> Vec<(&Weighted, Option<StoreNumber>, Option<Measured>)> {
        let now = self.clock.monotonic();
        let spread = self.spread();
        let further = self.further.iter().map(|store| (store, self.number(&store.name)));
        let all = std::iter::once((&self.home, Some(StoreNumber::HOME))).chain(further);
        all.map(|(store, number)| (store, number, number.and_then(|number| spread.measured(number, now)))).collect()
    }

    fn number(&self, name: &str) -> Option<StoreNumber> {
        self.log.stores().named(name).and_then(|store| store.number())
    }

    fn spread(&self) -> MutexGuard<'_, Spread> {
        self.spread.lock().expect("no holder of this lock panics")
    }

    /// What a put has taken of a store, until it is dropped.
    fn begin(&self, store: StoreNumber, among: &[StoreNumber], bytes: u64) -> UnderWay<'_> {
        self.spread().begins(store, among, bytes);
        UnderWay { spreading: self, store, bytes }
    }
}

/// Dropped however the put ends, also when its copy is given up.
struct UnderWay<'a> {
    spreading: &'a Spreading,
    store: StoreNumber,
    bytes: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.spreading.spread().ended(self.store, self.bytes);
    }
}

struct VmStores {
    spreading: Arc<Spreading>,
    names: Option<Vec<String>>,
}

impl VmStores {
    fn may_use(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.iter().any(|allowed| allowed == name))
    }

    /// Those of its stores that are there. One may be bound any moment.
    fn present(&self) -> Result<Vec<StoreNumber>, Fault> {
        let Spreading { home, further, .. } = &*self.spreading;
        let mut present: Vec<StoreNumber> = self.may_use(&home.name).then_some(StoreNumber::HOME).into_iter().collect();
        let mut away = Vec::new();
        for store in further.iter().filter(|store| self.may_use(&store.name)) {
            match self.spreading.number(&store.name) {
                Some(number) => {
                    self.spreading.spread().add(number, store.weight);
                    present.push(number);
                }
                None => away.push(store.name.as_str()),
            }
        }
        match present.is_empty() {
            true => Err(Fault::unavailable(format!("no store that this VM may use is there: {} is away", away.join(", ")))),
            false => Ok(present),
        }
    }

    async fn put(
        &self,
        name: SegmentName,
        among: &[StoreNumber],
        at: (&Log, &AttemptFolder),
        sealed: &Sealed,
        tries: Tries,
    ) -> Result<SegmentName, Fault> {
        let (spreading, bytes, (log, folder)) = (&self.spreading, sealed.len() as u64, at);
        let began = spreading.clock.monotonic();
        let under_way = spreading.begin(name.store, among, bytes);
        let put = log.put_segment(name, folder, sealed, tries).await;
        drop(under_way);
        let now = spreading.clock.monotonic();
        match &put {
            Ok(_) => spreading.spread().acknowledged(name.store, bytes, now.saturating_sub(began), now),
            Err(fault) => {
                tracing::warn!(store = %name.store, kind = %fault.kind, message = %fault.message, "a store did not take a segment");
                spreading.spread().failed(name.store, fault, now);
            }
        }
        put
    }
}

#[async_trait]
impl Placing for VmStores {
    async fn place(&self, log: &Log, name: SegmentName, folder: &AttemptFolder, sealed: &Sealed) -> Result<SegmentName, Fault> {
        let present = self.present()?;
        if let [only] = present[..] {
            return self.put(SegmentName { store: only, ..name }, &present, (log, folder), sealed, Tries::All).await;
        }
        let mut left = present.clone();
        let mut random = name.random;
        loop {
            let next = self.spreading.spread().next(&left, sealed.len() as u64, self.spreading.clock.monotonic());
            let Next::Take(store) = next else { break };
            match self.put(SegmentName { store, random, ..name }, &left, (log, folder), sealed, Tries::One).await {
                Ok(stands_as) => return Ok(stands_as),
                Err(_) => left.retain(|other| *other != store),
            }
            random = log.random().number();
        }
        let next = self.spreading.spread().next(&present, sealed.len() as u64, self.spreading.clock.monotonic());
        let (Next::Take(store) | Next::AllRest(store)) = next else {
            return Err(Fault::internal("a VM's stores are none that segments are spread over"));
        };
        self.put(SegmentName { store, random, ..name }, &present, (log, folder), sealed, Tries::All).await
    }
}
