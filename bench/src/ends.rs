//! Both ends in memory, so that only what lies between them is measured.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use transload::files::{DiskFile, Files};
use transload::log::seal::Sealed;
use transload::log::sink::{EntriesPage, Sink, SinkDescription};
use transload::model::{DiskId, DiskSize, Extent, Fault, Marker, SnapshotToken, VmRef};
use transload::pipeline::source::*;

/// A disk that takes no memory of its own: one image, as it is, over and over again, or only at some places of a disk of zeros.
#[derive(Clone)]
pub struct MemorySource {
    pub image: Arc<Vec<u8>>,
    pub shape: Shape,
    /// How long a read takes.
    pub line: Option<Line>,
    /// The size of the disk, where it is asked for.
    pub bytes: u64,
}

const EXTENTS_A_PAGE: usize = 65_536;

#[derive(Clone)]
pub enum Shape {
    Tiled,
    /// In order, and apart.
    Islands(Arc<Vec<Extent>>),
}

/// A line far away: a round trip, and what one stream can have on its way meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub round_trip: Duration,
    pub window: u64,
}

impl Line {
    /// Milliseconds of the round trip and bytes of the window, with a colon between.
    pub fn parse(text: &str) -> Option<Line> {
        let (milliseconds, window) = text.split_once(':')?;
        Some(Line { round_trip: Duration::from_millis(milliseconds.parse().ok()?), window: window.parse().ok()? })
    }

    /// What one request for so many bytes takes.
    fn takes(&self, bytes: u64) -> Duration {
        self.round_trip + self.round_trip.mul_f64(bytes as f64 / self.window as f64)
    }
}

struct Range {
    source: MemorySource,
    extent: Extent,
}

impl MemorySource {
    pub fn tiled(image: Arc<Vec<u8>>) -> MemorySource {
        MemorySource { bytes: image.len() as u64, image, shape: Shape::Tiled, line: None }
    }

    pub fn islands(image: Arc<Vec<u8>>, size: DiskSize, islands: Vec<Extent>) -> MemorySource {
        MemorySource { image, shape: Shape::Islands(Arc::new(islands)), line: None, bytes: size.bytes() }
    }

    pub fn read(&self, offset: u64, buffer: &mut [u8]) {
        let Shape::Islands(islands) = &self.shape else { return self.tile(offset, buffer) };
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        let first = islands.partition_point(|island| island.end() <= offset);
        for island in islands[first..].iter().take_while(|island| island.offset < end) {
            let (from, to) = (island.offset.max(offset), island.end().min(end));
            self.tile(from, &mut buffer[(from - offset) as usize..(to - offset) as usize]);
        }
    }

    fn tile(&self, offset: u64, mut buffer: &mut [u8]) {
        let mut at = (offset % self.image.len() as u64) as usize;
        while !buffer.is_empty() {
            let length = buffer.len().min(self.image.len() - at);
            let (part, rest) = buffer.split_at_mut(length);
            part.copy_from_slice(&self.image[at..at + length]);
            (buffer, at) = (rest, 0);
        }
    }
}

#[async_trait]
impl ByteSource for Range {
    fn length(&self) -> u64 {
        self.extent.length
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        if let Some(line) = &self.source.line {
            tokio::time::sleep(line.takes(buffer.len() as u64)).await;
        }
        self.source.read(self.extent.offset + offset, buffer);
        Ok(())
    }
}

fn unasked<T>() -> Result<T, Fault> {
    Err(Fault::unsupported("a bench never asks this"))
}

/// Bytes of a disk: all that a copy asks of a source.
pub trait Cut: Send + Sync + 'static {
    fn cut(&self, extent: Extent) -> Box<dyn ByteSource>;

    fn changed(&self, _cursor: Option<String>) -> Result<Changes, Fault> {
        unasked()
    }
}

/// A source with one disk.
pub struct Disk<T>(pub T);

impl Cut for MemorySource {
    fn cut(&self, extent: Extent) -> Box<dyn ByteSource> {
        Box::new(Range { source: self.clone(), extent })
    }

    /// Everything that is there, as trackers tell it: page by page.
    fn changed(&self, cursor: Option<String>) -> Result<Changes, Fault> {
        let Shape::Islands(islands) = &self.shape else { return unasked() };
        let from: usize = cursor.map_or(Ok(0), |cursor| cursor.parse()).map_err(|_| Fault::invalid("no cursor of ours"))?;
        let to = islands.len().min(from + EXTENTS_A_PAGE);
        let start = if from == 0 { 0 } else { islands[from].offset };
        let end = islands.get(to).map_or(self.bytes, |next| next.offset);
        let next = (to < islands.len()).then(|| to.to_string());
        Ok(Changes::Page(ChangedPage { covers: Extent::new(start, end - start), extents: islands[from..to].to_vec(), next }))
    }
}

#[async_trait]
impl<T: Cut> Source for Disk<T> {
    async fn open_range(&self, _: &SnapshotToken, _: &DiskId, extent: Extent) -> Result<Box<dyn ByteSource>, Fault> {
        Ok(self.0.cut(extent))
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
    async fn changed(&self, _: &SnapshotToken, _: &DiskId, _: &Marker, cursor: Option<String>) -> Result<Changes, Fault> {
        self.0.changed(cursor)
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
#[derive(Clone, PartialEq, Eq)]
pub enum Keep {
    Everything,
    /// Segments are forgotten; everything else is small.
    NoSegments,
    /// Segments are files here: what a store holds is not our memory.
    SegmentsBelow(PathBuf),
}

pub struct MemoryStore {
    keep: Keep,
    /// How long a put takes.
    pause: Duration,
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryStore {
    pub fn new(keep: Keep) -> MemoryStore {
        MemoryStore::slow(keep, Duration::ZERO)
    }

    pub fn slow(keep: Keep, pause: Duration) -> MemoryStore {
        MemoryStore { keep, pause, objects: Mutex::default() }
    }
}

fn file_name(key: &str) -> String {
    key.replace('/', "_")
}

#[async_trait]
impl Sink for MemoryStore {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        unasked()
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        // A real sink reads all of it once for its checksum.
        std::hint::black_box(body.parts().iter().fold(0, |sum, part| crc32c::crc32c_append(sum, part)));
        match &self.keep {
            Keep::NoSegments if key.contains("/seg-") => {}
            Keep::SegmentsBelow(place) if key.contains("/seg-") => {
                std::fs::write(place.join(file_name(key)), body.whole()).map_err(|error| Fault::internal(error.to_string()))?;
            }
            _ => drop(self.objects.lock().expect("nobody panics here").insert(key.to_owned(), body.whole())),
        }
        Ok(())
    }

    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        if let (Keep::SegmentsBelow(place), true, Some(range)) = (&self.keep, key.contains("/seg-"), range) {
            let mut bytes = vec![0; range.length as usize];
            let read = File::open(place.join(file_name(key))).and_then(|file| file.read_exact_at(&mut bytes, range.offset));
            return read.map(|()| bytes.into()).map_err(|error| Fault::internal(error.to_string()));
        }
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
    /// A file whose memory was touched already: getting it from the system is not what is measured.
    pub fn prepare(&self, name: &str, size: usize) {
        let mut held = vec![1; size];
        held.fill(0);
        self.0.lock().expect("nobody panics here").insert(name.to_owned(), Arc::new(MemoryFile(Mutex::new(held))));
    }

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
