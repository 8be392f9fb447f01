//! Manifest pages: what one disk carries in one cycle, a stretch of blocks at a time, in disk order.
//!
//! ```text
//!   page    = "TLP1" ‖ from block u64 ‖ to block u64 ‖ segment count u16 ‖ segment* ‖ entry count u32 ‖ entry*
//!   segment = cycle u64 ‖ attempt u32 ‖ number u32 ‖ random u64 ‖ store u32     store 0 is the home store
//!   entry   = 0 ‖ block u64 ‖ data u16 ‖ zero u16 ‖ same u16 ‖ [body, if data is not empty] ‖ digest*     one block
//!           | 1 ‖ block u64 ‖ count u64                              so many whole blocks of zeros
//!           | 2 ‖ block u64 ‖ count u64                              the same, and they are zeros at the base already
//!   body    = segment u16 ‖ offset u32 ‖ length u32 ‖ encoding u8 ‖ cells u16    where the sealed block stands, and which cells it holds
//!   digest  = 16 bytes, one for each cell of data ∪ same, lowest cell first
//! ```
//!
//! Pages of a disk tile its blocks: each starts where the one before ended. A page is written when everything it names is in the store, so
//! the pages that exist are the progress of a copy. A checkpoint uses the same form and may hold several entries for one block, as
//! its cells come from several cycles.

use std::collections::BTreeSet;

use crate::model::{Attempt, CellMask, CycleNumber, Digest, DiskId, DiskSize, Fault, StoreNumber, VmId};

use super::codec::{Reader, Writer};
use super::layout::AttemptFolder;

const MAGIC: &[u8; 4] = b"TLP1";
pub const ENTRIES_MAX: usize = 65_536;

/// How a block's cells are stored inside their seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Raw,
    Zstd,
}

impl Encoding {
    pub fn code(self) -> u8 {
        match self {
            Encoding::Raw => 0,
            Encoding::Zstd => 1,
        }
    }

    fn from_code(code: u8) -> Option<Encoding> {
        match code {
            0 => Some(Encoding::Raw),
            1 => Some(Encoding::Zstd),
            _ => None,
        }
    }
}

/// A segment, by what makes its name unique for this disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    pub cycle: CycleNumber,
    pub attempt: Attempt,
    pub number: u32,
    pub random: u64,
    pub store: StoreNumber,
}

impl SegmentName {
    /// Where it stands in its store.
    pub fn key(&self, vm: &VmId, disk: &DiskId) -> String {
        AttemptFolder::new(vm, self.cycle, self.attempt, disk).segment(self.number, self.random)
    }
}

/// Where a sealed block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub segment: SegmentName,
    pub offset: u32,
    /// Sealed bytes, nonce and tag included.
    pub length: u32,
    pub encoding: Encoding,
    /// The cells inside the seal, lowest first. In a manifest they are the entry's data; a checkpoint may mean fewer of them.
    pub cells: CellMask,
}

/// What a page says of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEntry {
    pub block: u64,
    /// Cells whose bytes the body carries, lowest first.
    pub data: CellMask,
    /// Cells that are zeros now.
    pub zero: CellMask,
    /// Cells that the tracker named but that are as they were at the base.
    pub same: CellMask,
    /// There exactly when `data` is not empty.
    pub body: Option<Body>,
    /// One for each cell of `data ∪ same`, lowest first.
    pub digests: Vec<Digest>,
}

impl BlockEntry {
    pub fn cells(&self) -> CellMask {
        self.data.union(self.zero).union(self.same)
    }

    /// The digest of a cell of `data ∪ same`.
    pub fn digest(&self, cell: u32) -> Digest {
        let before = self.data.union(self.same).intersection(CellMask::first(cell)).count();
        self.digests[before as usize]
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Block(BlockEntry),
    Zeros { block: u64, count: u64 },
    SameZeros { block: u64, count: u64 },
}

impl Entry {
    pub fn first_block(&self) -> u64 {
        match self {
            Entry::Block(entry) => entry.block,
            Entry::Zeros { block, .. } | Entry::SameZeros { block, .. } => *block,
        }
    }

