use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use crate::cpu::Cpu;
use crate::log::keys::{self, Unlock};
use crate::log::layout::AttemptFolder;
use crate::log::page::SegmentName;
use crate::log::seal::Sealed;
use crate::log::sink::{EntriesPage, Entry, SinkDescription};
use crate::log::store::Objects as _;
use crate::log::stores::{Further, Stores, Tries};
use crate::model::{Attempt, CycleNumber, Extent};

use super::*;

#[derive(Clone, Default)]
struct Place {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// Nothing is answered.
    away: Arc<Mutex<bool>>,
}

impl Place {
    fn answers(&self) -> Result<(), Fault> {
        if *self.away.lock().unwrap() { Err(Fault::unavailable("nobody answers")) } else { Ok(()) }
    }

    fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    fn remove(&self, key: &str) {
        self.objects.lock().unwrap().remove(key).unwrap();
    }
}

#[async_trait]
impl Sink for Place {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        Err(Fault::unsupported("not asked here"))
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        self.answers()?;
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(key) {
            return Err(Fault::conflict("it exists"));
        }
        objects.insert(key.to_owned(), body.whole());
        Ok(())
    }

    async fn get(&self, key: &str, _range: Option<Extent>) -> Result<Bytes, Fault> {
        self.answers()?;
        self.objects.lock().unwrap().get(key).cloned().ok_or_else(|| Fault::not_found(key))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        self.answers()?;
        Ok(self.objects.lock().unwrap().get(key).map(|bytes| bytes.len() as u64))
    }

    async fn entries(&self, prefix: &str, _cursor: Option<String>) -> Result<EntriesPage, Fault> {
        self.answers()?;
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(EntriesPage { entries: found.map(|(key, bytes)| Entry { key: key.clone(), size: bytes.len() as u64 }).collect(), next: None })
    }

    async fn delete(&self, _keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        Err(Fault::unsupported("not asked here"))
    }
}

async fn home(seed: u64) -> (Place, Log) {
    let (place, random) = (Place::default(), Random::from_seed(seed));
    let sealer = keys::begin(&place, &Unlock::KeyFile(vec![7; 32].into()), &random).await.unwrap();
    (place.clone(), Log::new(Arc::new(place), Arc::new(sealer), random, Cpu::Inline))
}

async fn refusal(home: &Log, name: &str, place: &Place) -> Fault {
    bind(home, name, place, None, Begin::Allowed).await.expect_err("it must be refused")
}

#[tokio::test]
async fn a_store_is_begun_once_and_known_again() {
    let ((home_place, home), fast) = (home(1).await, Place::default());
    assert_eq!(bind(&home, "fast", &fast, None, Begin::Never).await.unwrap_err().kind, FaultKind::Unavailable);
    assert!(fast.keys().is_empty(), "who only reads begins nothing");
    let bound = bind(&home, "fast", &fast, None, Begin::Allowed).await.unwrap();
    assert_eq!((fast.keys(), bound.name.as_str()), (vec![layout::BOUND.to_owned()], "fast"));
    assert_eq!(home_place.keys().iter().filter(|key| key.starts_with(layout::STORES)).count(), 1);
    for begin in [Begin::Allowed, Begin::Never] {
        assert_eq!(bind(&home, "fast", &fast, Some(&bound.store), begin).await.unwrap(), bound);
    }
    let [(number, Some(entry))] = &registered(&home).await.unwrap()[..] else { panic!("one store is registered") };
    assert_eq!((*number, entry), (bound.number(), &StoreEntry::of(&bound)));
}

