//! A hypervisor that VMs are read from, as the host calls it.
//!
//! ```text
//!   host ─▶ export_source!(Images) ─▶ Images::open(settings) ─▶ inventory, open_snapshot, changed … ─▶ Imports ─▶ host
//!                                                                          │
//!                       tokens: of a snapshot, an operation, a page. The host keeps them, and gives them to another instance
//! ```
//!
//! Disk bytes stay in the host: `open_range` names them, and the host pulls. `source.wit` says what each function promises; the
//! conformance kit (`transload plugin test --vm NAME`) tries it.
//!
//! A whole source, of one image that a server keeps and that nobody changes:
//!
//! ```
//! use transload_guest::fault::Fault;
//! use transload_guest::http::{Extent, Method, Request};
//! use transload_guest::imports::Imports;
//! use transload_guest::machine::{DiskPlace, Firmware, VmDefinition};
//! use transload_guest::ports::Http;
//! use transload_guest::source::*;
//!
//! const DISK: &str = "disk-0";
//!
//! struct Images {
//!     url: String,
//! }
//!
//! impl Images {
//!     fn image(&self, method: Method) -> Request {
//!         Request::new(method, format!("{}/disk-0.raw", self.url))
//!     }
//!
//!     fn size(&self) -> Result<u64, Fault> {
//!         let response = Imports.send(&self.image(Method::Head), &[])?;
//!         let length = response.header("content-length").and_then(|length| length.parse().ok());
//!         match response.status {
//!             200 => length.ok_or_else(|| Fault::corrupt("The server did not say how long the image is.")),
//!             401 | 403 => Err(Fault::denied(format!("The server says that this is not allowed: status {}.", response.status))),
//!             404 => Err(Fault::not_found("The image is not there.")),
//!             status => Err(Fault::unavailable(format!("The server answered with status {status}."))),
//!         }
//!     }
//!
//!     /// The VM that is meant, and no other one: this server has a single one, and it never becomes another.
//!     fn proven(&self, vm: &VmRef) -> Result<(), Fault> {
//!         match vm.fingerprint == self.url {
//!             true => Ok(()),
//!             false => Err(Fault::conflict(format!("{} is another machine than it was.", vm.id))),
//!         }
//!     }
//! }
//!
//! impl Source for Images {
//!     // A plugin with more than one setting reads them with serde_json.
//!     fn open(settings: &str) -> Result<Images, Fault> {
//!         let url = settings.strip_prefix(r#"{"url":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
//!         let url = url.ok_or_else(|| Fault::invalid("The settings of these images cannot be used: only url may stand there."))?;
//!         Ok(Images { url: url.to_owned() })
//!     }
//!
//!     fn describe(&self) -> Result<Description, Fault> {
//!         self.size()?;
//!         Ok(Description { product: format!("An image at {}", self.url), disks_per_host_max: None })
//!     }
//!
//!     fn inventory(&self, _cursor: Option<&str>) -> Result<InventoryPage, Fault> {
//!         let disk = DiskSummary { id: DISK.to_owned(), label: "Disk 0".to_owned(), size: self.size()? };
//!         let vm = VmSummary {
//!             vm: VmRef { id: "db01".to_owned(), fingerprint: self.url.clone() },
//!             name: "db01".to_owned(),
//!             folder: String::new(),
//!             power: PowerState::Off,
//!             host: String::new(),
//!             guest_os: "Linux".to_owned(),
//!             disks: vec![disk],
//!         };
//!         Ok(InventoryPage { vms: vec![vm], next: None })
//!     }
//!
//!     fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault> {
//!         self.proven(vm).map(|()| Vec::new())
//!     }
//!
//!     fn definition(&self, vm: &VmRef) -> Result<VmDefinition, Fault> {
//!         self.proven(vm)?;
//!         let place = DiskPlace { disk: DISK.to_owned(), controller: "virtio-scsi".to_owned(), controller_number: 0, unit: 0 };
//!         Ok(VmDefinition {
//!             name: vm.id.clone(),
//!             cpus: 2,
//!             memory_mib: 2048,
//!             firmware: Firmware::Efi,
//!             secure_boot: false,
//!             guest_os: "Linux".to_owned(),
//!             nics: Vec::new(),
//!             disks: vec![place],
//!         })
//!     }
//!
//!     fn placement(&self, vm: &VmRef) -> Result<VmPlacement, Fault> {
//!         self.proven(vm)?;
//!         let home = DiskHome { disk: DISK.to_owned(), datastore: None };
//!         Ok(VmPlacement { host: String::new(), datastores: Vec::new(), disks: vec![home] })
//!     }
//!
//!     fn enable_tracking(&self, vm: &VmRef) -> Result<Outcome, Fault> {
//!         self.proven(vm).map(|()| Outcome::Done)
//!     }
//!
//!     fn reset_tracking(&self, _vm: &VmRef) -> Result<Outcome, Fault> {
//!         Err(Fault::unsupported("An image that never changes has one marker."))
//!     }
//!
//!     // An image at rest is its own snapshot, so nothing has to be opened, and nothing is left over.
//!     fn open_snapshot(&self, vm: &VmRef, tag: &str, _quiesce: Quiesce) -> Result<Outcome, Fault> {
//!         self.proven(vm)?;
//!         Ok(Outcome::Opened(Opened { token: tag.to_owned(), quiesced: false }))
//!     }
//!
//!     fn close_snapshot(&self, _token: &str, _closing: Closing) -> Result<Outcome, Fault> {
//!         Ok(Outcome::Closed(Vec::new()))
//!     }
//!
//!     fn leftovers(&self, _vm: &VmRef, _tag_prefix: &str) -> Result<Vec<String>, Fault> {
//!         Ok(Vec::new())
//!     }
//!
//!     fn disks(&self, _token: &str) -> Result<Vec<SnapshotDisk>, Fault> {
//!         Ok(vec![SnapshotDisk {
//!             id: DISK.to_owned(),
//!             label: "Disk 0".to_owned(),
//!             fingerprint: format!("{}/{DISK}", self.url),
//!             size: self.size()?,
//!             marker: Some("first".to_owned()),
//!             readable: ReadablePart::WholeDisk,
//!         }])
//!     }
//!
//!     fn changed(&self, _token: &str, _disk: &str, since: &str, _cursor: Option<&str>) -> Result<Changes, Fault> {
//!         match since {
//!             "first" => Ok(Changes::Page(ChangedPage { covers: Extent::new(0, self.size()?), extents: Vec::new(), next: None })),
//!             _ => Ok(Changes::Resync { code: "marker-unknown", message: format!("{since} is no marker of this source.") }),
//!         }
//!     }
//!
//!     fn open_range(&self, _token: &str, _disk: &str, range: Extent) -> Result<ByteSource, Fault> {
//!         Imports.lazy(&self.image(Method::Get), range)
//!     }
//!
//!     fn power(&self, _vm: &VmRef, _action: PowerAction) -> Result<Outcome, Fault> {
//!         Err(Fault::unsupported("An image runs nowhere."))
//!     }
//! }
//!
//! transload_guest::export_source!(Images);
//!
//! let images = Images::open(r#"{"url":"https://images.test"}"#)?;
//! let other = VmRef { id: "db01".to_owned(), fingerprint: "of somebody else".to_owned() };
//! assert!(images.preflight(&other).is_err());
//! assert!(images.poll("an operation").is_err(), "nothing is ever pending here");
//! # Ok::<(), Fault>(())
//! ```

