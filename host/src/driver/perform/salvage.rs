//! What an attempt that was cut short leaves for the next one: the layers that its published pages make, and the marker since which the
//! disk may have changed under them.
//!
//! Salvage saves work and nothing else, so nothing here fails. A store that does not answer is why most attempts are cut short, so what it
//! holds is not only known from asking it: the copy itself remembers what it published last.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::driver::gateway::Gateway;
use crate::model::{DiskId, SnapshotToken, VmId};
use crate::pipeline::copy::{self, Progress};
use crate::policy::vm::{Copying, Cycle, Salvage, Stage, Vm};

use super::copying::job;

/// What a failing attempt leaves for the next one. Whatever cannot be found out now is copied again.
pub async fn salvage(gateway: &Gateway, id: &VmId, vm: &Vm, progress: &BTreeMap<DiskId, Arc<Progress>>) -> Vec<Salvage> {
    let Some(cycle) = &vm.cycle else { return Vec::new() };
    let Stage::Open { token, disks: Some(disks), .. } = &cycle.stage else { return vm.salvage.values().cloned().collect() };
    let mut kept = Vec::new();
    for (disk, copying) in &disks.each {
        let before = vm.salvage.get(disk);
        let remembered = progress.get(disk).map(|progress| &**progress);
        match salvage_disk(gateway, id, cycle, token, copying, before, remembered).await {
            Some(salvage) => kept.push(salvage),
            None => kept.extend(before.filter(|_| copying.plan.is_none()).cloned()),
        }
    }
    kept
}

async fn salvage_disk(
    gateway: &Gateway,
    id: &VmId,
    cycle: &Cycle,
    token: &SnapshotToken,
    copying: &Copying,
    before: Option<&Salvage>,
    remembered: Option<&Progress>,
) -> Option<Salvage> {
    let plan = copying.plan.as_ref()?;
    let mut layers = plan.carried.clone();
    let published = async {
        let job = job(gateway, id, cycle, token, copying, None).await?;
        copy::published_layer(&job, &gateway.log).await
    };
    layers.extend(match &copying.layer {
        Some((whole, _)) => Some(whole.clone()),
        None => match published.await {
            Err(fault) if fault.kind.passes() => remembered?.published(),
            published => published.ok()?,
        },
    });
    let marker = match before.filter(|_| !plan.carried.is_empty()) {
        Some(before) => before.marker.clone(),
        None => copying.source.marker.clone()?,
    };
    let bad_blocks = before.map_or_else(Vec::new, |before| before.bad_blocks.clone());
    let disk = copying.source.id.clone();
    let fingerprint = copying.source.fingerprint.clone();
    (!layers.is_empty()).then_some(Salvage { disk, mode: plan.mode, fingerprint, layers, marker, bad_blocks })
}
