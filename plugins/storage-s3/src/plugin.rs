//! The plugin as the host calls it: a store behind the host's imports.

use transload_guest::fault::Fault;
use transload_guest::http::Extent;
use transload_guest::imports::Imports;
use transload_guest::sink::{CreateGuarantee, Description, EntriesPage, Incoming, SealedBody, Sink};

use crate::settings::{Create, Settings};
use crate::store::{OBJECT_BYTES_MAX, Store};

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
        let create = match self.settings.create {
            Create::Atomic => CreateGuarantee::Atomic,
            Create::Advisory => CreateGuarantee::Advisory,
        };
        Ok(Description { product: self.store().product(), create, object_bytes_max: OBJECT_BYTES_MAX })
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
