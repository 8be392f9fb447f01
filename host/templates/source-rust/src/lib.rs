//! Machines that were exported as images into a bucket: the requests of S3 over plain HTTP, addressed by path, without signatures.
//!
//! ```text
//!   machines/NAME/DISK.raw        a raw image; the next export puts another object in its place
//!   machines/NAME/machine.json    which machine it is; an export deletes it first, and uploads it last
//!   snapshots/UUID/TAG            what a snapshot holds; written here, and deleted again
//!
//!   agent ─▶ source (this file) ─▶ machines.rs, snapshots.rs ─▶ bucket.rs: one request each ─▶ the agent sends it
//!                                                                  │
//!                                                     answers.rs: statuses and documents as values and faults
//! ```
//!
//! The bytes of disks never come in here. `open_range` names the request that fetches them, and hands a handle back.

mod answers;
mod bucket;
mod machines;
mod settings;
mod snapshots;

// The contract in wit/ as Rust: `transload::plugin` is what the agent offers, `exports` is what it calls.
wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use answers::fault;
use bucket::Bucket;
use exports::transload::plugin::source::{
    Changes, Closing, Description, DiskMarker, Finding, Guest, InventoryPage, Opened, Outcome,
    PowerAction, Quiesce, SnapshotDisk, VmPlacement, VmRef,
};
use machines::Machine;
use snapshots::Snapshot;
use transload::plugin::bulk::ByteSource;
use transload::plugin::machine::VmDefinition;
use transload::plugin::types::{Extent, Fault, FaultKind};

struct Plugin;

export!(Plugin);

/// Any call may meet a fresh instance, so each one reads the settings; nothing is kept. No call takes long, so none is ever pending.
impl Guest for Plugin {
    fn describe() -> Result<Description, Fault> {
        let bucket = Bucket::open()?;
        // Proves that the bucket is there.
        bucket.folders(machines::FOLDER, None)?;
        Ok(Description {
            product: bucket.product(),
            disks_per_host_max: None,
        })
    }

    fn inventory(cursor: Option<String>) -> Result<InventoryPage, Fault> {
        machines::inventory(&Bucket::open()?, cursor.as_deref())
    }

    fn preflight(vm: VmRef) -> Result<Vec<Finding>, Fault> {
        Ok(Machine::proven(&Bucket::open()?, &vm)?.findings())
    }

    fn definition(vm: VmRef) -> Result<VmDefinition, Fault> {
        Ok(Machine::proven(&Bucket::open()?, &vm)?.definition())
    }

    fn placement(vm: VmRef) -> Result<VmPlacement, Fault> {
        Ok(Machine::proven(&Bucket::open()?, &vm)?.placement())
    }

    /// The store gives every object an ETag, so it is always on.
    fn enable_tracking(vm: VmRef) -> Result<Outcome, Fault> {
        Machine::proven(&Bucket::open()?, &vm)?;
        Ok(Outcome::Done)
    }

    fn reset_tracking(_vm: VmRef) -> Result<Outcome, Fault> {
        Err(fault(
            FaultKind::Unsupported,
            "An image keeps its ETag until it is exported anew.",
        ))
    }

    /// Images are at rest. Whether the guest was quiesced when they were made is not known here.
    fn open_snapshot(vm: VmRef, tag: String, _quiesce: Quiesce) -> Result<Outcome, Fault> {
        let bucket = Bucket::open()?;
        let snapshot = Snapshot::of(Machine::proven(&bucket, &vm)?, tag);
        Ok(Outcome::Opened(Opened {
            token: snapshot.open(&bucket)?,
            quiesced: false,
        }))
    }

    /// The markers are born with the snapshot, and `disks` gives them.
    fn close_snapshot(token: String, _closing: Closing) -> Result<Outcome, Fault> {
        Snapshot::read(&token)?.close(&Bucket::open()?)?;
        Ok(Outcome::Closed(Vec::new()))
    }

    /// Nothing is kept for a marker.
    fn release_markers(_vm: VmRef, _markers: Vec<DiskMarker>) -> Result<(), Fault> {
        Ok(())
    }

    fn leftovers(vm: VmRef, tag_prefix: String) -> Result<Vec<String>, Fault> {
        let bucket = Bucket::open()?;
        snapshots::leftovers(&bucket, &Machine::proven(&bucket, &vm)?, &tag_prefix)
    }

    fn disks(token: String) -> Result<Vec<SnapshotDisk>, Fault> {
        Snapshot::read(&token)?.disks(&Bucket::open()?)
    }

    fn changed(
        token: String,
        disk: String,
        since: String,
        _cursor: Option<String>,
    ) -> Result<Changes, Fault> {
        Snapshot::read(&token)?.changed(&disk, &since)
    }

    fn open_range(
        token: String,
        disk: String,
        offset: u64,
        length: u64,
    ) -> Result<ByteSource, Fault> {
        let range = Extent { offset, length };
        Snapshot::read(&token)?.range(&Bucket::open()?, &disk, range)
    }

    fn power(_vm: VmRef, _action: PowerAction) -> Result<Outcome, Fault> {
        Err(fault(
            FaultKind::Unsupported,
            "Where this machine runs is not known here: switch it there, and export it once more when it is off.",
        ))
    }

    fn poll(_operation: String) -> Result<Outcome, Fault> {
        Err(fault(FaultKind::NotFound, "Nothing is pending here."))
    }

    fn cancel(_operation: String) -> Result<(), Fault> {
        Ok(())
    }
}
