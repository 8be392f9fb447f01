//! The gateway's data plane: bytes move from a source to the log, in one direction.
//!
//! ```text
//!   plan ──▶ read ──▶ encode ──────────────▶ pack ──────────────▶ publish
//!   bitmap   ranges   zero? same? digest,    seal into segments,  pages, once what they
//!            in       compress               put                  name is in the store
//!            flight
//! ```
//!
//! Before a plan is made, `sample` reads cells that the source calls unchanged, and compares. Nothing of that is copied.
//!
//! Everything runs in disk order, so pages tile the disk and the pages that exist are the progress of a copy. What is under way is bounded
//! in bytes (limits.rs), and how fast it goes and whether it goes on comes from outside (pace.rs). Retrying is not done here: a fault that reaches a stage is final for this copy.

mod buffers;
pub mod copy;
mod encode;
mod in_turn;
pub mod limits;
mod metered;
pub mod pace;
mod pack;
pub mod plan;
mod read;
pub mod sample;
pub mod source;
