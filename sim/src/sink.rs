//! A store in memory: atomic creates, and every way in which a reply can go wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};
use transload::log::meter::Way;
use transload::log::seal::Sealed;
use transload::log::sink::{CreateGuarantee, EntriesPage, Entry, Sink, SinkDescription};
use transload::model::{Extent, Fault};

use crate::weather::Sky;
use crate::world::World;

/// On a paced store. Longer than a receiver waits before it looks again.
const PUT_TAKES: Duration = Duration::from_millis(1500);
const GET_TAKES: Duration = Duration::from_millis(20);

/// How often things go wrong, as probabilities.
#[derive(Debug, Clone, Copy, Default)]
pub struct SinkTrouble {
    /// Nothing happens, and the call fails.
    pub refused: f64,
    /// It happens, and the call fails.
    pub reply_lost: f64,
    /// A segment is stored with one bit flipped.
    pub damaged: f64,
    /// A put arrives twice, and the answer to the second is the one that is heard. Reading twice changes nothing and is left out.
    pub doubled: f64,
}

#[derive(Clone)]
pub struct MemorySink {
    world: World,
    trouble: SinkTrouble,
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    spoil_next: Arc<AtomicBool>,
    seats: Option<Arc<Semaphore>>,
    away: Arc<AtomicBool>,
    sky: Sky,
    segment_reads: Arc<AtomicU64>,
}

impl MemorySink {
    pub fn new(world: World, trouble: SinkTrouble) -> MemorySink {
        MemorySink {
            sky: Sky::clear(world.clone()),
            world,
            trouble,
            objects: Arc::default(),
            spoil_next: Arc::default(),
            seats: None,
            away: Arc::default(),
            segment_reads: Arc::default(),
        }
    }

    /// Puts take a while, and only so many are served at once: what else runs gets its turn in between.
    pub fn paced(self, puts_at_once: usize) -> MemorySink {
        MemorySink { seats: Some(Arc::new(Semaphore::new(puts_at_once))), ..self }
    }

    pub fn under(self, sky: Sky) -> MemorySink {
        MemorySink { sky, ..self }
    }

    /// The same store for another process.
    pub fn seen_by(&self, world: &World) -> MemorySink {
        MemorySink { world: world.clone(), ..self.clone() }
    }

