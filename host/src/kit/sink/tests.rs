//! A store that does all of it right passes, and each that does one thing wrong fails at that claim and at no other.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::kit::Outcome;
use crate::log::sink::{EntriesPage, SinkDescription};
use crate::model::Fault;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Twist {
    None,
    SmallObjects,
    FlippedBit,
    Replaces,
    SaysAlreadyDone,
    TwoWinners,
    OneByteShort,
    CutsAtTheEnd,
    OutageForMissing,
    RoundedSize,
    FoldsCase,
    ForgetsAPage,
    FolderPrefix,
    MissingIsAFault,
    DeletesTheFirst,
    NeverEnds,
    PagesMove,
    Advisory,
}

struct Store {
    twist: Twist,
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// How often each page was asked for.
    asked: Mutex<BTreeMap<Option<String>, usize>>,
}

const PAGE: usize = 1000;

impl Store {
    fn key(&self, key: &str) -> String {
        if self.twist == Twist::FoldsCase { key.to_lowercase() } else { key.to_owned() }
    }
}

#[async_trait]
impl Sink for Store {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        let create = if self.twist == Twist::Advisory { CreateGuarantee::Advisory } else { CreateGuarantee::Atomic };
        let object_bytes_max = if self.twist == Twist::SmallObjects { 1 << 20 } else { 1 << 30 };
        Ok(SinkDescription { product: "a map".to_owned(), create, object_bytes_max })
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        let key = self.key(key);
        let free = !self.objects.lock().unwrap().contains_key(&key);
        let late = matches!(self.twist, Twist::TwoWinners | Twist::Advisory) && key.ends_with("/race");
        if late {
            tokio::task::yield_now().await;
        }
        let mut objects = self.objects.lock().unwrap();
        match self.twist {
            _ if free => {}
            Twist::Replaces => {}
            Twist::SaysAlreadyDone if objects[&key] == body.whole() => return Ok(()),
            _ => return Err(Fault::conflict("it exists")),
        }
        let mut bytes = body.whole().to_vec();
        if self.twist == Twist::FlippedBit && key.contains("/back-") {
            bytes[7] ^= 1;
        }
        objects.insert(key, bytes.into());
        Ok(())
    }

    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        let objects = self.objects.lock().unwrap();
        let missing = match self.twist {
            Twist::OutageForMissing => Fault::unavailable("try again"),
            _ => Fault::not_found("nothing there"),
        };
        let object = objects.get(&self.key(key)).ok_or(missing)?;
        let Some(range) = range else { return Ok(object.clone()) };
        let length = object.len() as u64;
        let end = match self.twist {
            Twist::CutsAtTheEnd if range.offset < length => range.end().min(length),
            Twist::OneByteShort if range.length > 1 && range.end() <= length => range.end() - 1,
            _ => range.end(),
        };
        if end > length {
            return Err(Fault::invalid("past the end"));
        }
        Ok(object.slice(range.offset as usize..end as usize))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        let rounded = |length: usize| if self.twist == Twist::RoundedSize { length / 1024 * 1024 } else { length };
        Ok(self.objects.lock().unwrap().get(&self.key(key)).map(|object| rounded(object.len()) as u64))
    }

    async fn entries(&self, prefix: &str, cursor: Option<String>) -> Result<EntriesPage, Fault> {
        let objects = self.objects.lock().unwrap();
        let whole_folders = |key: &str| {
            self.twist != Twist::FolderPrefix
                || key.get(..prefix.len() + 1).is_none_or(|start| prefix.ends_with('/') || start.ends_with('/'))
        };
        let after = |key: &str| cursor.as_deref().is_none_or(|cursor| key > cursor);
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix) && after(key) && whole_folders(key));
        let mut entries: Vec<Entry> = found.take(PAGE).map(|(key, object)| Entry { key: key.clone(), size: object.len() as u64 }).collect();
        let mut next = entries.last().filter(|_| entries.len() == PAGE).map(|last| last.key.clone());
        match self.twist {
            Twist::ForgetsAPage if cursor.is_some() && prefix.ends_with("many/") => next = None,
            Twist::NeverEnds if prefix.ends_with("many/") => next = next.or(Some(String::new())),
            _ => {}
        }
        let mut asked = self.asked.lock().unwrap();
        let times = asked.entry(cursor.clone()).or_default();
        *times += 1;
        if self.twist == Twist::PagesMove && cursor.is_some() && prefix.ends_with("many/") && times.is_multiple_of(2) {
            entries.remove(0);
        }
        Ok(EntriesPage { entries, next })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        let mut objects = self.objects.lock().unwrap();
        let meant = if self.twist == Twist::DeletesTheFirst && keys.len() > 2 { &keys[..1] } else { keys };
        Ok(meant
            .iter()
            .map(|key| match objects.remove(key) {
                None if self.twist == Twist::MissingIsAFault => Err(Fault::not_found("it was not there")),
                _ => Ok(()),
            })
            .collect())
    }
}

async fn judged(twist: Twist) -> (Vec<Judged>, usize) {
    let store = Store { twist, objects: Mutex::default(), asked: Mutex::default() };
    let all = judge(&store, false, Random::from_seed(1), &mut |_| {}).await;
    let left = store.objects.lock().unwrap().len();
    (all, left)
}

#[tokio::test]
async fn a_store_that_keeps_the_contract_holds_every_claim_and_is_left_empty() {
    let (all, left) = judged(Twist::None).await;
    assert_eq!((all.len(), left), (CLAIMS.len(), 0));
    assert!(all.iter().all(|judged| !judged.failed()), "{all:?}");
    let (advisory, _) = judged(Twist::Advisory).await;
    let note = "16 succeeded; the plugin says that its store cannot tell, so fencing is off";
    assert_eq!(advisory[3].outcome, Outcome::Noted(note.to_owned()), "an honest store is reported, and does not fail");
}

#[tokio::test]
async fn each_broken_twin_fails_at_its_claim() {
    for (twist, claims) in [
        (Twist::SmallObjects, &[1][..]),
        (Twist::FlippedBit, &[2]),
        (Twist::Replaces, &[3, 4]),
        (Twist::SaysAlreadyDone, &[3]),
        (Twist::TwoWinners, &[4]),
        (Twist::OneByteShort, &[5]),
        (Twist::CutsAtTheEnd, &[6]),
        (Twist::OutageForMissing, &[7]),
        (Twist::RoundedSize, &[8]),
        (Twist::FoldsCase, &[9]),
        (Twist::ForgetsAPage, &[10]),
        (Twist::NeverEnds, &[10]),
        (Twist::PagesMove, &[11]),
        (Twist::FolderPrefix, &[12]),
        // What was deleted at 13 is deleted once more at 14.
        (Twist::MissingIsAFault, &[13, 14]),
        (Twist::DeletesTheFirst, &[14]),
    ] {
        let (all, _) = judged(twist).await;
        let failed: Vec<usize> = all.iter().filter(|judged| judged.failed()).map(|judged| judged.number).collect();
        assert_eq!(failed, claims, "{twist:?}: {all:#?}");
    }
}
