//! What the VM itself needs before a snapshot of it is taken: for any cycle nothing in the way and change tracking on, for the final one
//! power off.
//!
//! Preflight comes first and changes nothing. While it finds something in the way the VM stays as it is, and the operator is told what to
//! do about it. Change tracking may cost a snapshot to become live, so it is turned on with a seat only. A guest is asked to shut down and never cut off; when that takes too long, a person decides.

use crate::model::{Fault, Finding, PowerAction, PowerState, Severity};
use crate::pipeline::source::Ended;
use crate::policy::vm::Fact;

use super::{Done, Performing};

impl Performing {
    pub(super) async fn prepare(&self) -> Result<Done, Fault> {
        let vm = self.identity()?;
        let findings = self.gateway.source.preflight(vm).await?;
        let blocking: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Blocking).collect();
        if !blocking.is_empty() {
            let told: Vec<String> =
                blocking.iter().map(|finding| format!("{}: {} {}", finding.subject, finding.message, finding.remedy)).collect();
            return Err(Fault::denied(told.join("; ")));
        }
        Ok(Done { prepared: Some(findings), ..Done::default() })
    }

    pub(super) async fn enable_tracking(&self) -> Result<Done, Fault> {
        let outcome = self.gateway.source.enable_tracking(self.identity()?).await?;
        self.finish(outcome, |ended| matches!(ended, Ended::Done).then_some(())).await?;
        Ok(Done { tracking: true, ..Done::default() })
    }

    pub(super) async fn power_off(&self) -> Result<Done, Fault> {
        let outcome = self.gateway.source.power(self.identity()?, PowerAction::Shutdown).await?;
        let off = self.finish(outcome, |ended| match ended {
            Ended::Power(state) => Some(state),
            _ => None,
        });
        let clock = self.gateway.clock.clone();
        tokio::select! {
            biased;
            state = off => match state? {
                PowerState::Off => Ok(Fact::PoweredOff.into()),
                _ => Err(Fault::conflict(format!("{} did not shut down", self.vm.name))),
            },
            () = clock.sleep(self.gateway.settings.shutdown_within) => Err(Fault::cancelled(format!(
                "{} did not shut down within {} s (replication.shutdown-within). Shut it down by hand, or give it longer, and ask for the final \
                 cycle again",
                self.vm.name,
                self.gateway.settings.shutdown_within.as_secs()
            ))),
        }
    }
}
