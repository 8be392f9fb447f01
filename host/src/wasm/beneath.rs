//! One folder of this machine, and what lies beneath it: nothing else can be opened from here, by no path and by no link.
//!
//! The kernel itself keeps the walk inside (`openat2` with `RESOLVE_BENEATH`): it judges each step while it takes it, so a link that is
//! swapped in meanwhile leads nowhere else. A check before the open would judge what may be gone by then.
//!
//! ```text
//!   path ─▶ no "/" in front, no ".." ─▶ openat2(O_PATH, BENEATH) ─▶ a regular file? ─▶ opened anew by its descriptor, for reading
//!                                       touches nothing yet          not a pipe, a device, a socket
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use crate::model::Fault;

/// Longer than any path of a real export, and little beside a handle.
const PATH_BYTES_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 255;
const PAGE_ENTRIES_MAX: usize = 1000;
/// A folder that holds more is no folder of exports, and each page reads all of its names.
const NAMES_MAX: usize = 1_000_000;
/// The kernel asks to repeat a walk during which somebody renamed a folder.
const WALKS_MAX: usize = 64;

#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

/// A regular file that was there, and by what it is known again.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    path: String,
    pub size: u64,
    identity: Identity,
}

/// The number of an inode may be given to the next file; its birth tells them apart where the file system remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: (u32, u32),
    inode: u64,
    born: (i64, u32),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub size: u64,
    pub folder: bool,
    pub modified: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub next: Option<String>,
}

struct Seen {
    kind: FileType,
    size: u64,
    modified: u64,
    identity: Identity,
}

impl Folder {
    pub fn new(path: PathBuf) -> Folder {
        Folder { path }
    }

    pub fn find(&self, path: &str) -> Result<Found, Fault> {
        let (_, seen) = self.regular(path)?;
        Ok(Found { path: path.to_owned(), size: seen.size, identity: seen.identity })
    }

    /// Fills the buffer, or fails: a file that became shorter, or another one, is `corrupt`.
    pub fn read(&self, found: &Found, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let path = &found.path;
        let (file, seen) = self.regular(path)?;
        if seen.identity != found.identity {
            return Err(Fault::corrupt(format!("{path:?} was replaced by another file while it was read")));
        }
        opened(&file, path)?.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Fault::corrupt(format!("{path:?} became shorter while it was read: it had {} bytes", found.size))
            }
            _ => Fault::unavailable(format!("{path:?} cannot be read: {error}")),
        })
    }

    /// What a folder holds behind this name, in ascending order. What is neither file nor folder, leads outside or has no name in UTF-8 is
    /// left out, so a page may be shorter than it could be.
    pub fn page(&self, path: &str, after: Option<&str>) -> Result<Page, Fault> {
        if let Some(cursor) = after.filter(|cursor| !is_name(cursor)) {
            return Err(Fault::invalid(format!("{cursor:?} is no cursor of a folder")));
        }
        let at = if path.is_empty() { "." } else { checked(path)? };
        let root = self.root()?;
        let folder = walk(&root, at, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK)?;
        let mut names = BTreeSet::new();
        for (number, entry) in Dir::new(folder).map_err(|error| fault(at, error))?.enumerate() {
            if number >= NAMES_MAX {
                return Err(Fault::unsupported(format!("{path:?} holds more than {NAMES_MAX} names")));
            }
            let entry = entry.map_err(|error| fault(at, error))?;
            let name = entry.file_name().to_str().ok().filter(|name| is_name(name) && after.is_none_or(|after| *name > after));
            names.extend(name.map(str::to_owned));
            // One more than a page, which tells whether there is another.
            if names.len() > PAGE_ENTRIES_MAX + 1 {
                names.pop_last();
            }
        }
        let more = names.len() > PAGE_ENTRIES_MAX;
        if more {
            names.pop_last();
        }
        let next = names.last().filter(|_| more).cloned();
        let mut entries = Vec::new();
        for name in names {
            match walk(&root, &format!("{at}/{name}"), OFlags::PATH).and_then(|entry| look(&entry, &name)) {
                Ok(seen) if seen.kind == FileType::RegularFile || seen.kind == FileType::Directory => {
                    let folder = seen.kind == FileType::Directory;
                    entries.push(Entry { name, size: if folder { 0 } else { seen.size }, folder, modified: seen.modified });
                }
                // A pipe, a device, a socket; a link that leads outside or nowhere; what was deleted since.
                Ok(_) => {}
                Err(gone) if !gone.kind.passes() => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(Page { entries, next })
    }

    fn root(&self) -> Result<OwnedFd, Fault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &self.path, flags, Mode::empty())
            .map_err(|error| Fault::unavailable(format!("the granted folder {} cannot be opened: {error}", self.path.display())))
    }

    fn regular(&self, path: &str) -> Result<(OwnedFd, Seen), Fault> {
        let file = walk(&self.root()?, checked(path)?, OFlags::PATH)?;
        let seen = look(&file, path)?;
        match seen.kind {
            FileType::RegularFile => Ok((file, seen)),
            FileType::Directory => Err(Fault::invalid(format!("{path:?} is a folder"))),
            _ => Err(Fault::denied(format!("{path:?} is a pipe, a device or a socket; only files are opened"))),
        }
    }
}

