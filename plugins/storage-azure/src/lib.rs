//! A store of objects in a container of Azure Blob Storage.
//!
//! ```text
//!   put(key, sealed body) ─▶ request ─▶ sign (one HMAC under the account's key, done by the host) ─▶ host sends headers and body
//!                                │                                                                           │
//!                             address                                     status, error code, XML ─▶ refusal ─▶ fault kind
//! ```
//!
//! The guest never sees an object's bytes or the account's key: it names a request and its signature. Sealed bytes go up, sealed bytes
//! come down, and both stay in the host.

pub mod address;
pub mod listing;
pub mod ports;
pub mod refusal;
pub mod settings;
pub mod sign;
pub mod store;

mod plugin;
#[cfg(test)]
mod script;
