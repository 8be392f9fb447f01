//! What every store of objects needs beyond small exchanges: bulk bodies, which it can measure but not read, and what it answers of them.

use crate::fault::Fault;
use crate::http::{Extent, Request, Response};

/// Which digest: SHA-256, MD5 or CRC-32C.
pub use crate::bindings::transload::plugin::bulk::DigestAlgorithm as Digest;

/// Sealed bytes on their way up.
pub trait Body {
    fn length(&self) -> u64;
}

/// A body for a store that wants to compare what came.
pub trait Digests: Body {
    fn digest(&self, digest: Digest) -> Result<Vec<u8>, Fault>;
}

/// A reply whose body stays in the host.
pub trait Incoming {
    fn status(&self) -> u16;
    fn header(&self, name: &str) -> Option<String>;
    fn length(&self) -> Option<u64>;
    /// The body of a reply that is not 2xx.
    fn fault_body(&self) -> Result<Vec<u8>, Fault>;
}

pub trait Transfer {
    type Body: Body;
    type Incoming: Incoming;

    fn put(&self, request: &Request, body: &Self::Body) -> Result<Response, Fault>;
    /// The host writes the `Range` header.
    fn get(&self, request: &Request, range: Option<Extent>) -> Result<Self::Incoming, Fault>;
}

/// Stores shorten a range that reaches past the end instead of refusing it.
pub fn exact(key: &str, range: Extent, incoming: &impl Incoming) -> Result<(), Fault> {
    match incoming.length() {
        Some(length) if length == range.length => Ok(()),
        Some(length) if length < range.length => Err(past_end(key, range)),
        Some(length) => Err(Fault::corrupt(format!("{} bytes of {key} were asked for and {length} are coming.", range.length))),
        None => Err(Fault::corrupt(format!("The store did not say how many bytes of {key} are coming."))),
    }
}

pub fn past_end(key: &str, range: Extent) -> Fault {
    Fault::invalid(format!("The range of {} bytes from {} reaches past the end of {key}.", range.length, range.offset))
}
