//! The component's door: generated types on one side, our own words on the other.

use transload_guest::bindings::transload::plugin as wit;
use transload_guest::call::{Call, Sealed};
use transload_guest::fault::Fault;
use transload_guest::imports::{self, to_fault};

use crate::bindings::exports::transload::plugin::sink;
use crate::settings::{Create, Settings};
use crate::store::{OBJECT_BYTES_MAX, Store};

fn with_store<'a, T>(work: impl FnOnce(&Store<'_, Call<'a>>) -> Result<T, Fault>) -> Result<T, wit::types::Fault> {
    let run = || work(&Store { host: &Call::default(), settings: &Settings::parse(&imports::config_json())? });
    run().map_err(to_fault)
}

struct Component;

impl sink::Guest for Component {
    fn describe() -> Result<sink::Description, wit::types::Fault> {
        with_store(|store| {
            let create = match store.settings.create {
                Create::Atomic => sink::CreateGuarantee::Atomic,
                Create::Advisory => sink::CreateGuarantee::Advisory,
            };
            Ok(sink::Description { product: store.product(), create, object_bytes_max: OBJECT_BYTES_MAX })
        })
    }

    fn put(key: String, body: &wit::bulk::SealedBody) -> Result<(), wit::types::Fault> {
        with_store(|store| store.put(&key, &Sealed(body)))
    }

    fn get(key: String, range: Option<wit::types::Extent>) -> Result<wit::http::Incoming, wit::types::Fault> {
        with_store(|store| store.get(&key, range.map(imports::extent)).map(|arriving| arriving.0))
    }

    fn head(key: String) -> Result<Option<u64>, wit::types::Fault> {
        with_store(|store| store.head(&key))
    }

    fn entries(prefix: String, cursor: Option<String>) -> Result<sink::EntriesPage, wit::types::Fault> {
        with_store(|store| {
            let page = store.entries(&prefix, cursor.as_deref())?;
            let entries = page.entries.into_iter().map(|listed| sink::Entry { key: listed.key, size: listed.size }).collect();
            Ok(sink::EntriesPage { entries, next: page.next })
        })
    }

    fn delete(keys: Vec<String>) -> Result<Vec<Result<(), wit::types::Fault>>, wit::types::Fault> {
        with_store(|store| Ok(store.delete(&keys)?.into_iter().map(|verdict| verdict.map_err(to_fault)).collect()))
    }
}

crate::bindings::export!(Component with_types_in crate::bindings);
