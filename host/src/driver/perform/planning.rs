//! What has to be copied of a disk: all of it, what changed since the recovery point, or what earlier attempts left to do.
//!
//! A plan is drawn out of what the source says and never out of what is read later. It is durable in the store before its fact is recorded,
//! and so before the first read that is carried. Where the source cannot say what changed, or is found to say it wrongly (`distrust.rs`),
//! more is planned and not less.

use crate::log::initial::InitialCopy;
use crate::log::layout::AttemptFolder;
use crate::log::planned::bitmap_digest;
use crate::model::commit::{Layer, Mode, Sha};
use crate::model::{DiskId, Fault, ResyncReason, SectorBitmap, SnapshotDisk, SnapshotToken};
use crate::pipeline::plan::{Changed, Reported, changed_since};
use crate::policy::distrust::{Compared, Lie};
use crate::policy::mode::{Choice, choose};
use crate::policy::vm::{Fact, Plan, Salvage};

use super::distrust::Found;
use super::{Done, Performing, is_damage};

impl Performing {
    pub(super) async fn plan_disk(&self, disk: &DiskId) -> Result<Done, Fault> {
        let (token, copying) = self.copying(disk)?;
        let drawn = self.draw_plan(token, &copying.source).await?;
        let cycle = self.cycle()?;
        let folder = AttemptFolder::new(&self.id, cycle.number, cycle.attempt, disk);
        let parts = self.gateway.log.create_planned(&folder, &drawn.planned).await?;
        if drawn.mode == Mode::Initial {
            let copy = InitialCopy::new(cycle.number, cycle.attempt, disk.clone(), copying.source.size);
            // It only saves time: something else under its name, damaged or forged, must not cost the copy.
            if let Err(fault) = copy.announce(&self.gateway.log, &self.id).await {
                tracing::warn!(vm = %self.id, %disk, message = %fault.message, "an initial copy is not announced");
            }
        }
        let plan = Plan {
            mode: drawn.mode,
            resync: drawn.resync,
            parts,
            digest: Sha(bitmap_digest(&drawn.planned)),
            covered_digest: Sha(bitmap_digest(&drawn.covered)),
            planned_bytes: drawn.planned.sectors() * 512,
            reported_bytes: drawn.reported.bytes,
            reported_extents: drawn.reported.extents,
            carried: drawn.carried,
            compared: drawn.compared,
        };
        let lied = drawn.lie.map(Fact::TrackerLied);
        Ok(Done {
            facts: lied.into_iter().chain([Fact::DiskPlanned { disk: disk.clone(), plan, at: self.gateway.clock.now() }]).collect(),
            ..Done::default()
        })
    }

    /// What the source says, as far as it is to be believed.
    async fn draw_plan(&self, token: &SnapshotToken, disk: &SnapshotDisk) -> Result<Drawn, Fault> {
        if let Some(lie) = self.vm.trust.lie(&disk.id) {
            // Nor may it say what changed since an attempt that was cut short.
            return Ok(match choose(self.base_disk(&disk.id), disk) {
                Choice::Initial => Drawn::whole(disk, Mode::Initial, None),
                Choice::Resync(_) | Choice::Delta { .. } => Drawn::whole(disk, Mode::Resync, Some(lie.reason())),
            });
        }
        let drawn = self.draw_as_told(token, disk).await?;
        if drawn.mode != Mode::Delta {
            return Ok(drawn);
        }
        Ok(match self.compare_unchanged(token, disk, &drawn.covered).await? {
            Found::Equal(compared) => Drawn { compared, ..drawn },
            Found::Lie(lie) => {
                Drawn { compared: lie.compared, lie: Some(lie.clone()), ..Drawn::whole(disk, Mode::Resync, Some(lie.reason())) }
            }
            Found::Doubtful(compared) => {
                let reason = ResyncReason {
                    code: "digests-doubtful".to_owned(),
                    message: "cells differ from their digests, and the log cannot be read to tell which of the two is wrong".to_owned(),
                };
                Drawn { compared, ..Drawn::whole(disk, Mode::Resync, Some(reason)) }
            }
        })
    }

