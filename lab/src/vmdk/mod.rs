//! A frozen disk as the stream that an export lease serves: a VMDK of the kind `streamOptimized`.
//!
//! ```text
//!   header (directory: at the end) │ descriptor │ grain, grain, …, table │ grain, …, table │ directory │ footer │ end
//!                                                 └─ marker, deflated 64 KiB ─┘               └─ the header again, and where
//! ```
//!
//! It is written in one pass: what points comes behind what it points to, so a reader either follows the stream and believes the grains'
//! markers, or has the whole and begins at the footer. Grains that hold zeros only are left out. All numbers are little endian and count
//! sectors of 512 bytes. The format is VMware's "Virtual Disk Format 5.0"; deflate means zlib's frame around it, as everybody does it.

mod header;
mod stream;

pub(crate) use stream::write;

/// What a reader of these markers needs to know; a grain's marker carries its length in the place of the zero.
#[derive(Clone, Copy)]
enum Marker {
    End = 0,
    Table = 1,
    Directory = 2,
    Footer = 3,
}

const SECTOR: usize = crate::disk::SECTOR as usize;
const GRAIN_SECTORS: u64 = 128;
const GRAIN_BYTES: usize = GRAIN_SECTORS as usize * SECTOR;
const TABLE_ENTRIES: usize = 512;
