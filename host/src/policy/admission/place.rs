//! Where a VM counts against limits, and with how much.

use super::{DISKS, LimitNo};

/// Where a VM is, as limits see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    pub disks: u32,
    pub host: Option<LimitNo>,
    /// Each datastore once, with how many of the disks lie there.
    pub datastores: Vec<(LimitNo, u32)>,
    pub sinks: Vec<LimitNo>,
}

/// The limits that a read disk counts against, the appliance's last.
pub(super) fn disk_pools(place: &Place) -> impl Iterator<Item = LimitNo> {
    place.host.iter().chain(&place.sinks).copied().chain([DISKS])
}

/// What a place that holds so many disks uses of a host, a sink or a datastore.
pub(super) fn amount_at(place: &Place, no: LimitNo, disks: u32) -> u32 {
    let here = place.host == Some(no) || place.sinks.contains(&no);
    let snapshots = place.datastores.iter().find(|(datastore, _)| *datastore == no).map(|(_, disks)| *disks);
    snapshots.unwrap_or(if here { disks } else { 0 })
}
