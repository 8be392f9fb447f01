//! The values of single properties: disks have names that keep them apart, snapshots are listed parents first, and files weigh what they
//! say.

use std::collections::BTreeSet;

use transload_guest::xml;
use vmware_cbt::{devices, placement, snapshots};

use crate::Outcome;

pub fn feed(bytes: &[u8]) -> Outcome {
    let Ok(value) = xml::parse(bytes) else { return Outcome::Refused };
    let hardware = value.children();
    let disks = devices::disks(hardware);
    if let Ok(disks) = &disks {
        let ids: BTreeSet<&str> = disks.iter().map(|disk| disk.id.as_str()).collect();
        assert_eq!(ids.len(), disks.len(), "two disks have one name: {ids:?}");
        assert!(disks.iter().all(|disk| !disk.id.is_empty() && disk.fingerprint().ends_with(&disk.address())));
    }
    assert!(devices::shared_buses(hardware).iter().all(|bus| bus.sharing.is_some()));
    assert!(devices::cards(hardware).len() + devices::passthrough(hardware).len() <= 2 * hardware.len());
    assert!(snapshots::all(Some(&value)).iter().all(|snapshot| !snapshot.moref.value.is_empty()));
    assert!(placement::snapshot_bytes(&value).keys().all(|datastore| !datastore.is_empty()));
    Outcome::of(&disks)
}

pub fn examples() -> Vec<Vec<u8>> {
    let within = |value: &str| format!("<val xmlns:i=\"{}\">{value}</val>", xml::XSI).into_bytes();
    let disk = |key: u32, uuid: &str| {
        format!(
            r#"<VirtualDevice i:type="VirtualDisk"><key>{key}</key><deviceInfo><label>Hard disk 1</label></deviceInfo><backing i:type="VirtualDiskFlatVer2BackingInfo"><fileName>[ds] a/a.vmdk</fileName><diskMode>persistent</diskMode><uuid>{uuid}</uuid><changeId>52 de/81</changeId></backing><controllerKey>1000</controllerKey><unitNumber>0</unitNumber><capacityInKB>10240</capacityInKB></VirtualDevice>"#
        )
    };
    let bus = r#"<VirtualDevice i:type="ParaVirtualSCSIController"><key>1000</key><busNumber>0</busNumber><sharedBus>physicalSharing</sharedBus></VirtualDevice>"#;
    let card = r#"<VirtualDevice i:type="VirtualVmxnet3"><key>4000</key><macAddress>00:50:56:00:00:01</macAddress><backing><port><portgroupKey>dvportgroup-1</portgroupKey></port></backing></VirtualDevice>"#;
    let tree = r#"<rootSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-1</snapshot><name>a%2fb</name><quiesced>true</quiesced><childSnapshotList><snapshot type="VirtualMachineSnapshot">snapshot-2</snapshot></childSnapshotList></rootSnapshotList>"#;
    let layout = "<file><key>1</key><name>[ds] a/a-000001.vmdk</name><type>diskExtent</type><size>4096</size></file><disk><chain><fileKey>0</fileKey></chain><chain><fileKey>1</fileKey></chain></disk>";
    vec![within(&(bus.to_owned() + &disk(2000, "6000c29a") + &disk(2001, "6000c29a") + card)), within(tree), within(layout)]
}
