//! Deletes objects in batches, or only counts them: a plan that is shown and a plan that is executed take the same way.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::log::sink::Entry;
use crate::log::store::Log;
use crate::model::{Epoch, Fault, StoreNumber, VmId};

/// What a sink takes at one time.
const BATCH: usize = 1000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freed {
    pub objects: u64,
    pub bytes: u64,
    /// Bytes in segments that stay because a kept point reads a part of them: at most so many of them are read by none.
    pub debt_bytes: u64,
}

type Pausing<'a> = Box<dyn Fn() -> BoxFuture<'a, Result<(), Fault>> + Send + Sync + 'a>;

pub struct Eraser<'a> {
    log: &'a Log,
    /// None: nothing is deleted.
    owner: Option<Owner<'a>>,
    /// Keys, all of one store.
    waiting: Vec<String>,
    store: StoreNumber,
    freed: Freed,
}

struct Owner<'a> {
    vm: &'a VmId,
    epoch: Epoch,
    /// Waits until deleting may go on.
    pausing: Pausing<'a>,
}

impl<'a> Eraser<'a> {
    pub fn counting(log: &'a Log) -> Eraser<'a> {
        Eraser { log, owner: None, waiting: Vec::new(), store: StoreNumber::HOME, freed: Freed::default() }
    }

    pub fn new<F>(log: &'a Log, vm: &'a VmId, epoch: Epoch, pausing: impl Fn() -> F + Send + Sync + 'a) -> Eraser<'a>
    where
        F: Future<Output = Result<(), Fault>> + Send + 'a,
    {
        let owner = Owner { vm, epoch, pausing: Box::new(move || pausing().boxed()) };
        Eraser { log, owner: Some(owner), waiting: Vec::new(), store: StoreNumber::HOME, freed: Freed::default() }
    }

    pub async fn erase(&mut self, object: Entry) -> Result<(), Fault> {
        self.erase_in(StoreNumber::HOME, object).await
    }

    pub async fn erase_in(&mut self, store: StoreNumber, object: Entry) -> Result<(), Fault> {
        if store != self.store {
            self.flush().await?;
            self.store = store;
        }
        self.freed.objects += 1;
        self.freed.bytes += object.size;
        if self.owner.is_some() {
            self.waiting.push(object.key);
        }
        if self.waiting.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    pub fn add_debt(&mut self, bytes: u64) {
        self.freed.debt_bytes += bytes;
    }

    /// When this returns, everything that was given is gone. Called between names and what they name.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        let Some(owner) = &self.owner else { return Ok(()) };
        if self.waiting.is_empty() {
            return Ok(());
        }
        (owner.pausing)().await?;
        check_owner(self.log, owner.vm, owner.epoch).await?;
        let keys = std::mem::take(&mut self.waiting);
        let results = self.log.sink_of(self.store).await?.delete(&keys).await?;
        results.into_iter().collect()
    }

    pub fn freed(&self) -> Freed {
        self.freed
    }
}

/// Of two agents only the one of the newest epoch deletes.
pub async fn check_owner(log: &Log, vm: &VmId, epoch: Epoch) -> Result<(), Fault> {
    let newest = log.newest_owner(vm).await?;
    if newest == epoch {
        return Ok(());
    }
    Err(Fault::conflict(format!("{vm} is owned by another agent (epoch {newest}, ours is {epoch}); nothing more is deleted")))
}
