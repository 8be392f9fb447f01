//! One file of a disk chain: the base with every byte, or a redo log with the sectors written since a snapshot.

use super::SECTOR;
use super::extents::allocated;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A file of the chain. The redo log is a sparse file of the disk's full size plus a map of the sectors that it
/// holds; the map lives in memory only, because the lab never restarts on old state.
pub(crate) struct Layer {
    /// The descriptor's path inside its datastore, for example `web/web-000001.vmdk`: the layer's identity.
    pub descriptor: String,
    /// Where the bytes lie on this machine.
    pub file_path: PathBuf,
    file: File,
    written: Option<Mutex<Sectors>>,
}

impl Layer {
    /// Takes over a finished raw file as the base of a disk.
    pub fn base(descriptor: String, file_path: PathBuf) -> io::Result<Layer> {
        let file = OpenOptions::new().read(true).write(true).open(&file_path)?;
        Ok(Layer { descriptor, file_path, file, written: None })
    }

    /// Creates an empty redo log for a disk of `capacity` bytes.
    pub fn redo_log(descriptor: String, file_path: PathBuf, capacity: u64) -> io::Result<Layer> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&file_path)?;
        file.set_len(capacity)?;
        let written = Some(Mutex::new(Sectors::new(capacity)));
        Ok(Layer { descriptor, file_path, file, written })
    }

    pub fn is_base(&self) -> bool {
        self.written.is_none()
    }

    /// The name of the file that holds the bytes, beside the descriptor.
    pub fn content_name(&self) -> String {
        content_name(&self.descriptor, self.is_base())
    }

    /// Writes whole sectors.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.written.as_ref().map(|map| map.lock().expect("no panic under this lock"));
        self.file.write_all_at(bytes, offset)?;
        if let Some(map) = &mut written {
            map.add(offset / SECTOR..(offset + bytes.len() as u64) / SECTOR);
        }
        Ok(())
    }

    /// Lays this layer's sectors over what the layers below have put into `buffer`.
    pub fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(map) = &self.written else { return self.file.read_exact_at(buffer, offset) };
        let wanted = offset / SECTOR..(offset + buffer.len() as u64).div_ceil(SECTOR);
        let runs = map.lock().expect("no panic under this lock").runs(wanted);
        for run in runs {
            let start = (run.start * SECTOR).max(offset);
            let end = (run.end * SECTOR).min(offset + buffer.len() as u64);
            self.file.read_exact_at(&mut buffer[(start - offset) as usize..(end - offset) as usize], start)?;
        }
        Ok(())
    }

    /// The byte ranges that this layer holds.
    pub fn held(&self, capacity: u64) -> io::Result<Vec<Range<u64>>> {
        match &self.written {
            None => allocated(&self.file),
            Some(map) => {
                let runs = map.lock().expect("no panic under this lock").runs(0..capacity.div_ceil(SECTOR));
                Ok(runs.into_iter().map(|run| run.start * SECTOR..run.end * SECTOR).collect())
            }
        }
    }

    /// Takes over every sector of the layer above it.
    pub fn absorb(&self, above: &Layer, capacity: u64) -> io::Result<()> {
        let mut buffer = vec![0; 1024 * 1024];
        for range in above.held(capacity)? {
            let mut position = range.start;
            while position < range.end {
                let length = (range.end - position).min(buffer.len() as u64) as usize;
                above.file.read_exact_at(&mut buffer[..length], position)?;
                self.write(position, &buffer[..length])?;
                position += length as u64;
            }
        }
        Ok(())
    }

    pub fn grow(&self, capacity: u64) -> io::Result<()> {
        self.file.set_len(capacity)
    }

    pub fn allocated_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512)
    }

    pub fn reopen(&self) -> io::Result<File> {
        File::open(&self.file_path)
    }
}

/// `web/web.vmdk` keeps its bytes in `web/web-flat.vmdk`, `web/web-000001.vmdk` in `web/web-000001-delta.vmdk`.
pub(crate) fn content_name(descriptor: &str, base: bool) -> String {
    let stem = descriptor.trim_end_matches(".vmdk");
    if base { format!("{stem}-flat.vmdk") } else { format!("{stem}-delta.vmdk") }
}

pub(crate) fn create_sparse(path: &Path, capacity: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    file.set_len(capacity)?;
    Ok(file)
}

/// Which sectors a redo log holds, one bit each.
struct Sectors {
    words: Vec<u64>,
}

impl Sectors {
    fn new(capacity: u64) -> Sectors {
        Sectors { words: vec![0; capacity.div_ceil(SECTOR * 64) as usize] }
    }

    fn add(&mut self, sectors: Range<u64>) {
        for sector in sectors {
            self.words[(sector / 64) as usize] |= 1 << (sector % 64);
        }
    }

    fn has(&self, sector: u64) -> bool {
        self.words[(sector / 64) as usize] & (1 << (sector % 64)) != 0
    }

    /// The runs of held sectors inside `within`.
    fn runs(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut sector = within.start;
        while sector < within.end {
            if sector.is_multiple_of(64) && self.words[(sector / 64) as usize] == 0 {
                sector += 64;
                continue;
            }
            if self.has(sector) {
                match runs.last_mut() {
                    Some(last) if last.end == sector => last.end = sector + 1,
                    _ => runs.push(sector..sector + 1),
                }
            }
            sector += 1;
        }
        runs
    }
}
