//! Disks as a hypervisor keeps them: a base file, redo logs above it, and a record of what changed.
//!
//! ```text
//!   guest writes ──▶ web-000002 (top, written)        tracker: one set of cells per sequence number
//!                    web-000001 (frozen by snapshot B)
//!                    web-flat   (frozen by snapshot A)
//! ```
//!
//! A read of snapshot A sees only the bottom layer, a read of B the two lower ones, the guest all three.
//! Removing a snapshot merges the layer above into the layer it froze.

mod chain;
mod digest;
mod extents;
mod layer;
mod tracker;

pub(crate) use chain::Chain;
pub use digest::sparse_digest;
pub(crate) use extents::{Extent, from_units};
pub(crate) use layer::{Layer, content_name, create_sparse};
pub(crate) use tracker::Tracker;

/// The unit of a guest's write.
pub const SECTOR: u64 = 512;
/// The granularity of change tracking.
pub const CELL: u64 = 64 * 1024;
