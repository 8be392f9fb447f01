//! Reads again, in the open snapshot, a random choice of what the source calls unchanged, and compares it with the base.
//!
//! ```text
//!   choose ─▶ read, compare with our table ─▶ all equal: believed
//!                         │ some differ
//!                         ▼
//!             table made anew out of the log, those cells read again ─▶ all equal: our table or that read was wrong, nobody is accused
//!                         │ some still differ
//!                         ▼
//!             the replica is not what the disk is, and nothing would have mended it: the tracker is accused
//! ```
//!
//! The choice is drawn from the snapshot's tag under the store's secret: a second try of the same step compares the same cells and so draws
//! the same plan, and a source that sees the tag cannot tell which cells they are.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::log::digest::cell_digest;
use crate::model::{CELL, DiskId, Fault, SectorBitmap, SnapshotDisk, SnapshotToken};
use crate::pipeline::sample::{Sample, differing};
use crate::policy::distrust::{CELLS_NAMED, Compared, Lie, choose};
use crate::policy::vm::{Fact, Stage};

use super::{Done, Performing, is_damage};

/// What a comparison came to.
pub(super) enum Found {
    Equal(Compared),
    Lie(Lie),
    /// They differ, and what they should be cannot be read from the log: nobody can be accused, and nothing is believed.
    Doubtful(Compared),
}

impl Performing {
    /// `covered`: what is carried anyway, by this plan or by the layers under it.
    pub(super) async fn compare_unchanged(
        &self,
        token: &SnapshotToken,
        disk: &SnapshotDisk,
        covered: &SectorBitmap,
    ) -> Result<Found, Fault> {
        let nothing = Compared { cells: 0, of: covered.clear_cells() };
        let mut random = self.choice_of(&disk.id)?;
        let cells = choose(covered, self.gateway.settings.distrust / CELL, |bound| random.random_range(0..bound));
        if cells.is_empty() {
            return Ok(Found::Equal(nothing));
        }
        let base = match self.base_table(&disk.id).await {
            Err(fault) if is_damage(&fault) => return Ok(Found::Equal(nothing)),
            base => base?,
        };
        let compared = Compared { cells: cells.len() as u64, ..nothing };
        // Reads count among those of the disks that are copied just now, and go at their pace.
        let share = self.gateway.copies.enter().at(self.gateway.pace.clone());
        let (source, log) = (&*self.gateway.source, &self.gateway.log);
        let mut sample = Sample { token, disk: &disk.id, size: disk.size, cells: &cells };
        let suspect = differing(&sample, &base.table, source, log, &share).await?;
        drop(base);
        if suspect.is_empty() {
            return Ok(Found::Equal(compared));
        }
        let point = self.vm.point.as_ref().ok_or_else(|| Fault::internal("cells are compared with a point that is not there"))?;
        let table = match self.table_from_log(&disk.id, point.commit).await {
            Err(fault) if is_damage(&fault) => return Ok(Found::Doubtful(compared)),
            table => table?,
        };
        sample.cells = &suspect;
        let wrong = differing(&sample, &table, source, log, &share).await?;
        if wrong.is_empty() {
            tracing::warn!(vm = %self.id, disk = %disk.id, cells = suspect.len(), "cells differed once and then not: our table, or one read, was wrong");
            return Ok(Found::Equal(compared));
        }
        Ok(Found::Lie(Lie {
            disk: disk.id.clone(),
            label: disk.label.clone(),
            cycle: self.cycle()?.number,
            at: self.gateway.clock.now(),
            compared,
            wrong: wrong.len() as u64,
            cells: wrong.into_iter().take(CELLS_NAMED).collect(),
        }))
    }

    fn choice_of(&self, disk: &DiskId) -> Result<ChaCha20Rng, Fault> {
        let Stage::Open { tag, .. } = &self.cycle()?.stage else {
            return Err(Fault::internal("cells are compared while no snapshot is open"));
        };
        let drawn = cell_digest(self.gateway.log.sealer().digest_secret(), format!("distrust {tag} {disk}").as_bytes());
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&drawn.0);
        Ok(ChaCha20Rng::from_seed(seed))
    }

    /// A source may refuse for as long as somebody else's snapshot stands there. The cycle then is one more resync, and the next one tries
    /// again.
    pub(super) async fn renew_tracking(&self) -> Result<Done, Fault> {
        let reset = async {
            let outcome = self.gateway.source.reset_tracking(self.identity()?).await?;
            self.finish(outcome, |ended| matches!(ended, crate::pipeline::source::Ended::Done).then_some(())).await
        };
        let mut done = match reset.await {
            Ok(()) => Done::from(Fact::TrackingRenewed { at: self.gateway.clock.now() }),
            Err(fault) => {
                tracing::warn!(vm = %self.id, kind = %fault.kind, message = %fault.message, "change tracking is not reset; the next cycle compares everything");
                Done::default()
            }
        };
        done.renewal_tried_before = Some(self.vm.next_cycle);
        Ok(done)
    }
}
