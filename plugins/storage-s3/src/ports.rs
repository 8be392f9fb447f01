//! What the store needs from the host.

use transload_guest::ports::{Clock, Http, Secrets};
use transload_guest::store::{Digests, Transfer};

/// All of it. One value on wasm, one scripted value in tests.
pub trait Host: Http + Transfer<Body: Digests> + Secrets + Clock {}

impl<T: Http + Transfer<Body: Digests> + Secrets + Clock> Host for T {}
