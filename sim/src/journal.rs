//! A journal that may lose its process right before or right after it changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use transload::journal::{FACTS_KEPT, Journal, Kept, Snapshot};
use transload::model::Fault;

use crate::world::World;

#[derive(Clone)]
pub struct MemoryJournal {
    world: World,
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
    facts_kept: u64,
}

impl MemoryJournal {
    pub fn new(world: World) -> MemoryJournal {
        MemoryJournal { world, kept: Arc::default(), facts_kept: FACTS_KEPT }
    }

    /// Takes a snapshot after so many facts.
    pub fn compacting(self, facts_kept: u64) -> MemoryJournal {
        MemoryJournal { facts_kept, ..self }
    }

    /// Facts behind the snapshot of an aggregate, and those that it stands for.
    pub fn counts(&self, aggregate: &str) -> (usize, u64) {
        let kept = self.kept.lock().expect("no panics here").get(aggregate).cloned().unwrap_or_default();
        (kept.facts.len(), kept.snapshot.map_or(0, |snapshot| snapshot.facts))
    }

    /// The appliance is lost, and its journal with it.
    pub fn lose(&self) {
        self.kept.lock().expect("no panics here").clear();
    }

    /// What is held of an aggregate, for a copy of a machine that is put back later.
    pub fn copy_of(&self, aggregate: &str) -> Kept {
        self.kept.lock().expect("no panics here").get(aggregate).cloned().unwrap_or_default()
    }

    pub fn put_back(&self, aggregate: &str, kept: Kept) {
        self.kept.lock().expect("no panics here").insert(aggregate.to_owned(), kept);
    }

    /// One aggregate is lost, the others stay.
    pub fn forget(&self, aggregate: &str) {
        self.kept.lock().expect("no panics here").remove(aggregate);
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, aggregate: &str, after: u64, facts: &[String]) -> Result<(), Fault> {
        self.world.step("before append").await;
        {
            let mut all = self.kept.lock().expect("no panics here");
            let held = all.entry(aggregate.to_owned()).or_default();
            if recorded(held) != after {
                return Err(Fault::conflict("another writer"));
            }
            held.facts.extend_from_slice(facts);
        }
        for fact in facts {
            let name = fact.split('"').nth(1).unwrap_or("?");
            self.world.note(format!("{aggregate} {name}"));
        }
        self.world.step("after append").await;
        Ok(())
    }

    async fn compact(&self, aggregate: &str, after: u64, snapshot: &str) -> Result<(), Fault> {
        self.world.step("before compaction").await;
        {
            let mut all = self.kept.lock().expect("no panics here");
            let held = all.entry(aggregate.to_owned()).or_default();
            if recorded(held) != after {
                return Err(Fault::conflict("another writer"));
            }
            *held = Kept { snapshot: Some(Snapshot { facts: after, body: snapshot.to_owned() }), facts: Vec::new() };
        }
        self.world.note(format!("{aggregate} compacted"));
        self.world.step("after compaction").await;
        Ok(())
    }

    fn facts_kept(&self) -> u64 {
        self.facts_kept
    }

    async fn load(&self, aggregate: &str) -> Result<Kept, Fault> {
        // A real one is read on another thread, and others go on meanwhile.
        tokio::task::yield_now().await;
        Ok(self.kept.lock().expect("no panics here").get(aggregate).cloned().unwrap_or_default())
    }

    async fn aggregates(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let kept = self.kept.lock().expect("no panics here");
        Ok(kept.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
}

fn recorded(kept: &Kept) -> u64 {
    kept.facts.len() as u64 + kept.snapshot.as_ref().map_or(0, |snapshot| snapshot.facts)
}
