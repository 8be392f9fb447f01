//! Builds a sparse raw disk: an MBR with one partition, a FAT file system in it, and files in the file system.

use super::content::{Content, Kind};
use crate::disk::SECTOR;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// The first partition starts here, as every current installer places it.
const PARTITION_START: u64 = 1024 * 1024;
/// A disk below this has no room for a partition and a file system that anybody would recognise.
const CAPACITY_MIN: u64 = 8 * 1024 * 1024;

/// Fills an empty sparse file of `capacity` bytes with `data_bytes` of files in three kinds of compressibility.
pub(crate) fn build(disk: &File, capacity: u64, data_bytes: u64, seed: u64) -> Result<()> {
    ensure!(capacity >= CAPACITY_MIN, "a guest disk with files needs at least {CAPACITY_MIN} bytes, not {capacity}");
    ensure!(data_bytes <= (capacity - PARTITION_START) / 10 * 9, "{data_bytes} bytes of files do not fit on a disk of {capacity} bytes");
    write_partition_table(disk, capacity, seed as u32)?;
    format(disk, capacity, seed as u32)?;
    write_files(disk, capacity, data_bytes, seed)
}

fn write_partition_table(disk: &File, capacity: u64, signature: u32) -> Result<()> {
    let start = u32::try_from(PARTITION_START / SECTOR)?;
    let sectors = u32::try_from((capacity - PARTITION_START) / SECTOR).context("an MBR ends at 2 TiB")?;
    let mut record = [0u8; 512];
    record[440..444].copy_from_slice(&signature.to_le_bytes());
    let entry = &mut record[446..462];
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]); // Cylinders are long gone: the values that say "use LBA".
    entry[4] = 0x0c; // FAT with LBA.
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.write_all_at(&record, 0)?;
    Ok(())
}

fn format(disk: &File, capacity: u64, volume_id: u32) -> Result<()> {
    let mut options = fatfs::FormatVolumeOptions::new().volume_id(volume_id).volume_label(*b"TRANSLOAD  ");
    if capacity >= 2 << 30 {
        options = options.bytes_per_cluster(32 * 1024);
    }
    fatfs::format_volume(partition(disk, capacity)?, options).context("format the guest's file system")
}

fn write_files(disk: &File, capacity: u64, data_bytes: u64, seed: u64) -> Result<()> {
    let file_system = fatfs::FileSystem::new(partition(disk, capacity)?, fatfs::FsOptions::new())?;
    let root = file_system.root_dir();
    let kinds = [("logs", "txt", Kind::Text), ("records", "dat", Kind::Half), ("media", "bin", Kind::Random)];
    for (name, _, _) in kinds {
        root.create_dir(name)?;
    }
    let mut left = data_bytes;
    for number in 0u64.. {
        if left == 0 {
            break;
        }
        let (folder, extension, kind) = kinds[(number % 3) as usize];
        let mut length = left.min((1 + number % 7) * 700_001);
        left -= length;
        let mut content = Content::new(kind, seed ^ (number << 20));
        let mut file = root.create_file(&format!("{folder}/{number:05}.{extension}"))?;
        while length > 0 {
            let piece = length.min(1 << 20);
            file.write_all(&content.take(piece as usize))?;
            length -= piece;
        }
    }
    drop(root);
    file_system.unmount().context("close the guest's file system")
}

fn partition(disk: &File, capacity: u64) -> Result<Partition> {
    Ok(Partition { disk: disk.try_clone()?, start: PARTITION_START, length: capacity - PARTITION_START, position: 0 })
}

/// A window on the disk file that looks like a file of its own.
struct Partition {
    disk: File,
    start: u64,
    length: u64,
    position: u64,
}

impl Partition {
    fn clip(&self, wanted: usize) -> usize {
        wanted.min((self.length - self.position) as usize)
    }
}

impl Read for Partition {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.clip(buffer.len());
        let read = self.disk.read_at(&mut buffer[..wanted], self.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Partition {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let wanted = self.clip(buffer.len());
        let written = self.disk.write_at(&buffer[..wanted], self.start + self.position)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Partition {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        match position {
            Some(position) if position <= self.length => {
                self.position = position;
                Ok(position)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "seek outside the partition")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_disk_has_a_partition_table_and_its_files_can_be_read_back() {
        let disk = tempfile::tempfile().unwrap();
        let capacity = 64 * 1024 * 1024 + 3 * SECTOR;
        disk.set_len(capacity).unwrap();
        build(&disk, capacity, 9_000_000, 5).unwrap();

        let mut record = [0; 512];
        disk.read_exact_at(&mut record, 0).unwrap();
        assert_eq!(record[510..], [0x55, 0xaa]);
        let file_system = fatfs::FileSystem::new(partition(&disk, capacity).unwrap(), fatfs::FsOptions::new()).unwrap();
        let mut text = String::new();
        file_system.root_dir().open_file("logs/00000.txt").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text.len(), 700_001);
        assert!(text.starts_with("0000000001 "));
    }
}
