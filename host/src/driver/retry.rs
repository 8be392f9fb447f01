//! A source and a sink that try again: a passing fault costs time and not the cycle, until its tries are used up.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Clock;
use crate::log::kind::ObjectKind;
use crate::log::seal::Sealed;
use crate::log::sink::{EntriesPage, Sink, SinkDescription};
use crate::model::{
    Closing, DiskId, DiskMarker, Extent, Fault, FaultKind, Finding, Marker, OpenedSnapshot, Placement, PowerAction, PowerState, Quiesce,
    SnapshotDisk, SnapshotToken, SourceDescription, VmDefinition, VmRef,
};
use crate::pipeline::source::{ByteSource, Changes, Ended, InventoryPage, Outcome, Source};
use crate::policy::reaction::pause;
use crate::waypoint;

const TRIES_MAX: u32 = 7;

/// Runs a call until it succeeds, fails for good, or its tries are used up.
macro_rules! persist {
    ($clock:expr, $call:expr) => {{
        let mut tries = 0;
        loop {
            match $call.await {
                Err(fault) if fault.kind.passes() && tries + 1 < TRIES_MAX => {
                    tries += 1;
                    $clock.sleep(pause(&fault, tries)).await;
                }
                result => break result,
            }
        }
    }};
}

pub struct PersistentSink {
    inner: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
}

impl PersistentSink {
    pub fn new(inner: Arc<dyn Sink>, clock: Arc<dyn Clock>) -> PersistentSink {
        PersistentSink { inner, clock }
    }
}

#[async_trait]
impl Sink for PersistentSink {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        persist!(self.clock, self.inner.describe())
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        persist!(self.clock, self.inner.put(key, body.clone()))?;
        waypoint::reached(|| format!("put/{}", name_of_kind(key)));
        Ok(())
    }

    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        persist!(self.clock, self.inner.get(key, range))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        persist!(self.clock, self.inner.head(key))
    }

    async fn entries(&self, prefix: &str, cursor: Option<String>) -> Result<EntriesPage, Fault> {
        persist!(self.clock, self.inner.entries(prefix, cursor.clone()))
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        // A key without a verdict is not deleted.
        let mut results = vec![Err(Fault::corrupt("the store gave no verdict on this deletion")); keys.len()];
        let mut left: Vec<usize> = (0..keys.len()).collect();
        let mut tries = 0;
        loop {
            let asked: Vec<String> = left.iter().map(|&place| keys[place].clone()).collect();
            let found = persist!(self.clock, self.inner.delete(&asked))?;
            asked.iter().for_each(|key| waypoint::reached(|| format!("deleted/{}", name_of_kind(key))));
            tries += 1;
            let passing = found.iter().filter_map(|result| result.as_ref().err()).find(|fault| fault.kind.passes()).cloned();
            left.iter().zip(found).for_each(|(&place, result)| results[place] = result);
            // Only what is not deleted yet is asked for again: a thousand requests in a row would never all come through.
            left.retain(|&place| results[place].as_ref().is_err_and(|fault| fault.kind.passes()));
            match passing {
                Some(fault) if tries < TRIES_MAX => self.clock.sleep(pause(&fault, tries)).await,
                _ => return Ok(results),
            }
        }
    }
}

fn name_of_kind(key: &str) -> String {
    waypoint::name_of(&ObjectKind::of(key))
}

/// Retries questions and reads. Calls that change something on the source are left to the driver, whose steps repeat them whole.
pub struct PersistentSource {
    inner: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
}

impl PersistentSource {
    pub fn new(inner: Arc<dyn Source>, clock: Arc<dyn Clock>) -> PersistentSource {
        PersistentSource { inner, clock }
    }
}

#[async_trait]
impl Source for PersistentSource {
    async fn describe(&self) -> Result<SourceDescription, Fault> {
        persist!(self.clock, self.inner.describe())
    }

    async fn inventory(&self, cursor: Option<String>) -> Result<InventoryPage, Fault> {
        persist!(self.clock, self.inner.inventory(cursor.clone()))
    }

    async fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault> {
        persist!(self.clock, self.inner.preflight(vm))
    }

    async fn definition(&self, vm: &VmRef) -> Result<VmDefinition, Fault> {
        persist!(self.clock, self.inner.definition(vm))
    }

    async fn placement(&self, vm: &VmRef) -> Result<Placement, Fault> {
        persist!(self.clock, self.inner.placement(vm))
    }

    async fn enable_tracking(&self, vm: &VmRef) -> Result<Outcome<()>, Fault> {
        self.inner.enable_tracking(vm).await
    }

    async fn reset_tracking(&self, vm: &VmRef) -> Result<Outcome<()>, Fault> {
        self.inner.reset_tracking(vm).await
    }

    async fn open_snapshot(&self, vm: &VmRef, tag: &str, quiesce: Quiesce) -> Result<Outcome<OpenedSnapshot>, Fault> {
        self.inner.open_snapshot(vm, tag, quiesce).await
    }

