//! The VMs of the demo.

use crate::vcenter::{DiskSpec, VCenter, VmSpec};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// How much the demo's VMs hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// One disk of 8 GiB with 500 MB of files.
    Full,
    /// The same shapes in a few dozen MB.
    Small,
}

/// Creates the demo's three VMs: `db01` with one large disk, `web01` whose disk is no multiple of 1 MiB, `app01` with
/// three disks. Answers their morefs in this order.
pub async fn populate(vcenter: &VCenter, size: Size) -> Result<Vec<String>> {
    const MIB: u64 = 1 << 20;
    let large = match size {
        Size::Full => DiskSpec::with_files(8 << 30, 500_000_000),
        Size::Small => DiskSpec::with_files(256 * MIB, 12_000_000),
    };
    let odd = DiskSpec::with_files(64 * MIB + 3 * 512, 20_000_000);
    let several = vec![DiskSpec::with_files(96 * MIB, 16_000_000), DiskSpec::with_files(48 * MIB, 5_000_000), DiskSpec::blank(32 * MIB)];

    let database = VmSpec { firmware: "efi".into(), memory_mebibytes: 8192, cpus: 4, ..VmSpec::new("db01", vec![large]) };
    let web = VmSpec::new("web01", vec![odd]);
    let application = VmSpec { datastore: "nfs-02".into(), ..VmSpec::new("app01", several) };
    let mut morefs = Vec::new();
    for spec in [database, web, application] {
        morefs.push(vcenter.add_vm(spec).await?);
    }
    Ok(morefs)
}
