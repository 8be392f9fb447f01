use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use proptest::prelude::*;

use super::super::Snapshot;
use super::*;
use crate::model::FaultKind;

/// A list of numbers, of which the newest few are remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    total: u64,
    newest: Vec<u64>,
}

impl Folded for Sum {
    type Fact = u64;
    const FORM: u32 = 3;

    fn fold(&mut self, fact: u64) -> Result<(), Fault> {
        if fact == 0 {
            return Err(Fault::internal("nothing is no fact"));
        }
        self.total += fact;
        self.newest.push(fact);
        if self.newest.len() > 4 {
            self.newest.remove(0);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Memory {
    kept: Mutex<BTreeMap<String, Kept>>,
    facts_kept: u64,
    compaction_fails: bool,
}

impl Memory {
    fn kept(&self) -> Kept {
        self.kept.lock().unwrap().get("a").cloned().unwrap_or_default()
    }

    fn put(&self, snapshot: Snapshot) {
        self.kept.lock().unwrap().insert("a".to_owned(), Kept { snapshot: Some(snapshot), facts: Vec::new() });
    }
}

#[async_trait]
impl Journal for Memory {
    async fn append(&self, aggregate: &str, _after: u64, facts: &[String]) -> Result<(), Fault> {
        self.kept.lock().unwrap().entry(aggregate.to_owned()).or_default().facts.extend_from_slice(facts);
        Ok(())
    }

    async fn compact(&self, aggregate: &str, after: u64, snapshot: &str) -> Result<(), Fault> {
        if self.compaction_fails {
            return Err(Fault::full("no space"));
        }
        let snapshot = Some(Snapshot { facts: after, body: snapshot.to_owned() });
        self.kept.lock().unwrap().insert(aggregate.to_owned(), Kept { snapshot, facts: Vec::new() });
        Ok(())
    }

    async fn load(&self, aggregate: &str) -> Result<Kept, Fault> {
        Ok(self.kept.lock().unwrap().get(aggregate).cloned().unwrap_or_default())
    }

    async fn aggregates(&self, _prefix: &str) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    fn facts_kept(&self) -> u64 {
        self.facts_kept
    }
}

async fn open(journal: &Arc<Memory>) -> Result<Ledger<Sum>, Fault> {
    Ledger::open(journal.clone(), "a".to_owned()).await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    /// However often a process ends in between, and wherever a snapshot falls.
    #[test]
    fn a_replay_from_a_snapshot_equals_the_replay_of_everything(
        facts in proptest::collection::vec(proptest::collection::vec(1u64..9, 1..4), 0..60),
        facts_kept in 1u64..20,
        reopened in any::<u64>(),
    ) {
        runtime().block_on(async {
            let journal = Arc::new(Memory { facts_kept, ..Memory::default() });
            let mut ledger = open(&journal).await.unwrap();
            let mut whole = Sum::default();
            for (turn, batch) in facts.into_iter().enumerate() {
                batch.iter().for_each(|fact| whole.fold(*fact).unwrap());
                ledger.record(batch).await.unwrap();
                if reopened >> (turn % 64) & 1 == 1 {
                    ledger = open(&journal).await.unwrap();
                }
                prop_assert_eq!(ledger.state(), &whole);
                prop_assert!((journal.kept().facts.len() as u64) < facts_kept, "the journal grows");
            }
            let reopened = open(&journal).await.unwrap();
            prop_assert_eq!(reopened.state(), &whole);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_snapshot_of_another_form_is_refused_by_name_and_left_as_it_is() {
    let journal = Arc::new(Memory { facts_kept: 2, ..Memory::default() });
    let newer = Snapshot { facts: 7, body: r#"{"form":4,"state":{"shape":"unheard of"}}"#.to_owned() };
    journal.put(newer.clone());
    let fault = open(&journal).await.err().expect("this version does not read form 4");
    assert_eq!(fault.kind, FaultKind::Unsupported);
    assert!(fault.message.contains("the snapshot of a") && fault.message.contains("form 4"), "{}", fault.message);
    journal.put(Snapshot { facts: 7, body: r#"{"form":3,"state":{"total":1,"newest":[],"more":2}}"#.to_owned() });
    assert_eq!(open(&journal).await.err().expect("it has a field that nobody knows").kind, FaultKind::Corrupt);
    journal.put(newer.clone());
    assert_eq!(journal.kept().snapshot, Some(newer));
}

#[tokio::test]
async fn a_compaction_that_fails_loses_no_fact() {
    let journal = Arc::new(Memory { facts_kept: 2, compaction_fails: true, ..Memory::default() });
    let mut ledger = open(&journal).await.unwrap();
    for fact in 1..=5 {
        ledger.record(vec![fact]).await.unwrap();
    }
    assert_eq!(journal.kept().facts.len(), 5);
    assert_eq!(open(&journal).await.unwrap().state().total, 15);
}
