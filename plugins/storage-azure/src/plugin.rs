//! The plugin as the host calls it: a store behind the host's imports.

use transload_guest::fault::Fault;
use transload_guest::http::Extent;
use transload_guest::imports::Imports;
use transload_guest::ports::{SecretForm, Secrets};
use transload_guest::sink::{CreateGuarantee, Description, EntriesPage, Incoming, SealedBody, Sink};

use crate::ports::AccountKey;
use crate::settings::Settings;
use crate::store::{OBJECT_BYTES_MAX, Store};

/// The secret's name in the manifest.
const ACCOUNT_KEY: &str = "account-key";

impl AccountKey for Imports {
    fn mac(&self, text: &str) -> Result<Vec<u8>, Fault> {
        self.sign_chain(ACCOUNT_KEY, SecretForm::Base64, &[], &[text.as_bytes().to_vec()])
    }
}

struct Plugin {
    settings: Settings,
}

impl Plugin {
    fn store(&self) -> Store<'_, Imports> {
        Store { host: &Imports, settings: &self.settings }
    }
}

impl Sink for Plugin {
    fn open(settings: &str) -> Result<Plugin, Fault> {
        Ok(Plugin { settings: Settings::parse(settings)? })
    }

    fn describe(&self) -> Result<Description, Fault> {
        let create = CreateGuarantee::Atomic;
        Ok(Description { product: self.store().product()?, create, object_bytes_max: OBJECT_BYTES_MAX })
    }

    fn put(&self, key: &str, body: &SealedBody) -> Result<(), Fault> {
        self.store().put(key, body)
    }

    fn get(&self, key: &str, range: Option<Extent>) -> Result<Incoming, Fault> {
        self.store().get(key, range)
    }

    fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        self.store().head(key)
    }

    fn entries(&self, prefix: &str, cursor: Option<&str>) -> Result<EntriesPage, Fault> {
        self.store().entries(prefix, cursor)
    }

    fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        self.store().delete(keys)
    }
}

transload_guest::export_sink!(Plugin);
