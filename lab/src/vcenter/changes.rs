//! QueryChangedDiskAreas.

use super::inventory::{Disk, State};
use super::{Datacentre, digests};
use crate::disk::{CELL, Extent};
use crate::soap::{Fault, Object, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One query as the client asks it.
pub(super) struct Query {
    pub vm: String,
    /// Without a snapshot the VM must be off.
    pub snapshot: Option<String>,
    pub disk_key: i32,
    pub start: u64,
    pub change_id: String,
}

/// The changes from `start` on, as far as one reply reaches.
pub(super) async fn query(centre: &Arc<Datacentre>, query: Query) -> Result<Object, Fault> {
    let gate = centre.gate(&query.vm)?;
    let _chain_stays = gate.read_owned().await;
    let (extents, capacity) = if query.change_id == "*" {
        let (chain, capacity) = allocated_source(&centre.state(), &query)?;
        let extents = tokio::task::spawn_blocking(move || chain.allocated()).await.map_err(Fault::lab)?.map_err(Fault::lab)?;
        (extents, capacity)
    } else {
        tracked(&centre.state(), &query)?
    };
    if query.start >= capacity {
        return Err(Fault::invalid_argument("startOffset"));
    }
    Ok(reply(centre, &query, &extents, capacity))
}

fn allocated_source(state: &State, query: &Query) -> Result<(crate::disk::Chain, u64), Fault> {
    let (disk, _) = tracked_disk(state, query)?;
    let chain = match &query.snapshot {
        None => Some(disk.chain.clone()),
        Some(id) => {
            let (vm, snapshot) = state.snapshot(id).ok_or_else(|| Fault::not_found(id))?;
            snapshot.disks.iter().find(|frozen| frozen.key == query.disk_key).and_then(|frozen| digests::chain(vm, frozen))
        }
    };
    let chain = chain.ok_or_else(|| Fault::invalid_argument("deviceKey"))?;
    let capacity = chain.capacity;
    Ok((chain, capacity))
}

fn tracked(state: &State, query: &Query) -> Result<(Vec<Extent>, u64), Fault> {
    let (disk, until) = tracked_disk(state, query)?;
    let path = &disk.chain.top().descriptor;
    let tracker = disk.tracker.as_ref().ok_or_else(|| Fault::file(path, "change tracking is not active on this disk"))?;
    let extents = tracker
        .changed(&query.change_id, until.as_deref(), disk.chain.capacity)
        .map_err(|_| Fault::file(path, "the change tracking file does not know this changeId"))?;
    Ok((extents, disk.chain.capacity))
}

/// The disk, with the changeId of the snapshot that bounds the question.
fn tracked_disk<'a>(state: &'a State, query: &Query) -> Result<(&'a Disk, Option<String>), Fault> {
    let vm = state.vms.get(&query.vm).ok_or_else(|| Fault::not_found(&query.vm))?;
    let disk = vm.disk(query.disk_key).ok_or_else(|| Fault::invalid_argument("deviceKey"))?;
    let path = &disk.chain.top().descriptor;
    if disk.tracker.is_none() {
        return Err(Fault::file(path, "change tracking is not active on this disk"));
    }
    let Some(id) = &query.snapshot else {
        if vm.power == super::inventory::Power::On {
            return Err(Fault::invalid_argument("snapshot"));
        }
        return Ok((disk, None));
    };
    let snapshot = vm.snapshots.iter().find(|snapshot| snapshot.id == *id).ok_or_else(|| Fault::not_found(id))?;
    let frozen = snapshot.disks.iter().find(|frozen| frozen.key == query.disk_key).ok_or_else(|| Fault::invalid_argument("deviceKey"))?;
    let until = frozen.change_id.clone().ok_or_else(|| Fault::file(path, "the snapshot was taken before change tracking was active"))?;
    Ok((disk, Some(until)))
}

/// Cuts one reply out of the whole answer, and lies where a knob says so.
fn reply(centre: &Datacentre, query: &Query, extents: &[Extent], capacity: u64) -> Object {
    let knobs = centre.knobs();
    let widened = hide(widen(extents, knobs.changes_widen_cells, capacity), knobs.changes_hidden_share, capacity);
    let hidden = |number: usize| {
        knobs.changes_hidden_extents.contains(&number) || knobs.changes_hidden_pages.contains(&(number / knobs.changes_extents_max))
    };
    let mut end = knobs.changes_window_bytes.map_or(capacity, |window| query.start.saturating_add(window).min(capacity));
    let mut listed = Vec::new();
    for (number, extent) in widened.iter().enumerate().filter(|(_, extent)| extent.end() > query.start) {
        if extent.start >= end {
            break;
        }
        let start = extent.start.max(query.start);
        let extent_end = extent.end().min(end);
        listed.push((number, start, extent_end - start));
        if listed.len() == knobs.changes_extents_max {
            end = extent_end;
            break;
        }
    }
    let areas = listed
        .into_iter()
        .filter(|(number, ..)| !hidden(*number))
        .map(|(_, start, length)| Object::new("DiskChangeExtent").with("start", start).with("length", length));
    let start = query.start + knobs.changes_start_shift;
    Object::new("DiskChangeInfo")
        .with("startOffset", start)
        .with("length", end.saturating_sub(start))
        .with("changedArea", Value::list("DiskChangeExtent", areas))
}

fn widen(extents: &[Extent], cells: u64, capacity: u64) -> Vec<Extent> {
    if cells == 0 {
        return extents.to_vec();
    }
    let numbers: BTreeSet<u64> =
        extents.iter().flat_map(|extent| (extent.start / CELL).saturating_sub(cells)..extent.end().div_ceil(CELL) + cells).collect();
    crate::disk::from_units(numbers, CELL, capacity)
}

/// Leaves out the cells that change tracking is blind to.
fn hide(extents: Vec<Extent>, share: f64, capacity: u64) -> Vec<Extent> {
    if share <= 0.0 {
        return extents;
    }
    let cells = extents.iter().flat_map(|extent| extent.start / CELL..extent.end().div_ceil(CELL));
    crate::disk::from_units(cells.filter(|cell| !is_blind_to(*cell, share)), CELL, capacity)
}

/// Scattered over the disk as if by chance (Fibonacci hashing), and the same for each question.
fn is_blind_to(cell: u64, share: f64) -> bool {
    let scattered = cell.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    (scattered as f64) < share * (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blind_tracker_hides_its_share_and_always_the_same() {
        let disk = vec![Extent { start: 0, length: 100_000 * CELL }];
        for share in [0.01, 0.3, 1.0] {
            let seen: u64 = hide(disk.clone(), share, 100_000 * CELL).iter().map(|extent| extent.length / CELL).sum();
            let hidden = (100_000 - seen) as f64 / 100_000.0;
            assert!((hidden - share).abs() < 0.002, "{hidden} of {share}");
        }
        let whole = hide(disk, 0.3, 100_000 * CELL);
        let part = hide(vec![Extent { start: 7 * CELL, length: 500 * CELL }], 0.3, 100_000 * CELL);
        assert!(part.iter().all(|extent| whole.iter().any(|other| other.start <= extent.start && extent.end() <= other.end())));
    }
}
