//! The receiver's verdict on a commit. It is waited for without an end. *Applied* is believed only of the very commit that we know, and
//! only when the sectors that the receiver wrote are the ones that we planned; a commit that an agent before us left has no plan here.
//!
//! Digest tables are brought up to date and old markers released before the fact is recorded, so that after a death both are done again. A
//! table that cannot follow, because of damage, and a source that refuses to release do not hold up a cycle that is applied.

use crate::model::commit::Verdict;
use crate::model::{CycleNumber, DiskMarker, Fault};
use crate::policy::vm::{Fact, Stage};

use super::{Done, Performing, is_damage};

impl Performing {
    pub(super) async fn await_receipt(&self, cycle: CycleNumber) -> Result<Done, Fault> {
        let mut news = self.gateway.log.news().listen();
        let receipt = loop {
            if let Some(receipt) = self.gateway.log.receipt(&self.id, cycle).await? {
                break receipt;
            }
            tokio::select! {
                biased;
                () = news.of(&self.id) => {}
                () = self.gateway.clock.sleep(self.gateway.settings.poll) => {}
            }
        };
        let Stage::Committed { point, covered } = &self.cycle()?.stage else {
            return Err(Fault::internal("a receipt is awaited for no commit"));
        };
        let at = self.gateway.clock.now();
        let disks = match receipt.verdict {
            // Also when the receiver met other bytes under the commit's name than we wrote: refused is refused.
            Verdict::Rejected(rejection) => return Ok(Fact::Rejected { rejection, at }.into()),
            Verdict::Applied { disks } => disks,
        };
        if receipt.commit != point.commit {
            return Err(Fault::corrupt(format!("the receiver applied another commit of cycle {cycle} than ours")));
        }
        for (disk, planned) in covered {
            let written = disks.iter().find(|applied| applied.disk == *disk).map(|applied| applied.covered_digest);
            if written != Some(*planned) {
                return Err(Fault::corrupt(format!(
                    "the receiver wrote other sectors of disk {disk} than were planned for cycle {cycle}; the replica is not to be trusted"
                )));
            }
        }
        match self.update_tables(point).await {
            Err(fault) if is_damage(&fault) => {
                tracing::warn!(vm = %self.id, message = %fault.message, "digest tables were not brought up to date")
            }
            result => result?,
        }
        self.release_old_markers().await?;
        Ok(Fact::Applied { at }.into())
    }

    async fn release_old_markers(&self) -> Result<(), Fault> {
        let Some(old) = &self.vm.point else { return Ok(()) };
        let markers = old.disks.iter().filter_map(|(disk, known)| Some(DiskMarker { disk: disk.clone(), marker: known.marker.clone()? }));
        let markers: Vec<DiskMarker> = markers.collect();
        if markers.is_empty() {
            return Ok(());
        }
        match self.gateway.source.release_markers(self.identity()?, &markers).await {
            Err(fault) if !fault.kind.passes() => {
                // It costs the source some space, and must not hold up a cycle that is applied.
                tracing::warn!(vm = %self.id, message = %fault.message, "markers of an older recovery point are not released");
                Ok(())
            }
            result => result,
        }
    }
}
