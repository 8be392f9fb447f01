//! Both ends in memory, so that only what lies between them is measured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use transload::files::{DiskFile, Files};
use transload::log::seal::Sealed;
use transload::log::sink::{EntriesPage, Sink, SinkDescription};
use transload::model::{DiskId, Extent, Fault, Marker, SnapshotToken, VmRef};
use transload::pipeline::source::*;

/// A disk in memory. Only reading is what it is for.
pub struct MemorySource {
    pub image: Arc<Vec<u8>>,
}

struct Range {
    image: Arc<Vec<u8>>,
    extent: Extent,
}

#[async_trait]
impl ByteSource for Range {
    fn length(&self) -> u64 {
        self.extent.length
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let from = (self.extent.offset + offset) as usize;
        buffer.copy_from_slice(&self.image[from..from + buffer.len()]);
        Ok(())
    }
}

fn unasked<T>() -> Result<T, Fault> {
    Err(Fault::unsupported("a bench never asks this"))
}

#[async_trait]
impl Source for MemorySource {
    async fn open_range(&self, _: &SnapshotToken, _: &DiskId, extent: Extent) -> Result<Box<dyn ByteSource>, Fault> {
        Ok(Box::new(Range { image: self.image.clone(), extent }))
    }
    async fn describe(&self) -> Result<SourceDescription, Fault> {
        unasked()
    }
    async fn inventory(&self, _: Option<String>) -> Result<InventoryPage, Fault> {
        unasked()
    }
    async fn preflight(&self, _: &VmRef) -> Result<Vec<Finding>, Fault> {
        unasked()
    }
    async fn definition(&self, _: &VmRef) -> Result<VmDefinition, Fault> {
        unasked()
    }
    async fn placement(&self, _: &VmRef) -> Result<Placement, Fault> {
        unasked()
    }
    async fn enable_tracking(&self, _: &VmRef) -> Result<Outcome<()>, Fault> {
        unasked()
    }
    async fn reset_tracking(&self, _: &VmRef) -> Result<Outcome<()>, Fault> {
        unasked()
    }
    async fn open_snapshot(&self, _: &VmRef, _: &str, _: Quiesce) -> Result<Outcome<OpenedSnapshot>, Fault> {
        unasked()
    }
    async fn close_snapshot(&self, _: &SnapshotToken, _: Closing) -> Result<Outcome<Vec<DiskMarker>>, Fault> {
        unasked()
    }
    async fn release_markers(&self, _: &VmRef, _: &[DiskMarker]) -> Result<(), Fault> {
        unasked()
    }
    async fn leftovers(&self, _: &VmRef, _: &str) -> Result<Vec<SnapshotToken>, Fault> {
        unasked()
    }
    async fn disks(&self, _: &SnapshotToken) -> Result<Vec<SnapshotDisk>, Fault> {
        unasked()
    }
    async fn changed(&self, _: &SnapshotToken, _: &DiskId, _: &Marker, _: Option<String>) -> Result<Changes, Fault> {
        unasked()
    }
    async fn power(&self, _: &VmRef, _: PowerAction) -> Result<Outcome<PowerState>, Fault> {
        unasked()
    }
    async fn poll(&self, _: &str) -> Result<Outcome<Ended>, Fault> {
        unasked()
    }
    async fn cancel(&self, _: &str) -> Result<(), Fault> {
        unasked()
    }
}

/// What a store does with what it is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Everything,
    /// Segments are forgotten; everything else is small.
    NoSegments,
}

pub struct MemoryStore {
    pub keep: Keep,
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryStore {
    pub fn new(keep: Keep) -> MemoryStore {
        MemoryStore { keep, objects: Mutex::default() }
    }
}

#[async_trait]
impl Sink for MemoryStore {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        unasked()
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        // A real sink reads all of it once for its checksum.
        std::hint::black_box(crc32c::crc32c(body.bytes()));
        if self.keep == Keep::Everything || !key.contains("/seg-") {
            self.objects.lock().expect("nobody panics here").insert(key.to_owned(), body.bytes().clone());
        }
        Ok(())
    }

    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        let objects = self.objects.lock().expect("nobody panics here");
        let object = objects.get(key).ok_or_else(|| Fault::not_found(format!("there is no {key}")))?;
        Ok(range.map_or_else(|| object.clone(), |range| object.slice(range.offset as usize..range.end() as usize)))
    }

    async fn head(&self, _: &str) -> Result<Option<u64>, Fault> {
        unasked()
    }

    async fn entries(&self, _: &str, _: Option<String>) -> Result<EntriesPage, Fault> {
        Ok(EntriesPage { entries: Vec::new(), next: None })
    }

    async fn delete(&self, _: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        unasked()
    }
}

/// Files in memory that only grow.
#[derive(Default)]
pub struct MemoryFiles(Mutex<BTreeMap<String, Arc<MemoryFile>>>);

#[derive(Default)]
pub struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryFiles {
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.0.lock().expect("nobody panics here").get(name).cloned()?;
        let held = file.0.lock().expect("nobody panics here").clone();
        Some(held)
    }
}

#[async_trait]
impl Files for MemoryFiles {
    async fn open_sized(&self, name: &str, size: u64) -> Result<Arc<dyn DiskFile>, Fault> {
        let file = self.0.lock().expect("nobody panics here").entry(name.to_owned()).or_default().clone();
        file.0.lock().expect("nobody panics here").resize(size as usize, 0);
        Ok(file)
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>, Fault> {
        let file = self.0.lock().expect("nobody panics here").get(name).cloned();
        Ok(file.ok_or_else(|| Fault::not_found(format!("there is no {name}")))?)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        let mut files = self.0.lock().expect("nobody panics here");
        let file = files.remove(from).ok_or_else(|| Fault::not_found(format!("there is no {from}")))?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), Fault> {
        self.0.lock().expect("nobody panics here").retain(|file, _| file != name && !file.starts_with(&format!("{name}/")));
        Ok(())
    }

    async fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let file = self.open_sized(name, bytes.len() as u64).await?;
        file.write_at(0, bytes).await
    }

    async fn read_whole(&self, name: &str) -> Result<Vec<u8>, Fault> {
        self.content(name).ok_or_else(|| Fault::not_found(format!("there is no {name}")))
    }

    async fn free(&self) -> Result<u64, Fault> {
        Ok(1 << 40)
    }
}

#[async_trait]
impl DiskFile for MemoryFile {
    fn size(&self) -> u64 {
        self.0.lock().expect("nobody panics here").len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let held = self.0.lock().expect("nobody panics here");
        buffer.copy_from_slice(&held[offset as usize..offset as usize + buffer.len()]);
        Ok(())
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let mut held = self.0.lock().expect("nobody panics here");
        held[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    async fn zero(&self, extent: Extent) -> Result<(), Fault> {
        let mut held = self.0.lock().expect("nobody panics here");
        held[extent.offset as usize..extent.end() as usize].fill(0);
        Ok(())
    }

    async fn flush(&self) -> Result<(), Fault> {
        Ok(())
    }

    async fn forget_cached(&self) -> Result<(), Fault> {
        Ok(())
    }
}
