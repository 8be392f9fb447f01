use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use rand::SeedableRng;
use sha2::Sha256;
use transload::log::seal::{DataKey, Role, Sealed, Sealer};
use transload::log::sink::{CreateGuarantee, Sink};
use transload::model::{Extent, FaultKind};
use transload::wasm::Installed;

use super::setup::{SIGNING_KEY, World, plugin_host};

pub fn sealed(plain: &[u8]) -> Sealed {
    let mut random = rand_chacha::ChaCha20Rng::seed_from_u64(7);
    Sealer::new(&DataKey::random(&mut random), [1; 16], [2; 16]).seal_object(Role::Page, "k", plain, &mut random)
}

#[tokio::test]
async fn an_object_is_put_once_and_read_back_whole_and_in_part() {
    let world = World::start().await;
    let sink = world.sink().await;
    let body = sealed(&vec![5; 3 << 20]);
    sink.put("vm/a/seg-1", body.clone()).await.unwrap();
    assert_eq!(sink.put("vm/a/seg-1", body.clone()).await.unwrap_err().kind, FaultKind::Conflict);

    assert_eq!(sink.get("vm/a/seg-1", None).await.unwrap(), body.whole());
    let part = sink.get("vm/a/seg-1", Some(Extent::new(1000, 5000))).await.unwrap();
    assert_eq!(part, body.whole().slice(1000..6000));
    assert_eq!(sink.head("vm/a/seg-1").await.unwrap(), Some(body.len() as u64));
    assert_eq!(sink.head("vm/a/none").await.unwrap(), None);

    let put = &world.server.asked()[0];
    let header = |name: &str| put.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(header("content-length"), Some(body.len().to_string()));
    assert_eq!(header("transfer-encoding"), None);
    assert_eq!(header("x-crc32c"), Some(format!("{:08x}", crc32c::crc32c(&body.whole()))));
}

#[tokio::test]
async fn faults_of_the_store_keep_their_kind_and_their_words() {
    let world = World::start().await;
    let sink = world.sink().await;
    let missing = sink.get("vm/none", None).await.unwrap_err();
    assert_eq!((missing.kind, missing.message.as_str()), (FaultKind::NotFound, "no such object"));
    sink.put("vm/a", sealed(b"short")).await.unwrap();
    let past = sink.get("vm/a", Some(Extent::new(0, 1 << 20))).await.unwrap_err();
    assert_eq!(past.message, "past the end: 416");
}

#[tokio::test]
async fn deletions_are_answered_one_by_one() {
    let world = World::start().await;
    let sink = world.sink().await;
    sink.put("vm/a", sealed(b"a")).await.unwrap();
    let keys = ["vm/a", "vm/never-there"].map(str::to_owned);
    assert_eq!(sink.delete(&keys).await.unwrap(), [Ok(()), Ok(())]);
    assert_eq!(sink.head("vm/a").await.unwrap(), None);
    let many: Vec<String> = (0..1001).map(|key| format!("vm/{key}")).collect();
    assert_eq!(sink.delete(&many).await.unwrap_err().kind, FaultKind::Invalid);
}

#[tokio::test]
async fn a_key_that_climbs_never_reaches_the_plugin() {
    let world = World::start().await;
    let climbing = world.sink().await.get("vm/../key", None).await.unwrap_err();
    assert_eq!(climbing.kind, FaultKind::Invalid);
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn a_key_is_derived_without_the_guest_seeing_the_secret() {
    let world = World::start().await;
    let described = world.sink().await.describe().await.unwrap();
    let mut key = format!("ECHO{SIGNING_KEY}").into_bytes();
    for step in ["date", "region"] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(step.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    let expected: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((described.product, described.create), (expected, CreateGuarantee::Atomic));
}

#[tokio::test]
async fn transfers_run_side_by_side() {
    let world = World::start().await;
    let sink = Arc::new(world.sink().await);
    let puts = (0..16).map(|number| {
        let sink = sink.clone();
        tokio::spawn(async move { sink.put(&format!("vm/{number}"), sealed(&[number; 100_000])).await })
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap().unwrap();
    }
    assert_eq!(world.server.lines().iter().filter(|line| line.starts_with("PUT ")).count(), 16);
}

#[tokio::test]
async fn running_work_ends_on_the_old_version_while_new_calls_meet_the_new_one() {
    let world = World::start().await;
    let config = world.config(&world.usual_endpoint()).sink;
    let mut installed = Installed::new(plugin_host());
    let sink = Arc::new(installed.host().sink(&config).await.unwrap());
    installed.use_sink(config, sink.clone());
    let (body, old) = (sealed(&[7; 1000]), sink.clone());
    let running = tokio::spawn({
        let body = body.clone();
        async move { old.put("slow", body).await }
    });
    while !world.server.lines().contains(&"PUT /o/slow".to_owned()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.reinstall_sink_as("0.2.0");
    // Two looks that find the same let it in.
    installed.look().await;
    installed.look().await;
    assert_eq!(installed.in_use()[0].version.as_deref(), Some("0.2.0"));
    assert!(!running.is_finished(), "it was still running when the new version came");
    sink.put("vm/new", body.clone()).await.unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(sink.get("slow", None).await.unwrap(), body.whole());
}
