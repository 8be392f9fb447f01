//! What a guest does wrong costs one call, and never a byte, a secret or the host. Every misdeed ends in a fault of its own, by name and
//! in time, and the plugin that did it can be called again. Meanwhile a VM replicates in the same process and plugin host: see `boundary::setup::World`.

mod admission;
mod amounts;
mod bytes;
mod cutover;
mod deadlines;
mod endings;
mod folders;
mod neighbours;
mod pages;
mod reach;
mod start;
mod store;
mod telling;
mod values;

use std::time::Duration;

use transload::cutover::Cutover;
use transload::log::sink::Sink;
use transload::model::{Fault, FaultKind, VmRef};
use transload::pipeline::source::Source;
use transload::wasm::{PluginCutover, PluginSink, PluginSource};

use super::cutover::step;
use super::server::disk;
use super::sink::sealed;
use super::source::{open, vm};

/// What takes longer hangs, on the slowest machine as well.
const HANGS_AFTER: Duration = Duration::from_secs(120);
/// More often than a pool has seats, so that one which is not given back is missed.
const TIMES: usize = 3;

async fn ends<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS_AFTER, call).await.expect("it hangs")
}

/// The fault that a misdeed ends in: the same one each time, while the plugin goes on working.
async fn refused<P: Works, T>(plugin: &P, misdeed: impl AsyncFn(&P) -> Result<T, Fault>) -> (FaultKind, String) {
    let mut faults = Vec::new();
    for _ in 0..TIMES {
        let fault = ends(misdeed(plugin)).await.err().expect("a misdeed was believed");
        faults.push((fault.kind, fault.message));
        ends(plugin.works()).await;
    }
    faults.dedup();
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

/// What `preflight` of the VM with this id ends in.
async fn preflight(source: &PluginSource, misdeed: &str) -> (FaultKind, String) {
    refused(source, async |source| source.preflight(&vm(misdeed)).await).await
}

async fn definition(source: &PluginSource, misdeed: &str) -> (FaultKind, String) {
    refused(source, async |source| source.definition(&vm(misdeed)).await).await
}

/// What the guest learnt from a misdeed that the host answered instead of ending it.
async fn learnt(source: &PluginSource, misdeed: &str) -> String {
    let said = ends(source.definition(&vm(misdeed))).await.unwrap().name;
    ends(source.works()).await;
    said
}

fn said(kind: FaultKind, sentence: &str) -> (FaultKind, String) {
    (kind, sentence.to_owned())
}

/// A plugin that can still be called, for control and for data, and does what is right.
trait Works {
    async fn works(&self);
}

impl Works for PluginSource {
    async fn works(&self) {
        let known = VmRef { id: "vm-1".to_owned(), fingerprint: "uuid-vm-1".to_owned() };
        assert_eq!(self.inventory(None).await.unwrap().vms[0].vm, known);
        let mut buffer = vec![0; 1000];
        open(self, "disk", 4096, 1000).await.fetch(0, &mut buffer).await.unwrap();
        assert_eq!(buffer, disk()[4096..5096]);
    }
}

impl Works for PluginSink {
    async fn works(&self) {
        let body = sealed(b"a page");
        // It is there already from the second time on.
        let put = self.put("vm/works", body.clone()).await;
        assert!(put.is_ok() || put.unwrap_err().kind == FaultKind::Conflict);
        assert_eq!(self.get("vm/works", None).await.unwrap(), body.whole());
        assert_eq!(self.entries("vm/", None).await.unwrap().entries.len(), 2);
    }
}

impl Works for PluginCutover {
    async fn works(&self) {
        assert_eq!(self.verify(&step("web", "198.51.100.1")).await, Ok(false));
    }
}
