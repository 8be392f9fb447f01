//! What the plugins share: our own words for the host's imports, and what more than one vendor speaks: two small
//! codecs, origins, clocks that differ, what a store answers.
//!
//! ```text
//!   plugin logic ──▶ traits (Http, Sessions, Secrets, Clock) ──▶ Imports (wasm only) ──▶ generated bindings ──▶ host
//!        ▲                       ▲
//!        └── native tests ───────┘ scripted replies
//! ```
//!
//! Nothing here decides anything: a plugin's behaviour stands in the plugin.

pub mod clocks;
pub mod endpoint;
pub mod fault;
pub mod http;
pub mod percent;
pub mod ports;
pub mod store;
pub mod words;
pub mod xml;

#[cfg(target_family = "wasm")]
pub mod bindings;
#[cfg(target_family = "wasm")]
pub mod call;
#[cfg(target_family = "wasm")]
pub mod imports;
