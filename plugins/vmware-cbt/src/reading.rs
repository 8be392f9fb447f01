//! Frozen bytes of a disk, as the request that the host will make for them.

use transload_guest::fault::Fault;
use transload_guest::http::{Extent, Method, Request};

use crate::changes;
use crate::location::{self, Location, Peek};
use crate::recall::{self, Asked};
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
    let parts = [token.vm.as_str(), token.tag.as_str(), disk];
    let location = located(vcenter, peek, token, disk, recall::name("located", parts))?;
    if range.length == 0 || range.offset.checked_add(range.length).is_none_or(|end| end > location.size) {
        return Err(Fault::invalid(format!(
            "{} bytes at {} are not inside the disk of {} bytes.",
            range.length, range.offset, location.size
        )));
    }
    let held = alive(vcenter, range, recall::name("handed", parts))?;
    let request = Request::new(Method::Get, location.url).header("cookie", held.login.cookie);
    Ok(LazyRange { request, range })
}

fn located(vcenter: &Vcenter<'_>, peek: &dyn Peek, token: &SnapshotToken, disk: &str, name: Option<String>) -> Result<Location, Fault> {
    if let Some(location) = name.as_deref().and_then(|name| recall::recall(vcenter.sessions, name)) {
        return Ok(location);
    }
    let found = changes::named(changes::frozen_disks(vcenter, token)?, disk, token)?;
    let location = location::find(vcenter, peek, token, &found)?;
    if let Some(name) = name {
        recall::remember(vcenter.sessions, &name, &location);
    }
    Ok(location)
}

/// A login to read with. When this very range was handed out under it before, vCenter is asked whether the login still lives.
fn alive(vcenter: &Vcenter<'_>, range: Extent, name: Option<String>) -> Result<Held, Fault> {
    let held = vcenter.held()?;
    let asked = name.as_deref().map(|name| recall::note(vcenter.sessions, name, held.stored, range)).unwrap_or(Asked::Again);
    if asked == Asked::First {
        return Ok(held);
    }
    let root = held.login.root_folder.clone();
    vcenter.read("look whether the session lives", &root, &["name"])?;
    if let Some(name) = name {
        recall::forget(vcenter.sessions, &name);
    }
    Ok(vcenter.held()?)
}

#[cfg(test)]
mod tests;
