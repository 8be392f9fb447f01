//! Pages that do not follow each other, and extents that are none.

use crate::exports::transload::plugin::source::{ChangedPage, InventoryPage};
use crate::setting;
use crate::transload::plugin::types::Extent;

/// Each page speaks of so many bytes; disks of the tests have four pages.
const PAGE: u64 = 4096;

/// The changes of a disk, page by page, wrong in the way that its name says. The cursor is the number of the page.
pub fn changed(disk: &str, cursor: Option<&str>) -> ChangedPage {
    let number: u64 = cursor.map_or(0, |cursor| cursor.parse().unwrap_or(0));
    let extent = |offset, length| Extent { offset, length };
    let right = ChangedPage {
        covers: extent(number * PAGE, PAGE),
        extents: vec![extent(number * PAGE, 512)],
        next: (number < 3).then(|| format!("{}", number + 1)),
    };
    let with = |extents: &[(u64, u64)]| extents.iter().map(|&(offset, length)| extent(offset, length)).collect();
    match disk {
        "overlapping" => ChangedPage { extents: with(&[(0, 1024), (512, 512)]), ..right },
        "unsorted" => ChangedPage { extents: with(&[(1024, 512), (0, 512)]), ..right },
        "outside" => ChangedPage { extents: with(&[(PAGE - 512, 1024)]), ..right },
        "nothing" => ChangedPage { extents: with(&[(512, 0)]), ..right },
        "wrapping" => ChangedPage { extents: with(&[(u64::MAX - 511, 1024)]), ..right },
        "too-many" => ChangedPage { covers: extent(0, 1 << 30), extents: single_sectors(65_537), ..right },
        "flood" => ChangedPage { covers: extent(0, 1 << 40), extents: single_sectors(600_000), ..right },
        "no-part" => ChangedPage { covers: extent(number * PAGE, 0), extents: Vec::new(), ..right },
        "beyond" => ChangedPage { covers: extent(0, 1 << 40), ..right },
        "late" => ChangedPage { covers: extent(PAGE, PAGE), extents: Vec::new(), ..right },
        "gap" if number == 1 => ChangedPage { covers: extent(2 * PAGE, PAGE), extents: Vec::new(), ..right },
        "back" if number == 2 => ChangedPage { covers: extent(PAGE, PAGE), extents: Vec::new(), ..right },
        "restart" if number == 2 => ChangedPage { covers: extent(0, PAGE), extents: Vec::new(), ..right },
        "stops" if number == 1 => ChangedPage { next: None, ..right },
        "circle" if number == 1 => ChangedPage { next: Some("1".to_owned()), ..right },
        "endless" => ChangedPage { next: Some(format!("{}", number + 1)), ..right },
        "empty-cursor" => ChangedPage { next: Some(String::new()), ..right },
        "long-cursor" => ChangedPage { next: Some("x".repeat(64 * 1024 + 1)), ..right },
        _ => right,
    }
}

fn single_sectors(count: u64) -> Vec<Extent> {
    (0..count).map(|number| Extent { offset: number * 1024, length: 512 }).collect()
}

/// An inventory whose cursors lead nowhere, if the settings say so.
pub fn misled(page: InventoryPage, cursor: Option<&str>) -> InventoryPage {
    let next = match (setting("misdeed").as_str(), cursor) {
        ("inventory-in-circles", Some("there")) => Some("back".to_owned()),
        ("inventory-in-circles", _) => Some("there".to_owned()),
        ("inventory-on-the-spot", _) => Some("here".to_owned()),
        ("inventory-without-end", _) => {
            let number: u64 = cursor.map_or(0, |cursor| cursor.parse().unwrap_or(0));
            return InventoryPage { vms: Vec::new(), next: Some(format!("{}", number + 1)) };
        }
        _ => return page,
    };
    InventoryPage { next, ..page }
}
