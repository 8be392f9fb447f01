//! What a VM wishes for, and how urgent that is.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Place;

/// A wish of lower rank that is so late is moved up.
pub const OVERDUE: SignedDuration = SignedDuration::from_hours(12);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Final,
    Initial,
    Delta,
}

/// What a VM has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    New,
    Replicating,
    /// Its snapshot is open, or may be: it counts already, and no limit can undo it.
    SnapshotOpen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub kind: Kind,
    pub standing: Standing,
    /// Since when the cycle is due.
    pub since: Timestamp,
    /// Disks that are not copied yet.
    pub disks: u32,
    pub place: Arc<Place>,
}

impl Ask {
    pub(super) fn late_at(&self) -> Timestamp {
        self.since.checked_add(OVERDUE).unwrap_or(Timestamp::MAX)
    }
}
