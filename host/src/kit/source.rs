//! What the gateway relies on in a hypervisor's plugin. Tried on a VM that the operator names: it gets two snapshots, one after the other,
//! and loses both again. Nothing else of it is touched.

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Judged, Tried, judged, patiently, told};
use crate::model::{
    Closing, DiskId, DiskMarker, Extent, Fault, FaultKind, Marker, OpenedSnapshot, Quiesce, SECTOR, SnapshotDisk, SnapshotToken, VmRef,
    VmSummary, check_extents,
};
use crate::pipeline::source::{ChangedPage, Changes, Ended, InventoryPage, Outcome, Source};
use crate::random::Random;

/// An inventory that goes on after this does not end.
const PAGES_MAX: usize = 10_000;
/// What one claim reads of a disk, and in pieces of which size: not a power of two, and not a whole number of cells.
const READ: u64 = 4 << 20;
const PIECE: u64 = 333 * SECTOR;
/// Nobody ever gave this marker.
const UNKNOWN: &str = "52 00 00 00 00 00 00 00-00 00 00 00 00 00 00 00/1";

type Try = for<'a> fn(&'a Trial<'a>) -> BoxFuture<'a, Tried>;

struct Claim {
    says: &'static str,
    because: &'static str,
    tried: Try,
}

const CLAIMS: &[Claim] = &[
    Claim {
        says: "describe says who answers, and says it again",
        because: "the operator sees by it that this is the right place",
        tried: |trial| trial.describes().boxed(),
    },
    Claim {
        says: "the inventory ends and holds each VM once",
        because: "a VM that is left out is not protected, and one that comes twice is copied twice",
        tried: |trial| trial.lists().boxed(),
    },
    Claim {
        says: "a page of the inventory is the same when it is asked for again",
        because: "replies are lost, and the host asks once more",
        tried: |trial| trial.lists_again().boxed(),
    },
    Claim {
        says: "definition and placement name the disks of the inventory, and preflight answers",
        because: "a VM is built from its definition on the other side; a disk that is missing there is lost, and one that has no place is \
                  copied beside the limits",
        tried: |trial| trial.defines().boxed(),
    },
    Claim {
        says: "a fingerprint of another VM is a conflict, and opens nothing",
        because: "identifiers are given anew: another VM's data must not become this one's",
        tried: |trial| trial.tells_apart().boxed(),
    },
    Claim {
        says: "a snapshot opens, and its tag opens no second one",
        because: "a reply that was lost would leave a snapshot behind that grows until the datastore is full",
        tried: |trial| trial.opens().boxed(),
    },
    Claim {
        says: "another instance knows the snapshot by its token, and sees the same disks",
        because: "an agent that was killed goes on with what is in its journal",
        tried: |trial| trial.is_known_by_its_token().boxed(),
    },
    Claim {
        says: "leftovers finds the snapshot by the beginning of its tag, and finds nothing by another",
        because: "what a killed agent left behind is found by it, and nobody else's snapshot may be",
        tried: |trial| trial.finds().boxed(),
    },
    Claim {
        says: "a range is the same bytes as a whole, in pieces, backwards and by another instance",
        because: "digests are compared with what is read a second time",
        tried: |trial| trial.reads().boxed(),
    },
    Claim {
        says: "the last sector is read, and nothing beyond it",
        because: "a source that answers beyond the end would hide that a disk is shorter than was said",
        tried: |trial| trial.ends().boxed(),
    },
    Claim {
        says: "closing is repeatable; then the token is not-found and nothing is left over",
        because: "a reply that was lost is asked for again, and a snapshot that stays costs the VM",
        tried: |trial| trial.closes().boxed(),
    },
    Claim {
        says: "what changed since a snapshot that is closed is told in pages that tile the disk, with extents in order inside",
        because: "a gap between two pages is a change that nobody copies",
        tried: |trial| trial.tells_changes().boxed(),
    },
    Claim {
        says: "a marker that nobody gave leads to resync or to a fault, never to a page",
        because: "an empty answer to a wrong question loses every change",
        tried: |trial| trial.knows_its_markers().boxed(),
    },
];