/// What can be said about a path without a look at any file.
fn checked(path: &str) -> Result<&str, Fault> {
    let shown: String = path.chars().take(200).collect();
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(leaves(&shown));
    }
    let plain = path.len() <= PATH_BYTES_MAX && path.split('/').all(|part| part != "." && is_name(part));
    match plain {
        true => Ok(path),
        false => Err(Fault::invalid(format!("{shown:?} is no relative path of plain names, at most {PATH_BYTES_MAX} bytes"))),
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name != "." && name != ".." && !name.contains(['/', '\0'])
}

fn leaves(path: &str) -> Fault {
    Fault::denied(format!("{path:?} leaves its folder"))
}

/// One walk that cannot leave the folder.
fn walk(root: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Fault> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..WALKS_MAX {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), beneath) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            walked => return walked.map_err(|error| fault(path, error)),
        }
    }
    Err(Fault::unavailable(format!("folders above {path:?} are being renamed all the time")))
}

/// The same file again, for reading. By the descriptor: the path may lead elsewhere by now.
fn opened(file: &OwnedFd, path: &str) -> Result<File, Fault> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), flags, Mode::empty());
    opened.map(File::from).map_err(|error| fault(path, error))
}

fn look(file: &OwnedFd, path: &str) -> Result<Seen, Fault> {
    let seen = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::BTIME);
    let seen = seen.map_err(|error| fault(path, error))?;
    let born = match StatxFlags::from_bits_retain(seen.stx_mask).contains(StatxFlags::BTIME) {
        true => (seen.stx_btime.tv_sec, seen.stx_btime.tv_nsec),
        false => (0, 0),
    };
    Ok(Seen {
        kind: FileType::from_raw_mode(u32::from(seen.stx_mode)),
        size: seen.stx_size,
        modified: u64::try_from(seen.stx_mtime.tv_sec).unwrap_or(0),
        identity: Identity { device: (seen.stx_dev_major, seen.stx_dev_minor), inode: seen.stx_ino, born },
    })
}

fn fault(path: &str, error: Errno) -> Fault {
    match error {
        Errno::XDEV => leaves(path),
        Errno::LOOP => Fault::denied(format!("{path:?} leads through a link of the kernel's own, or through links without end")),
        Errno::NOENT | Errno::NOTDIR => Fault::not_found(format!("there is no {path:?} in the granted folder")),
        Errno::ACCESS | Errno::PERM => Fault::denied(format!("{path:?} is not readable for the agent's user")),
        Errno::NAMETOOLONG => Fault::invalid(format!("{path:?} is too long")),
        Errno::NOSYS => {
            Fault::unsupported("this kernel cannot keep a path inside a folder (openat2, since Linux 5.6), so no file is opened")
        }
        other => Fault::unavailable(format!("{path:?} cannot be opened: {other}")),
    }
}

#[cfg(test)]
mod tests;