    async fn close_snapshot(&self, token: &SnapshotToken, closing: Closing) -> Result<Outcome<Vec<DiskMarker>>, Fault> {
        self.inner.close_snapshot(token, closing).await
    }

    async fn release_markers(&self, vm: &VmRef, markers: &[DiskMarker]) -> Result<(), Fault> {
        persist!(self.clock, self.inner.release_markers(vm, markers))
    }

    async fn leftovers(&self, vm: &VmRef, tag_prefix: &str) -> Result<Vec<SnapshotToken>, Fault> {
        persist!(self.clock, self.inner.leftovers(vm, tag_prefix))
    }

    async fn disks(&self, token: &SnapshotToken) -> Result<Vec<SnapshotDisk>, Fault> {
        persist!(self.clock, self.inner.disks(token))
    }

    async fn changed(&self, token: &SnapshotToken, disk: &DiskId, since: &Marker, cursor: Option<String>) -> Result<Changes, Fault> {
        persist!(self.clock, self.inner.changed(token, disk, since, cursor.clone()))
    }

    async fn open_range(&self, token: &SnapshotToken, disk: &DiskId, range: Extent) -> Result<Box<dyn ByteSource>, Fault> {
        let opened = persist!(self.clock, self.inner.open_range(token, disk, range))?;
        let again = Again { source: self.inner.clone(), token: token.clone(), disk: disk.clone(), range };
        Ok(Box::new(PersistentRange {
            again,
            current: tokio::sync::RwLock::new(Arc::from(opened)),
            length: range.length,
            clock: self.clock.clone(),
        }))
    }

    async fn power(&self, vm: &VmRef, action: PowerAction) -> Result<Outcome<PowerState>, Fault> {
        self.inner.power(vm, action).await
    }

    async fn poll(&self, operation: &str) -> Result<Outcome<Ended>, Fault> {
        persist!(self.clock, self.inner.poll(operation))
    }

    async fn cancel(&self, operation: &str) -> Result<(), Fault> {
        self.inner.cancel(operation).await
    }
}

/// How to ask for the same range once more, when the login behind it has expired.
struct Again {
    source: Arc<dyn Source>,
    token: SnapshotToken,
    disk: DiskId,
    range: Extent,
}

struct PersistentRange {
    again: Again,
    current: tokio::sync::RwLock<Arc<dyn ByteSource>>,
    length: u64,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl ByteSource for PersistentRange {
    fn length(&self) -> u64 {
        self.length
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let mut tries = 0;
        loop {
            let current = self.current.read().await.clone();
            let fault = match current.fetch(offset, buffer).await {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            tries += 1;
            if tries >= TRIES_MAX || !(fault.kind.passes() || fault.kind == FaultKind::Auth) {
                return Err(fault);
            }
            if fault.kind == FaultKind::Auth {
                let again = &self.again;
                *self.current.write().await = Arc::from(again.source.open_range(&again.token, &again.disk, again.range).await?);
            } else {
                self.clock.sleep(pause(&fault, tries)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::clock::SystemClock;

    /// Sends every second deletion of a call away, and refuses one key for good.
    #[derive(Default)]
    struct Busy(Mutex<Vec<usize>>);

    #[async_trait]
    impl Sink for Busy {
        async fn describe(&self) -> Result<SinkDescription, Fault> {
            unreachable!("only deletions are tried here")
        }
        async fn put(&self, _key: &str, _body: Sealed) -> Result<(), Fault> {
            unreachable!("only deletions are tried here")
        }
        async fn get(&self, _key: &str, _range: Option<crate::model::Extent>) -> Result<Bytes, Fault> {
            unreachable!("only deletions are tried here")
        }
        async fn head(&self, _key: &str) -> Result<Option<u64>, Fault> {
            unreachable!("only deletions are tried here")
        }
        async fn entries(&self, _prefix: &str, _cursor: Option<String>) -> Result<EntriesPage, Fault> {
            unreachable!("only deletions are tried here")
        }
        async fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
            self.0.lock().unwrap().push(keys.len());
            let verdict = |(place, key): (usize, &String)| match key.as_str() {
                "kept" => Err(Fault::denied("it is held")),
                _ if place % 2 == 1 => Err(Fault::unavailable("later")),
                _ => Ok(()),
            };
            Ok(keys.iter().enumerate().map(verdict).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_not_deleted_yet_is_asked_for_again() {
        let busy = Arc::new(Busy::default());
        let sink = PersistentSink::new(busy.clone(), Arc::new(SystemClock::new()));
        let keys: Vec<String> = ["a", "b", "kept", "d", "e"].map(str::to_owned).to_vec();
        let results = sink.delete(&keys).await.unwrap();
        assert_eq!(*busy.0.lock().unwrap(), [5, 2, 1]);
        let refused: Vec<_> = results.iter().map(|result| result.as_ref().err().map(|fault| fault.kind)).collect();
        assert_eq!(refused, [None, None, Some(FaultKind::Denied), None, None]);
    }
}
