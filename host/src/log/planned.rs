//! The planned bitmap: what a cycle must bring over, as the source said before the first read.
//!
//! ```text
//!   part   = "TLB1" ‖ disk size u64 ‖ first page u32 ‖ page count u32 ‖ last part u8 ‖ zstd(runs)
//!   run    = 0 ‖ count u32            so many empty pages
//!          | 1 ‖ count u32            so many whole pages
//!          | 2 ‖ 128 bytes            the bits of one page, a bit a cell, lowest bit of the lowest byte first
//!          | 3                        reserved: the bits of one page, a bit a sector
//! ```
//!
//! A page speaks of 64 MiB of disk. Runs are as long as they can be, so equal bitmaps have equal bytes, and the digest of the bytes
//! is the digest of the bitmap: it is what gateway and receiver compare.

use sha2::{Digest as _, Sha256};

use crate::model::{DiskSize, Fault, Page, SectorBitmap};

use super::codec::{Reader, Writer};

const MAGIC: &[u8; 4] = b"TLB1";
/// Pages a part holds at the most: 8 MiB of bits, so that a part is far below the largest object allowed.
const PART_PAGES: usize = 65_536;
const PART_BYTES_MAX: usize = PART_PAGES * 133 + 64;

/// SHA-256 over the runs of the whole bitmap, with its size in front.
pub fn bitmap_digest(bitmap: &SectorBitmap) -> [u8; 32] {
    let mut writer = Writer::default();
    writer.u64(bitmap.size().bytes());
    encode_runs(bitmap.pages(), &mut writer);
    Sha256::digest(&writer.0).into()
}

/// The bitmap as the parts that are stored.
pub fn encode(bitmap: &SectorBitmap) -> Vec<Vec<u8>> {
    let pages = bitmap.pages();
    let parts = pages.chunks(PART_PAGES).enumerate();
    parts
        .map(|(index, chunk)| {
            let mut runs = Writer::default();
            encode_runs(chunk, &mut runs);
            let first = index * PART_PAGES;
            let mut writer = Writer::default();
            writer.bytes(MAGIC);
            writer.u64(bitmap.size().bytes());
            writer.u32(first as u32);
            writer.u32(chunk.len() as u32);
            writer.u8(u8::from(first + chunk.len() == pages.len()));
            writer.bytes(&zstd::bulk::compress(&runs.0, 1).expect("compressing into memory does not fail"));
            writer.0
        })
        .collect()
}

/// Puts parts together again, in order.
pub struct Decoder {
    size: DiskSize,
    pages: Vec<Page>,
    ended: bool,
}

impl Decoder {
    pub fn new(size: DiskSize) -> Decoder {
        Decoder { size, pages: Vec::new(), ended: false }
    }

    /// Takes the next part; true when it was the last.
    pub fn push(&mut self, part: &[u8]) -> Result<bool, Fault> {
        let mut reader = Reader::new(part, "a planned bitmap");
        if &reader.array::<4>()? != MAGIC {
            return Err(reader.broken("it is no planned bitmap of format 1"));
        }
        if reader.u64()? != self.size.bytes() {
            return Err(reader.broken("it is for a disk of another size"));
        }
        let (first, count, last) = (reader.u32()?, reader.u32()? as usize, reader.u8()?);
        let most = SectorBitmap::page_count(self.size).saturating_sub(self.pages.len());
        if self.ended || first as usize != self.pages.len() || count > PART_PAGES.min(most) || last > 1 {
            return Err(reader.broken("its parts do not follow each other"));
        }
        let runs = zstd::bulk::decompress(reader.bytes(reader.remaining())?, PART_BYTES_MAX)
            .map_err(|_| Fault::corrupt("a planned bitmap cannot be read: its compressed part is broken"))?;
        let until = self.pages.len() + count;
        decode_runs(&runs, until, &mut self.pages)?;
        self.ended = last == 1;
        Ok(self.ended)
    }

    pub fn finish(self) -> Result<SectorBitmap, Fault> {
        let whole = SectorBitmap::whole(self.size);
        if !self.ended || self.pages.len() != whole.pages().len() {
            return Err(Fault::corrupt("a planned bitmap cannot be read: it does not cover its disk"));
        }
        if reaches_past_end(self.size, self.pages.last()) {
            return Err(Fault::corrupt("a planned bitmap cannot be read: it reaches past the end of its disk"));
        }
        Ok(SectorBitmap::from_pages(self.size, self.pages))
    }
}

/// Looked at bit by bit: as many bits as the last page has cells need not be the right ones.
fn reaches_past_end(size: DiskSize, last: Option<&Page>) -> bool {
    let Some(Page::Some(words)) = last else { return false };
    let cells = (size.cells() - 1) % SectorBitmap::CELLS_PER_PAGE + 1;
    (0..).step_by(64).zip(words.iter()).any(|(first, word): (u64, _)| match cells.saturating_sub(first) {
        0 => *word != 0,
        own if own < 64 => word >> own != 0,
        _ => false,
    })
}

