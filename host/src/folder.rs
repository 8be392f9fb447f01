//! Local storage for real: a folder of sparse files, and block devices that stand in for some of them.
//!
//! Calls block the thread they run on, in a place where tokio is told so. A failed flush poisons the file: what was written before it may
//! be gone, so every later flush fails as well and the caller starts over with a fresh handle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, fadvise, fallocate, flock, statvfs};

use crate::files::{DiskFile, Files};
use crate::model::{Extent, Fault};

const ZEROS: &[u8] = &[0; 1024 * 1024];

/// A folder, and the names in it that are devices elsewhere.
pub struct Folder {
    root: PathBuf,
    devices: BTreeMap<String, PathBuf>,
    /// Locked for as long as this value lives.
    _held: Vec<File>,
}

impl Folder {
    /// Opens the folder, making it if need be, readable for its owner only.
    pub fn open(root: &Path) -> Result<Folder, Fault> {
        Folder::with_devices(root, BTreeMap::new())
    }

    /// `devices` maps names to block devices. Such a name always exists, and renaming onto it or removing it does nothing.
    pub fn with_devices(root: &Path, devices: BTreeMap<String, PathBuf>) -> Result<Folder, Fault> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|error| fault(&error, root))?;
        for path in devices.values() {
            let kind = std::fs::metadata(path).map_err(|error| fault(&error, path))?.file_type();
            if !kind.is_block_device() {
                return Err(Fault::invalid(format!("{} is no block device", path.display())));
            }
        }
        Ok(Folder { root: root.to_owned(), devices, _held: Vec::new() })
    }

    /// Keeps every other agent out of the folder and its devices: two receivers that write one replica would mix their bytes.
    pub fn alone(self) -> Result<Folder, Fault> {
        let lock = |path: &PathBuf| {
            let file = File::open(path).map_err(|error| fault(&error, path))?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)
                .map_err(|_| Fault::conflict(format!("{} is in use by another agent; stop that one first", path.display())))?;
            Ok(file)
        };
        let held = std::iter::once(&self.root).chain(self.devices.values().collect::<BTreeSet<_>>()).map(lock);
        Ok(Folder { _held: held.collect::<Result<_, _>>()?, ..self })
    }

    fn path(&self, name: &str) -> Result<PathBuf, Fault> {
        let plain = !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        match plain {
            true => Ok(self.root.join(name)),
            false => Err(Fault::internal(format!("\"{name}\" is no name of a file of ours"))),
        }
    }

    fn open_device(&self, path: &Path, size: Option<u64>) -> Result<Arc<dyn DiskFile>, Fault> {
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| fault(&error, path))?;
        let held = file.seek(SeekFrom::End(0)).map_err(|error| fault(&error, path))?;
        let size = size.unwrap_or(held);
        if held < size {
            return Err(Fault::full(format!("the device {} has {held} bytes, and the disk needs {size}", path.display())));
        }
        Ok(Arc::new(OpenFile::new(file, path, size, Kind::Device)))
    }
}

#[async_trait]
impl Files for Folder {
    async fn open_sized(&self, name: &str, size: u64) -> Result<Arc<dyn DiskFile>, Fault> {
        if let Some(device) = self.devices.get(name) {
            return self.open_device(device, Some(size));
        }
        let path = self.path(name)?;
        blocking(|| {
            make_parents(&path)?;
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            let held = file.metadata()?.len();
            if held > size {
                return Ok(Err(Fault::conflict(format!("{} has {held} bytes, which is more than {size}", path.display()))));
            }
            if held < size {
                file.set_len(size)?;
                file.sync_all()?;
                sync_folder(&path)?;
            }
            Ok(Ok(Arc::new(OpenFile::new(file, &path, size, Kind::Regular)) as Arc<dyn DiskFile>))
        })
        .map_err(|error| fault(&error, &path))?
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>, Fault> {
        if let Some(device) = self.devices.get(name) {
            return self.open_device(device, None);
        }
        let path = self.path(name)?;
        let file = blocking(|| {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        let (file, size) = file.map_err(|error| fault(&error, &path))?;
        Ok(Arc::new(OpenFile::new(file, &path, size, Kind::Regular)))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        if self.devices.contains_key(from) || self.devices.contains_key(to) {
            return Ok(());
        }
        let (from, to) = (self.path(from)?, self.path(to)?);
        blocking(|| {
            make_parents(&to)?;
            std::fs::rename(&from, &to)?;
            sync_folder(&from)?;
            sync_folder(&to)
        })
        .map_err(|error| fault(&error, &from))
    }

    async fn remove(&self, name: &str) -> Result<(), Fault> {
        if self.devices.contains_key(name) {
            return Ok(());
        }
        let path = self.path(name)?;
        let removed = blocking(|| match std::fs::symlink_metadata(&path)?.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        });
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| fault(&error, &path)),
        }
    }

    async fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.path(name)?;
        blocking(|| {
            make_parents(&path)?;
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all_at(bytes, 0)
        })
        .map_err(|error| fault(&error, &path))
    }

    async fn read_whole(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let path = self.path(name)?;
        blocking(|| std::fs::read(&path)).map_err(|error| fault(&error, &path))
    }

    async fn free(&self) -> Result<u64, Fault> {
        let found = statvfs(&self.root).map_err(|error| fault(&error.into(), &self.root))?;
        Ok(found.f_bavail * found.f_frsize)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Regular,
    Device,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    size: u64,
    kind: Kind,
    flush_failed: AtomicBool,
}

