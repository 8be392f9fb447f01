//! A datacentre of 12 hosts and 8 datastores, and as many VMs as an appliance replicates, and one more.
//!
//! 300 VMs have 400 disks: most have one, some two or three, and one has more than a datastore should hold snapshots of. They are spread
//! over hosts and datastores, and their disks are small, so that limits bind and not bytes.

use crate::vcenter::{DatastoreSpec, DiskSpec, VCenter, VCenterOptions, VmSpec};
use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

const HOSTS: usize = 12;
const DATASTORES: usize = 8;
/// VMs of the fleet; the last one is the one too many.
pub const FLEET_VMS: usize = 301;
/// What each disk holds, at some place of it.
const NOISE_BYTES: u64 = 256 << 10;

pub fn fleet_options() -> VCenterOptions {
    let datastore = |no: usize| DatastoreSpec { name: datastore(no), capacity: 4 << 40, kind: "VMFS".into() };
    VCenterOptions {
        hosts: (0..HOSTS).map(host).collect(),
        datastores: (0..DATASTORES).map(datastore).collect(),
        ..VCenterOptions::default()
    }
}

fn host(no: usize) -> String {
    format!("esx-{:02}.lab.test", no + 1)
}

fn datastore(no: usize) -> String {
    format!("pool-{}", no + 1)
}

/// "app-001" and so on.
pub fn fleet_vm(no: usize) -> String {
    format!("app-{:03}", no + 1)
}

/// How many disks a VM of the fleet has.
pub fn fleet_disks(no: usize) -> usize {
    // Seven and three hundred have no divisor in common: the large ones are nobody's neighbours.
    match no * 7 % (FLEET_VMS - 1) {
        _ if no == FLEET_VMS - 1 => 1,
        0 => 16,
        1..=25 => 3,
        26..=60 => 2,
        _ => 1,
    }
}

/// Creates the fleet with disks of so many bytes. A tenth of the VMs is not tracked yet.
pub async fn populate_fleet(vcenter: &VCenter, disk_bytes: u64) -> Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(300);
    for no in 0..FLEET_VMS {
        let disks = vec![DiskSpec::blank(disk_bytes); fleet_disks(no)];
        let (host, datastore) = (Some(host(no % HOSTS)), datastore(no % DATASTORES));
        let vm = vcenter.add_vm(VmSpec { host, datastore, tracking: no % 10 > 0, ..VmSpec::new(&fleet_vm(no), disks) }).await?;
        for disk in vcenter.vm(&vm)?.disks {
            let mut noise = vec![0; NOISE_BYTES.min(disk_bytes) as usize];
            random.fill_bytes(&mut noise);
            let places = (disk_bytes - noise.len() as u64) / 512 + 1;
            vcenter.write(&vm, disk.key, random.next_u64() % places * 512, noise).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hundred_vms_have_four_hundred_disks() {
        assert_eq!((0..FLEET_VMS - 1).map(fleet_disks).sum::<usize>(), 400);
        assert_eq!((0..FLEET_VMS).filter(|no| fleet_disks(*no) > 15).count(), 1);
    }
}