/// Tries every claim on the VM of this name, and tells each as it is judged. `other` is the same source once more, as after a restart.
pub async fn judge(
    source: &dyn Source,
    other: &dyn Source,
    vm: &str,
    random: Random,
    tell: &mut (dyn FnMut(&Judged) + Send),
) -> Result<Vec<Judged>, Fault> {
    let trial = Trial {
        source,
        other,
        vm: find(source, vm).await?,
        prefix: format!("transload-kit-{:016x}-", random.number()),
        open: Mutex::default(),
    };
    let mut all = Vec::new();
    for (index, claim) in CLAIMS.iter().enumerate() {
        let judged = judged(index + 1, claim.says, claim.because, (claim.tried)(&trial).await);
        tell(&judged);
        all.push(judged);
    }
    trial.clean_up().await.map_err(|fault| fault.while_doing("closing the snapshots of this trial"))?;
    Ok(all)
}

async fn find(source: &dyn Source, name: &str) -> Result<VmSummary, Fault> {
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = source.inventory(cursor).await?;
        if let Some(found) = page.vms.into_iter().find(|vm| vm.name == name) {
            return Ok(found);
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Err(Fault::not_found(format!("no VM {name:?} is in the inventory"))),
        }
    }
    Err(Fault::corrupt(format!("the inventory does not end within {PAGES_MAX} pages")))
}

struct Trial<'a> {
    source: &'a dyn Source,
    other: &'a dyn Source,
    vm: VmSummary,
    /// Of the tags of all snapshots that this trial opens.
    prefix: String,
    open: Mutex<Open>,
}

/// What a claim leaves to the next.
#[derive(Default, Clone)]
struct Open {
    token: Option<SnapshotToken>,
    disks: Vec<SnapshotDisk>,
    /// Of the snapshot that was closed.
    markers: Vec<DiskMarker>,
}