impl OpenFile {
    fn new(file: File, path: &Path, size: u64, kind: Kind) -> OpenFile {
        OpenFile { file, path: path.to_owned(), size, kind, flush_failed: AtomicBool::new(false) }
    }

    fn inside(&self, offset: u64, length: u64) -> Result<(), Fault> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Fault::internal(format!("{offset}+{length} is outside {} ({} bytes)", self.path.display(), self.size))),
        }
    }

    /// A hole where the file system can make one, zeros written where it cannot.
    fn zero_now(&self, extent: Extent) -> std::io::Result<()> {
        let how = match self.kind {
            Kind::Regular => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            Kind::Device => FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
        };
        match fallocate(&self.file, how, extent.offset, extent.length) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        let mut offset = extent.offset;
        while offset < extent.end() {
            let length = (extent.end() - offset).min(ZEROS.len() as u64);
            self.file.write_all_at(&ZEROS[..length as usize], offset)?;
            offset += length;
        }
        Ok(())
    }
}

#[async_trait]
impl DiskFile for OpenFile {
    fn size(&self) -> u64 {
        self.size
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        self.inside(offset, buffer.len() as u64)?;
        blocking(|| self.file.read_exact_at(buffer, offset)).map_err(|error| fault(&error, &self.path))
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.inside(offset, bytes.len() as u64)?;
        blocking(|| self.file.write_all_at(bytes, offset)).map_err(|error| fault(&error, &self.path))
    }

    async fn zero(&self, extent: Extent) -> Result<(), Fault> {
        self.inside(extent.offset, extent.length)?;
        blocking(|| self.zero_now(extent)).map_err(|error| fault(&error, &self.path))
    }

    async fn flush(&self) -> Result<(), Fault> {
        let failed =
            |error: &str| Fault::internal(format!("{} could not be flushed: {error}; what was written may be gone", self.path.display()));
        if self.flush_failed.load(Ordering::Acquire) {
            return Err(failed("an earlier flush failed"));
        }
        blocking(|| self.file.sync_all()).map_err(|error| {
            self.flush_failed.store(true, Ordering::Release);
            failed(&error.to_string())
        })
    }

    async fn forget_cached(&self) -> Result<(), Fault> {
        blocking(|| Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)).map_err(|error| fault(&error, &self.path))
    }
}

/// Other tasks move to another thread while this one waits for the disk.
fn blocking<T>(work: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn make_parents(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match path.parent() {
        Some(parent) if !parent.exists() => std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn fault(error: &Error, path: &Path) -> Fault {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound => Fault::not_found(format!("there is no {shown}")),
        ErrorKind::PermissionDenied => Fault::denied(format!("{shown} may not be used: {error}{}", whose(path))),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::full(format!("there is no space for {shown}: {error}")),
        _ => Fault::internal(format!("{shown}: {error}")),
    }
}

/// Whose it is, or what it lies in, where that is another user.
fn whose(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let this = rustix::process::geteuid().as_raw();
    let owned = path.ancestors().find_map(|place| Some((place, place.metadata().ok()?.uid())));
    match owned {
        Some((place, owner)) if owner != this => {
            format!("; {} belongs to user {owner}, and this program runs as user {this}", place.display())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::FaultKind;

    use super::*;

    #[tokio::test]
    async fn zeroed_parts_read_as_zeros_and_give_their_space_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let file = folder.open_sized("vm/disk.raw", 4 << 20).await.unwrap();
        file.write_at(0, &vec![7; 2 << 20]).await.unwrap();
        file.zero(Extent::new(1 << 20, 1 << 20)).await.unwrap();
        file.flush().await.unwrap();
        let mut held = vec![1; 2 << 20];
        file.read_at(0, &mut held).await.unwrap();
        assert!(held[..1 << 20].iter().all(|byte| *byte == 7) && held[1 << 20..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_folder_that_is_held_alone_has_one_holder() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::open(place.path()).unwrap().alone().unwrap();
        let said = Folder::open(place.path()).unwrap().alone().err().unwrap();
        assert!(said.kind == FaultKind::Conflict && said.message.ends_with("is in use by another agent; stop that one first"), "{said}");
        drop(first);
        assert!(Folder::open(place.path()).unwrap().alone().is_ok());
    }

    #[tokio::test]
    async fn files_grow_but_never_shrink() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        folder.open_sized("a", 1000).await.unwrap();
        assert_eq!(folder.open_sized("a", 2000).await.unwrap().size(), 2000);
        assert_eq!(folder.open_sized("a", 500).await.err().unwrap().kind, FaultKind::Conflict);
    }

    #[tokio::test]
    async fn nothing_reaches_past_its_folder_or_its_end() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        for name in ["../a", "/a", "a/../../b", ""] {
            assert!(folder.open_sized(name, 1).await.is_err(), "{name}");
        }
        let file = folder.open_sized("a", 1000).await.unwrap();
        assert!(file.write_at(999, &[1, 2]).await.is_err());
        assert!(file.zero(Extent::new(0, 1001)).await.is_err());
        assert_eq!(folder.open("b").await.err().unwrap().kind, FaultKind::NotFound);
        folder.remove("b").await.unwrap();
    }
}
