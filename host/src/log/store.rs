//! The door to the store: typed objects in and out, created once, sealed for their place.
//!
//! A create that finds the key taken reads it back: the same content is success (our own earlier try, whose reply was lost or whose
//! process died), anything else is `conflict`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::cpu::Cpu;
use crate::model::{CycleNumber, DiskSize, Epoch, Extent, Fault, FaultKind, SectorBitmap, StoreNumber, VmId};
use crate::random::Random;

use super::layout::{self, AttemptFolder};
use super::news::News;
use super::page::SegmentName;
use super::planned;
use super::registry::VmEntry;
use super::seal::{Role, Sealed, Sealer};
use super::sink::{Entry, Sink};
use super::stores::{Placing, Stores, Tries};
use crate::model::commit::{Commit, PointRef, Receipt, Sha};

/// Names that are tried for a receipt. Whoever fills them all can write to the store at will, and only delays.
const RECEIPT_COPIES_MAX: u32 = 16;
/// Names that are tried for a segment.
const NAMES_MAX: u32 = 4;

/// Where sealed objects are read from: the stores, or a spool of objects that were verified once.
#[async_trait]
pub trait Objects: Send + Sync {
    async fn get(&self, store: StoreNumber, key: &str, range: Option<Extent>) -> Result<Bytes, Fault>;
}

/// One home store, opened with its key, and the further stores that are bound to it.
#[derive(Clone)]
pub struct Log {
    sink: Arc<dyn Sink>,
    stores: Stores,
    placing: Option<Arc<dyn Placing>>,
    sealer: Arc<Sealer>,
    random: Random,
    cpu: Cpu,
    news: News,
}

#[async_trait]
impl Objects for Log {
    async fn get(&self, store: StoreNumber, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        match store.is_home() {
            true => self.sink.get(key, range).await,
            false => self.stores.get(self, store, key, range).await,
        }
    }
}

impl Log {
    pub fn new(sink: Arc<dyn Sink>, sealer: Arc<Sealer>, random: Random, cpu: Cpu) -> Log {
        Log { sink, stores: Stores::default(), placing: None, sealer, random, cpu, news: News::default() }
    }

    /// The same log with its further stores.
    pub fn with_stores(self, stores: Stores) -> Log {
        Log { stores, ..self }
    }

    /// The same log, with somebody who says where segments go.
    pub fn placed_by(self, placing: Arc<dyn Placing>) -> Log {
        Log { placing: Some(placing), ..self }
    }

    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Where segments of a store are put, listed and deleted. `unavailable`, with its name, when that store is away or not configured.
    pub async fn sink_of(&self, store: StoreNumber) -> Result<&Arc<dyn Sink>, Fault> {
        match store.is_home() {
            true => Ok(&self.sink),
            false => self.stores.sink(self, store, Tries::All).await,
        }
    }

    /// The home store's, where everything but the segments of further stores stands.
    pub fn sink(&self) -> &Arc<dyn Sink> {
        &self.sink
    }

    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    pub fn random(&self) -> &Random {
        &self.random
    }

    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Commits and receipts that somebody in this process wrote.
    pub fn news(&self) -> &News {
        &self.news
    }

    /// Creates a sealed object. Succeeds when it exists already with the same content.
    pub async fn create(&self, role: Role, key: &str, plain: &[u8]) -> Result<(), Fault> {
        let sealed = self.sealer.seal_object(role, key, plain, &mut self.random.fork());
        match self.sink.put(key, sealed).await {
            Err(fault) if fault.kind == FaultKind::Conflict => {
                let existing = self.read(role, key).await?;
                if existing == plain { Ok(()) } else { Err(Fault::conflict(format!("object {key} exists already with other content"))) }
            }
            result => result,
        }
    }

    /// Stores a segment of an attempt: where `Placing` says, or in the home store. Answers the name under which it stands, which is another one
    /// when this name, or the store in it, did not do. When this returns, the segment is durable.
    pub async fn store_segment(&self, name: SegmentName, folder: &AttemptFolder, sealed: &Sealed) -> Result<SegmentName, Fault> {
        match &self.placing {
            None => self.put_segment(name, folder, sealed, Tries::All).await,
            Some(placing) => placing.place(self, name, folder, sealed).await,
        }
    }

