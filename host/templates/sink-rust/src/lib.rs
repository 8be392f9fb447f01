//! A store of objects over plain HTTP: the requests of S3, addressed by path, without signatures.
//!
//! ```text
//!   agent ─▶ sink (this file) ─▶ store.rs: one request for each verb ─▶ the agent sends it
//!                                   │
//!                                answers.rs: a status and a document become a value or a fault
//! ```
//!
//! Objects never come in here. `put` names the request that carries a sealed body, `get` hands back the response that the agent
//! will read; both are handles.

mod answers;
mod settings;
mod store;

// The contract in wit/ as Rust: `transload::plugin` is what the agent offers, `exports` is what it calls.
wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use exports::transload::plugin::sink::{CreateGuarantee, Description, EntriesPage, Guest};
use store::{OBJECT_BYTES_MAX, Store};
use transload::plugin::bulk::SealedBody;
use transload::plugin::http::Incoming;
use transload::plugin::types::{Extent, Fault};

struct Plugin;

export!(Plugin);

/// Any call may meet a fresh instance, so each one reads the settings; nothing is kept.
impl Guest for Plugin {
    fn describe() -> Result<Description, Fault> {
        let product = Store::open()?.product();
        // `If-None-Match: *` decides one winner. Say `Advisory` of a store that takes the header and does not keep to it.
        Ok(Description {
            product,
            create: CreateGuarantee::Atomic,
            object_bytes_max: OBJECT_BYTES_MAX,
        })
    }

    fn put(key: String, body: &SealedBody) -> Result<(), Fault> {
        Store::open()?.put(&key, body)
    }

    fn get(key: String, range: Option<Extent>) -> Result<Incoming, Fault> {
        Store::open()?.get(&key, range)
    }

    fn head(key: String) -> Result<Option<u64>, Fault> {
        Store::open()?.head(&key)
    }

    fn entries(prefix: String, cursor: Option<String>) -> Result<EntriesPage, Fault> {
        Store::open()?.entries(&prefix, cursor.as_deref())
    }

    fn delete(keys: Vec<String>) -> Result<Vec<Result<(), Fault>>, Fault> {
        Store::open()?.delete(&keys)
    }
}
