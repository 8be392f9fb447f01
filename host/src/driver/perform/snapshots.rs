//! Snapshots on the source: opened under a tag that the journal knows first, asked for their disks, and closed in the end.
//!
//! A tag says which store and which VM a snapshot is for, so that one whose reply was lost is found again and closed, and somebody else's
//! is left alone. A snapshot that is gone already counts as closed. Only after a complete copy does closing keep the markers that the next
//! cycle asks with; every other close discards them.

use crate::log::layout::hex;
use crate::model::commit::Sha;
use crate::model::{Attempt, Closing, DiskMarker, Fault, FaultKind, OpenedSnapshot, SnapshotToken};
use crate::pipeline::source::Ended;
use crate::policy::vm::Fact;

use super::{Done, Performing};

impl Performing {
    pub(super) async fn sweep(&self) -> Result<Done, Fault> {
        for token in self.leftovers(&self.tag_prefix()).await? {
            tracing::info!(vm = %self.id, "closing a snapshot that was left behind");
            self.close(&token, Closing::DiscardMarkers).await?;
        }
        Ok(Done { swept: true, ..Done::default() })
    }

    /// Of a cycle's later attempts none opens a snapshot before the store answers again: it would grow and could not be copied.
    pub(super) async fn intend_snapshot(&self, attempt: Attempt) -> Result<Done, Fault> {
        if attempt.in_cycle() > 1 {
            self.check_owner().await?;
        }
        let tag = self.new_tag(attempt);
        Ok(Fact::SnapshotIntended { attempt, tag, at: self.gateway.clock.now() }.into())
    }

    pub(super) async fn open_snapshot(&self, tag: &str) -> Result<Done, Fault> {
        let outcome = self.gateway.source.open_snapshot(self.identity()?, tag, self.gateway.settings.quiesce).await?;
        let opened: OpenedSnapshot = self
            .finish(outcome, |ended| match ended {
                Ended::Opened(opened) => Some(opened),
                _ => None,
            })
            .await?;
        let OpenedSnapshot { token, quiesced } = opened;
        self.claim(&token)?;
        Ok(Fact::SnapshotOpened { attempt: self.cycle()?.attempt, token, quiesced, at: self.gateway.clock.now() }.into())
    }

    pub(super) async fn list_disks(&self, token: &SnapshotToken) -> Result<Done, Fault> {
        let disks = self.gateway.source.disks(token).await?;
        if disks.is_empty() {
            return Err(Fault::invalid(format!("the snapshot of {} holds no disk", self.vm.name)));
        }
        if let Some(disk) = disks.iter().enumerate().find(|(index, disk)| disks[..*index].iter().any(|other| other.id == disk.id)) {
            return Err(Fault::corrupt(format!("the source names disk {} of {} twice", disk.1.id, self.vm.name)));
        }
        if disks.iter().all(|disk| self.vm.wishes.excluded.contains_key(&disk.id)) {
            return Err(Fault::invalid(format!("every disk that {} has is excluded: include one of them", self.vm.name)));
        }
        let definition = self.gateway.source.definition(self.identity()?).await?;
        let definition = serde_json::to_value(definition).map_err(|error| Fault::internal(error.to_string()))?;
        Ok(Fact::DisksListed { disks, definition }.into())
    }

    pub(super) async fn close_snapshot(&self, token: &SnapshotToken) -> Result<Done, Fault> {
        let markers = self.close(token, Closing::KeepMarkers).await?;
        Ok(Fact::SnapshotClosed { markers }.into())
    }

    pub(super) async fn abandon_snapshot(&self, tag: &str, token: Option<&SnapshotToken>) -> Result<Done, Fault> {
        if let Some(token) = token {
            self.close(token, Closing::DiscardMarkers).await?;
        }
        if !tag.is_empty() {
            for token in self.leftovers(tag).await? {
                self.close(&token, Closing::DiscardMarkers).await?;
            }
        }
        Ok(Fact::Abandoned.into())
    }

    async fn close(&self, token: &SnapshotToken, closing: Closing) -> Result<Vec<DiskMarker>, Fault> {
        let markers = match self.gateway.source.close_snapshot(token, closing).await {
            Ok(outcome) => {
                self.finish(outcome, |ended| match ended {
                    Ended::Closed(markers) => Some(markers),
                    _ => None,
                })
                .await?
            }
            Err(fault) if fault.kind == FaultKind::NotFound => Vec::new(),
            Err(fault) => return Err(fault),
        };
        self.gateway.fleet.release(&self.vm.source, token);
        Ok(markers)
    }

    async fn leftovers(&self, tag: &str) -> Result<Vec<SnapshotToken>, Fault> {
        let tokens = self.gateway.source.leftovers(self.identity()?, tag).await?;
        // All of them, before one is closed.
        tokens.iter().try_for_each(|token| self.claim(token))?;
        Ok(tokens)
    }

    /// What the source calls this VM's snapshot must not be another VM's.
    fn claim(&self, token: &SnapshotToken) -> Result<(), Fault> {
        self.gateway.fleet.claim(&self.vm.source, token, &self.id)
    }

    /// Everything of ours on this VM starts with this; another store's agent has another prefix.
    fn tag_prefix(&self) -> String {
        let store = hex(&self.gateway.log.sealer().store_id()[..4]);
        let vm = &Sha::of(self.id.as_str().as_bytes()).to_string()[..8];
        format!("transload-{store}-{vm}-")
    }

    fn new_tag(&self, attempt: Attempt) -> String {
        let cycle = self.vm.cycle.as_ref().map_or(0, |cycle| cycle.number.0);
        format!("{}{cycle}.{attempt}-{:08x}", self.tag_prefix(), self.gateway.log.random().number() as u32)
    }
}
