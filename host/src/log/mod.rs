//! The replication log: what stands in the object store, how it is sealed, in which order it is written. docs/format.md is its byte-by-byte
//! specification.
//!
//! ```text
//!   write:  planned ─▶ segments ─▶ pages ─▶ commit ─▶ receipt        a name never points at something that is not there
//!   read:   receipt, commit ─▶ chain ─▶ fold ─▶ fetch                what is read is verified, block by block
//! ```

pub mod bound;
pub mod chain;
pub mod checkpoint;
pub mod cipher;
mod codec;
pub mod digest;
pub mod dropped;
pub mod fetch;
pub mod fold;
pub mod initial;
pub mod keys;
pub mod kind;
pub mod layout;
pub mod lease;
pub mod mark;
pub mod meter;
pub mod news;
pub mod owner;
pub mod page;
pub mod planned;
pub mod registry;
pub mod relayed;
pub mod seal;
pub mod sink;
pub mod squeeze;
pub mod store;
pub mod stores;
pub mod table;
