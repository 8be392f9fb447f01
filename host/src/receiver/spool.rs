//! A local copy of sealed objects, so that what was verified can be applied without asking the store again.
//!
//! What does not fit stays in the store and is read from there a second time. The spool promises nothing else: an object that is
//! missing or damaged here is fetched again, and every reader verifies what it gets.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::files::Files;
use crate::log::layout;
use crate::log::store::Objects;
use crate::model::{Extent, Fault, StoreNumber};

/// Space that is left alone.
const RESERVE_BYTES: u64 = 256 << 20;

pub struct Spool {
    stores: Arc<dyn Objects>,
    files: Arc<dyn Files>,
    folder: String,
}

impl Spool {
    pub fn new(stores: Arc<dyn Objects>, files: Arc<dyn Files>, folder: String) -> Spool {
        Spool { stores, files, folder }
    }

    pub async fn clear(&self) -> Result<(), Fault> {
        self.files.remove(&self.folder).await
    }

    fn place(&self, key: &str, range: Option<Extent>) -> String {
        let part = range.map_or_else(|| "whole".to_owned(), |range| format!("{}+{}", range.offset, range.length));
        format!("{}/{}@{part}", self.folder, layout::name(key))
    }
}

#[async_trait]
impl Objects for Spool {
    async fn get(&self, store: StoreNumber, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        let place = self.place(key, range);
        if let Ok(bytes) = self.files.read_whole(&place).await {
            let whole = range.is_none_or(|range| range.length == bytes.len() as u64);
            if whole && !bytes.is_empty() {
                return Ok(bytes.into());
            }
        }
        let bytes = self.stores.get(store, key, range).await?;
        let fits = self.files.free().await.is_ok_and(|free| free > RESERVE_BYTES + bytes.len() as u64);
        if fits && self.files.write_whole(&place, &bytes).await.is_err() {
            tracing::debug!(key, "the spool could not keep an object; it will be read from the store again");
        }
        Ok(bytes)
    }
}
