//! One file per decoder: what its bytes are, and what is promised of them.

use crate::Outcome;

mod azure_listing;
mod azure_refusal;
mod bound;
mod changed_areas;
mod checkpoint;
mod checkpoint_page;
mod command;
mod commit;
mod connect_answer;
mod descriptor;
mod device_values;
mod dropped;
mod initial;
mod key_names;
mod lease;
mod listing;
mod manifest;
mod mark;
mod page;
mod percent;
mod planned;
mod properties;
mod receipt;
mod refusal;
mod removal;
mod reply;
mod sealed;
mod slot;
mod soap;
mod store;
mod store_entry;
mod tokens;
mod versions;
mod vm_entry;
mod xml;

pub struct Decoder {
    pub name: &'static str,
    pub feed: fn(&[u8]) -> Outcome,
    /// Inputs that it reads. Those of the log's format are the golden files.
    pub examples: fn() -> Vec<Vec<u8>>,
}

macro_rules! decoders {
    ($($name:ident)*) => {
        &[$(Decoder { name: stringify!($name), feed: $name::feed, examples: $name::examples }),*]
    };
}

pub const DECODERS: &[Decoder] = decoders! {
    azure_listing
    azure_refusal
    bound
    changed_areas
    checkpoint
    checkpoint_page
    command
    commit
    connect_answer
    descriptor
    device_values
    dropped
    initial
    key_names
    lease
    listing
    manifest
    mark
    page
    percent
    planned
    properties
    receipt
    refusal
    removal
    reply
    sealed
    slot
    soap
    store
    store_entry
    tokens
    versions
    vm_entry
    xml
};

pub fn find(name: &str) -> Option<&'static Decoder> {
    DECODERS.iter().find(|decoder| decoder.name == name)
}

/// The bytes of a golden file in hexadecimal.
fn unhex(golden: &str) -> Vec<u8> {
    let digits: Vec<u8> = golden.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A golden file of the log's format.
macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../host/tests/golden/", $name))
    };
}
use golden;
