//! What a target must know to build the VM again.

use transload_guest::fault::Fault;
use transload_guest::machine::{DiskPlace, Firmware, Nic, VmDefinition};
use transload_guest::source::VmRef;

use crate::devices::{self, Card, CardNetwork, Disk};
use crate::moref::Moref;
use crate::session::Vcenter;

const PATHS: [&str; 8] = [
    "name",
    "config.guestFullName",
    "config.firmware",
    "config.bootOptions",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.hardware.device",
    "network",
];

pub fn read(vcenter: &Vcenter<'_>, vm: &VmRef) -> Result<VmDefinition, Fault> {
    let object = vcenter.proven(vm, &format!("read the definition of {}", vcenter.called(&vm.id)), &PATHS)?;
    let lacks = |what: &str| Fault::corrupt(format!("vCenter describes {} without its {what}.", vcenter.called(&vm.id)));
    let hardware = object.items("config.hardware.device");
    let boot = object.element("config.bootOptions");
    let order: Vec<u64> = boot
        .into_iter()
        .flat_map(|boot| boot.children_named("bootOrder"))
        .filter_map(|entry| entry.text_of("deviceKey")?.parse().ok())
        .collect();
    let cards = devices::cards(hardware);
    let nics = cards.into_iter().map(|card| nic(vcenter, card)).collect::<Result<_, _>>()?;
    Ok(VmDefinition {
        name: object.text("name").unwrap_or_default().to_owned(),
        cpus: object.number("config.hardware.numCPU").and_then(|cpus| u32::try_from(cpus).ok()).ok_or_else(|| lacks("processors"))?,
        memory_mib: object.number("config.hardware.memoryMB").ok_or_else(|| lacks("memory"))?,
        firmware: if object.text("config.firmware") == Some("efi") { Firmware::Efi } else { Firmware::Bios },
        secure_boot: boot.and_then(|boot| boot.text_of("efiSecureBootEnabled")) == Some("true"),
        guest_os: object.text("config.guestFullName").unwrap_or_default().to_owned(),
        nics,
        disks: in_boot_order(devices::disks(hardware)?, &order).into_iter().map(place).collect(),
    })
}

/// First what the boot order names, then the rest by its place, as firmware would try them.
fn in_boot_order(mut disks: Vec<Disk>, order: &[u64]) -> Vec<Disk> {
    let rank = |disk: &Disk| order.iter().position(|key| *key == disk.key).unwrap_or(usize::MAX);
    disks.sort_by_cached_key(|disk| {
        (rank(disk), disk.controller.as_ref().map(|controller| (controller.key.clone(), controller.number)), disk.unit, disk.key)
    });
    disks
}

fn place(disk: Disk) -> DiskPlace {
    DiskPlace {
        disk: disk.id,
        controller: disk.controller.as_ref().map(|controller| controller.model.clone()).unwrap_or_default(),
        controller_number: disk.controller.as_ref().map(|controller| controller.number).unwrap_or(0),
        unit: disk.unit,
    }
}

fn nic(vcenter: &Vcenter<'_>, card: Card) -> Result<Nic, Fault> {
    let network = match card.network {
        CardNetwork::Named(name) => name,
        CardNetwork::PortGroup(key) => {
            let group = Moref::new("DistributedVirtualPortgroup", &key);
            let found = vcenter.read_many("read the name of a port group", &group.kind, std::slice::from_ref(&group), &["name"]);
            // A port group that may not be seen still has its key.
            found.ok().and_then(|found| found.first()?.text("name").map(str::to_owned)).unwrap_or(key)
        }
        CardNetwork::Unknown => String::new(),
    };
    Ok(Nic { label: card.label, mac: card.mac, network, model: card.model, connected: card.connected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Scene, disk_xml, objects, prop, raw_prop, vm_ref};

    #[test]
    fn the_boot_order_comes_first_and_firmware_facts_are_kept() {
        let devices = format!(
            r#"<VirtualDevice i:type="ParaVirtualSCSIController"><key>1000</key><busNumber>0</busNumber></VirtualDevice>{}{}"#,
            disk_xml(2000, 1000, 0, 512, "aa", "[ds] a/a.vmdk", None),
            disk_xml(2001, 1000, 1, 512, "bb", "[ds] a/b.vmdk", None)
        );
        let boot = r#"<efiSecureBootEnabled>true</efiSecureBootEnabled><bootOrder i:type="VirtualMachineBootOptionsBootableDiskDevice"><deviceKey>2001</deviceKey></bootOrder>"#;
        let props = [
            prop("config.instanceUuid", "uuid-1"),
            prop("name", "web"),
            prop("config.firmware", "efi"),
            prop("config.hardware.numCPU", "4"),
            prop("config.hardware.memoryMB", "8192"),
            raw_prop("config.bootOptions", boot),
            raw_prop("config.hardware.device", &devices),
        ];
        let scene = Scene::new().on("RetrievePropertiesEx", &objects(&[("VirtualMachine", "vm-1", &props.concat())]));
        let definition = scene.run(|vcenter| read(vcenter, &vm_ref())).unwrap();
        assert_eq!(definition.disks.iter().map(|disk| (disk.disk.as_str(), disk.unit)).collect::<Vec<_>>(), [("bb", 1), ("aa", 0)]);
        assert_eq!((definition.firmware, definition.secure_boot, definition.cpus, definition.memory_mib), (Firmware::Efi, true, 4, 8192));
        assert_eq!(definition.disks[0].controller, "pvscsi");
    }
}
