//! Plain values: no I/O, no async, no clock. Knows nothing else of this crate.

mod bitmap;
mod cells;
pub mod commit;
mod counted;
mod extent;
mod fault;
mod ids;
mod machine;

pub(crate) use bitmap::Page;
pub use bitmap::SectorBitmap;
pub use cells::{CellMask, Digest};
pub use counted::Counted;
pub use extent::{BLOCK, CELL, CELLS_PER_BLOCK, DiskSize, Extent, SECTOR, SECTORS_PER_CELL, check_extents};
pub use fault::{Fault, FaultKind};
pub use ids::{Attempt, CycleNumber, DiskId, Epoch, Marker, SnapshotToken, StoreNumber, VmId, VmRef};
pub use machine::{
    Closing, Datastore, DiskHome, DiskMarker, DiskPlace, DiskSummary, Finding, Firmware, Nic, OpenedSnapshot, Placement, PowerAction,
    PowerState, Quiesce, ResyncReason, Severity, SnapshotDisk, SourceDescription, VmDefinition, VmSummary,
};
