//! What the plugins share: our own words for the host's imports, and the two small codecs that more than one vendor speaks.
//!
//! ```text
//!   plugin logic ──▶ traits (Http, Sessions, Secrets, Clock) ──▶ Imports (wasm only) ──▶ generated bindings ──▶ host
//!        ▲                       ▲
//!        └── native tests ───────┘ scripted replies
//! ```
//!
//! Nothing here decides anything: a plugin's behaviour stands in the plugin.

pub mod fault;
pub mod http;
pub mod percent;
pub mod ports;
pub mod xml;

#[cfg(target_family = "wasm")]
pub mod bindings;
#[cfg(target_family = "wasm")]
pub mod imports;
