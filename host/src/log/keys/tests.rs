use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use crate::log::seal::Sealed;
use crate::log::sink::{EntriesPage, SinkDescription};
use crate::model::Extent;

use super::*;

#[derive(Default)]
struct Objects(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl Sink for Objects {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        Err(Fault::unsupported("not asked here"))
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        let mut objects = self.0.lock().unwrap();
        if objects.contains_key(key) {
            return Err(Fault::conflict("it exists"));
        }
        objects.insert(key.to_owned(), body.whole());
        Ok(())
    }

    async fn get(&self, key: &str, _range: Option<Extent>) -> Result<Bytes, Fault> {
        self.0.lock().unwrap().get(key).cloned().ok_or_else(|| Fault::not_found(key))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        Ok(self.0.lock().unwrap().get(key).map(|bytes| bytes.len() as u64))
    }

    async fn entries(&self, _prefix: &str, _cursor: Option<String>) -> Result<EntriesPage, Fault> {
        Err(Fault::unsupported("not asked here"))
    }

    async fn delete(&self, _keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        Err(Fault::unsupported("not asked here"))
    }
}

fn key_file(byte: u8) -> Unlock {
    Unlock::KeyFile(vec![byte; 32].into())
}

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(text.as_bytes().to_vec().into())
}

async fn refusal(sink: &Objects, unlock: &Unlock) -> Fault {
    open(sink, unlock).await.err().expect("the store must not open")
}

async fn begun(unlock: &Unlock) -> (Objects, Sealer) {
    let sink = Objects::default();
    assert!(!exists(&sink).await.unwrap());
    let sealer = begin(&sink, unlock, &Random::from_seed(1)).await.unwrap();
    assert!(exists(&sink).await.unwrap());
    (sink, sealer)
}

fn change(sink: &Objects, prefix: &str, change: impl FnOnce(String) -> String) {
    let mut objects = sink.0.lock().unwrap();
    let (_, bytes) = objects.iter_mut().find(|(key, _)| key.starts_with(prefix)).unwrap();
    *bytes = change(String::from_utf8(bytes.to_vec()).unwrap()).into();
}

#[tokio::test]
async fn a_store_opens_with_its_key_file_and_with_no_other() {
    let (sink, sealer) = begun(&key_file(7)).await;
    assert_eq!(open(&sink, &key_file(7)).await.unwrap().digest_secret(), sealer.digest_secret());
    assert_eq!(refusal(&sink, &key_file(8)).await.kind, FaultKind::Auth);
    let other_kind = refusal(&sink, &passphrase("x")).await;
    assert_eq!(other_kind.kind, FaultKind::Auth);
    assert!(other_kind.message.contains("other kind"));
}

#[tokio::test]
async fn a_store_opens_with_its_passphrase_and_with_no_other() {
    let (sink, sealer) = begun(&passphrase("correct horse")).await;
    assert_eq!(open(&sink, &passphrase("correct horse")).await.unwrap().digest_secret(), sealer.digest_secret());
    assert_eq!(refusal(&sink, &passphrase("correct house")).await.kind, FaultKind::Auth);
}

#[tokio::test]
async fn a_damaged_slot_or_store_json_is_said_to_be_damaged() {
    for (object, from, to, kind) in [
        ("keys/", "\"wrapped\": \"", "\"wrapped\": \"*", FaultKind::Corrupt),
        ("keys/", "\"nonce\": \"", "\"nonce\": \"AAAA", FaultKind::Corrupt),
        ("keys/", "\"argon2\": null", "\"argon2\": [8, 1, 1]", FaultKind::Corrupt),
        ("keys/", "\"format\": 1", "\"format\": 2", FaultKind::Unsupported),
        ("keys/", "{", "", FaultKind::Corrupt),
        ("store.json", "\"format\": 1", "\"format\": 2", FaultKind::Unsupported),
        ("store.json", "\"store\": \"", "\"store\": \"0", FaultKind::Corrupt),
        ("store.json", "{", "{\"more\": 1,", FaultKind::Corrupt),
    ] {
        let (sink, _) = begun(&key_file(7)).await;
        change(&sink, object, |text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        assert_eq!(refusal(&sink, &key_file(7)).await.kind, kind, "{object}: {from} became {to}");
    }
}

#[tokio::test]
async fn a_slot_of_another_store_does_not_open() {
    let (sink, _) = begun(&key_file(7)).await;
    let id = |text: &str| text.split('"').nth(5).unwrap().to_owned();
    change(&sink, "store.json", |text| text.replacen(&id(&text), &"5".repeat(32), 1));
    assert_eq!(refusal(&sink, &key_file(7)).await.kind, FaultKind::Auth);
}

#[tokio::test]
async fn a_slot_that_asks_for_too_much_work_is_refused_before_any_is_done() {
    let (sink, _) = begun(&passphrase("x")).await;
    change(&sink, "keys/", |text| text.replacen("65536", "4294967295", 1));
    assert!(refusal(&sink, &passphrase("x")).await.message.contains("more work"));
}

#[tokio::test]
async fn a_store_that_somebody_else_began_a_moment_ago_is_opened_and_not_replaced() {
    let (sink, theirs) = begun(&key_file(7)).await;
    let ours = begin(&sink, &key_file(7), &Random::from_seed(2)).await.unwrap();
    assert_eq!((ours.store_id(), ours.digest_secret()), (theirs.store_id(), theirs.digest_secret()));
}
