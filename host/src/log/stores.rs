//! The stores of a log: the home store, and further ones that take segments off it.
//!
//! ```text
//!   home store      everything: pages, commits, receipts, owners … and segments       store 0
//!   further store   segments, and bound.json that says whose it is                    its number stands in each segment's name
//!
//!   page: segment = … ‖ store ─▶ 0: the home store
//!                              ├▶ bound: its sink
//!                              └▶ away, or not configured: `unavailable`, with its name; whoever reads waits and tries again
//! ```
//!
//! A further store that is away takes nothing with it but its own segments. What it is missing is believed only when the place still is that
//! store: an emptied one is `unavailable`, and not a thousand damaged blocks.

use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::{Extent, Fault, FaultKind, StoreNumber};

use super::bound::{self, Begin, Bound};
use super::layout::AttemptFolder;
use super::page::SegmentName;
use super::seal::Sealed;
use super::sink::Sink;
use super::store::Log;

/// A further store, as configured. It is bound when its place was found to be what it should be.
pub struct Further {
    name: String,
    /// Tries again while a fault passes.
    patient: Arc<dyn Sink>,
    /// Fails at once, so that another store can take what this one refuses.
    quick: Arc<dyn Sink>,
    bound: OnceLock<Bound>,
    away: Mutex<Option<Fault>>,
}

impl Further {
    pub fn new(name: String, patient: Arc<dyn Sink>, quick: Arc<dyn Sink>) -> Further {
        Further { name, patient, quick, bound: OnceLock::new(), away: Mutex::new(Some(Fault::unavailable("it was not looked at yet"))) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// None while it is away.
    pub fn bound(&self) -> Option<&Bound> {
        self.bound.get()
    }

    pub fn number(&self) -> Option<StoreNumber> {
        self.bound().map(Bound::number)
    }

    /// Why it is not bound.
    pub fn away(&self) -> Option<Fault> {
        self.away.lock().expect("no holder of this lock panics").clone()
    }

    /// Looks whether its place is this store. What stands in the way is kept for those who ask for its segments.
    pub async fn bind(&self, home: &Log, known: Option<&str>, begin: Begin) -> Result<&Bound, Fault> {
        if let Some(bound) = self.bound() {
            return Ok(bound);
        }
        let found = bound::bind(home, &self.name, &*self.quick, known, begin).await;
        *self.away.lock().expect("no holder of this lock panics") = found.as_ref().err().cloned();
        let found = found?;
        Ok(self.bound.get_or_init(|| found))
    }

    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        match self.patient.get(key, range).await {
            Err(fault) if fault.kind == FaultKind::NotFound => Err(self.missing(fault).await),
            result => result.map_err(|fault| self.named(fault)),
        }
    }

    fn named(&self, fault: Fault) -> Fault {
        fault.while_doing(format!("in the store {}", self.name))
    }

    /// Why an object is not there: it is lost, or the store as a whole is.
    async fn missing(&self, fault: Fault) -> Fault {
        match bound::found(&*self.patient).await {
            Ok(found) if found.as_ref() == self.bound() => self.named(fault),
            Ok(_) => Fault::unavailable(format!(
                "the store {} is gone: its place holds no bound.json any more, or another one. Restore it, or point the configuration at the right place",
                self.name
            )),
            Err(other) if other.kind.passes() => self.named(other),
            Err(other) => Fault::unavailable(format!("the store {} cannot be told to be what it was: {}", self.name, other.message)),
        }
    }
}

/// How often something is tried while its fault passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// Once: another store may take it.
    One,
    All,
}

/// Who says which store takes a segment, where there is a choice.
#[async_trait]
pub trait Placing: Send + Sync {
    /// Stores a segment in one of the stores that it may go to. Answers the name under which it stands, and where. When this returns, the
    /// segment is durable; when it is dropped or fails, there may be some that no page names.
    async fn place(&self, log: &Log, name: SegmentName, folder: &AttemptFolder, sealed: &Sealed) -> Result<SegmentName, Fault>;
}

/// Cheap to share. Without further stores there is nothing in it.
#[derive(Clone, Default)]
pub struct Stores {
    quick_home: Option<Arc<dyn Sink>>,
    further: Arc<[Further]>,
}

impl Stores {
    /// `quick_home`: the home store, failing at once.
    pub fn new(quick_home: Arc<dyn Sink>, further: Vec<Further>) -> Stores {
        Stores { quick_home: Some(quick_home), further: further.into() }
    }

    pub(super) fn quick_home(&self) -> Option<&Arc<dyn Sink>> {
        self.quick_home.as_ref()
    }

    pub fn further(&self) -> &[Further] {
        &self.further
    }

    pub fn named(&self, name: &str) -> Option<&Further> {
        self.further.iter().find(|store| store.name == name)
    }

    fn numbered(&self, number: StoreNumber) -> Option<&Further> {
        self.further.iter().find(|store| store.number() == Some(number))
    }

    pub(super) async fn get(&self, home: &Log, store: StoreNumber, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        match self.numbered(store) {
            Some(store) => store.get(key, range).await,
            None => Err(self.lacking(home, store).await),
        }
    }

    pub(super) async fn sink(&self, home: &Log, store: StoreNumber, tries: Tries) -> Result<&Arc<dyn Sink>, Fault> {
        match (self.numbered(store), tries) {
            (Some(store), Tries::All) => Ok(&store.patient),
            (Some(store), Tries::One) => Ok(&store.quick),
            (None, _) => Err(self.lacking(home, store).await),
        }
    }

    /// Why nothing can be read from a store, by the name that the home store knows it under. `unavailable`: it may come back, and whoever cannot
    /// read what stands there must not take it for damaged.
    async fn lacking(&self, home: &Log, number: StoreNumber) -> Fault {
        let registered = match bound::registered(home).await {
            Ok(registered) => registered,
            Err(fault) => return fault.while_doing(format!("looking which store {number} is")),
        };
        let entry = registered.into_iter().find(|(found, _)| *found == number).and_then(|(_, entry)| entry);
        let Some(entry) = entry else {
            return Fault::unavailable(format!(
                "a segment stands in the store {number}, of which the home store holds no entry that opens"
            ));
        };
        match self.named(&entry.name).and_then(Further::away) {
            Some(why) => Fault::unavailable(format!("the store {} is away: {}", entry.name, why.message)),
            None => Fault::unavailable(format!(
                "a segment stands in the store {0} ({number}), which this configuration does not name: add a [[store]] with name = \"{0}\"",
                entry.name
            )),
        }
    }
}
