//! A reader of streamOptimized disks that follows the stream and never looks at its tables, written after the format's description only.

use flate2::read::ZlibDecoder;
use std::io::Read;

const SECTOR: usize = 512;

/// The disk's bytes. Everything that the stream says of itself on the way must fit.
pub fn followed(stream: &[u8]) -> Vec<u8> {
    let u32_at = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(stream[at..at + 8].try_into().unwrap());
    assert_eq!((&stream[..4], u32_at(4), u32_at(8)), (&b"KDMV"[..], 3, 0x30001));
    assert_eq!(&stream[73..77], b"\n \r\n");
    assert_eq!(u64_at(56), u64::MAX, "the directory is at the end");
    let (capacity, grain_sectors) = (u64_at(12) as usize * SECTOR, u64_at(20) as usize);
    let mut disk = vec![0; capacity.next_multiple_of(grain_sectors * SECTOR)];
    let mut at = u64_at(64) as usize * SECTOR;
    loop {
        let (value, size) = (u64_at(at) as usize, u32_at(at + 8) as usize);
        if size > 0 {
            let mut grain = Vec::new();
            ZlibDecoder::new(&stream[at + 12..at + 12 + size]).read_to_end(&mut grain).unwrap();
            assert_eq!(grain.len(), grain_sectors * SECTOR);
            disk[value * SECTOR..][..grain.len()].copy_from_slice(&grain);
            at = (at + 12 + size).next_multiple_of(SECTOR);
            continue;
        }
        match u32_at(at + 12) {
            0 => break,
            kind @ 1..=3 => {
                if kind == 3 {
                    assert_eq!((value, &stream[at + SECTOR..at + SECTOR + 4]), (1, &b"KDMV"[..]), "a footer is a header");
                }
                at += (1 + value) * SECTOR;
            }
            other => panic!("no marker is of kind {other}"),
        }
    }
    assert_eq!(at + SECTOR, stream.len(), "nothing stands behind the end");
    assert!(disk[capacity..].iter().all(|&byte| byte == 0));
    disk.truncate(capacity);
    disk
}
