//! The `files` import: reads files of granted folders. What may be opened is decided in `beneath`; here are the budget, the time and the
//! handles.
//!
//! Nothing stays open. A handle names a file that was found; each read opens it anew and makes sure that it is still the same, so neither
//! a guest that hoards handles nor a copy that names hundreds of ranges holds a descriptor.

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::component::Resource;

use super::beneath::{Folder, Found};
use super::bindings::files::{self, FolderEntry, FolderPage};
use super::plugin::Plugin;
use super::splice::Splice;
use super::state::{InstanceState, Refusal};
use super::web::transfer_allowance;
use crate::model::Fault;
use crate::net::READ_TIMEOUT;

const READ_BYTES_MAX: u32 = 1 << 20;
/// What one read of the host takes at a time.
const PULL_BYTES_MAX: usize = 4 << 20;
/// Reads of one folder at a time. A disk that hangs (a file server that went away) holds so many threads, and no more.
const SEATS: usize = 16;

/// A granted folder, with its seats.
#[derive(Debug)]
pub struct GrantedFolder {
    folder: Folder,
    seats: Arc<Semaphore>,
}

impl GrantedFolder {
    pub fn new(folder: Folder) -> GrantedFolder {
        GrantedFolder { folder, seats: Arc::new(Semaphore::new(SEATS)) }
    }
}

/// A file that was found.
pub struct GrantedFile {
    plugin: Arc<Plugin>,
    granted: Arc<GrantedFolder>,
    found: Found,
}

/// What a guest holds of it.
pub type FileHandle = Arc<GrantedFile>;

impl GrantedFile {
    pub fn size(&self) -> u64 {
        self.found.size
    }

    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// `invalid` past the end.
    fn check_range(&self, offset: u64, length: u64) -> Result<(), Fault> {
        match offset.checked_add(length).is_some_and(|end| end <= self.size()) {
            true => Ok(()),
            false => Err(Fault::invalid(format!("{offset}+{length} reaches past the end of {} bytes", self.size()))),
        }
    }

    /// Fills the buffer, or fails.
    pub async fn fetch(self: &Arc<GrantedFile>, mut offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        for part in buffer.chunks_mut(PULL_BYTES_MAX) {
            let (file, length, from) = (self.clone(), part.len(), offset);
            let bytes = beside(&self.granted, length as u64, move |folder| {
                let mut bytes = vec![0; length];
                folder.read(&file.found, from, &mut bytes).map(|()| bytes)
            });
            part.copy_from_slice(&bytes.await?);
            offset += length as u64;
        }
        self.plugin.counters().spliced(buffer.len() as u64);
        Ok(())
    }
}

/// Works on the folder where waiting for a disk holds up nobody. A work that outlasts its time keeps its seat until the disk answers.
async fn beside<T, W>(granted: &Arc<GrantedFolder>, bytes: u64, work: W) -> Result<T, Fault>
where
    T: Send + 'static,
    W: FnOnce(&Folder) -> Result<T, Fault> + Send + 'static,
{
    let limit = READ_TIMEOUT + transfer_allowance(bytes);
    let granted = granted.clone();
    let working = async {
        let seat = granted.seats.clone().acquire_owned().await.expect("this semaphore is never closed");
        let worked = tokio::task::spawn_blocking(move || {
            let _seat = seat;
            work(&granted.folder)
        });
        worked.await.unwrap_or_else(|error| Err(Fault::internal(format!("a read of a granted folder broke off: {error}"))))
    };
    let hangs = || Fault::unavailable(format!("a granted folder did not answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, working).await.unwrap_or_else(|_| Err(hangs()))
}

impl files::Host for InstanceState {
    async fn open(&mut self, grant: String, path: String) -> Result<Resource<FileHandle>, Refusal> {
        self.may_reach()?;
        let (plugin, granted) = (self.plugin.clone(), self.plugin.folder(&grant)?.clone());
        let found = beside(&granted, 0, move |folder| folder.find(&path)).await?;
        Ok(self.table.push(Arc::new(GrantedFile { plugin, granted, found }))?)
    }

    async fn entries(&mut self, grant: String, path: String, cursor: Option<String>) -> Result<FolderPage, Refusal> {
        self.may_reach()?;
        let granted = self.plugin.folder(&grant)?;
        let page = beside(granted, 0, move |folder| folder.page(&path, cursor.as_deref())).await?;
        let entry = |entry: super::beneath::Entry| FolderEntry {
            name: entry.name,
            size: entry.size,
            folder: entry.folder,
            modified: entry.modified,
        };
        Ok(FolderPage { entries: page.entries.into_iter().map(entry).collect(), next: page.next })
    }
}

impl files::HostGrantedFile for InstanceState {
    async fn size(&mut self, this: Resource<FileHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.size())
    }

    async fn read(&mut self, this: Resource<FileHandle>, offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.may_reach()?;
        if length > READ_BYTES_MAX {
            return Err(Fault::invalid(format!("a read takes at most {READ_BYTES_MAX} bytes; {length} were asked for")).into());
        }
        let file = self.table.get(&this)?.clone();
        file.check_range(offset, u64::from(length))?;
        self.spend_peek(u64::from(length))?;
        let mut bytes = vec![0; length as usize];
        file.fetch(offset, &mut bytes).await?;
        self.plugin.counters().peeked(u64::from(length));
        Ok(bytes)
    }

    async fn range(&mut self, this: Resource<FileHandle>, offset: u64, length: u64) -> Result<Resource<Splice>, Refusal> {
        let file = self.table.get(&this)?.clone();
        file.check_range(offset, length)?;
        self.keep(Splice::file(file, offset, length))
    }

    async fn drop(&mut self, this: Resource<FileHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
