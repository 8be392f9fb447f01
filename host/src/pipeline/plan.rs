//! What a cycle must bring over for one disk: known, widened to cells and durable before the first read.

use crate::model::{DiskId, DiskSize, Extent, Fault, Marker, SectorBitmap, SnapshotToken, check_extents};

use super::source::{Changes, ResyncReason, Source};

/// Pages of `changed` for one disk; a source that needs more is going in circles.
const PAGES_MAX: u32 = 10_000_000;

/// What the source says changed on a disk since a marker, or why it cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Cells(SectorBitmap, Reported),
    Unknown(ResyncReason),
}

/// The source's own words, before they were widened to cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reported {
    pub bytes: u64,
    pub extents: u64,
}

/// Follows `changed` to its end. Pages must tile the disk: each covers what follows the one before, and the last one ends at the size.
pub async fn changed_since(
    source: &dyn Source,
    token: &SnapshotToken,
    disk: &DiskId,
    size: DiskSize,
    since: &Marker,
) -> Result<Changed, Fault> {
    let mut bitmap = SectorBitmap::empty(size);
    let mut reported = Reported::default();
    let mut reached = 0;
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = match source.changed(token, disk, since, cursor).await? {
            Changes::Resync(reason) => return Ok(Changed::Unknown(reason)),
            Changes::Page(page) => page,
        };
        check_cover(page.covers, reached, size)?;
        check_extents(&page.extents, page.covers)?;
        for extent in &page.extents {
            bitmap.insert_widened(*extent);
            reported.bytes += extent.length;
            reported.extents += 1;
        }
        reached = page.covers.end();
        match page.next {
            Some(next) => cursor = Some(next),
            None if reached == size.bytes() => return Ok(Changed::Cells(bitmap, reported)),
            None => {
                return Err(Fault::corrupt(format!(
                    "the source described changes up to byte {reached} of disk {disk} and then stopped; the disk has {} bytes",
                    size.bytes()
                )));
            }
        }
    }
    Err(Fault::corrupt(format!("the source's description of changes on disk {disk} does not end")))
}

fn check_cover(covers: Extent, reached: u64, size: DiskSize) -> Result<(), Fault> {
    let end = covers.offset.checked_add(covers.length);
    if covers.offset == reached && covers.length > 0 && end.is_some_and(|end| end <= size.bytes()) {
        return Ok(());
    }
    Err(Fault::corrupt(format!(
        "a page of changes covers {}+{}, but should start at {reached} and stay inside {} bytes",
        covers.offset,
        covers.length,
        size.bytes()
    )))
}
