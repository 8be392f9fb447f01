//! A source plugin as the pipeline's `Source`.

use std::time::Duration;

use async_trait::async_trait;

use super::bindings::source::SourcePlugin;
use super::convert;
use super::instances::call;
use super::paging::Followed;
use super::plugin::{Plugin, PluginRefused};
use super::version::{Current, Version};
use crate::model::{DiskId, Extent, Fault, Marker, SnapshotToken, VmRef};
use crate::net::{Client, ProbeStep, probe};
use crate::pipeline::source::*;

pub struct PluginSource {
    pub(super) current: Current<SourcePlugin>,
}

/// A call to the source's control instances, from start to answer.
macro_rules! control {
    ($self:ident, $name:literal, $function:ident ( $($argument:expr),* )) => {{
        let now = $self.current.now()?;
        let (live, called) = call!(now.control, Duration::ZERO, transload_plugin_source.$function($($argument),*));
        now.control.settle(live, $name, called)
    }};
}

impl PluginSource {
    pub(super) fn new(version: Version<SourcePlugin>) -> PluginSource {
        PluginSource { current: Current::new(version) }
    }

    /// One whose plugin may not run yet: every call says why.
    pub(super) fn waiting(refused: &PluginRefused) -> PluginSource {
        PluginSource { current: Current::none(refused) }
    }

    /// Walks to every origin that the plugin may reach, for `transload check`.
    pub async fn probe(&self) -> Vec<ProbeStep> {
        match self.current.now() {
            Ok(now) => probe_all(&now.plugin).await,
            Err(_) => Vec::new(),
        }
    }

    /// Words for people: what a server repeats in its answers may hold a secret.
    fn hide(&self, words: &str) -> String {
        self.current.now().map_or_else(|_| words.to_owned(), |now| now.plugin.masks().hide(words))
    }

    fn shown(&self, finding: Finding) -> Finding {
        let (subject, message, remedy) = (self.hide(&finding.subject), self.hide(&finding.message), self.hide(&finding.remedy));
        Finding { subject, message, remedy, ..finding }
    }

    /// Plaintext bytes of disks that the guest has seen since the start.
    pub fn bytes_peeked(&self) -> u64 {
        self.current.now().map_or(0, |now| now.plugin.counters().read().peeked)
    }
}

pub(super) async fn probe_all(plugin: &Plugin) -> Vec<ProbeStep> {
    let mut steps = Vec::new();
    for endpoint in plugin.clients().map(Client::endpoint) {
        steps.extend(probe(endpoint, plugin.clock()).await);
    }
    steps
}

fn done(ended: Ended) -> Option<()> {
    matches!(ended, Ended::Done).then_some(())
}

#[async_trait]
impl Source for PluginSource {
    async fn describe(&self) -> Result<SourceDescription, Fault> {
        let described = convert::source_description(control!(self, "describe", call_describe())?)?;
        Ok(SourceDescription { product: self.hide(&described.product), ..described })
    }

    async fn inventory(&self, cursor: Option<String>) -> Result<InventoryPage, Fault> {
        let list = Followed::to(cursor.as_deref())?;
        let page = control!(self, "inventory", call_inventory(list.cursor()))?;
        let page = convert::inventory_page(page, list.cursor())?;
        Ok(InventoryPage { next: list.go_on("VMs", page.vms.len(), None, page.next)?, vms: page.vms })
    }

    async fn preflight(&self, vm: &VmRef) -> Result<Vec<Finding>, Fault> {
        let findings = convert::findings(control!(self, "preflight", call_preflight(&convert::vm_ref(vm)))?)?;
        Ok(findings.into_iter().map(|finding| self.shown(finding)).collect())
    }

    async fn definition(&self, vm: &VmRef) -> Result<VmDefinition, Fault> {
        convert::definition(control!(self, "definition", call_definition(&convert::vm_ref(vm)))?)
    }

    async fn placement(&self, vm: &VmRef) -> Result<Placement, Fault> {
        convert::placement(control!(self, "placement", call_placement(&convert::vm_ref(vm)))?)
    }

    async fn enable_tracking(&self, vm: &VmRef) -> Result<Outcome<()>, Fault> {
        let outcome = control!(self, "enable-tracking", call_enable_tracking(&convert::vm_ref(vm)))?;
        convert::outcome(outcome, "enable-tracking", done)
    }

