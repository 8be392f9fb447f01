//! Where a VM is just now, for limits that count by host and by datastore. Asked anew before each cycle, as VMs are moved.

use crate::driver::fleet::Located;
use crate::model::{Fault, FaultKind, Placement, VmRef};
use crate::pipeline::source::Source;

use super::{Done, Performing};

impl Performing {
    pub(super) async fn locate(&self) -> Result<Done, Fault> {
        let open = self.vm.cycle.as_ref().is_some_and(|cycle| cycle.stage.may_be_open());
        let located = match locate(&*self.gateway.source, self.identity()?).await {
            // A source without hosts and datastores has no limits there.
            Err(fault) if fault.kind == FaultKind::Unsupported => Located::default(),
            // A snapshot is open. What cannot be found out must not keep it open: the steps that follow say what is wrong.
            Err(fault) if open && !fault.kind.passes() => {
                tracing::warn!(vm = %self.id, message = %fault.message, "it is not known where the VM is: limits of its host are not counted");
                Located::default()
            }
            result => result?,
        };
        Ok(Done { located: Some(located), ..Done::default() })
    }
}

pub async fn locate(source: &dyn Source, vm: &VmRef) -> Result<Located, Fault> {
    let placement: Placement = source.placement(vm).await?;
    let host_disks_max = source.describe().await?.disks_per_host_max;
    Ok(Located { placement, host_disks_max })
}
