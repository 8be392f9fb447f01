//! Machines that were exported as images into a bucket: the requests of S3 over plain HTTP, addressed by path, without signatures.
//!
//! ```text
//!   machines/NAME/DISK.raw        a raw image; the next export puts another object in its place
//!   machines/NAME/machine.json    which machine it is; an export deletes it first, and uploads it last
//!   snapshots/UUID/TAG            what a snapshot holds; written here, and deleted again
//!
//!   agent ─▶ Source (this file) ─▶ machines.rs, snapshots.rs ─▶ bucket.rs: one request each ─▶ the agent sends it
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

use transload_guest::fault::Fault;
use transload_guest::http::Extent;
use transload_guest::machine::VmDefinition;
use transload_guest::source::{
    ByteSource, Changes, Closing, Description, Finding, InventoryPage, Opened, Outcome,
    PowerAction, Quiesce, SnapshotDisk, Source, VmPlacement, VmRef,
};

use bucket::Bucket;
use machines::Machine;
use snapshots::Snapshot;

transload_guest::export_source!(Plugin);

struct Plugin {
    bucket: Bucket,
}

/// Any call may meet a fresh instance, so each one opens the plugin anew; nothing is kept. No call takes long, so none is ever pending,
/// and there is nothing to poll or to cancel.
impl Source for Plugin {
    fn open(settings: &str) -> Result<Plugin, Fault> {
        Ok(Plugin {
            bucket: Bucket::open(settings)?,
        })
    }

    fn describe(&self) -> Result<Description, Fault> {
        // Proves that the bucket is there.
        self.bucket.folders(machines::FOLDER, None)?;
        Ok(Description {
            product: self.bucket.product(),
            disks_per_host_max: None,
        })
    }

    fn inventory(&self, cursor: Option<&str>) -> Result<InventoryPage, Fault> {
        machines::inventory(&self.bucket, cursor)
    }

    fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault> {
        Ok(Machine::proven(&self.bucket, vm)?.findings())
    }

    fn definition(&self, vm: &VmRef) -> Result<VmDefinition, Fault> {
        Ok(Machine::proven(&self.bucket, vm)?.definition())
    }

    fn placement(&self, vm: &VmRef) -> Result<VmPlacement, Fault> {
        Ok(Machine::proven(&self.bucket, vm)?.placement())
    }

    /// The store gives every object an ETag, so it is always on.
    fn enable_tracking(&self, vm: &VmRef) -> Result<Outcome, Fault> {
        Machine::proven(&self.bucket, vm)?;
        Ok(Outcome::Done)
    }

    fn reset_tracking(&self, _vm: &VmRef) -> Result<Outcome, Fault> {
        Err(Fault::unsupported(
            "An image keeps its ETag until it is exported anew.",
        ))
    }

    /// Images are at rest. Whether the guest was quiesced when they were made is not known here.
    fn open_snapshot(&self, vm: &VmRef, tag: &str, _quiesce: Quiesce) -> Result<Outcome, Fault> {
        let snapshot = Snapshot::of(Machine::proven(&self.bucket, vm)?, tag);
        Ok(Outcome::Opened(Opened {
            token: snapshot.open(&self.bucket)?,
            quiesced: false,
        }))
    }

    /// The markers are born with the snapshot, and `disks` gives them. Nothing is kept for one, so none has to be released.
    fn close_snapshot(&self, token: &str, _closing: Closing) -> Result<Outcome, Fault> {
        Snapshot::read(token)?.close(&self.bucket)?;
        Ok(Outcome::Closed(Vec::new()))
    }

    fn leftovers(&self, vm: &VmRef, tag_prefix: &str) -> Result<Vec<String>, Fault> {
        snapshots::leftovers(
            &self.bucket,
            &Machine::proven(&self.bucket, vm)?,
            tag_prefix,
        )
    }

    fn disks(&self, token: &str) -> Result<Vec<SnapshotDisk>, Fault> {
        Snapshot::read(token)?.disks(&self.bucket)
    }

    fn changed(
        &self,
        token: &str,
        disk: &str,
        since: &str,
        _cursor: Option<&str>,
    ) -> Result<Changes, Fault> {
        Snapshot::read(token)?.changed(disk, since)
    }

    fn open_range(&self, token: &str, disk: &str, range: Extent) -> Result<ByteSource, Fault> {
        Snapshot::read(token)?.range(&self.bucket, disk, range)
    }

    fn power(&self, _vm: &VmRef, _action: PowerAction) -> Result<Outcome, Fault> {
        Err(Fault::unsupported(
            "Where this machine runs is not known here: switch it there, and export it once more when it is off.",
        ))
    }
}
