//! The first sectors: the header of a sparse extent, and the descriptor that is embedded behind it.

use super::{GRAIN_SECTORS, SECTOR, TABLE_ENTRIES};

/// Header and descriptor, up to the first grain.
pub(super) const SECTORS_BEFORE_GRAINS: u64 = 128;
/// Where the directory is while nobody knows yet.
pub(super) const AT_END: u64 = u64::MAX;

const DESCRIPTOR_AT: u64 = 1;
const DESCRIPTOR_SECTORS: u64 = 20;
const VERSION: u32 = 3;
/// Newlines can be checked, grains are compressed, the stream has markers.
const FLAGS: u32 = 1 | 1 << 16 | 1 << 17;
const DEFLATE: u16 = 1;

pub(super) fn header(capacity_sectors: u64, directory_at: u64) -> [u8; SECTOR] {
    let mut bytes = Vec::with_capacity(SECTOR);
    bytes.extend(b"KDMV");
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(FLAGS.to_le_bytes());
    for number in [capacity_sectors, GRAIN_SECTORS, DESCRIPTOR_AT, DESCRIPTOR_SECTORS] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((TABLE_ENTRIES as u32).to_le_bytes());
    let redundant_directory_at = 0;
    for number in [redundant_directory_at, directory_at, SECTORS_BEFORE_GRAINS] {
        bytes.extend(number.to_le_bytes());
    }
    let unclean_shutdown = 0;
    bytes.push(unclean_shutdown);
    // Damaged by whoever takes the file for a text.
    bytes.extend(b"\n \r\n");
    bytes.extend(DEFLATE.to_le_bytes());
    bytes.resize(SECTOR, 0);
    bytes.try_into().expect("it was just made that long")
}

pub(super) fn descriptor(capacity_sectors: u64, name: &str) -> String {
    // 255 heads of 63 sectors, as the virtual controllers have them.
    let cylinders = capacity_sectors / (255 * 63);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n# Extent description\n\
         RDONLY {capacity_sectors} SPARSE \"{name}\"\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\nddb.virtualHWVersion = \"19\"\n"
    );
    debug_assert!(text.len() <= DESCRIPTOR_SECTORS as usize * SECTOR);
    text
}
