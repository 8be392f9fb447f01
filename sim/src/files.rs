//! Files in memory. What was not flushed may be lost at a crash, write by write, in any combination. A flush may fail: then what was
//! written is gone from the medium and still shown by memory, as a system shows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use transload::files::{DiskFile, Files};
use transload::model::{Extent, Fault};

use crate::world::World;

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Writes since the last flush, in order.
    pending: Vec<(u64, Vec<u8>)>,
}

type Shared = Arc<Mutex<Content>>;

#[derive(Clone)]
pub struct MemoryFiles {
    world: World,
    files: Arc<Mutex<BTreeMap<String, Shared>>>,
    /// How often a flush fails.
    flush_fails: f64,
    next_flush_fails: Arc<AtomicBool>,
}

impl MemoryFiles {
    pub fn new(world: World) -> MemoryFiles {
        MemoryFiles { world, files: Arc::default(), flush_fails: 0.0, next_flush_fails: Arc::default() }
    }

    pub fn flaky(self, flush_fails: f64) -> MemoryFiles {
        MemoryFiles { flush_fails, ..self }
    }

    pub fn fail_next_flush(&self) {
        self.next_flush_fails.store(true, Ordering::Relaxed);
    }

    /// The power goes: of every file a random part of the unflushed writes survives.
    pub fn crash(&self) {
        let files: Vec<Shared> = self.files.lock().expect("no panics here").values().cloned().collect();
        for file in files {
            let mut file = file.lock().expect("no panics here");
            let pending = std::mem::take(&mut file.pending);
            for (offset, bytes) in pending {
                if self.world.chance(0.5) {
                    let from = offset as usize;
                    file.durable[from..from + bytes.len()].copy_from_slice(&bytes);
                }
            }
            file.now = file.durable.clone();
        }
    }

    pub fn lose(&self) {
        self.files.lock().expect("no panics here").clear();
    }

    pub fn names(&self) -> Vec<String> {
        self.files.lock().expect("no panics here").keys().cloned().collect()
    }

    /// Changes a file behind the agent's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.files.lock().expect("no panics here")[name].clone();
        let mut content = file.lock().expect("no panics here");
        change(&mut content.now);
        content.pending.clear();
        content.durable = content.now.clone();
    }

    /// What a file holds as its writer sees it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.lock().expect("no panics here").get(name).cloned()?;
        let content = file.lock().expect("no panics here").now.clone();
        Some(content)
    }

    /// What a file would hold after a power failure now.
    pub fn durable(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.lock().expect("no panics here").get(name).cloned()?;
        let content = file.lock().expect("no panics here").durable.clone();
        Some(content)
    }

    fn opened(&self, content: Shared) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { files: self.clone(), content, flush_failed: AtomicBool::new(false) })
    }

    fn find(&self, name: &str) -> Result<Shared, Fault> {
        let files = self.files.lock().expect("no panics here");
        files.get(name).cloned().ok_or_else(|| Fault::not_found(format!("there is no file {name}")))
    }
}

#[async_trait]
impl Files for MemoryFiles {
    async fn open_sized(&self, name: &str, size: u64) -> Result<Arc<dyn DiskFile>, Fault> {
        self.world.step("open file").await;
        let file = self.files.lock().expect("no panics here").entry(name.to_owned()).or_default().clone();
        {
            let mut content = file.lock().expect("no panics here");
            if content.now.len() as u64 > size {
                return Err(Fault::conflict(format!("{name} is larger than {size}")));
            }
            content.now.resize(size as usize, 0);
            content.durable.resize(size as usize, 0);
        }
        Ok(self.opened(file))
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>, Fault> {
        Ok(self.opened(self.find(name)?))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        self.world.step("before rename").await;
        let file = self.find(from)?;
        {
            let mut files = self.files.lock().expect("no panics here");
            files.remove(from);
            files.insert(to.to_owned(), file);
        }
        self.world.step("after rename").await;
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), Fault> {
        self.world.step("remove file").await;
        let below = format!("{name}/");
        self.files.lock().expect("no panics here").retain(|file, _| file != name && !file.starts_with(&below));
        Ok(())
    }

    async fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.world.step("write file").await;
        let content = Content { durable: Vec::new(), now: bytes.to_vec(), pending: Vec::new() };
        self.files.lock().expect("no panics here").insert(name.to_owned(), Arc::new(Mutex::new(content)));
        Ok(())
    }

    async fn read_whole(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let content = self.find(name)?;
        let bytes = content.lock().expect("no panics here").now.clone();
        Ok(bytes)
    }

    async fn free(&self) -> Result<u64, Fault> {
        Ok(1 << 40)
    }
}

struct MemoryFile {
    files: MemoryFiles,
    content: Shared,
    flush_failed: AtomicBool,
}

impl MemoryFile {
    fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        let mut content = self.content.lock().expect("no panics here");
        let from = offset as usize;
        let Some(target) = content.now.get_mut(from..from + bytes.len()) else {
            return Err(Fault::invalid("a write past the end of a file"));
        };
        target.copy_from_slice(bytes);
        content.pending.push((offset, bytes.to_vec()));
        Ok(())
    }
}

#[async_trait]
impl DiskFile for MemoryFile {
    fn size(&self) -> u64 {
        self.content.lock().expect("no panics here").now.len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let content = self.content.lock().expect("no panics here");
        let from = offset as usize;
        let held = content.now.get(from..from + buffer.len()).ok_or_else(|| Fault::invalid("a read past the end of a file"))?;
        buffer.copy_from_slice(held);
        Ok(())
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.files.world.step("write").await;
        self.put(offset, bytes)
    }

    async fn zero(&self, extent: Extent) -> Result<(), Fault> {
        self.files.world.step("zero").await;
        self.put(extent.offset, &vec![0; extent.length as usize])
    }

    async fn flush(&self) -> Result<(), Fault> {
        let files = &self.files;
        files.world.step("before flush").await;
        let failing =
            files.next_flush_fails.swap(false, Ordering::Relaxed) || (files.flush_fails > 0.0 && files.world.chance(files.flush_fails));
        if failing {
            self.flush_failed.store(true, Ordering::Relaxed);
        }
        let failed = self.flush_failed.load(Ordering::Relaxed);
        {
            let mut content = self.content.lock().expect("no panics here");
            for (offset, bytes) in std::mem::take(&mut content.pending) {
                if !failed {
                    let from = offset as usize;
                    content.durable[from..from + bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
        if failed {
            files.world.note("a flush fails".to_owned());
            return Err(Fault::internal("a flush failed; what was written may be gone"));
        }
        files.world.step("after flush").await;
        Ok(())
    }

    async fn forget_cached(&self) -> Result<(), Fault> {
        let mut content = self.content.lock().expect("no panics here");
        assert!(content.pending.is_empty(), "only what was flushed can be read from the medium");
        content.now = content.durable.clone();
        Ok(())
    }
}
