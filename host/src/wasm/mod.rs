//! The only door to plugins: runs their components, performs what they ask for within their grants, and believes nothing they say.
//!
//! ```text
//!   manifest + operator's configuration ─▶ grants          component ─▶ admission ─▶ linker
//!                                             │                                        │
//!   Source / Sink / Cutover ─▶ their adapters ─▶ convert ─▶ instances (control calls │ data calls) ─▶ guest
//!                         ▲                                                             │ imports
//!                         │             policy ◀─ web, bulk, signing, sessions, voice, files, streams, netfilter
//!                         └── splice, incoming: bytes pass here, and never through the guest
//! ```
//!
//! A guest names requests and ranges; the host sends, reads, checks and holds the secrets. A trap or a time-out poisons an instance: it is
//! dropped, and the next call gets a fresh one.

mod admission;
mod approval;
mod beneath;
mod bindings;
mod budget;
mod bulk;
mod call_time;
mod code_cache;
mod compiling;
mod convert;
mod counters;
mod cutover;
mod engine;
mod files;
mod grants;
mod incoming;
mod installed;
mod instances;
mod last_words;
mod lazy;
mod manifest;
mod masking;
mod netfilter;
mod outgoing;
mod package;
mod paging;
mod plugin;
mod policy;
mod sessions;
mod signature;
mod signing;
mod sink;
mod source;
mod splice;
mod state;
mod streams;
mod trouble;
mod version;
mod voice;
mod web;
mod words;

pub use approval::{Approval, Approvals};
pub use code_cache::CodeCache;
pub use cutover::PluginCutover;
pub use engine::{PluginHost, misfits};
pub use installed::{InUse, Installed};
pub use manifest::{Kind, Limits, Manifest, Setting};
pub use package::Package;
pub use plugin::PluginRefused;
pub use signature::VendorKey;
pub use sink::PluginSink;
pub use source::PluginSource;
pub use words::asks;
