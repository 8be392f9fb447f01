//! What the running cycle of a VM stands on: it is in no commit yet, and must not be taken away.

use crate::model::commit::Layer;
use crate::model::{CycleNumber, DiskId};
use crate::policy::vm::{Cycle, Stage, Vm};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// The point that the running or the next cycle builds on.
    pub base: Option<CycleNumber>,
    /// Layers of cycles that have ended, which a later commit may name.
    pub layers: Vec<(DiskId, Layer)>,
    /// Everything of this cycle and of later ones is left alone.
    pub from: CycleNumber,
}

impl UnderWay {
    /// Good for as long as the VM likes: what a later state builds on is among these layers, or belongs to a cycle from `from` on.
    pub fn of(vm: &Vm) -> UnderWay {
        let salvaged = vm.salvage.values().flat_map(|salvage| salvage.layers.iter().map(|layer| (salvage.disk.clone(), layer.clone())));
        UnderWay {
            base: vm.point.as_ref().map(|point| point.commit.cycle),
            layers: salvaged.chain(vm.cycle.iter().flat_map(of_cycle)).collect(),
            from: vm.cycle.as_ref().map_or(CycleNumber(vm.next_cycle), |cycle| cycle.number),
        }
    }
}

fn of_cycle(cycle: &Cycle) -> Vec<(DiskId, Layer)> {
    let (Stage::Open { disks: Some(disks), .. } | Stage::Closed { disks, .. }) = &cycle.stage else { return Vec::new() };
    let carried = disks.each.iter().flat_map(|(disk, copying)| copying.plan.iter().map(move |plan| (disk, &plan.carried)));
    carried.flat_map(|(disk, layers)| layers.iter().map(|layer| (disk.clone(), layer.clone()))).collect()
}
