//! The component's door: generated types on one side, our own words on the other.

use std::marker::PhantomData;

use transload_guest::bindings::transload::plugin as wit;
use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Request, Response};
use transload_guest::imports::{self, Imports, to_fault};
use transload_guest::ports::{Clock, Http};

use crate::bindings::exports::transload::plugin::sink;
use crate::ports::{AccountKey, Body, Incoming, Transfer};
use crate::settings::Settings;
use crate::store::{OBJECT_BYTES_MAX, Store};

/// The secret's name in the manifest.
const ACCOUNT_KEY: &str = "account-key";

struct Sealed<'a>(&'a wit::bulk::SealedBody);

impl Body for Sealed<'_> {
    fn length(&self) -> u64 {
        self.0.length()
    }
}

struct Arriving(wit::http::Incoming);

impl Incoming for Arriving {
    fn status(&self) -> u16 {
        self.0.status()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    fn length(&self) -> Option<u64> {
        self.0.length()
    }

    fn fault_body(&self) -> Result<Vec<u8>, Fault> {
        self.0.fault_body().map_err(imports::fault)
    }
}

/// One call of the host's; its bodies live as long.
struct Call<'a>(PhantomData<&'a ()>);

impl Http for Call<'_> {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        Imports.send(request, body)
    }
}

impl AccountKey for Call<'_> {
    fn mac(&self, text: &str) -> Result<Vec<u8>, Fault> {
        use wit::secrets::{Mac, SecretForm, sign_chain};
        let step = text.as_bytes().to_vec();
        sign_chain(Mac::HmacSha256, ACCOUNT_KEY, SecretForm::Base64, &[], &[step]).map_err(imports::fault)
    }
}

impl Clock for Call<'_> {
    fn now(&self) -> u64 {
        Imports.now()
    }
}

impl<'a> Transfer for Call<'a> {
    type Body = Sealed<'a>;
    type Incoming = Arriving;

    fn put(&self, request: &Request, body: &Sealed<'a>) -> Result<Response, Fault> {
        wit::http::put(&imports::to_request(request), body.0).map(imports::response).map_err(imports::fault)
    }

    fn get(&self, request: &Request, range: Option<Extent>) -> Result<Arriving, Fault> {
        let range = range.map(imports::to_extent);
        wit::http::get(&imports::to_request(request), range).map(Arriving).map_err(imports::fault)
    }
}

fn with_store<'a, T>(work: impl FnOnce(&Store<'_, Call<'a>>) -> Result<T, Fault>) -> Result<T, wit::types::Fault> {
    let run = || work(&Store { host: &Call(PhantomData), settings: &Settings::parse(&imports::config_json())? });
    run().map_err(to_fault)
}

struct Component;

impl sink::Guest for Component {
    fn describe() -> Result<sink::Description, wit::types::Fault> {
        with_store(|store| {
            let create = sink::CreateGuarantee::Atomic;
            Ok(sink::Description { product: store.product()?, create, object_bytes_max: OBJECT_BYTES_MAX })
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
