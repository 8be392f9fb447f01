//! What the log needs from a store of objects. `wasm` implements it for plugins, the simulation in memory.

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::{Extent, Fault};

use super::seal::Sealed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateGuarantee {
    /// Of several concurrent creates of one key exactly one succeeds.
    Atomic,
    /// Two may both succeed: fencing is off, and the operator is told so.
    Advisory,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkDescription {
    pub product: String,
    pub create: CreateGuarantee,
    pub object_bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesPage {
    pub entries: Vec<Entry>,
    pub next: Option<String>,
}

/// A store of objects. Every object is created once, whole, and never changed. Calls may run concurrently.
#[async_trait]
pub trait Sink: Send + Sync {
    async fn describe(&self) -> Result<SinkDescription, Fault>;

    /// Creates the object; `conflict` when the key exists. Takes sealed bytes only: plaintext has another type.
    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault>;

    /// The whole object or exactly the part asked for; `not-found`, or `invalid` when the part reaches past the end.
    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault>;

    /// The object's size; `None` when there is no such object.
    async fn head(&self, key: &str) -> Result<Option<u64>, Fault>;

    /// Objects whose key starts with `prefix`, in ascending order of the key's bytes, page by page.
    async fn entries(&self, prefix: &str, cursor: Option<String>) -> Result<EntriesPage, Fault>;

    /// Deletes at most 1,000 keys; the results stand in the order of the keys. A key that does not exist counts as deleted.
    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault>;
}