    pub fn end_block(&self) -> u64 {
        match self {
            Entry::Block(entry) => entry.block + 1,
            Entry::Zeros { block, count } | Entry::SameZeros { block, count } => block + count,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPage {
    pub from_block: u64,
    pub to_block: u64,
    pub entries: Vec<Entry>,
}

impl ManifestPage {
    /// The segments that it names, each once: what must not be deleted while the page counts.
    pub fn segments(&self) -> BTreeSet<SegmentName> {
        let bodies = self.entries.iter().filter_map(|entry| match entry {
            Entry::Block(entry) => entry.body,
            Entry::Zeros { .. } | Entry::SameZeros { .. } => None,
        });
        bodies.map(|body| body.segment).collect()
    }
}

/// Whether a block may have more than one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    Manifest,
    Checkpoint,
}

pub fn encode(page: &ManifestPage) -> Vec<u8> {
    let mut segments: Vec<SegmentName> = Vec::new();
    let mut entries = Writer::default();
    for entry in &page.entries {
        encode_entry(entry, &mut segments, &mut entries);
    }
    let mut writer = Writer::default();
    writer.bytes(MAGIC);
    writer.u64(page.from_block);
    writer.u64(page.to_block);
    writer.u16(u16::try_from(segments.len()).expect("a page is closed long before it names so many segments"));
    for segment in &segments {
        writer.u64(segment.cycle.0);
        writer.u32(segment.attempt.0);
        writer.u32(segment.number);
        writer.u64(segment.random);
        writer.u32(segment.store.0);
    }
    writer.u32(page.entries.len() as u32);
    writer.bytes(&entries.0);
    writer.0
}

fn encode_entry(entry: &Entry, segments: &mut Vec<SegmentName>, writer: &mut Writer) {
    match entry {
        Entry::Block(entry) => {
            writer.u8(0);
            writer.u64(entry.block);
            writer.u16(entry.data.0);
            writer.u16(entry.zero.0);
            writer.u16(entry.same.0);
            if let Some(body) = &entry.body {
                // The newest segment is the likely one: entries come in the order in which segments were filled.
                let known = segments.iter().rposition(|segment| *segment == body.segment);
                let index = known.unwrap_or_else(|| {
                    segments.push(body.segment);
                    segments.len() - 1
                });
                writer.u16(index as u16);
                writer.u32(body.offset);
                writer.u32(body.length);
                writer.u8(body.encoding.code());
                writer.u16(body.cells.0);
            }
            entry.digests.iter().for_each(|digest| writer.bytes(&digest.0));
        }
        Entry::Zeros { block, count } => {
            writer.u8(1);
            writer.u64(*block);
            writer.u64(*count);
        }
        Entry::SameZeros { block, count } => {
            writer.u8(2);
            writer.u64(*block);
            writer.u64(*count);
        }
    }
}

/// Reads a page of a disk of this size. Everything a reader relies on later is checked here: order, bounds, disjoint masks.
pub fn decode(bytes: &[u8], size: DiskSize, kind: PageKind) -> Result<ManifestPage, Fault> {
    let mut reader = Reader::new(bytes, "a manifest page");
    if &reader.array::<4>()? != MAGIC {
        return Err(reader.broken("it is no manifest page of format 1"));
    }
    let (from_block, to_block) = (reader.u64()?, reader.u64()?);
    if from_block > to_block || to_block > size.blocks() {
        return Err(reader.broken("its blocks are not those of the disk"));
    }
    let mut segments = Vec::new();
    for _ in 0..reader.u16()? {
        segments.push(SegmentName {
            cycle: CycleNumber(reader.u64()?),
            attempt: Attempt(reader.u32()?),
            number: reader.u32()?,
            random: reader.u64()?,
            store: StoreNumber(reader.u32()?),
        });
    }
    let count = reader.u32()? as usize;
    if count > ENTRIES_MAX {
        return Err(reader.broken("it has too many entries"));
    }
    let mut entries = Vec::with_capacity(count.min(reader.remaining() / 17));
    let mut order = Order { kind, reached: from_block, last: None };
    for _ in 0..count {
        let entry = decode_entry(&mut reader, &segments, size, kind)?;
        if !order.accepts(&entry) || entry.end_block() > to_block {
            return Err(reader.broken("its entries are out of order or overlap"));
        }
        entries.push(entry);
    }
    reader.end()?;
    Ok(ManifestPage { from_block, to_block, entries })
}

/// Entries ascend; in a checkpoint a block may come again with other cells.
struct Order {
    kind: PageKind,
    reached: u64,
    last: Option<(u64, CellMask)>,
}

impl Order {
    fn accepts(&mut self, entry: &Entry) -> bool {
        let cells = match entry {
            Entry::Block(entry) => entry.cells(),
            _ => CellMask(u16::MAX),
        };
        let again = match self.last {
            Some((block, seen)) if self.kind == PageKind::Checkpoint && entry.first_block() == block => Some(seen),
            _ => None,
        };
        if let Some(seen) = again {
            self.last = Some((entry.first_block(), seen.union(cells)));
            return seen.intersection(cells).is_empty();
        }
        if entry.first_block() < self.reached {
            return false;
        }
        self.reached = entry.end_block();
        self.last = Some((entry.first_block(), cells));
        true
    }
}

fn decode_entry(reader: &mut Reader<'_>, segments: &[SegmentName], size: DiskSize, page_kind: PageKind) -> Result<Entry, Fault> {
    let kind = reader.u8()?;
    let block = reader.u64()?;
    if kind == 0 {
        return decode_block(reader, block, segments, size, page_kind);
    }
    let count = reader.u64()?;
    let end = block.checked_add(count);
    if count == 0 || end.is_none_or(|end| end > size.blocks()) {
        return Err(reader.broken("a run of zeros leaves the disk"));
    }
    match kind {
        1 => Ok(Entry::Zeros { block, count }),
        2 => Ok(Entry::SameZeros { block, count }),
        _ => Err(reader.broken("an entry is of an unknown kind")),
    }
}

fn decode_block(reader: &mut Reader<'_>, block: u64, segments: &[SegmentName], size: DiskSize, kind: PageKind) -> Result<Entry, Fault> {
    let (data, zero, same) = (CellMask(reader.u16()?), CellMask(reader.u16()?), CellMask(reader.u16()?));
    let cells = data.union(zero).union(same);
    let disjoint = data.count() + zero.count() + same.count() == cells.count();
    if block >= size.blocks() || cells.is_empty() || !disjoint || !cells.without(CellMask::first(size.cells_in_block(block))).is_empty() {
        return Err(reader.broken("an entry names cells twice, none, or some that the disk does not have"));
    }
    let body = if data.is_empty() { None } else { Some(decode_body(reader, segments)?) };
    let fits = |body: Body| match kind {
        PageKind::Manifest => body.cells == data,
        PageKind::Checkpoint => data.without(body.cells).is_empty(),
    };
    if !body.is_none_or(fits) {
        return Err(reader.broken("an entry names cells that its body does not hold"));
    }
    let mut digests = Vec::with_capacity(data.union(same).count() as usize);
    for _ in 0..data.union(same).count() {
        digests.push(Digest(reader.array()?));
    }
    Ok(Entry::Block(BlockEntry { block, data, zero, same, body, digests }))
}

fn decode_body(reader: &mut Reader<'_>, segments: &[SegmentName]) -> Result<Body, Fault> {
    let index = usize::from(reader.u16()?);
    let (offset, length) = (reader.u32()?, reader.u32()?);
    let encoding = Encoding::from_code(reader.u8()?);
    let cells = CellMask(reader.u16()?);
    match (segments.get(index), encoding, offset.checked_add(length)) {
        (Some(segment), Some(encoding), Some(_)) if length as usize <= BODY_BYTES_MAX => {
            Ok(Body { segment: *segment, offset, length, encoding, cells })
        }
        _ => Err(reader.broken("an entry points at nothing")),
    }
}

/// A block that does not compress, with its seal.
const BODY_BYTES_MAX: usize = crate::model::BLOCK as usize + super::seal::BLOCK_OVERHEAD;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::BLOCK;

    use super::*;

    fn segment(number: u32) -> SegmentName {
        SegmentName { cycle: CycleNumber(3), attempt: Attempt(1), number, random: 7, store: StoreNumber(number) }
    }

    fn size() -> DiskSize {
        DiskSize::new(100 * BLOCK + 512).unwrap()
    }

    fn sample() -> ManifestPage {
        let body = |number, offset, cells| {
            Some(Body { segment: segment(number), offset, length: 500, encoding: Encoding::Zstd, cells: CellMask(cells) })
        };
        let digest = |byte| Digest([byte; 16]);
        ManifestPage {
            from_block: 2,
            to_block: 101,
            entries: vec![
                Entry::Zeros { block: 2, count: 5 },
                Entry::Block(BlockEntry {
                    block: 9,
                    data: CellMask(0b101),
                    zero: CellMask(0b10),
                    same: CellMask(0b1000),
                    body: body(0, 0, 0b101),
                    digests: vec![digest(1), digest(2), digest(3)],
                }),
                Entry::Block(BlockEntry {
                    block: 10,
                    data: CellMask(1),
                    zero: CellMask::NONE,
                    same: CellMask::NONE,
                    body: body(1, 40, 1),
                    digests: vec![digest(4)],
                }),
                Entry::SameZeros { block: 50, count: 51 },
            ],
        }
    }

    #[test]
    fn a_page_comes_back_as_it_was() {
        let page = sample();
        assert_eq!(decode(&encode(&page), size(), PageKind::Manifest).unwrap(), page);
    }

    #[test]
    fn the_digest_of_a_cell_is_found_among_data_and_same() {
        let Entry::Block(entry) = &sample().entries[1] else { panic!("the second entry is a block") };
        assert_eq!([entry.digest(0), entry.digest(2), entry.digest(3)].map(|d| d.0[0]), [1, 2, 3]);
    }

    #[test]
    fn a_block_may_come_twice_in_a_checkpoint_only_and_with_other_cells_only() {
        let mut page = sample();
        let Entry::Block(mut second) = page.entries[1].clone() else { panic!("the second entry is a block") };
        second.data = CellMask(0b1_0000_0000);
        second.zero = CellMask::NONE;
        second.same = CellMask::NONE;
        second.digests.truncate(1);
        second.body = second.body.map(|body| Body { cells: CellMask(0b1_0000_0001), ..body });
        page.entries.insert(2, Entry::Block(second.clone()));
        let bytes = encode(&page);
        assert!(decode(&bytes, size(), PageKind::Manifest).is_err());
        assert_eq!(decode(&bytes, size(), PageKind::Checkpoint).unwrap(), page);

        second.data = CellMask(0b1);
        page.entries[2] = Entry::Block(second);
        assert!(decode(&encode(&page), size(), PageKind::Checkpoint).is_err());
    }

    #[test]
    fn pages_that_leave_the_disk_or_go_back_are_refused() {
        let mut backwards = sample();
        backwards.entries.swap(0, 1);
        let mut outside = sample();
        outside.entries.push(Entry::Zeros { block: 101, count: 1 });
        let mut short_cell = sample();
        short_cell.entries = vec![Entry::Block(BlockEntry {
            block: 100,
            data: CellMask::NONE,
            zero: CellMask(0b10),
            same: CellMask::NONE,
            body: None,
            digests: vec![],
        })];
        for page in [backwards, outside, short_cell] {
            assert!(decode(&encode(&page), size(), PageKind::Manifest).is_err());
        }
    }

    proptest! {
        #[test]
        fn damage_is_refused_or_reads_as_another_page_but_never_panics(place in 0usize..400, value in any::<u8>(), cut in 0usize..400) {
            let mut bytes = encode(&sample());
            let place = place % bytes.len();
            bytes[place] = value;
            let _ = decode(&bytes, size(), PageKind::Manifest);
            bytes.truncate(cut);
            prop_assert!(cut >= encode(&sample()).len() || decode(&bytes, size(), PageKind::Checkpoint).is_err());
        }
    }
}