    /// Puts a segment into the store in its name.
    pub async fn put_segment(
        &self,
        mut name: SegmentName,
        folder: &AttemptFolder,
        sealed: &Sealed,
        tries: Tries,
    ) -> Result<SegmentName, Fault> {
        for names in 1.. {
            match self.create_segment(name.store, &folder.segment(name.number, name.random), sealed, tries).await {
                Ok(()) => return Ok(name),
                // Something else stands there: damaged on its way, or somebody else's. The name means nothing, so another one will do.
                Err(fault) if fault.kind == FaultKind::Conflict && names < NAMES_MAX => name.random = self.random.number(),
                Err(fault) => return Err(fault),
            }
        }
        unreachable!("the last try returns")
    }

    /// Its random name makes another one at the same key a bug or an attack.
    async fn create_segment(&self, store: StoreNumber, key: &str, sealed: &Sealed, tries: Tries) -> Result<(), Fault> {
        let sink = match (store.is_home(), tries) {
            (true, Tries::All) => &self.sink,
            (true, Tries::One) => self.stores.quick_home().unwrap_or(&self.sink),
            (false, tries) => self.stores.sink(self, store, tries).await?,
        };
        match sink.put(key, sealed.clone()).await {
            Err(fault) if fault.kind == FaultKind::Conflict => {
                let existing = sink.get(key, None).await?;
                if existing == sealed.whole() {
                    Ok(())
                } else {
                    Err(Fault::conflict(format!("segment {key} exists already with other content")))
                }
            }
            result => result,
        }
    }

    pub async fn read(&self, role: Role, key: &str) -> Result<Vec<u8>, Fault> {
        let sealed = self.sink.get(key, None).await?;
        self.sealer.open_object(role, key, &sealed)
    }

