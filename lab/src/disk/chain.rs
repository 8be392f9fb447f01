//! The files of one disk, base first. A prefix of the chain is what a snapshot froze.

use super::digest::{blocks_touched, digest_blocks};
use super::{CELL, Extent, Layer, extents};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

/// Cloning is cheap and keeps the files readable: whoever holds a clone reads the layers as they were.
#[derive(Clone)]
pub(crate) struct Chain {
    pub layers: Vec<Arc<Layer>>,
    pub capacity: u64,
}

impl Chain {
    pub fn new(base: Layer, capacity: u64) -> Chain {
        Chain { layers: vec![Arc::new(base)], capacity }
    }

    pub fn top(&self) -> &Arc<Layer> {
        self.layers.last().expect("a chain has a base")
    }

    /// The chain up to and including the layer of that name: what a snapshot that froze it sees.
    pub fn up_to(&self, descriptor: &str) -> Option<Chain> {
        let depth = self.layers.iter().position(|layer| layer.descriptor == descriptor)?;
        Some(Chain { layers: self.layers[..=depth].to_vec(), capacity: self.capacity })
    }

    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.layers.iter().try_for_each(|layer| layer.read_over(buffer, offset))
    }

    /// The sparse digest of the content as this chain shows it.
    pub fn digest(&self) -> io::Result<String> {
        let mut candidates = BTreeSet::new();
        for layer in &self.layers {
            candidates.extend(blocks_touched(&layer.held(self.capacity)?));
        }
        digest_blocks(candidates, self.capacity, |buffer, offset| self.read(buffer, offset))
    }

    /// What was ever written, in cells; this is what a changeId of `*` asks for.
    pub fn allocated(&self) -> io::Result<Vec<Extent>> {
        let mut cells = BTreeSet::new();
        for layer in &self.layers {
            for range in layer.held(self.capacity)? {
                cells.extend(range.start / CELL..range.end.div_ceil(CELL));
            }
        }
        Ok(extents::from_units(cells, CELL, self.capacity))
    }

    pub fn allocated_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.allocated_bytes()).sum()
    }

    /// Puts a fresh redo log on top; the old top is frozen from now on.
    pub fn freeze_under(&mut self, redo_log: Layer) {
        self.layers.push(Arc::new(redo_log));
    }

    /// The name of the lowest layer that nobody holds and that is not the top, so that its upper neighbour can be merged into it.
    pub fn mergeable(&self, held: &BTreeSet<String>) -> Option<usize> {
        let below_top = self.layers.len() - 1;
        (0..below_top).find(|&index| !held.contains(&self.layers[index].descriptor))
    }

    /// Copies the layer above `index` into it. Slow; the chain still shows both afterwards.
    pub fn copy_down(&self, index: usize) -> io::Result<()> {
        self.layers[index].absorb(&self.layers[index + 1], self.capacity)
    }

    /// Forgets the layer above `index` after `copy_down` and deletes its file. Answers its name and the survivor's,
    /// because a snapshot that had frozen the former now finds its content in the latter.
    pub fn drop_above(&mut self, index: usize) -> (String, String) {
        let gone = self.layers.remove(index + 1);
        // A reader with an open descriptor goes on undisturbed; a missing file is what was wanted anyway.
        let _ = std::fs::remove_file(&gone.file_path);
        (gone.descriptor.clone(), self.layers[index].descriptor.clone())
    }
}