fn encode_runs(pages: &[Page], writer: &mut Writer) {
    for run in pages.chunk_by(|a, b| a == b && !matches!(a, Page::Some(_))) {
        match &run[0] {
            Page::Empty => {
                writer.u8(0);
                writer.u32(run.len() as u32);
            }
            Page::Whole => {
                writer.u8(1);
                writer.u32(run.len() as u32);
            }
            Page::Some(words) => {
                writer.u8(2);
                words.iter().for_each(|word| writer.u64(*word));
            }
        }
    }
}

fn decode_runs(bytes: &[u8], until: usize, pages: &mut Vec<Page>) -> Result<(), Fault> {
    let mut reader = Reader::new(bytes, "a planned bitmap");
    while pages.len() < until {
        match reader.u8()? {
            kind @ (0 | 1) => {
                let count = reader.u32()? as usize;
                if count == 0 || count > until - pages.len() {
                    return Err(reader.broken("a run is empty or too long"));
                }
                let page = if kind == 0 { Page::Empty } else { Page::Whole };
                pages.extend(std::iter::repeat_n(page, count));
            }
            2 => {
                let mut words = Box::new([0; 16]);
                for word in words.iter_mut() {
                    *word = reader.u64()?;
                }
                pages.push(Page::Some(words));
            }
            _ => return Err(reader.broken("a run is of an unknown kind")),
        }
    }
    reader.end()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::{BLOCK, CellMask, Extent};

    use super::*;

    fn round_trip(bitmap: &SectorBitmap) -> SectorBitmap {
        let mut decoder = Decoder::new(bitmap.size());
        for part in encode(bitmap) {
            decoder.push(&part).unwrap();
        }
        decoder.finish().unwrap()
    }

    #[test]
    fn a_64_tib_disk_in_parts_comes_back() {
        let size = DiskSize::new(DiskSize::MAX).unwrap();
        let mut bitmap = SectorBitmap::empty(size);
        bitmap.insert_widened(Extent::new(5 << 40, 3 << 30));
        bitmap.insert_widened(Extent::new(size.bytes() - 512, 512));
        assert_eq!(encode(&bitmap).len(), 16);
        assert_eq!(round_trip(&bitmap), bitmap);
        assert_eq!(round_trip(&SectorBitmap::whole(size)), SectorBitmap::whole(size));
    }

    /// As many bits as the last page has cells, but not the right ones: they were counted and not looked at.
    #[test]
    fn a_misplaced_bit_in_an_otherwise_whole_last_page_is_refused() {
        let size = DiskSize::new(BLOCK + 512).unwrap();
        let mut page = Box::new([0; 16]);
        page[0] = 0b10_1111_1111_1111_1111;
        let mut decoder = Decoder { size, pages: vec![Page::Some(page.clone())], ended: true };
        assert!(Decoder { size, pages: decoder.pages.clone(), ended: true }.finish().is_err());
        page[0] = 0b01_1111_1111_1111_1111;
        decoder.pages = vec![Page::Some(page)];
        assert_eq!(decoder.finish().unwrap(), SectorBitmap::whole(size));
    }

    #[test]
    fn a_bit_past_the_end_of_the_disk_is_refused() {
        let size = DiskSize::new(BLOCK + 512).unwrap();
        let mut long = SectorBitmap::empty(DiskSize::new(2 * BLOCK).unwrap());
        long.insert_block(1, CellMask::only(5));
        let mut part = encode(&long).remove(0);
        part[4..12].copy_from_slice(&size.bytes().to_le_bytes());
        let mut decoder = Decoder::new(size);
        decoder.push(&part).unwrap();
        assert!(decoder.finish().is_err());
    }

    proptest! {
        #[test]
        fn any_bitmap_comes_back_and_has_one_digest(
            sectors in 1u64..2_000_000,
            inserts in proptest::collection::vec((0.0f64..1.0, 1u64..300_000_000), 0..10),
        ) {
            let size = DiskSize::new(sectors * 512).unwrap();
            let mut bitmap = SectorBitmap::empty(size);
            for (place, length) in inserts {
                let offset = (place * size.bytes() as f64) as u64;
                bitmap.insert_widened(Extent::new(offset, length.min(size.bytes() - offset)));
            }
            let back = round_trip(&bitmap);
            prop_assert_eq!(&back, &bitmap);
            prop_assert_eq!(bitmap_digest(&back), bitmap_digest(&bitmap));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new(DiskSize::new(BLOCK).unwrap());
            let _ = decoder.push(&bytes);
            let _ = decode_runs(&bytes, 10, &mut Vec::new());
        }
    }
}