use crate::fault::Fault;
use crate::http::Extent;
use crate::machine::VmDefinition;

pub use crate::bindings::transload::plugin::bulk::ByteSource;

/// What a source plugin is. Each call opens it anew, for any call may meet a fresh instance. Each may be repeated.
pub trait Source: Sized {
    /// `settings`: what the operator wrote under `config`, as a JSON object. `invalid` says what is wrong with them.
    fn open(settings: &str) -> Result<Self, Fault>;

    /// Logs in if need be and says who answers.
    fn describe(&self) -> Result<Description, Fault>;

    /// All VMs, page by page, in a stable order.
    fn inventory(&self, cursor: Option<&str>) -> Result<InventoryPage, Fault>;

    /// What stands in the way of replicating this VM. Touches nothing.
    fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault>;

    fn definition(&self, vm: &VmRef) -> Result<VmDefinition, Fault>;

    fn placement(&self, vm: &VmRef) -> Result<VmPlacement, Fault>;

    /// `Done` when change tracking is live on all disks.
    fn enable_tracking(&self, vm: &VmRef) -> Result<Outcome, Fault>;

    /// Afterwards every old marker leads to `Changes::Resync`.
    fn reset_tracking(&self, vm: &VmRef) -> Result<Outcome, Fault>;

    /// A second call with the same tag answers the snapshot that the first one made.
    fn open_snapshot(&self, vm: &VmRef, tag: &str, quiesce: Quiesce) -> Result<Outcome, Fault>;

    /// Closing a snapshot that is gone is `Closed` as well.
    fn close_snapshot(&self, token: &str, closing: Closing) -> Result<Outcome, Fault>;

    /// Markers that no later cycle will build on. Left as it is by a source that keeps nothing for a marker.
    fn release_markers(&self, _vm: &VmRef, _markers: &[DiskMarker]) -> Result<(), Fault> {
        Ok(())
    }

