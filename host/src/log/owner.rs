//! `vm/<vm>/owner/<epoch>`: an agent's claim to a VM. Only the key counts: an owner that does not open fences as well, so there is nothing
//! that reads one. What stands in it is for a person who asks who that was.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::commit::FORMAT;

use super::layout::hex;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    format: u32,
    /// Random, so that of two claims to one epoch only one can find its own.
    agent: String,
    at: Timestamp,
}

impl Claim {
    pub fn new(agent: [u8; 16], at: Timestamp) -> Claim {
        Claim { format: FORMAT, agent: hex(&agent), at }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a claim has only string keys")
    }
}
