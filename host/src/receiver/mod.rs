//! The target's data plane: commits come out of the log, and what they say is on the replica afterwards, or nothing is.
//!
//! ```text
//!   commit ─▶ check: base, chain, epoch ─▶ prepare: fetch, verify all ─▶ [driver: fact "applying"] ─▶ apply: write, flush ─▶ receipt
//!                     │                       │    delta, resync: into the spool
//!                     ▼ rejected              ▼    initial: into a file beside the replica, promoted in apply
//!   page of an initial, before its commit ─▶ ahead: fetch, verify, write into that file
//! ```
//!
//! Until everything of a commit is verified nothing of it touches a replica. What is applied is read from the spool, or from the store
//! again where the spool has no room, and verified a second time on its way.

pub mod ahead;
pub mod apply;
pub mod moment;
pub mod places;
pub mod prepare;
pub mod rebuild;
mod spool;
