//! What the store needs from the host beyond small exchanges: bulk bodies, which it can measure but not read.

use transload_guest::fault::Fault;
use transload_guest::http::{Extent, Request, Response};
use transload_guest::ports::{Clock, Http, Secrets};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    Sha256,
    Crc32c,
}

/// Sealed bytes on their way up.
pub trait Body {
    fn length(&self) -> u64;
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

/// All of it. One value on wasm, one scripted value in tests.
pub trait Host: Http + Transfer + Secrets + Clock {}

impl<T: Http + Transfer + Secrets + Clock> Host for T {}
