//! What lives on the guests' disks: a partition table, a file system with files, and later writes.

mod content;
mod filesystem;
mod workload;

pub(crate) use filesystem::build;
pub use workload::Workload;
