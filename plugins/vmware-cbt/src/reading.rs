//! Frozen bytes of a disk, as the request that the host will make for them.

use transload_guest::fault::Fault;
use transload_guest::http::{Extent, Method, Request};

use crate::changes;
use crate::location::{self, Peek};
use crate::recall::{Asked, Recall};
use crate::session::{Held, Vcenter};
use crate::tokens::SnapshotToken;

/// A ranged GET for the host to make when it pulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LazyRange {
    pub request: Request,
    pub range: Extent,
}

/// Called for every few MiB: after the first time, it asks the network for nothing.
pub fn open_range(vcenter: &Vcenter<'_>, peek: &dyn Peek, token: &SnapshotToken, disk: &str, range: Extent) -> Result<LazyRange, Fault> {
    let recall = Recall::of(vcenter.sessions, token, disk);
    let location = match recall.location() {
        Some(location) => location,
        None => {
            let found = changes::frozen_disk(vcenter, token, disk)?;
            let location = location::find(vcenter, peek, token, &found)?;
            recall.found(&location);
            location
        }
    };
    if range.length == 0 || range.offset.checked_add(range.length).is_none_or(|end| end > location.size) {
        return Err(Fault::invalid(format!(
            "{} bytes at {} are not inside the disk of {} bytes.",
            range.length, range.offset, location.size
        )));
    }
    let held = alive(vcenter, &recall, range)?;
    let request = Request::new(Method::Get, location.url).header("cookie", held.login.cookie);
    Ok(LazyRange { request, range })
}

/// A login to read with. When this very range was handed out under it before, vCenter is asked whether the login still lives.
fn alive(vcenter: &Vcenter<'_>, recall: &Recall<'_>, range: Extent) -> Result<Held, Fault> {
    let held = vcenter.held()?;
    if recall.hand_out(held.stored, range) == Asked::First {
        return Ok(held);
    }
    let root = held.login.root_folder.clone();
    vcenter.read("look whether the session lives", &root, &["name"])?;
    recall.take_back();
    Ok(vcenter.held()?)
}

#[cfg(test)]
mod tests;
