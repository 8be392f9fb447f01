//! Byte ranges, and where a sparse file really has data.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// A range on a virtual disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub start: u64,
    pub length: u64,
}

impl Extent {
    pub fn end(&self) -> u64 {
        self.start + self.length
    }
}

/// The parts of a file that the file system has allocated, in order. A file system without holes reports one
/// range, the whole file.
pub(super) fn allocated(file: &File) -> io::Result<Vec<Range<u64>>> {
    let length = file.metadata()?.len();
    let mut found = Vec::new();
    let mut position = 0;
    while position < length {
        let Some(start) = seek(file, position, libc::SEEK_DATA)? else { break };
        let end = seek(file, start, libc::SEEK_HOLE)?.unwrap_or(length);
        found.push(start..end.min(length));
        position = end;
    }
    Ok(found)
}

/// `None`: nothing of that kind behind this position.
fn seek(file: &File, position: u64, whence: i32) -> io::Result<Option<u64>> {
    // SAFETY: a plain system call on a descriptor that `file` keeps open; no memory is handed over.
    let found = unsafe { libc::lseek(file.as_raw_fd(), position as libc::off_t, whence) };
    if found >= 0 {
        return Ok(Some(found as u64));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        error => Err(error),
    }
}

/// Turns the numbers of equal units (cells, sectors) into merged extents, clipped to the disk.
pub(crate) fn from_units(units: impl IntoIterator<Item = u64>, unit: u64, capacity: u64) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for number in units {
        let start = number * unit;
        let end = (start + unit).min(capacity);
        if start >= end {
            continue;
        }
        match extents.last_mut() {
            Some(last) if last.end() == start => last.length = end - last.start,
            _ => extents.push(Extent { start, length: end - start }),
        }
    }
    extents
}
