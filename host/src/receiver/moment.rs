//! Where a receiver stands in its work, as moments at which it can be told to die.

use serde::{Deserialize, Serialize};

use crate::waypoint;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// A page of an initial copy was followed.
    FilledAhead,
    /// An initial disk stands whole beside its replica's place.
    Filled,
    /// A disk of a delta is verified, and nothing of it written.
    Verified,
    /// A disk's blocks are written, and nothing flushed.
    Written,
    /// A disk is durable, and its digests do not yet speak of the point.
    Flushed,
    /// A filled disk took its replica's place, and its digests did not.
    Promoted,
    /// Every disk of a commit is applied, and nobody knows.
    Applied,
    /// What only the commit needed is gone.
    CleanedUp,
    /// A disk was made out of the store, without its digests.
    Restored,
}

impl Moment {
    pub(super) fn reached(self) {
        waypoint::reached(|| format!("receiver/{}", waypoint::name_of(&self)));
    }
}