    /// Every object below a prefix. For prefixes that hold few objects: commits, owners, pages of one attempt.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Entry>, Fault> {
        list_all(&*self.sink, prefix).await
    }

    /// The same in any store. In a further one there are segments only.
    pub async fn list_in(&self, store: StoreNumber, prefix: &str) -> Result<Vec<Entry>, Fault> {
        list_all(&**self.sink_of(store).await?, prefix).await
    }

    /// Whether anything stands below a prefix. A page may be empty and still be followed by another.
    pub async fn holds_any(&self, prefix: &str) -> Result<bool, Fault> {
        let mut cursor = None;
        loop {
            let page = self.sink.entries(prefix, cursor).await?;
            match page.next {
                _ if !page.entries.is_empty() => return Ok(true),
                Some(next) => cursor = Some(next),
                None => return Ok(false),
            }
        }
    }

    /// The name a VM was registered under; its id when that entry does not open or cannot be read.
    pub async fn registered_name(&self, vm: &VmId) -> Result<String, Fault> {
        match self.read(Role::Vm, &layout::vm_entry(vm)).await {
            Ok(bytes) => Ok(VmEntry::decode(&bytes).map_or_else(|_| vm.to_string(), |entry| entry.name)),
            Err(fault) if matches!(fault.kind, FaultKind::NotFound | FaultKind::Corrupt) => Ok(vm.to_string()),
            Err(fault) => Err(fault),
        }
    }

    /// The newest epoch in which anybody owned the VM; zero when nobody did.
    pub async fn newest_owner(&self, vm: &VmId) -> Result<Epoch, Fault> {
        let owners = self.list(&layout::owners(vm)).await?;
        Ok(Epoch(owners.iter().filter_map(|entry| layout::number_of(&entry.key)).max().unwrap_or(0)))
    }

    /// Numbers of all commits of a VM after `after`, ascending.
    pub async fn commits_after(&self, vm: &VmId, after: CycleNumber) -> Result<Vec<CycleNumber>, Fault> {
        let commits = self.list(&layout::commits(vm)).await?;
        Ok(commits.iter().filter_map(|entry| layout::number_of(&entry.key)).map(CycleNumber).filter(|cycle| *cycle > after).collect())
    }

    /// A commit and the hash that names it.
    pub async fn commit(&self, vm: &VmId, cycle: CycleNumber) -> Result<(Commit, PointRef), Fault> {
        let bytes = self.read(Role::Commit, &layout::commit(vm, cycle)).await?;
        let commit = Commit::decode(&bytes)?;
        if commit.vm != *vm || commit.cycle != cycle {
            return Err(Fault::corrupt(format!("the commit of cycle {cycle} of {vm} speaks of cycle {} of {}", commit.cycle, commit.vm)));
        }
        Ok((commit, PointRef { cycle, hash: Sha::of(&bytes) }))
    }

    /// The receipt of a cycle; none while it is not judged. Receipts that do not open are passed over: somebody damaged or forged them.
    pub async fn receipt(&self, vm: &VmId, cycle: CycleNumber) -> Result<Option<Receipt>, Fault> {
        for copy in 0..RECEIPT_COPIES_MAX {
            match self.read(Role::Receipt, &layout::receipt(vm, cycle, copy)).await.and_then(|bytes| Receipt::decode(&bytes)) {
                Ok(receipt) => return Ok(Some(receipt)),
                Err(fault) if fault.kind == FaultKind::NotFound => return Ok(None),
                Err(fault) if fault.kind == FaultKind::Corrupt => {
                    tracing::warn!(%vm, %cycle, copy, message = %fault.message, "a receipt is ignored")
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    /// Writes a receipt under the first name whose object is missing. Where one stands already that opens, it must say the same;
    /// `conflict` otherwise.
    pub async fn create_receipt(&self, receipt: &Receipt) -> Result<(), Fault> {
        for copy in 0..RECEIPT_COPIES_MAX {
            let key = layout::receipt(&receipt.vm, receipt.commit.cycle, copy);
            match self.create(Role::Receipt, &key, &receipt.encode()).await {
                Err(fault) if fault.kind == FaultKind::Corrupt => continue,
                result => return result,
            }
        }
        Err(Fault::denied(format!("every name for the receipt of cycle {} is taken by something that does not open", receipt.commit.cycle)))
    }

    /// Writes the planned bitmap of an attempt; answers how many parts it has.
    pub async fn create_planned(&self, folder: &AttemptFolder, bitmap: &SectorBitmap) -> Result<u32, Fault> {
        let parts = planned::encode(bitmap);
        for (number, part) in parts.iter().enumerate() {
            self.create(Role::Planned, &folder.planned(number as u32), part).await?;
        }
        Ok(parts.len() as u32)
    }

    /// Reads the planned bitmap of an attempt and checks it against the digest that names it.
    pub async fn planned(&self, folder: &AttemptFolder, size: DiskSize, digest: Sha) -> Result<SectorBitmap, Fault> {
        let mut decoder = planned::Decoder::new(size);
        for part in 0.. {
            let bytes = self.read(Role::Planned, &folder.planned(part)).await?;
            if decoder.push(&bytes)? {
                break;
            }
        }
        let bitmap = decoder.finish()?;
        if planned::bitmap_digest(&bitmap) != digest.0 {
            return Err(Fault::corrupt("a planned bitmap is not the one that was named"));
        }
        Ok(bitmap)
    }
}

async fn list_all(sink: &dyn Sink, prefix: &str) -> Result<Vec<Entry>, Fault> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = sink.entries(prefix, cursor).await?;
        all.extend(page.entries);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

/// Bytes that stand in the store in the clear by design: the format's name and the wrapped key.
pub(super) async fn create_public(sink: &dyn Sink, key: &str, bytes: Vec<u8>) -> Result<(), Fault> {
    match sink.put(key, Sealed::in_the_clear(bytes.clone())).await {
        Err(fault) if fault.kind == FaultKind::Conflict && sink.get(key, None).await? == bytes => Ok(()),
        result => result,
    }
}
