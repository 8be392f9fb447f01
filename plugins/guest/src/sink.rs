//! A store of objects, as the host calls it.
//!
//! ```text
//!   host ─▶ export_sink!(Shelf) ─▶ Shelf::open(settings) ─▶ put, get, head, entries, delete ─▶ Imports ─▶ host
//! ```
//!
//! Sealed bytes stay in the host: `put` names the request that carries a body, `get` hands over the response that the host will read.
//! `sink.wit` says what each function promises; the conformance kit (`transload plugin test`) tries it.
//!
//! A whole sink, for a server that keeps what it is sent and decides by `If-None-Match` who was first:
//!
//! ```
//! use transload_guest::fault::Fault;
//! use transload_guest::http::{Extent, Method, Request};
//! use transload_guest::imports::Imports;
//! use transload_guest::ports::Http;
//! use transload_guest::sink::{CreateGuarantee, Description, EntriesPage, Entry, Incoming, SealedBody, Sink};
//! use transload_guest::store::{Transfer, exact, past_end};
//!
//! struct Shelf {
//!     url: String,
//! }
//!
//! impl Shelf {
//!     fn request(&self, method: Method, key: &str) -> Request {
//!         Request::new(method, format!("{}/{key}", self.url))
//!     }
//! }
//!
//! impl Sink for Shelf {
//!     // A plugin with more than one setting reads them with serde_json.
//!     fn open(settings: &str) -> Result<Shelf, Fault> {
//!         let url = settings.strip_prefix(r#"{"url":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
//!         let url = url.ok_or_else(|| Fault::invalid("The settings of this shelf cannot be used: only url may stand there."))?;
//!         Ok(Shelf { url: url.to_owned() })
//!     }
//!
//!     fn describe(&self) -> Result<Description, Fault> {
//!         Ok(Description { product: format!("Shelf at {}", self.url), create: CreateGuarantee::Atomic, object_bytes_max: 1 << 30 })
//!     }
//!
//!     fn put(&self, key: &str, body: &SealedBody) -> Result<(), Fault> {
//!         let request = self.request(Method::Put, key).header("if-none-match", "*");
//!         match Imports.put(&request, body)?.status {
//!             200..=299 => Ok(()),
//!             412 => Err(Fault::conflict(format!("{key} exists already."))),
//!             status => Err(refused(status)),
//!         }
//!     }
//!
//!     fn get(&self, key: &str, range: Option<Extent>) -> Result<Incoming, Fault> {
//!         let incoming = Imports.get(&self.request(Method::Get, key), range)?;
//!         match (incoming.status(), range) {
//!             (200, None) => Ok(incoming),
//!             (206, Some(range)) => exact(key, range, &incoming).map(|()| incoming),
//!             (200, Some(_)) => Err(Fault::unsupported(format!("The shelf ignored the range of {key} and sent the whole object."))),
//!             (416, Some(range)) => Err(past_end(key, range)),
//!             (status, _) => Err(refused(status)),
//!         }
//!     }
//!
//!     fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
//!         let response = Imports.send(&self.request(Method::Head, key), &[])?;
//!         match response.status {
//!             200 => {
//!                 let length = response.header("content-length").and_then(|length| length.parse().ok());
//!                 length.map(Some).ok_or_else(|| Fault::corrupt(format!("The shelf did not say how long {key} is.")))
//!             }
//!             404 => Ok(None),
//!             status => Err(refused(status)),
//!         }
//!     }
//!
//!     // The server answers "SIZE KEY", a line each, and all of them at once.
//!     fn entries(&self, prefix: &str, _cursor: Option<&str>) -> Result<EntriesPage, Fault> {
//!         let response = Imports.send(&self.request(Method::Get, &format!("?prefix={prefix}")), &[])?;
//!         let listing = match response.status {
//!             200 => String::from_utf8(response.body).map_err(|_| Fault::corrupt("The listing is no text."))?,
//!             status => return Err(refused(status)),
//!         };
//!         let entry = |line: &str| {
//!             let (size, key) = line.split_once(' ')?;
//!             Some(Entry { key: key.to_owned(), size: size.parse().ok()? })
//!         };
//!         let entries = listing.lines().map(entry).collect::<Option<Vec<_>>>();
//!         Ok(EntriesPage { entries: entries.ok_or_else(|| Fault::corrupt("The listing cannot be read."))?, next: None })
//!     }
//!
//!     fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
//!         let deleted = |key: &String| match Imports.send(&self.request(Method::Delete, key), &[])?.status {
//!             200..=299 | 404 => Ok(()),
//!             status => Err(refused(status)),
//!         };
//!         Ok(keys.iter().map(deleted).collect())
//!     }
//! }
//!
//! fn refused(status: u16) -> Fault {
//!     match status {
//!         401 | 403 => Fault::denied(format!("The shelf says that this is not allowed: status {status}.")),
//!         404 => Fault::not_found("The shelf has no such object."),
//!         _ => Fault::unavailable(format!("The shelf answered with status {status}.")),
//!     }
//! }
//!
//! transload_guest::export_sink!(Shelf);
//!
//! assert!(Shelf::open(r#"{"url":"https://shelf.test"}"#)?.describe()?.product.ends_with("shelf.test"));
//! assert!(Shelf::open("{}").is_err());
//! # Ok::<(), Fault>(())
//! ```

use crate::fault::Fault;
use crate::http::Extent;

pub use crate::bindings::transload::plugin::bulk::SealedBody;
pub use crate::bindings::transload::plugin::http::Incoming;

/// What a sink plugin is. Each call opens it anew, for any call may meet a fresh instance.
pub trait Sink: Sized {
    /// `settings`: what the operator wrote under `config`, as a JSON object. `invalid` says what is wrong with them.
    fn open(settings: &str) -> Result<Self, Fault>;

    fn describe(&self) -> Result<Description, Fault>;

    /// Creates the object; `conflict` when the key exists.
    fn put(&self, key: &str, body: &SealedBody) -> Result<(), Fault>;

    /// A response that is a success: its body is the object, or exactly the part that was asked for.
    fn get(&self, key: &str, range: Option<Extent>) -> Result<Incoming, Fault>;

    /// None when there is no such object.
    fn head(&self, key: &str) -> Result<Option<u64>, Fault>;

    fn entries(&self, prefix: &str, cursor: Option<&str>) -> Result<EntriesPage, Fault>;

    /// One result for each key, in their order. A key that does not exist counts as deleted.
    fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateGuarantee {
    /// Of several concurrent creates of one key exactly one succeeds.
    Atomic,
    /// Two creates of one key may both succeed.
    Advisory,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub product: String,
    pub create: CreateGuarantee,
    pub object_bytes_max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub size: u64,
}

/// Objects in ascending order of their keys, and where the list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesPage {
    pub entries: Vec<Entry>,
    pub next: Option<String>,
}

/// Makes a type that is a [`Sink`] what the component exports. It stands once in a plugin.
#[macro_export]
macro_rules! export_sink {
    ($sink:ty) => {
        const _: () = {
            type Exported = $sink;
            const _: () = $crate::sink::is_sink::<Exported>();
            #[cfg(target_family = "wasm")]
            $crate::bindings::sink::export! { Exported with_types_in $crate::bindings::sink }
        };
    };
}

#[doc(hidden)]
pub const fn is_sink<S: Sink>() {}
