//! What a plugin did since the agent was started, over all of its versions.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub calls: u64,
    /// Calls that the guest itself answered with a fault.
    pub faults: u64,
    /// Calls that ended its instance: a panic, too much memory, a broken promise of the component model.
    pub traps: u64,
    pub time_outs: u64,
    /// Linear memory of its largest instance, in bytes.
    pub memory_peak: u64,
    /// Bytes that the host moved for it.
    pub spliced: u64,
    /// Plaintext bytes that it saw. They are among those that were moved.
    pub peeked: u64,
}
