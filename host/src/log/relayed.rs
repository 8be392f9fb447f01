//! `cmd/<n>`: a command on its way to a role that is met only in the store. The reply at `reply/<n>` is its own text.

use serde::{Deserialize, Serialize};

use crate::model::Fault;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayedCommand {
    /// Two equal commands at one moment would be one object; the mark keeps them apart.
    mark: String,
    /// In the words of whoever carries it out; here it is only text.
    pub command: String,
}

impl RelayedCommand {
    pub fn new(mark: u64, command: String) -> RelayedCommand {
        RelayedCommand { mark: format!("{mark:016x}"), command }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a command has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<RelayedCommand, Fault> {
        serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("a command cannot be read: {error}")))
    }
}