#[tokio::test]
async fn a_crash_between_the_two_objects_is_made_good() {
    let ((home_place, home), fast) = (home(1).await, Place::default());
    let bound = bind(&home, "fast", &fast, None, Begin::Allowed).await.unwrap();
    home_place.remove(&layout::store_entry(bound.number()));
    assert_eq!(bind(&home, "fast", &fast, None, Begin::Allowed).await.unwrap(), bound);
    assert_eq!(registered(&home).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_emptied_store_is_said_by_name_and_never_begun_again() {
    let ((home_place, home), fast) = (home(1).await, Place::default());
    let bound = bind(&home, "fast", &fast, None, Begin::Allowed).await.unwrap();
    fast.remove(layout::BOUND);
    let fault = refusal(&home, "fast", &fast).await;
    assert!(
        fault.kind == FaultKind::Conflict && fault.message.starts_with("the store fast (") && fault.message.contains("is gone"),
        "{fault}"
    );
    // Also when the home store has forgotten it, as long as the journal knows it.
    home_place.remove(&layout::store_entry(bound.number()));
    let fault = bind(&home, "fast", &fast, Some(&bound.store), Begin::Allowed).await.unwrap_err();
    assert!(fault.message.contains("is gone"), "{fault}");
    assert!(fast.keys().is_empty());
}

#[tokio::test]
async fn swapped_and_foreign_places_are_refused_by_name() {
    let (_, home_one) = home(1).await;
    let (other_place, home_two) = home(2).await;
    let (fast, slow, foreign) = (Place::default(), Place::default(), Place::default());
    bind(&home_one, "fast", &fast, None, Begin::Allowed).await.unwrap();
    bind(&home_one, "slow", &slow, None, Begin::Allowed).await.unwrap();
    bind(&home_two, "fast", &foreign, None, Begin::Allowed).await.unwrap();
    let fault = refusal(&home_one, "fast", &slow).await;
    assert!(fault.message.contains("the store fast is another one: it is the store slow"), "{fault}");
    let fault = refusal(&home_one, "fast", &foreign).await;
    assert!(fault.message.contains("belongs to the home store"), "{fault}");
    let fault = refusal(&home_one, "new", &other_place).await;
    assert!(fault.message.contains("is a home store itself"), "{fault}");
    // Another place that was begun under the same name for the same home, while the entry of the first was away.
    let copy = Bound::new(home_one.sealer().store_id(), [9; 16], "fast".to_owned());
    let twin = Place::default();
    create_public(&twin, layout::BOUND, copy.encode()).await.unwrap();
    let fault = refusal(&home_one, "fast", &twin).await;
    assert!(fault.message.contains("not the one known for this name"), "{fault}");
    assert_eq!(registered(&home_one).await.unwrap().len(), 2, "a refused place is not registered");
}

fn key(name: SegmentName) -> String {
    name.key(&"v".into(), &"d".into())
}

/// One log with a further store that is bound, and a segment in it.
async fn with_segment() -> (Log, Place, SegmentName) {
    let ((_, home), fast) = (home(1).await, Place::default());
    let further = Further::new("fast".to_owned(), Arc::new(fast.clone()), Arc::new(fast.clone()));
    let number = further.bind(&home, None, Begin::Allowed).await.unwrap().number();
    let log = home.with_stores(Stores::new(Arc::new(Place::default()), vec![further]));
    let name = SegmentName { cycle: CycleNumber(1), attempt: Attempt(1), number: 0, random: 5, store: number };
    let folder = AttemptFolder::new(&"v".into(), name.cycle, name.attempt, &"d".into());
    log.put_segment(name, &folder, &Sealed::in_the_clear(b"sealed".to_vec()), Tries::One).await.unwrap();
    (log, fast, name)
}

#[tokio::test]
async fn what_stands_in_a_further_store_is_read_there_and_nowhere_else() {
    let (log, fast, name) = with_segment().await;
    assert_eq!(log.get(name.store, &key(name), None).await.unwrap()[..], *b"sealed");
    assert_eq!(log.get(StoreNumber::HOME, &key(name), None).await.unwrap_err().kind, FaultKind::NotFound);
    assert_eq!(log.list_in(name.store, "vm/").await.unwrap().len(), 1);
    assert!(log.list("vm/").await.unwrap().is_empty());
    // One that is lost is an object that is not there; the store it is lost from is named.
    fast.remove(&key(name));
    let fault = log.get(name.store, &key(name), None).await.unwrap_err();
    assert!(fault.kind == FaultKind::NotFound && fault.message.starts_with("in the store fast:"), "{fault}");
}

#[tokio::test]
async fn a_store_that_is_lost_as_a_whole_is_away_and_not_damaged() {
    let (log, fast, name) = with_segment().await;
    fast.objects.lock().unwrap().clear();
    let fault = log.get(name.store, &key(name), None).await.unwrap_err();
    assert!(fault.kind == FaultKind::Unavailable && fault.message.contains("the store fast is gone"), "{fault}");
}

#[tokio::test]
async fn a_store_that_is_not_configured_or_away_is_said_by_its_registered_name() {
    let (log, fast, name) = with_segment().await;
    let without = log.clone().with_stores(Stores::default());
    let fault = without.get(name.store, &key(name), None).await.unwrap_err();
    assert!(fault.kind == FaultKind::Unavailable && fault.message.contains("add a [[store]] with name = \"fast\""), "{fault}");
    *fast.away.lock().unwrap() = true;
    let away = Further::new("fast".to_owned(), Arc::new(fast.clone()), Arc::new(fast.clone()));
    assert!(away.bind(&log, None, Begin::Allowed).await.is_err());
    let log = log.with_stores(Stores::new(Arc::new(Place::default()), vec![away]));
    let fault = log.get(name.store, &key(name), None).await.unwrap_err();
    assert!(fault.kind == FaultKind::Unavailable && fault.message.contains("the store fast is away: nobody answers"), "{fault}");
    // It comes back, and then it is read.
    *fast.away.lock().unwrap() = false;
    log.stores().further()[0].bind(&log, None, Begin::Never).await.unwrap();
    assert_eq!(log.get(name.store, &key(name), None).await.unwrap()[..], *b"sealed");
    assert_eq!(log.stores().further()[0].away(), None);
}