    async fn take_seat(&self, takes: Duration) -> Option<SemaphorePermit<'_>> {
        let seat = self.seats.as_ref()?.acquire().await.expect("this semaphore is never closed");
        tokio::time::sleep(takes).await;
        Some(seat)
    }

    /// The same objects, without trouble: for the oracle.
    pub fn quiet(&self) -> MemorySink {
        MemorySink { objects: self.objects.clone(), ..MemorySink::new(World::new(0), SinkTrouble::default()) }
    }

    /// How often a segment, or a part of one, was read.
    pub fn segment_reads(&self) -> u64 {
        self.segment_reads.load(Ordering::Relaxed)
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.objects.lock().expect("no panics here").keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.objects.lock().expect("no panics here").clone()
    }

    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.objects.lock().expect("no panics here").get(key).cloned()
    }

    /// Replaces or makes an object, as somebody with access to the store would.
    pub fn tamper(&self, key: &str, bytes: Option<Bytes>) {
        let mut objects = self.objects.lock().expect("no panics here");
        match bytes {
            Some(bytes) => objects.insert(key.to_owned(), bytes),
            None => objects.remove(key),
        };
    }

    pub fn bytes_stored(&self, prefix: &str) -> u64 {
        let objects = self.objects.lock().expect("no panics here");
        objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// The next segment is damaged on its way, and the reply to it is lost.
    pub fn spoil_next_segment(&self) {
        self.spoil_next.store(true, Ordering::Relaxed);
    }

    /// Whether it answers nobody from now on.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// Everything in it is gone.
    pub fn lose(&self) {
        self.objects.lock().expect("no panics here").clear();
    }

    fn refused(&self) -> Result<(), Fault> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Fault::unavailable("nobody answers there"));
        }
        match self.world.chance(self.trouble.refused) {
            true => Err(Fault::unavailable("the store did not answer")),
            false => Ok(()),
        }
    }

    fn create(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        let mut objects = self.objects.lock().expect("no panics here");
        match objects.contains_key(key) {
            true => Err(Fault::conflict(format!("{key} exists"))),
            false => {
                objects.insert(key.to_owned(), bytes);
                Ok(())
            }
        }
    }

    fn remove(&self, key: &str) -> Result<(), Fault> {
        if self.world.rarely(self.trouble.refused) {
            return Err(Fault::unavailable("the store did not get to it"));
        }
        self.objects.lock().expect("no panics here").remove(key);
        Ok(())
    }

    fn damage(&self, key: &str, bytes: Bytes) -> Bytes {
        if !key.contains("/seg-") || bytes.is_empty() || !self.world.chance(self.trouble.damaged) {
            return bytes;
        }
        let mut damaged = bytes.to_vec();
        let place = self.world.below(damaged.len() as u64) as usize;
        damaged[place] ^= 1 << self.world.below(8);
        self.world.note(format!("damaged {key}"));
        damaged.into()
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        Ok(SinkDescription { product: "memory".to_owned(), create: CreateGuarantee::Atomic, object_bytes_max: 1 << 40 })
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        if let Some(meter) = body.meter() {
            meter.pass(Way::Send, body.len() as u64).await;
        }
        let _seat = self.take_seat(PUT_TAKES).await;
        self.world.step("before put").await;
        self.sky.over_the_store().await?;
        self.refused()?;
        let mut stored = self.damage(key, body.whole());
        let spoil = key.contains("/seg-") && self.spoil_next.swap(false, Ordering::Relaxed);
        if spoil {
            stored = stored.slice(..stored.len() - 1);
        }
        let mut created = self.create(key, stored.clone());
        if self.world.rarely(self.trouble.doubled) {
            self.world.note(format!("put arrives twice: {key}"));
            created = self.create(key, stored);
        }
        self.world.step("after put").await;
        if self.world.chance(self.trouble.reply_lost) || spoil {
            return Err(Fault::unavailable("the reply was lost"));
        }
        created
    }

    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        let _seat = self.take_seat(GET_TAKES).await;
        self.world.step("get").await;
        self.segment_reads.fetch_add(u64::from(key.contains("/seg-")), Ordering::Relaxed);
        self.sky.over_the_store().await?;
        self.refused()?;
        let object = self.object(key).ok_or_else(|| Fault::not_found(format!("there is no object {key}")))?;
        match range {
            None => Ok(object),
            Some(range) if range.end() <= object.len() as u64 => Ok(object.slice(range.offset as usize..range.end() as usize)),
            Some(_) => Err(Fault::invalid(format!("{key} is shorter than the range asked for"))),
        }
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        self.world.step("head").await;
        self.sky.over_the_store().await?;
        self.refused()?;
        Ok(self.object(key).map(|bytes| bytes.len() as u64))
    }

    async fn entries(&self, prefix: &str, cursor: Option<String>) -> Result<EntriesPage, Fault> {
        self.world.step("entries").await;
        self.sky.over_the_store().await?;
        self.refused()?;
        let objects = self.objects.lock().expect("no panics here");
        let after = cursor.unwrap_or_default();
        let mut found = objects.iter().filter(|(key, _)| key.starts_with(prefix) && **key > after);
        let entries: Vec<Entry> = found.by_ref().take(7).map(|(key, bytes)| Entry { key: key.clone(), size: bytes.len() as u64 }).collect();
        let next = found.next().and(entries.last().map(|entry| entry.key.clone()));
        Ok(EntriesPage { entries, next })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        self.world.step("before delete").await;
        self.sky.over_the_store().await?;
        self.refused()?;
        // A store may get through a part of them.
        let results: Vec<Result<(), Fault>> = keys.iter().map(|key| self.remove(key)).collect();
        self.world.step("after delete").await;
        match self.world.rarely(self.trouble.reply_lost) {
            true => Err(Fault::unavailable("the reply was lost")),
            false => Ok(results),
        }
    }
}
