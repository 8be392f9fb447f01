//! One appliance's admission: the agent's own, asked in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::policy::admission::{Admission, Ask, Kind, LimitNo, Limits, Place, Standing, VmNo};
use crate::policy::waiting::{Limit, Shortage, Waiting};

use super::fleet::Fleet;

pub struct Places {
    admission: Admission,
    numbers: BTreeMap<VmNo, u32>,
    /// By the fleet's number of a VM; those of other appliances have none.
    vms: Vec<Option<(VmNo, Arc<Place>)>>,
}

impl Places {
    /// `is_mine`: whether this appliance replicates the VM of this number.
    pub fn new(fleet: &Fleet, limits: Limits, is_mine: impl Fn(usize) -> bool) -> Places {
        let mut admission = Admission::new(limits);
        let source = || "fleet".to_owned();
        let host = |(name, disks): (&String, u32)| (Limit::Host { source: source(), name: name.clone() }, Some(disks));
        let hosts: Vec<LimitNo> =
            fleet.hosts.iter().map(|it| host((&it.name, it.disks))).map(|(limit, max)| admission.limit(limit, max)).collect();
        let datastore = |name: &String| Limit::Datastore { source: source(), id: name.clone(), name: name.clone() };
        let datastores: Vec<LimitNo> = fleet.datastores.iter().map(|name| admission.limit(datastore(name), None)).collect();
        let mut numbers = BTreeMap::new();
        let vms = fleet.machines.iter().enumerate().map(|(number, machine)| {
            if !is_mine(number) {
                return None;
            }
            let no = admission.vm(&number.to_string(), &machine.name);
            numbers.insert(no, number as u32);
            let mut on = BTreeMap::new();
            for datastore in &machine.datastores {
                *on.entry(datastores[*datastore as usize]).or_default() += 1;
            }
            let place = Place {
                disks: machine.datastores.len() as u32,
                host: Some(hosts[machine.host as usize]),
                datastores: on.into_iter().collect(),
                sinks: Vec::new(),
            };
            Some((no, Arc::new(place)))
        });
        let vms = vms.collect();
        Places { admission, numbers, vms }
    }

    pub fn ask(&mut self, vm: u32, kind: Kind, standing: Standing, now: Timestamp) {
        let (no, place) = self.mine(vm);
        let ask = Ask { kind, standing, since: now, disks: place.disks, place };
        self.admission.ask(no, ask, now);
    }

    /// Who may begin now.
    pub fn entered(&mut self) -> Vec<u32> {
        self.admission.entered().iter().map(|no| self.numbers[no]).collect()
    }

    /// The disk places that a VM holds.
    pub fn held(&self, vm: u32) -> u32 {
        self.admission.seat(self.mine(vm).0).unwrap_or(0)
    }

    /// Everything is read; the snapshot is still there.
    pub fn copied(&mut self, vm: u32, now: Timestamp) {
        let no = self.mine(vm).0;
        self.admission.only_snapshots(no, now);
    }

    /// The snapshot is closed.
    pub fn leave(&mut self, vm: u32, now: Timestamp) {
        let no = self.mine(vm).0;
        self.admission.leave(no, now);
    }

    /// The VM is not replicated any longer.
    pub fn forget(&mut self, vm: u32, now: Timestamp) {
        let no = self.mine(vm).0;
        self.admission.forget(no, now);
    }

    /// What a VM that waits, waits for, in a few words and without the numbers of the moment.
    pub fn held_by(&self, vm: u32) -> Option<String> {
        match self.admission.why(self.mine(vm).0)? {
            Waiting::Limit(Shortage { limit, max, .. }) => {
                let max = max.map_or_else(String::new, |max| format!(" ({max})"));
                Some(match limit {
                    Limit::Vms => format!("VMs of an appliance{max}"),
                    Limit::Disks => format!("disks of an appliance{max}"),
                    Limit::Host { name, .. } => format!("disks of host {name}{max}"),
                    Limit::Datastore { name, .. } => format!("snapshots on {name}{max}"),
                    Limit::Sink { name } => format!("disks into store {name}{max}"),
                })
            }
            _ => None,
        }
    }

    fn mine(&self, vm: u32) -> (VmNo, Arc<Place>) {
        self.vms[vm as usize].clone().expect("a VM asks its own appliance")
    }
}
