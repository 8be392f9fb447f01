//! What the store needs from the host beyond small exchanges: bulk bodies, which it can measure but not read, and the account's signature.

use transload_guest::fault::Fault;
use transload_guest::http::{Extent, Request, Response};
use transload_guest::ports::{Clock, Http};

/// Sealed bytes on their way up.
pub trait Body {
    fn length(&self) -> u64;
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

/// The account's key, which the operator has as base64. The host decodes it; no form of it enters the guest.
pub trait AccountKey {
    /// HMAC-SHA-256 of the text under the decoded key.
    fn mac(&self, text: &str) -> Result<Vec<u8>, Fault>;
}

/// All of it. One value on wasm, one scripted value in tests.
pub trait Host: Http + Transfer + AccountKey + Clock {}

impl<T: Http + Transfer + AccountKey + Clock> Host for T {}