    async fn draw_as_told(&self, token: &SnapshotToken, disk: &SnapshotDisk) -> Result<Drawn, Fault> {
        let choice = choose(self.base_disk(&disk.id), disk).compared_whole(self.cycle()?.resync.as_ref());
        if let Some(salvage) = self.vm.salvage.get(&disk.id).filter(|salvage| salvage.fingerprint == disk.fingerprint)
            && let Some(drawn) = self.draw_on_salvage(token, disk, salvage).await?
        {
            return Ok(drawn);
        }
        Ok(match choice {
            Choice::Initial => Drawn::whole(disk, Mode::Initial, None),
            Choice::Resync(reason) => Drawn::whole(disk, Mode::Resync, Some(reason)),
            Choice::Delta { since } => match changed_since(&*self.gateway.source, token, &disk.id, disk.size, &since).await? {
                Changed::Unknown(reason) => Drawn::whole(disk, Mode::Resync, Some(reason)),
                Changed::Cells(planned, reported) => Drawn {
                    mode: Mode::Delta,
                    resync: None,
                    reported,
                    covered: planned.clone(),
                    planned,
                    carried: Vec::new(),
                    compared: Compared::default(),
                    lie: None,
                },
            },
        })
    }

    /// Builds on what earlier attempts published: what changed since the first of them, what they did not reach, and what was refused.
    async fn draw_on_salvage(&self, token: &SnapshotToken, disk: &SnapshotDisk, salvage: &Salvage) -> Result<Option<Drawn>, Fault> {
        let Some(last) = salvage.layers.last() else { return Ok(None) };
        let since = changed_since(&*self.gateway.source, token, &disk.id, disk.size, &salvage.marker).await?;
        let Changed::Cells(mut planned, reported) = since else {
            tracing::info!(vm = %self.id, disk = %disk.id, "what was copied so far cannot be built on: the source does not know what changed since");
            return Ok(None);
        };
        let mut covered = SectorBitmap::empty(disk.size);
        for layer in &salvage.layers {
            let folder = AttemptFolder::new(&self.id, layer.cycle, layer.attempt, &disk.id);
            let of_layer = match self.gateway.log.planned(&folder, disk.size, layer.planned_digest).await {
                // Damaged, or the disk has another size now: what was copied so far describes something else.
                Err(fault) if is_damage(&fault) => return Ok(None),
                result => result?,
            };
            if layer == last {
                let mut not_reached = of_layer.clone();
                not_reached.clear_blocks_before(layer.to_block);
                planned.union(&not_reached);
            }
            covered.union(&of_layer);
        }
        for block in salvage.bad_blocks.iter().filter(|block| **block < disk.size.blocks()) {
            planned.insert_blocks(*block, *block + 1);
        }
        covered.union(&planned);
        Ok(Some(Drawn {
            mode: salvage.mode,
            resync: None,
            planned,
            covered,
            reported,
            carried: salvage.layers.clone(),
            compared: Compared::default(),
            lie: None,
        }))
    }
}

/// A plan before it is durable.
struct Drawn {
    mode: Mode,
    resync: Option<ResyncReason>,
    planned: SectorBitmap,
    covered: SectorBitmap,
    reported: Reported,
    carried: Vec<Layer>,
    compared: Compared,
    lie: Option<Lie>,
}

impl Drawn {
    fn whole(disk: &SnapshotDisk, mode: Mode, resync: Option<ResyncReason>) -> Drawn {
        Drawn {
            mode,
            resync,
            planned: SectorBitmap::whole(disk.size),
            covered: SectorBitmap::whole(disk.size),
            reported: Reported { bytes: disk.size.bytes(), extents: 1 },
            carried: Vec::new(),
            compared: Compared::default(),
            lie: None,
        }
    }
}
