//! Local storage, as an argument: replicas, digest tables and the spool. The real one is folders.rs, the simulation keeps files in memory
//! and loses what was not flushed.

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{Extent, Fault};

/// An open file or block device. Positions and lengths are bytes. Nothing is durable before `flush` returned.
#[async_trait]
pub trait DiskFile: Send + Sync {
    fn size(&self) -> u64;

    /// Fills the buffer, or fails.
    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault>;

    /// Writes all bytes, or fails.
    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Fault>;

    /// Makes the extent read as zeros, giving space back where the storage can.
    async fn zero(&self, extent: Extent) -> Result<(), Fault>;

    /// Makes everything written so far durable. After a failure nothing is known about earlier writes: the caller must not go on.
    async fn flush(&self) -> Result<(), Fault>;

    /// What was flushed is read from the medium from now on, where the system can do that. After a failed flush memory may still show
    /// bytes that never arrived.
    async fn forget_cached(&self) -> Result<(), Fault>;
}

/// A place with named files. Names use '/' as separator.
#[async_trait]
pub trait Files: Send + Sync {
    /// Opens the file, or makes one of zeros, and brings it to `size`: growing adds zeros. A file that is larger is `conflict`.
    async fn open_sized(&self, name: &str, size: u64) -> Result<Arc<dyn DiskFile>, Fault>;

    /// Opens an existing file for reading and writing; `not-found` when there is none.
    async fn open(&self, name: &str) -> Result<Arc<dyn DiskFile>, Fault>;

    /// Renames durably, replacing what was there.
    async fn rename(&self, from: &str, to: &str) -> Result<(), Fault>;

    /// Removes a file, or everything below a folder. What is gone counts as removed.
    async fn remove(&self, name: &str) -> Result<(), Fault>;

    /// Writes a whole small file; no durability is promised (the spool can always be fetched again). `full` when there is no space.
    async fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), Fault>;

    /// Reads a whole file; `not-found` when there is none.
    async fn read_whole(&self, name: &str) -> Result<Vec<u8>, Fault>;

    /// Bytes that can still be written.
    async fn free(&self) -> Result<u64, Fault>;
}