    /// Tokens of snapshots of this VM whose tag starts with `tag_prefix`.
    fn leftovers(&self, vm: &VmRef, tag_prefix: &str) -> Result<Vec<String>, Fault>;

    /// `not-found` when the snapshot is gone.
    fn disks(&self, token: &str) -> Result<Vec<SnapshotDisk>, Fault>;

    /// A marker that is not known is `Changes::Resync`, never an empty page: that would lose every change.
    fn changed(&self, token: &str, disk: &str, since: &str, cursor: Option<&str>) -> Result<Changes, Fault>;

    /// To be asked for the same bytes again means that the host's pull ended as `auth`: look whether the login lives.
    fn open_range(&self, token: &str, disk: &str, range: Extent) -> Result<ByteSource, Fault>;

    fn power(&self, vm: &VmRef, action: PowerAction) -> Result<Outcome, Fault>;

    /// The state of an operation that some call answered as `Pending`. Left as it is by a source that never does.
    fn poll(&self, _operation: &str) -> Result<Outcome, Fault> {
        Err(Fault::not_found("Nothing is ever pending at this source."))
    }

    /// Asks the other side to give an operation up. Left as it is where that cannot be asked: the host polls until it ends.
    fn cancel(&self, _operation: &str) -> Result<(), Fault> {
        Ok(())
    }
}

/// Names a VM and proves that it is still the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmRef {
    pub id: String,
    /// What does not change while it is the same VM. One that differs from the VM found is `conflict`.
    pub fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerState {
    On,
    Off,
    Suspended,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSummary {
    pub id: String,
    pub label: String,
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSummary {
    pub vm: VmRef,
    pub name: String,
    pub folder: String,
    pub power: PowerState,
    pub host: String,
    pub guest_os: String,
    pub disks: Vec<DiskSummary>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryPage {
    pub vms: Vec<VmSummary>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Info,
    Warning,
    /// Replication is refused until this is mended.
    Blocking,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable, lower case, words joined by hyphens: "snapshots-present".
    pub code: &'static str,
    pub severity: Severity,
    pub subject: String,
    pub message: String,
    pub remedy: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    pub id: String,
    pub name: String,
    pub free: u64,
    pub capacity: u64,
    pub snapshot_bytes: u64,
}

/// Where the snapshots of a disk grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskHome {
    pub disk: String,
    /// None: nobody counts there.
    pub datastore: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmPlacement {
    /// Empty when the VM runs nowhere that has limits.
    pub host: String,
    pub datastores: Vec<Datastore>,
    pub disks: Vec<DiskHome>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub product: String,
    /// Disks that may be read at once from one host.
    pub disks_per_host_max: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiesce {
    Wanted,
    Unwanted,
}

/// Whether change tracking will be asked about this snapshot later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    KeepMarkers,
    DiscardMarkers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub token: String,
    /// Asking for it is not getting it.
    pub quiesced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskMarker {
    pub disk: String,
    pub marker: String,
}

/// What a long operation has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The host keeps the operation's token and asks again with `poll`.
    Pending {
        operation: String,
        poll_after_ms: u32,
    },
    Opened(Opened),
    /// Markers that were born at close; none when `disks` gave them.
    Closed(Vec<DiskMarker>),
    Power(PowerState),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadablePart {
    WholeDisk,
    /// Only what `changed` names, for sources that export a log of writes.
    ChangesOnly,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDisk {
    pub id: String,
    pub label: String,
    /// What binds markers and digests to this very disk.
    pub fingerprint: String,
    pub size: u64,
    pub marker: Option<String>,
    pub readable: ReadablePart,
}

/// Pages tile the disk in order; `extents` are sorted, apart and inside of what the page covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedPage {
    pub covers: Extent,
    pub extents: Vec<Extent>,
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    Page(ChangedPage),
    /// The source cannot say what changed. `code` is stable: "tracking-reset", "marker-unknown", "disk-reshaped".
    Resync {
        code: &'static str,
        message: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerAction {
    On,
    /// Pulls the plug.
    Off,
    /// Asks the guest to shut down; the outcome is pending until it is off.
    Shutdown,
}

/// Makes a type that is a [`Source`] what the component exports. It stands once in a plugin.
#[macro_export]
macro_rules! export_source {
    ($source:ty) => {
        const _: () = {
            type Exported = $source;
            const _: () = $crate::source::is_source::<Exported>();
            #[cfg(target_family = "wasm")]
            $crate::bindings::source::export! { Exported with_types_in $crate::bindings::source }
        };
    };
}

#[doc(hidden)]
pub const fn is_source<S: Source>() {}