impl Trial<'_> {
    async fn describes(&self) -> Tried {
        let first = self.source.describe().await.map_err(|fault| told("describe", &fault))?;
        let again = self.source.describe().await.map_err(|fault| told("describe, again", &fault))?;
        match (first.product.trim().is_empty(), first.product == again.product) {
            (true, _) => Err("it says no product".to_owned()),
            (_, false) => Err(format!("it is {:?} first and {:?} then", first.product, again.product)),
            _ => Ok(None),
        }
    }

    async fn lists(&self) -> Tried {
        let (mut seen, mut cursor) = (BTreeSet::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.page(cursor).await?;
            for vm in page.vms {
                if !seen.insert(vm.vm.id.clone()) {
                    return Err(format!("{} ({}) is listed twice", vm.name, vm.vm.id));
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(None),
            }
        }
        Err(format!("there are more than {PAGES_MAX} pages"))
    }

    async fn lists_again(&self) -> Tried {
        let first = self.page(None).await?;
        let cursor = first.next.clone();
        if self.page(None).await?.vms != first.vms {
            return Err("the first page differs when it is asked for again".to_owned());
        }
        if cursor.is_some() && self.page(cursor.clone()).await?.vms != self.page(cursor).await?.vms {
            return Err("the second page differs when it is asked for again".to_owned());
        }
        Ok(None)
    }

    async fn page(&self, cursor: Option<String>) -> Result<InventoryPage, String> {
        self.source.inventory(cursor).await.map_err(|fault| told("inventory", &fault))
    }

    async fn defines(&self) -> Tried {
        let vm = &self.vm.vm;
        self.source.preflight(vm).await.map_err(|fault| told("preflight", &fault))?;
        let placement = self.source.placement(vm).await.map_err(|fault| told("placement", &fault))?;
        let definition = self.source.definition(vm).await.map_err(|fault| told("definition", &fault))?;
        let defined: BTreeSet<&DiskId> = definition.disks.iter().map(|place| &place.disk).collect();
        let listed: BTreeSet<&DiskId> = self.vm.disks.iter().map(|disk| &disk.id).collect();
        let placed: BTreeSet<&DiskId> = placement.disks.iter().map(|home| &home.disk).collect();
        match (defined == listed, placed == listed) {
            (true, true) => Ok(None),
            (false, _) => Err(format!("the definition has the disks {defined:?}, the inventory {listed:?}")),
            (_, false) => Err(format!("the placement has the disks {placed:?}, the inventory {listed:?}")),
        }
    }

    async fn tells_apart(&self) -> Tried {
        let foreign = VmRef { fingerprint: format!("{}-of-another", self.vm.vm.fingerprint), ..self.vm.vm.clone() };
        let conflict = |what: &str, came: Result<(), Fault>| match came {
            Err(fault) if fault.kind == FaultKind::Conflict => Ok(()),
            Err(fault) => Err(told(&format!("{what} is no conflict"), &fault)),
            Ok(()) => Err(format!("{what} answers for it")),
        };
        conflict("definition", self.source.definition(&foreign).await.map(drop))?;
        conflict("placement", self.source.placement(&foreign).await.map(drop))?;
        let opened = self.open(&foreign, &self.tag(0)).await;
        conflict("open-snapshot", opened.map(drop))?;
        let left = self.source.leftovers(&self.vm.vm, &self.prefix).await.map_err(|fault| told("leftovers", &fault))?;
        if left.is_empty() { Ok(None) } else { Err("it refused, and opened a snapshot all the same".to_owned()) }
    }

    async fn opens(&self) -> Tried {
        let first = self.opened(1).await?;
        self.now().token = Some(first.token.clone());
        let second = self.opened(1).await?;
        if first.token != second.token {
            return Err("the second call with its tag answered another token".to_owned());
        }
        let disks = self.source.disks(&first.token).await.map_err(|fault| told("disks", &fault))?;
        let found: BTreeSet<&DiskId> = disks.iter().map(|disk| &disk.id).collect();
        let listed: BTreeSet<&DiskId> = self.vm.disks.iter().map(|disk| &disk.id).collect();
        if found != listed {
            return Err(format!("the snapshot has the disks {found:?}, the inventory {listed:?}"));
        }
        self.now().disks = disks;
        Ok(None)
    }

    async fn is_known_by_its_token(&self) -> Tried {
        let (token, disks) = self.snapshot()?;
        let seen = self.other.disks(&token).await.map_err(|fault| told("disks, by another instance", &fault))?;
        if seen == disks { Ok(None) } else { Err(format!("one instance sees {disks:?}, another {seen:?}")) }
    }

    async fn finds(&self) -> Tried {
        let (token, _) = self.snapshot()?;
        let found = self.other.leftovers(&self.vm.vm, &self.prefix).await.map_err(|fault| told("leftovers", &fault))?;
        if found != [token] {
            return Err(format!("{} snapshots are found, and it is one", found.len()));
        }
        let none = self.source.leftovers(&self.vm.vm, &format!("{}no-such-", self.prefix)).await;
        match none.map_err(|fault| told("leftovers", &fault))?.len() {
            0 => Ok(None),
            some => Err(format!("{some} snapshots are found by a tag that none has")),
        }
    }

    async fn reads(&self) -> Tried {
        let (token, disks) = self.snapshot()?;
        for disk in &disks {
            let size = disk.size.bytes();
            let length = size.min(READ);
            for offset in BTreeSet::from([0, (size - length) / 2 / SECTOR * SECTOR, size - length]) {
                let range = Extent::new(offset, length);
                let whole = read(self.source, &token, &disk.id, range, length).await?;
                let pieces = read(self.source, &token, &disk.id, range, PIECE).await?;
                let by_other = read(self.other, &token, &disk.id, range, length).await?;
                if whole != pieces || whole != by_other {
                    let how = if whole != pieces { "in pieces" } else { "by another instance" };
                    return Err(format!("{}: {offset}+{length} differs when it is read {how}", disk.label));
                }
            }
        }
        Ok(None)
    }

    async fn ends(&self) -> Tried {
        let (token, disks) = self.snapshot()?;
        for disk in &disks {
            let last = Extent::new(disk.size.bytes() - SECTOR, SECTOR);
            read(self.source, &token, &disk.id, last, SECTOR).await?;
            let beyond = Extent::new(disk.size.bytes() - SECTOR, 2 * SECTOR);
            if read(self.source, &token, &disk.id, beyond, 2 * SECTOR).await.is_ok() {
                return Err(format!("{}: a sector beyond its {} bytes is read", disk.label, disk.size.bytes()));
            }
        }
        Ok(None)
    }

    async fn closes(&self) -> Tried {
        let (token, disks) = self.snapshot()?;
        let at_close = self.closed(&token, Closing::KeepMarkers).await?;
        self.now().token = None;
        let early = disks.into_iter().filter_map(|disk| Some(DiskMarker { marker: disk.marker?, disk: disk.id }));
        self.now().markers = early.chain(at_close).collect();
        self.closed(&token, Closing::KeepMarkers).await.map_err(|why| format!("closed once more: {why}"))?;
        match self.source.disks(&token).await {
            Err(fault) if fault.kind == FaultKind::NotFound => {}
            Err(fault) => return Err(told("the disks of a closed snapshot are not not-found", &fault)),
            Ok(_) => return Err("the disks of a closed snapshot are still there".to_owned()),
        }
        let left = self.source.leftovers(&self.vm.vm, &self.prefix).await.map_err(|fault| told("leftovers", &fault))?;
        if left.is_empty() { Ok(None) } else { Err(format!("{} snapshots are left over", left.len())) }
    }

    async fn tells_changes(&self) -> Tried {
        let markers = self.now().markers.clone();
        let token = self.opened(2).await?.token;
        self.now().token = Some(token.clone());
        let disks = self.source.disks(&token).await.map_err(|fault| told("disks", &fault))?;
        self.now().disks.clone_from(&disks);
        let mut notes = Vec::new();
        for disk in &disks {
            match markers.iter().find(|marker| marker.disk == disk.id) {
                Some(marker) => notes.extend(self.tiles(&token, disk, &marker.marker).await?),
                None => notes.push(format!("{}: change tracking is not active", disk.label)),
            }
        }
        Ok(Some(notes.join("; ")).filter(|notes| !notes.is_empty()))
    }

    /// Follows the pages to the end of the disk. A note where the source asks for a resync.
    async fn tiles(&self, token: &SnapshotToken, disk: &SnapshotDisk, since: &Marker) -> Result<Option<String>, String> {
        let (mut reached, mut cursor) = (0, None);
        for _ in 0..PAGES_MAX {
            let changes = self.source.changed(token, &disk.id, since, cursor).await;
            let ChangedPage { covers, extents, next } = match changes.map_err(|fault| told("changed", &fault))? {
                Changes::Page(page) => page,
                Changes::Resync(reason) => return Ok(Some(format!("{}: it asks for a resync ({})", disk.label, reason.code))),
            };
            if covers.offset != reached {
                return Err(format!("{}: a page covers {} on, the one before it ended at {reached}", disk.label, covers.offset));
            }
            check_extents(&extents, covers).map_err(|fault| told(&disk.label, &fault))?;
            reached = covers.end();
            match next {
                Some(next) => cursor = Some(next),
                None if reached == disk.size.bytes() => return Ok(None),
                None => return Err(format!("{}: the pages end at {reached} of {}", disk.label, disk.size.bytes())),
            }
        }
        Err(format!("{}: there are more than {PAGES_MAX} pages", disk.label))
    }

    async fn knows_its_markers(&self) -> Tried {
        let (token, disks) = self.snapshot()?;
        for disk in disks.iter().filter(|disk| disk.marker.is_some()) {
            if let Ok(Changes::Page(page)) = self.source.changed(&token, &disk.id, &Marker(UNKNOWN.to_owned()), None).await {
                return Err(format!("{}: it answers with a page of {} extents", disk.label, page.extents.len()));
            }
        }
        Ok(None)
    }

    // ---- what claims stand on ----

    fn now(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().expect("nothing panics while it holds this")
    }

    fn tag(&self, number: u8) -> String {
        format!("{}{number}", self.prefix)
    }

    fn snapshot(&self) -> Result<(SnapshotToken, Vec<SnapshotDisk>), String> {
        let Open { token, disks, .. } = self.now().clone();
        token.map(|token| (token, disks)).ok_or_else(|| "not tried: no snapshot is open".to_owned())
    }

    async fn opened(&self, number: u8) -> Result<OpenedSnapshot, String> {
        let opening = self.open(&self.vm.vm, &self.tag(number)).await;
        let opening = opening.map_err(|fault| told("open-snapshot", &fault))?;
        let fits = |ended| if let Ended::Opened(opened) = ended { Some(opened) } else { None };
        ended(self.source, opening, fits).await.map_err(|fault| told("open-snapshot", &fault))
    }

    async fn closed(&self, token: &SnapshotToken, closing: Closing) -> Result<Vec<DiskMarker>, String> {
        let begun = self.close(token, closing).await.map_err(|fault| told("close-snapshot", &fault))?;
        let fits = |ended| if let Ended::Closed(markers) = ended { Some(markers) } else { None };
        ended(self.source, begun, fits).await.map_err(|fault| told("close-snapshot", &fault))
    }

    async fn open(&self, vm: &VmRef, tag: &str) -> Result<Outcome<OpenedSnapshot>, Fault> {
        patiently!(self.source.open_snapshot(vm, tag, Quiesce::Unwanted))
    }

    async fn close(&self, token: &SnapshotToken, closing: Closing) -> Result<Outcome<Vec<DiskMarker>>, Fault> {
        patiently!(self.source.close_snapshot(token, closing))
    }

    async fn clean_up(&self) -> Result<(), Fault> {
        for token in self.source.leftovers(&self.vm.vm, &self.prefix).await? {
            self.closed(&token, Closing::DiscardMarkers).await.map_err(Fault::unavailable)?;
        }
        Ok(())
    }
}

