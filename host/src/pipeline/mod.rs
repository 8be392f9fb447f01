//! The gateway's data plane: bytes move from a source to the log, in one direction.

pub mod source;
