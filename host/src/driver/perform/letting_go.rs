//! What ends, or begins anew, outside of cycles: change tracking that is thrown away, and everything that replication holds at the source
//! and on this machine when it is to end.
//!
//! Recovery points and replicas stay. Markers that a source keeps something for are released, and the digest tables go, as only a further
//! delta would read them. A VM that is gone at its source holds nothing there.

use crate::model::{DiskMarker, Fault, FaultKind};
use crate::pipeline::copy::table_name;
use crate::pipeline::source::Ended;
use crate::policy::vm::Fact;

use super::{Done, Performing};

impl Performing {
    pub(super) async fn reset_tracking(&self) -> Result<Done, Fault> {
        self.check_owner().await?;
        let outcome = self.gateway.source.reset_tracking(self.identity()?).await?;
        self.finish(outcome, |ended| matches!(ended, Ended::Done).then_some(())).await?;
        Ok(Fact::TrackingReset { at: self.gateway.clock.now() }.into())
    }

    pub(super) async fn let_go(&self) -> Result<Done, Fault> {
        self.check_owner().await?;
        let disks = self.vm.point.iter().flat_map(|point| &point.disks);
        let markers: Vec<DiskMarker> =
            disks.filter_map(|(disk, known)| Some(DiskMarker { disk: disk.clone(), marker: known.marker.clone()? })).collect();
        if !markers.is_empty() {
            match self.gateway.source.release_markers(self.identity()?, &markers).await {
                // It keeps nothing for a marker, or the VM is gone and all of this with it.
                Err(fault) if matches!(fault.kind, FaultKind::Unsupported | FaultKind::NotFound) => {}
                result => result?,
            }
        }
        for disk in self.vm.known_disks().keys() {
            self.gateway.work.remove(&table_name(&self.id, disk)).await?;
        }
        Ok(Fact::Stopped { at: self.gateway.clock.now() }.into())
    }
}
