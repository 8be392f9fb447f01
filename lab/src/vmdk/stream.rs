//! Writing the stream, grain after grain.

use super::header::{AT_END, SECTORS_BEFORE_GRAINS, descriptor, header};
use super::{GRAIN_BYTES, Marker, SECTOR, TABLE_ENTRIES};
use crate::disk::{CELL, Chain};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{self, Write};
use std::iter::Peekable;

// What a layer says that it holds comes in cells, and a cell is a grain.
const _: () = assert!(CELL == GRAIN_BYTES as u64);

/// Writes the disk as the chain shows it; `name` is what the stream calls itself.
pub(crate) fn write(chain: &Chain, name: &str, out: impl Write) -> io::Result<()> {
    let capacity_sectors = chain.capacity / SECTOR as u64;
    let mut stream = Stream { chain, out, written: 0 };
    stream.put(&header(capacity_sectors, AT_END))?;
    stream.put(descriptor(capacity_sectors, name).as_bytes())?;
    stream.pad_to(SECTORS_BEFORE_GRAINS)?;

    let held = chain.allocated()?;
    let mut grains = held.iter().flat_map(|extent| extent.start / CELL..extent.end().div_ceil(CELL)).peekable();
    let mut directory = Vec::new();
    for number in 0..chain.capacity.div_ceil(CELL).div_ceil(TABLE_ENTRIES as u64) {
        directory.push(stream.grains_and_table(number, &mut grains)?);
    }
    let directory_at = stream.numbers(Marker::Directory, &directory)?;
    stream.marker(Marker::Footer, 1)?;
    stream.put(&header(capacity_sectors, directory_at.into()))?;
    stream.marker(Marker::End, 0)
}

struct Stream<'a, W> {
    chain: &'a Chain,
    out: W,
    written: u64,
}

impl<W: Write> Stream<'_, W> {
    /// The grains of one table and then the table. Answers where it is; 0 stands for a table without grains, which is not written.
    fn grains_and_table(&mut self, number: u64, grains: &mut Peekable<impl Iterator<Item = u64>>) -> io::Result<u32> {
        let mut table = [0; TABLE_ENTRIES];
        while let Some(grain) = grains.next_if(|grain| grain / TABLE_ENTRIES as u64 == number) {
            table[(grain % TABLE_ENTRIES as u64) as usize] = self.grain(grain)?;
        }
        if table.iter().all(|&entry| entry == 0) {
            return Ok(0);
        }
        self.numbers(Marker::Table, &table)
    }

    /// Answers where the grain's marker is, or 0 if it holds nothing but zeros. The last one is filled up with zeros.
    fn grain(&mut self, number: u64) -> io::Result<u32> {
        let offset = number * CELL;
        let mut content = vec![0; GRAIN_BYTES];
        self.chain.read(&mut content[..(self.chain.capacity - offset).min(CELL) as usize], offset)?;
        if content.iter().all(|&byte| byte == 0) {
            return Ok(0);
        }
        let mut deflating = ZlibEncoder::new(Vec::new(), Compression::fast());
        deflating.write_all(&content)?;
        let deflated = deflating.finish()?;
        let place = self.sector()?;
        self.put(&(offset / SECTOR as u64).to_le_bytes())?;
        self.put(&(deflated.len() as u32).to_le_bytes())?;
        self.put(&deflated)?;
        self.pad()?;
        Ok(place)
    }

    /// A table or the directory behind its marker. Answers where the numbers begin.
    fn numbers(&mut self, kind: Marker, numbers: &[u32]) -> io::Result<u32> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.marker(kind, bytes.len().div_ceil(SECTOR) as u64)?;
        let place = self.sector()?;
        self.put(&bytes)?;
        self.pad()?;
        Ok(place)
    }

    /// Says what kind the following sectors are. Only a grain has a length where these have none.
    fn marker(&mut self, kind: Marker, sectors: u64) -> io::Result<()> {
        self.put(&sectors.to_le_bytes())?;
        self.put(&0u32.to_le_bytes())?;
        self.put(&(kind as u32).to_le_bytes())?;
        self.pad()
    }

    /// Tables point with 32 bits: 2 TiB of stream.
    fn sector(&self) -> io::Result<u32> {
        u32::try_from(self.written / SECTOR as u64).map_err(|_| io::Error::other("the stream is longer than its tables can point"))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        self.pad_to(self.written.div_ceil(SECTOR as u64))
    }

    fn pad_to(&mut self, sector: u64) -> io::Result<()> {
        let missing = sector * SECTOR as u64 - self.written;
        self.put(&vec![0; missing as usize])
    }
}
