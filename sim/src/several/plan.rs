//! What several VMs go through: drawn from a seed, or written down by a test.

use std::time::Duration;

use transload::policy::admission::Limits;

use crate::datacentre::{DatacentrePlan, Fill};
use crate::plan::Plan;
use crate::retention::eager;
use crate::weather::Stretch;
use crate::world::World;

const MIB: u64 = 1024 * 1024;
const HOSTS: [&str; 2] = ["host-a", "host-b"];
const DATASTORES: [&str; 2] = ["store-a", "store-b"];

#[derive(Debug, Clone)]
pub struct SeveralPlan {
    /// What goes for all of them: troubles of the ends, the weather, how many points each VM has to reach.
    pub all: Plan,
    pub vms: Vec<VmPlan>,
    pub datacentre: DatacentrePlan,
    /// Disks that the appliance reads at one time.
    pub disks: u32,
    /// Gateways and receivers that die before the ones that may live.
    pub gateway_deaths: u64,
    pub receiver_deaths: u64,
    /// Which of those deaths loses everything that the process had, if any.
    pub gateway_lost: Option<u64>,
    pub receiver_lost: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct VmPlan {
    pub sizes: Vec<u64>,
    pub host: &'static str,
    pub datastores: Vec<&'static str>,
    /// It is moved: its final cycle is asked for once it has a recovery point.
    pub is_moved: bool,
    pub illness: Option<Illness>,
}

/// What befalls one VM for good. It need not get anywhere from then on, and all others have to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Illness {
    pub what: Ill,
    pub after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ill {
    /// Its snapshots cannot be merged.
    KeepsSnapshots,
    /// Its disks cannot be read.
    ReadsNothing,
    /// No snapshot of it is made.
    MakesNoSnapshot,
    /// Another agent owns it.
    TakenOver,
}

impl SeveralPlan {
    /// Everything that can be drawn, drawn from the seed.
    pub fn from_seed(seed: u64) -> SeveralPlan {
        let world = World::new(seed ^ 0x5e7e_7a15);
        let one = Plan::from_seed(seed);
        let retention = world.chance(0.3).then(eager);
        let points = if retention.is_some() { 4 } else { 2 + world.below(2) as usize };
        let all = Plan { points, reshape: false, rival: None, lose_appliance: None, retention, facts_kept: 20, ..one };
        let deaths = |most: u64| world.below(most + 1);
        let (gateway_deaths, receiver_deaths) = (deaths(4), deaths(3));
        let lost = |deaths: u64| (deaths > 0 && world.chance(0.2)).then(|| world.below(deaths));
        let mut plan = SeveralPlan {
            vms: (0..3 + world.below(4)).map(|_| VmPlan::drawn(&world)).collect(),
            datacentre: DatacentrePlan {
                host_disks: 2 + world.below(2) as u32,
                datastore_snapshots: 3 + world.below(2) as u32,
                capacity: 2048 * MIB,
                free: 1024 * MIB,
                fills: fills(&world),
            },
            disks: 3 + world.below(3) as u32,
            gateway_deaths,
            receiver_deaths,
            gateway_lost: lost(gateway_deaths),
            receiver_lost: lost(receiver_deaths),
            all,
        };
        for _ in 0..1 + world.below(2) {
            plan.somebody(&world).is_moved = true;
        }
        if world.chance(0.4) {
            let what = [Ill::KeepsSnapshots, Ill::ReadsNothing, Ill::MakesNoSnapshot, Ill::TakenOver][world.below(4) as usize];
            let after = Duration::from_secs(world.below(7200));
            plan.falls_ill(world.below(plan.vms.len() as u64) as usize, Illness { what, after });
        }
        plan
    }

    pub fn falls_ill(&mut self, number: usize, illness: Illness) {
        let vm = &mut self.vms[number];
        (vm.is_moved, vm.illness) = (false, Some(illness));
        // A snapshot that stays for ever takes its room on its datastore for ever. What is left has to be enough for any other VM.
        if illness.what == Ill::KeepsSnapshots {
            vm.sizes.truncate(1);
            self.datacentre.datastore_snapshots = 4;
        }
    }

    fn somebody(&mut self, world: &World) -> &mut VmPlan {
        let number = world.below(self.vms.len() as u64) as usize;
        &mut self.vms[number]
    }

    /// So many VMs of one small disk each on one host and one datastore, and nothing goes wrong.
    pub fn calm(vms: usize, points: usize) -> SeveralPlan {
        let vm = VmPlan { sizes: vec![2 * MIB], host: HOSTS[0], datastores: vec![DATASTORES[0]], is_moved: false, illness: None };
        SeveralPlan {
            all: Plan { facts_kept: 20, ..Plan::calm(Vec::new(), points) },
            vms: vec![vm; vms],
            datacentre: DatacentrePlan { host_disks: 2, datastore_snapshots: 3, capacity: 2048 * MIB, free: 1024 * MIB, fills: Vec::new() },
            disks: 4,
            gateway_deaths: 0,
            receiver_deaths: 0,
            gateway_lost: None,
            receiver_lost: None,
        }
    }

    pub fn limits(&self) -> Limits {
        Limits { disks: self.disks, datastore_snapshots: self.datacentre.datastore_snapshots, ..Limits::default() }
    }
}

impl VmPlan {
    fn drawn(world: &World) -> VmPlan {
        let sizes = (0..1 + world.below(3)).map(|_| (1 + world.below(3)) * MIB + world.below(MIB / 512) * 512).collect();
        let datastores = match world.below(3) {
            2 => DATASTORES.to_vec(),
            number => vec![DATASTORES[number as usize]],
        };
        VmPlan { sizes, host: HOSTS[world.below(2) as usize], datastores, is_moved: false, illness: None }
    }
}

/// Datastores that become tight for a while, or full.
fn fills(world: &World) -> Vec<Fill> {
    let minutes = |least: u64, most: u64| Duration::from_secs(60 * (least + world.below(most - least)));
    let count = if world.chance(0.4) { 1 + world.below(2) } else { 0 };
    let fill = |_| Fill {
        datastore: DATASTORES[world.below(2) as usize],
        when: Stretch { from: minutes(0, 120), lasts: minutes(20, 240) },
        leaves: [150, 60][world.below(2) as usize] * MIB,
    };
    (0..count).map(fill).collect()
}
