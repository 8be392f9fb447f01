//! A byte source: pieces of requests, pieces of files and runs of zeros, side by side. Nothing is requested before somebody fetches.
//!
//! Slicing and gathering flatten at once, so a source never becomes a tree, however often a guest cuts and joins.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::budget::Budget;
use super::files::GrantedFile;
use super::lazy::LazyRange;
use super::plugin::Plugin;
use super::web::transfer_allowance;
use crate::model::Fault;
use crate::pipeline::source::ByteSource;

#[derive(Clone)]
pub struct Splice {
    /// Each with the offset in this source at which it ends. Never empty pieces.
    pieces: Vec<(u64, Piece)>,
}

#[derive(Clone)]
enum Piece {
    /// From this offset of the resource on.
    Web(Arc<LazyRange>, u64),
    /// From this offset of the file on.
    File(Arc<GrantedFile>, u64),
    Zeros,
}

impl Splice {
    pub fn lazy(range: LazyRange) -> Splice {
        let extent = range.range();
        let mut whole = Splice { pieces: Vec::new() };
        whole.push(extent.length, Piece::Web(Arc::new(range), extent.offset));
        whole
    }

    /// A part of a file; whoever calls made sure that it lies inside.
    pub fn file(file: Arc<GrantedFile>, offset: u64, length: u64) -> Splice {
        let mut whole = Splice::empty();
        whole.push(length, Piece::File(file, offset));
        whole
    }

    pub fn empty() -> Splice {
        Splice { pieces: Vec::new() }
    }

    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    pub fn bytes(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    /// A part of this source; `invalid` when it reaches past the end.
    pub fn slice(&self, offset: u64, length: u64) -> Result<Splice, Fault> {
        let mut part = Splice::empty();
        part.append(self, offset, length)?;
        Ok(part)
    }

    /// Adds a part of another source at the end.
    pub fn append(&mut self, other: &Splice, offset: u64, length: u64) -> Result<(), Fault> {
        let end = offset.checked_add(length).filter(|end| *end <= other.bytes());
        let end = end.ok_or_else(|| Fault::invalid(format!("{offset}+{length} reaches past the end of {} bytes", other.bytes())))?;
        self.grow_by(length)?;
        for (piece, start, part) in other.parts(offset, end) {
            let piece = match piece {
                Piece::Web(range, base) => Piece::Web(range.clone(), base + start),
                Piece::File(file, base) => Piece::File(file.clone(), base + start),
                Piece::Zeros => Piece::Zeros,
            };
            self.push(part, piece);
        }
        Ok(())
    }

    pub fn append_zeros(&mut self, length: u64) -> Result<(), Fault> {
        self.grow_by(length)?;
        self.push(length, Piece::Zeros);
        Ok(())
    }

    fn grow_by(&self, length: u64) -> Result<(), Fault> {
        match self.bytes().checked_add(length) {
            Some(_) => Ok(()),
            None => Err(Fault::invalid("a byte source cannot be longer than 2^64 bytes")),
        }
    }

    fn push(&mut self, length: u64, piece: Piece) {
        if length > 0 {
            self.pieces.push((self.bytes() + length, piece));
        }
    }

    /// As long as one call may take, and what the bytes need on top, however many pieces they come in.
    fn budget(&self, offset: u64, end: u64) -> Budget {
        let pieces = self.parts(offset, end).count();
        let plugin = self.parts(offset, end).find_map(|(piece, ..)| piece.plugin());
        let call = plugin.map_or(Duration::ZERO, |plugin| plugin.limits().call);
        let what = format!("{} bytes ({pieces} {})", end - offset, if pieces == 1 { "piece" } else { "pieces" });
        Budget::new(call + transfer_allowance(end - offset), what)
    }

    /// The parts of the pieces between two offsets: the piece, where in it the part starts, and how long it is.
    fn parts(&self, offset: u64, end: u64) -> impl Iterator<Item = (&Piece, u64, u64)> {
        let first = self.pieces.partition_point(|(piece_end, _)| *piece_end <= offset);
        let start_of = move |index: usize| if index == 0 { 0 } else { self.pieces[index - 1].0 };
        self.pieces[first..].iter().enumerate().map_while(move |(index, (piece_end, piece))| {
            let piece_start = start_of(first + index);
            let from = piece_start.max(offset);
            let to = (*piece_end).min(end);
            (from < to).then(|| (piece, from - piece_start, to - from))
        })
    }
}

impl Piece {
    /// Who named it; zeros are nobody's.
    fn plugin(&self) -> Option<&Plugin> {
        match self {
            Piece::Web(range, _) => Some(range.plugin()),
            Piece::File(file, _) => Some(file.plugin()),
            Piece::Zeros => None,
        }
    }
}

#[async_trait]
impl ByteSource for Splice {
    fn length(&self) -> u64 {
        self.bytes()
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.bytes());
        let end = end.ok_or_else(|| Fault::invalid(format!("{offset}+{} reaches past the end of {} bytes", buffer.len(), self.bytes())))?;
        let (mut budget, mut rest) = (self.budget(offset, end), buffer);
        for (piece, start, length) in self.parts(offset, end) {
            let (part, behind) = rest.split_at_mut(length as usize);
            match piece {
                Piece::Web(range, base) => range.fetch(base + start, part, &mut budget).await?,
                Piece::File(file, base) => budget.spend(file.fetch(base + start, part)).await?,
                Piece::Zeros => part.fill(0),
            }
            rest = behind;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(length: u64) -> Splice {
        let mut splice = Splice::empty();
        splice.append_zeros(length).unwrap();
        splice
    }

    #[test]
    fn slices_of_gathers_cover_exactly_what_was_asked() {
        let mut gathered = Splice::empty();
        for length in [100, 1, 50] {
            gathered.append(&zeros(200), 10, length).unwrap();
        }
        assert_eq!((gathered.bytes(), gathered.pieces()), (151, 3));
        let parts: Vec<(u64, u64)> = gathered.parts(99, 102).map(|(_, start, length)| (start, length)).collect();
        assert_eq!(parts, [(99, 1), (0, 1), (0, 1)]);
        assert_eq!(gathered.slice(99, 3).unwrap().bytes(), 3);
        assert_eq!(gathered.slice(151, 0).unwrap().bytes(), 0);
    }

    #[test]
    fn a_part_that_reaches_past_the_end_is_invalid() {
        for (offset, length) in [(0, 101), (100, 1), (u64::MAX, 2), (1, u64::MAX)] {
            assert!(zeros(100).slice(offset, length).is_err(), "{offset}+{length}");
        }
        assert!(zeros(u64::MAX).append_zeros(1).is_err());
    }

    #[tokio::test]
    async fn zeros_are_written_without_asking_anybody() {
        let mut buffer = [7; 10];
        zeros(100).fetch(90, &mut buffer).await.unwrap();
        assert_eq!(buffer, [0; 10]);
        assert!(zeros(100).fetch(91, &mut buffer).await.is_err());
    }
}
