//! What the host calls: generated types become our own words, a plugin is opened, its answer becomes generated types again.
//!
//! ```text
//!   generated Guest::put(String, …) ─▶ Sink::open(settings)?.put(&str, …) ─▶ Fault ─▶ generated Fault
//! ```

mod cutover;
mod sink;
mod source;

use crate::bindings::transload::plugin::types;
use crate::fault::Fault;
use crate::imports::{config_json, to_fault};

type Answer<T> = Result<T, types::Fault>;

/// One call of the host's: the settings are read, then the work is done.
fn with<P, T>(open: impl FnOnce(&str) -> Result<P, Fault>, work: impl FnOnce(P) -> Result<T, Fault>) -> Answer<T> {
    open(&config_json()).and_then(work).map_err(to_fault)
}
