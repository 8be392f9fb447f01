//! The replication log: what stands in the object store, how it is sealed, in which order it is written. docs/format.md is its byte-by-byte
//! specification.

pub mod seal;
pub mod sink;