    async fn reset_tracking(&self, vm: &VmRef) -> Result<Outcome<()>, Fault> {
        let outcome = control!(self, "reset-tracking", call_reset_tracking(&convert::vm_ref(vm)))?;
        convert::outcome(outcome, "reset-tracking", done)
    }

    async fn open_snapshot(&self, vm: &VmRef, tag: &str, quiesce: Quiesce) -> Result<Outcome<OpenedSnapshot>, Fault> {
        let outcome = control!(self, "open-snapshot", call_open_snapshot(&convert::vm_ref(vm), tag, convert::quiesce(quiesce)))?;
        convert::outcome(outcome, "open-snapshot", |ended| match ended {
            Ended::Opened(opened) => Some(opened),
            _ => None,
        })
    }

    async fn close_snapshot(&self, token: &SnapshotToken, closing: Closing) -> Result<Outcome<Vec<DiskMarker>>, Fault> {
        let outcome = control!(self, "close-snapshot", call_close_snapshot(token.as_str(), convert::closing(closing)))?;
        convert::outcome(outcome, "close-snapshot", |ended| match ended {
            Ended::Closed(markers) => Some(markers),
            _ => None,
        })
    }

    async fn release_markers(&self, vm: &VmRef, markers: &[DiskMarker]) -> Result<(), Fault> {
        control!(self, "release-markers", call_release_markers(&convert::vm_ref(vm), &convert::markers(markers)))
    }

    async fn leftovers(&self, vm: &VmRef, tag_prefix: &str) -> Result<Vec<SnapshotToken>, Fault> {
        convert::tokens(control!(self, "leftovers", call_leftovers(&convert::vm_ref(vm), tag_prefix))?)
    }

    async fn disks(&self, token: &SnapshotToken) -> Result<Vec<SnapshotDisk>, Fault> {
        convert::snapshot_disks(control!(self, "disks", call_disks(token.as_str()))?)
    }

    async fn changed(&self, token: &SnapshotToken, disk: &DiskId, since: &Marker, cursor: Option<String>) -> Result<Changes, Fault> {
        let given = control!(self, "changed", call_changed(token.as_str(), disk.as_str(), since.as_str(), cursor.as_deref()))?;
        Ok(match convert::changes(given, cursor.as_deref())? {
            Changes::Resync(reason) => Changes::Resync(ResyncReason { message: self.hide(&reason.message), ..reason }),
            page => page,
        })
    }

    async fn open_range(&self, token: &SnapshotToken, disk: &DiskId, range: Extent) -> Result<Box<dyn ByteSource>, Fault> {
        let now = self.current.now()?;
        let (mut live, called) = call!(
            now.data,
            Duration::ZERO,
            transload_plugin_source.call_open_range(token.as_str(), disk.as_str(), range.offset, range.length)
        );
        // The handle leaves the instance before the instance may serve another call.
        let taken = match &called {
            Ok(Ok(Ok(handle))) => live.store.data_mut().take(wasmtime::component::Resource::new_own(handle.rep())).ok(),
            _ => None,
        };
        now.data.settle(live, "open-range", called)?;
        let source = taken.ok_or_else(|| Fault::corrupt("the plugin answered with a byte source that is not there"))?;
        match source.bytes() == range.length {
            true => Ok(Box::new(source)),
            false => Err(Fault::corrupt(format!("the plugin answered {} bytes with a source of {}", range.length, source.bytes()))),
        }
    }

    async fn power(&self, vm: &VmRef, action: PowerAction) -> Result<Outcome<PowerState>, Fault> {
        let outcome = control!(self, "power", call_power(&convert::vm_ref(vm), convert::power_action(action)))?;
        convert::outcome(outcome, "power", |ended| match ended {
            Ended::Power(state) => Some(state),
            _ => None,
        })
    }

    async fn poll(&self, operation: &str) -> Result<Outcome<Ended>, Fault> {
        convert::outcome(control!(self, "poll", call_poll(operation))?, "poll", Some)
    }

    async fn cancel(&self, operation: &str) -> Result<(), Fault> {
        control!(self, "cancel", call_cancel(operation))
    }
}
