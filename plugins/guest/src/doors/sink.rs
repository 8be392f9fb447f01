//! The door of a sink.

use super::{Answer, with};
use crate::bindings::sink::exports::transload::plugin::sink as wit;
use crate::bindings::transload::plugin::types;
use crate::imports::{extent, to_fault};
use crate::sink::{CreateGuarantee, Description, EntriesPage, Entry, Incoming, SealedBody, Sink};

impl<S: Sink> wit::Guest for S {
    fn describe() -> Answer<wit::Description> {
        with(S::open, |sink| sink.describe().map(description))
    }

    fn put(key: String, body: &SealedBody) -> Answer<()> {
        with(S::open, |sink| sink.put(&key, body))
    }

    fn get(key: String, range: Option<types::Extent>) -> Answer<Incoming> {
        with(S::open, |sink| sink.get(&key, range.map(extent)))
    }

    fn head(key: String) -> Answer<Option<u64>> {
        with(S::open, |sink| sink.head(&key))
    }

    fn entries(prefix: String, cursor: Option<String>) -> Answer<wit::EntriesPage> {
        with(S::open, |sink| sink.entries(&prefix, cursor.as_deref()).map(page))
    }

    fn delete(keys: Vec<String>) -> Answer<Vec<Answer<()>>> {
        let results = with(S::open, |sink| sink.delete(&keys))?;
        Ok(results.into_iter().map(|result| result.map_err(to_fault)).collect())
    }
}

fn description(description: Description) -> wit::Description {
    let create = match description.create {
        CreateGuarantee::Atomic => wit::CreateGuarantee::Atomic,
        CreateGuarantee::Advisory => wit::CreateGuarantee::Advisory,
    };
    wit::Description { product: description.product, create, object_bytes_max: description.object_bytes_max }
}

fn page(page: EntriesPage) -> wit::EntriesPage {
    let entry = |entry: Entry| wit::Entry { key: entry.key, size: entry.size };
    wit::EntriesPage { entries: page.entries.into_iter().map(entry).collect(), next: page.next }
}
