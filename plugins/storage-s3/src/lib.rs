//! A store of objects that speaks the S3 protocol.
//!
//! ```text
//!   put(key, sealed body) ─▶ request ─▶ sign (chain of five HMACs, done by the host) ─▶ host sends headers and body
//!                                │                                                            │
//!                             address                                  status, error XML ─▶ refusal ─▶ fault kind
//! ```
//!
//! The guest never sees an object's bytes or the secret key: it names a request and its signature. Sealed bytes go up, sealed bytes
//! come down, and both stay in the host.

pub mod address;
pub mod listing;
pub mod ports;
pub mod refusal;
pub mod removal;
pub mod settings;
pub mod sign;
pub mod store;

mod plugin;
#[cfg(test)]
mod script;
