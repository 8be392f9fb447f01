//! A VM's hardware as far as replication cares: disks, the controllers they hang on, network cards.

use std::collections::BTreeSet;

use transload_guest::fault::Fault;
use transload_guest::xml::Element;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    pub key: String,
    /// "scsi", "sata", "nvme", "ide": what an address starts with.
    pub bus: &'static str,
    /// "pvscsi", "lsilogic", …: what a target must offer.
    pub model: String,
    pub number: u32,
    /// "noSharing", "virtualSharing" or "physicalSharing"; SCSI only.
    pub sharing: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Stable as long as it is the same disk: the backing's UUID, or else the device's key.
    pub id: String,
    pub key: u64,
    /// "Hard disk 1 (scsi0:0)".
    pub label: String,
    pub size: u64,
    pub controller: Option<Controller>,
    pub unit: u32,
    pub backing: Backing,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backing {
    /// The type in vim25: "VirtualDiskFlatVer2BackingInfo".
    pub kind: String,
    /// "[datastore1] vm/vm.vmdk".
    pub file: String,
    pub uuid: Option<String>,
    pub change_id: Option<String>,
    /// Whether the file stands on another one: a chain of snapshots.
    pub has_parent: bool,
    pub mode: String,
    /// Raw device mappings: "physicalMode" or "virtualMode".
    pub compatibility: Option<String>,
    pub multi_writer: bool,
    pub encrypted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub key: u64,
    pub label: String,
    pub mac: String,
    pub model: String,
    pub connected: bool,
    pub network: CardNetwork,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardNetwork {
    Named(String),
    /// A distributed port group, by its key, which is its reference too.
    PortGroup(String),
    Unknown,
}

impl Disk {
    /// "scsi0:1"; the controller's place and not its name, for names change.
    pub fn address(&self) -> String {
        match &self.controller {
            Some(controller) => format!("{}{}:{}", controller.bus, controller.number, self.unit),
            None => format!("key{}", self.key),
        }
    }

    /// What binds markers and digests to this very disk.
    pub fn fingerprint(&self) -> String {
        format!("{}/{}/{}", self.backing.uuid.as_deref().unwrap_or("no-uuid"), self.size, self.address())
    }

    pub fn is_raw_device(&self) -> bool {
        self.backing.kind.contains("RawDisk")
    }

    pub fn is_independent(&self) -> bool {
        self.backing.mode.starts_with("independent")
    }
}

/// The disks, in the order of the devices.
pub fn disks(devices: &[Element]) -> Result<Vec<Disk>, Fault> {
    let controllers: Vec<Controller> = devices.iter().filter_map(controller).collect();
    let raw = devices.iter().filter(|device| device.xsi_type() == Some("VirtualDisk"));
    let mut disks = raw.map(|device| disk(device, &controllers)).collect::<Result<Vec<_>, _>>()?;
    // A copied VMDK keeps its UUID, so one VM may have it twice: then the UUID alone names no disk.
    let uuids: Vec<Option<String>> = disks.iter().map(|disk| disk.backing.uuid.clone()).collect();
    for disk in &mut disks {
        let is_same =
            |uuid: &&Option<String>| matches!((uuid, &disk.backing.uuid), (Some(uuid), Some(own)) if uuid.eq_ignore_ascii_case(own));
        let same = uuids.iter().filter(is_same).count();
        disk.id = match &disk.backing.uuid {
            Some(uuid) if same == 1 => uuid.to_ascii_lowercase(),
            Some(uuid) => format!("{}-{}", uuid.to_ascii_lowercase(), disk.key),
            None => format!("key-{}", disk.key),
        };
    }
    let mut ids = BTreeSet::new();
    match disks.iter().find(|disk| !ids.insert(&disk.id)) {
        Some(twice) => Err(Fault::corrupt(format!("vCenter described two disks of one VM that are both {}.", twice.id))),
        None => Ok(disks),
    }
}

fn disk(device: &Element, controllers: &[Controller]) -> Result<Disk, Fault> {
    let number = |name: &str| device.text_of(name).and_then(|text| text.parse::<u64>().ok());
    let key = number("key").ok_or_else(|| Fault::corrupt("vCenter described a disk without its key."))?;
    let size = number("capacityInBytes").or_else(|| number("capacityInKB")?.checked_mul(1024));
    let size = size.ok_or_else(|| Fault::corrupt(format!("vCenter described disk {key} without its capacity.")))?;
    let controller = device.text_of("controllerKey").and_then(|key| controllers.iter().find(|controller| controller.key == key)).cloned();
    let name = device.at(&["deviceInfo", "label"]).map(Element::text).unwrap_or("Disk").to_owned();
    let mut disk = Disk {
        id: String::new(),
        key,
        label: String::new(),
        size,
        controller,
        unit: number("unitNumber").unwrap_or(0) as u32,
        backing: device.child("backing").map(backing).unwrap_or_default(),
    };
    disk.backing.encrypted |= device.child("backing").is_some_and(|backing| backing.child("keyId").is_some());
    disk.label = format!("{name} ({})", disk.address());
    Ok(disk)
}

fn backing(element: &Element) -> Backing {
    let text = |name: &str| element.text_of(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Backing {
        kind: element.xsi_type().unwrap_or_default().to_owned(),
        file: text("fileName").unwrap_or_default(),
        uuid: text("uuid"),
        change_id: text("changeId"),
        has_parent: element.child("parent").is_some(),
        mode: text("diskMode").unwrap_or_default(),
        compatibility: text("compatibilityMode"),
        multi_writer: text("sharing").is_some_and(|sharing| sharing == "sharingMultiWriter"),
        encrypted: element.child("keyId").is_some(),
    }
}

fn controller(device: &Element) -> Option<Controller> {
    let kind = device.xsi_type()?;
    let (bus, model) = match kind {
        "ParaVirtualSCSIController" => ("scsi", "pvscsi"),
        "VirtualLsiLogicController" => ("scsi", "lsilogic"),
        "VirtualLsiLogicSASController" => ("scsi", "lsisas1068"),
        "VirtualBusLogicController" => ("scsi", "buslogic"),
        "VirtualIDEController" => ("ide", "ide"),
        "VirtualAHCIController" | "VirtualSATAController" => ("sata", "ahci"),
        "VirtualNVMEController" => ("nvme", "nvme"),
        _ if device.child("sharedBus").is_some() => ("scsi", kind),
        _ => return None,
    };
    Some(Controller {
        key: device.text_of("key")?.to_owned(),
        bus,
        model: model.to_owned(),
        number: device.text_of("busNumber").and_then(|number| number.parse().ok()).unwrap_or(0),
        sharing: device.text_of("sharedBus").map(str::to_owned),
    })
}

/// The controllers whose bus is shared with another VM.
pub fn shared_buses(devices: &[Element]) -> Vec<Controller> {
    let shared = |controller: &Controller| controller.sharing.as_deref().is_some_and(|sharing| sharing != "noSharing");
    devices.iter().filter_map(controller).filter(shared).collect()
}

/// Labels of devices that belong to the host's hardware, which no snapshot can hold.
pub fn passthrough(devices: &[Element]) -> Vec<String> {
    let raw = devices.iter().filter(|device| device.xsi_type().is_some_and(|kind| kind.starts_with("VirtualPCIPassthrough")));
    raw.map(|device| device.at(&["deviceInfo", "label"]).map(Element::text).unwrap_or("PCI device").to_owned()).collect()
}

pub fn cards(devices: &[Element]) -> Vec<Card> {
    devices.iter().filter_map(card).collect()
}

fn card(device: &Element) -> Option<Card> {
    let mac = device.text_of("macAddress")?;
    let kind = device.xsi_type().unwrap_or_default();
    let model = match kind {
        "VirtualVmxnet3" | "VirtualVmxnet3Vrdma" => "vmxnet3",
        "VirtualVmxnet2" | "VirtualVmxnet" => "vmxnet2",
        "VirtualE1000e" => "e1000e",
        "VirtualE1000" => "e1000",
        "VirtualPCNet32" => "pcnet32",
        "VirtualSriovEthernetCard" => "sriov",
        other => other,
    };
    let backing = device.child("backing");
    let text = |path: &[&str]| backing.and_then(|backing| backing.at(path)).map(|element| element.text().to_owned());
    let network = text(&["port", "portgroupKey"])
        .map(CardNetwork::PortGroup)
        .or_else(|| text(&["deviceName"]).or_else(|| text(&["opaqueNetworkId"])).map(CardNetwork::Named))
        .unwrap_or(CardNetwork::Unknown);
    Some(Card {
        key: device.text_of("key").and_then(|key| key.parse().ok()).unwrap_or(0),
        label: device.at(&["deviceInfo", "label"]).map(Element::text).unwrap_or("Network adapter").to_owned(),
        mac: mac.to_owned(),
        model: model.to_owned(),
        connected: device.at(&["connectable", "startConnected"]).is_none_or(|connected| connected.text() == "true"),
        network,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{disk_xml, element};

    fn devices(xml: &str) -> Element {
        element(&format!("<val>{xml}</val>"))
    }

    const CONTROLLER: &str = r#"<VirtualDevice i:type="v:ParaVirtualSCSIController"><key>1000</key><busNumber>0</busNumber><sharedBus>noSharing</sharedBus></VirtualDevice>"#;

    #[test]
    fn a_disk_is_named_by_its_uuid_and_bound_by_uuid_size_and_place() {
        let xml = format!("{CONTROLLER}{}", disk_xml(2000, 1000, 1, 1 << 30, "6000C29A-AA", "[ds] a/a.vmdk", Some("52 aa/3")));
        let disks = disks(devices(&xml).children()).unwrap();
        assert_eq!(disks[0].id, "6000c29a-aa");
        assert_eq!(disks[0].label, "Hard disk 2000 (scsi0:1)");
        assert_eq!(disks[0].fingerprint(), "6000C29A-AA/1073741824/scsi0:1");
        assert_eq!(disks[0].backing.change_id.as_deref(), Some("52 aa/3"));
        assert!(!disks[0].backing.has_parent);
    }

    #[test]
    fn two_disks_with_one_uuid_are_told_apart_by_their_keys() {
        let one = disk_xml(2000, 1000, 0, 512, "6000c29a", "[ds] a/a.vmdk", None);
        let two = disk_xml(2001, 1000, 1, 512, "6000c29a", "[ds] a/b.vmdk", None);
        let disks = disks(devices(&format!("{CONTROLLER}{one}{two}")).children()).unwrap();
        assert_eq!((disks[0].id.as_str(), disks[1].id.as_str()), ("6000c29a-2000", "6000c29a-2001"));
    }

    /// UUIDs that differ in their case were two names for the count and one for the disks.
    #[test]
    fn one_uuid_in_two_cases_is_one_and_two_disks_of_one_name_are_refused() {
        let described = |second: &str, key: u32| {
            let one = disk_xml(2000, 1000, 0, 512, "6000c29a", "[ds] a/a.vmdk", None);
            let two = disk_xml(key, 1000, 1, 512, second, "[ds] a/b.vmdk", None);
            disks(devices(&format!("{CONTROLLER}{one}{two}")).children())
        };
        let disks = described("6000C29A", 2001).unwrap();
        assert_eq!((disks[0].id.as_str(), disks[1].id.as_str()), ("6000c29a-2000", "6000c29a-2001"));
        assert!(described("6000c29a", 2000).unwrap_err().message.contains("6000c29a-2000"));
    }

    #[test]
    fn a_disk_without_a_uuid_is_named_by_its_key_and_kilobytes_are_enough() {
        let xml = r#"<VirtualDevice i:type="VirtualDisk"><key>2000</key><capacityInKB>4</capacityInKB></VirtualDevice>"#;
        let disks = disks(devices(xml).children()).unwrap();
        assert_eq!((disks[0].id.as_str(), disks[0].size), ("key-2000", 4096));
        let bad = r#"<VirtualDevice i:type="VirtualDisk"><key>2000</key></VirtualDevice>"#;
        assert!(super::disks(devices(bad).children()).is_err());
    }

    #[test]
    fn cards_name_their_network_however_it_is_written() {
        let xml = r#"<VirtualDevice i:type="VirtualVmxnet3"><key>4000</key><backing i:type="VirtualEthernetCardDistributedVirtualPortBackingInfo"><port><switchUuid>x</switchUuid><portgroupKey>dvportgroup-7</portgroupKey></port></backing><connectable><startConnected>false</startConnected></connectable><macAddress>00:50:56:00:00:01</macAddress></VirtualDevice>
            <VirtualDevice i:type="VirtualE1000"><key>4001</key><backing><deviceName>VM Network</deviceName></backing><macAddress>00:50:56:00:00:02</macAddress></VirtualDevice>"#;
        let cards = cards(devices(xml).children());
        assert_eq!((cards[0].network.clone(), cards[0].connected), (CardNetwork::PortGroup("dvportgroup-7".into()), false));
        assert_eq!((cards[1].network.clone(), cards[1].model.as_str()), (CardNetwork::Named("VM Network".into()), "e1000"));
    }
}
