//! A journal that may lose its process right before or right after an append.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use transload::journal::Journal;
use transload::model::Fault;

use crate::world::World;

#[derive(Clone)]
pub struct MemoryJournal {
    world: World,
    facts: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
}

impl MemoryJournal {
    pub fn new(world: World) -> MemoryJournal {
        MemoryJournal { world, facts: Arc::default() }
    }

    /// The appliance is lost, and its journal with it.
    pub fn lose(&self) {
        self.facts.lock().expect("no panics here").clear();
    }

    /// One aggregate is lost, the others stay.
    pub fn forget(&self, aggregate: &str) {
        self.facts.lock().expect("no panics here").remove(aggregate);
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, aggregate: &str, after: u64, facts: &[String]) -> Result<(), Fault> {
        self.world.step("before append").await;
        {
            let mut all = self.facts.lock().expect("no panics here");
            let held = all.entry(aggregate.to_owned()).or_default();
            if held.len() as u64 != after {
                return Err(Fault::conflict("another writer"));
            }
            held.extend_from_slice(facts);
        }
        for fact in facts {
            let name = fact.split('"').nth(1).unwrap_or("?");
            self.world.note(format!("{aggregate} {name}"));
        }
        self.world.step("after append").await;
        Ok(())
    }

    async fn load(&self, aggregate: &str) -> Result<Vec<String>, Fault> {
        // A real one is read on another thread, and others go on meanwhile.
        tokio::task::yield_now().await;
        Ok(self.facts.lock().expect("no panics here").get(aggregate).cloned().unwrap_or_default())
    }

    async fn aggregates(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let facts = self.facts.lock().expect("no panics here");
        Ok(facts.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
}
