//! What the store needs from the host.

use transload_guest::fault::Fault;
use transload_guest::ports::{Clock, Http};
use transload_guest::store::Transfer;

/// The account's key, which the operator has as base64. The host decodes it; no form of it enters the guest.
pub trait AccountKey {
    /// HMAC-SHA-256 of the text under the decoded key.
    fn mac(&self, text: &str) -> Result<Vec<u8>, Fault>;
}

/// All of it. One value on wasm, one scripted value in tests.
pub trait Host: Http + Transfer + AccountKey + Clock {}

impl<T: Http + Transfer + AccountKey + Clock> Host for T {}