/// The bytes of a range, fetched in pieces from its end to its beginning.
async fn read(source: &dyn Source, token: &SnapshotToken, disk: &DiskId, range: Extent, piece: u64) -> Result<Vec<u8>, String> {
    let failed = |fault: Fault| told(&format!("reading {}+{} of disk {disk}", range.offset, range.length), &fault);
    let bytes = source.open_range(token, disk, range).await.map_err(failed)?;
    if bytes.length() != range.length {
        return Err(format!("a range of {} bytes has {}", range.length, bytes.length()));
    }
    let mut whole = vec![0xa5; range.length as usize];
    let pieces: Vec<&mut [u8]> = whole.chunks_mut(piece as usize).collect();
    for (index, part) in pieces.into_iter().enumerate().rev() {
        bytes.fetch(index as u64 * piece, part).await.map_err(failed)?;
    }
    Ok(whole)
}

/// Asks until an operation has ended.
async fn ended<T>(source: &dyn Source, mut outcome: Outcome<T>, fits: impl Fn(Ended) -> Option<T>) -> Result<T, Fault> {
    loop {
        match outcome {
            Outcome::Done(value) => return Ok(value),
            Outcome::Pending { operation, poll_after } => {
                tokio::time::sleep(poll_after).await;
                outcome = match source.poll(&operation).await? {
                    Outcome::Pending { operation, poll_after } => Outcome::Pending { operation, poll_after },
                    Outcome::Done(end) => {
                        Outcome::Done(fits(end).ok_or_else(|| Fault::corrupt("the operation ended as another kind of operation"))?)
                    }
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
