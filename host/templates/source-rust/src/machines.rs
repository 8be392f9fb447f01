//! What was exported: `machines/NAME/` with an image for each disk, and with machine.json.

use serde::{Deserialize, Serialize};
use transload_guest::fault::Fault;
use transload_guest::machine::{DiskPlace, Firmware, VmDefinition};
use transload_guest::source::{
    DiskHome, DiskSummary, Finding, InventoryPage, PowerState, Severity, VmPlacement, VmRef,
    VmSummary,
};

use crate::answers::{Object, parsed};
use crate::bucket::Bucket;

pub const FOLDER: &str = "machines/";
const DESCRIPTION: &str = "machine.json";
const IMAGE: &str = ".raw";
const SECTOR: u64 = 512;

pub struct Machine {
    pub name: String,
    pub description: Description,
    pub images: Vec<Image>,
}

/// machine.json.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Description {
    /// The same as long as it is the same machine; a new machine of an old name has another one.
    pub uuid: String,
    cpus: u32,
    memory_mib: u64,
    efi: bool,
    guest_os: String,
}

/// A disk as it was exported last.
#[derive(Serialize, Deserialize)]
pub struct Image {
    pub disk: String,
    pub key: String,
    pub size: u64,
    /// Another export, another ETag.
    pub etag: String,
}

pub fn inventory(bucket: &Bucket, cursor: Option<&str>) -> Result<InventoryPage, Fault> {
    let page = bucket.folders(FOLDER, cursor)?;
    let mut vms = Vec::new();
    for folder in &page.folders {
        let name = folder.trim_start_matches(FOLDER).trim_end_matches('/');
        vms.extend(Machine::find(bucket, name)?.map(|machine| machine.summary()));
    }
    Ok(InventoryPage {
        vms,
        next: page.next,
    })
}

impl Machine {
    /// None while machine.json is not there: an export that is not complete is no machine. The images come first, so that an export
    /// that runs just now is noticed: machine.json is gone, or the store refuses a range of an image that is not there any more.
    fn find(bucket: &Bucket, name: &str) -> Result<Option<Machine>, Fault> {
        let folder = format!("{FOLDER}{name}/");
        let image = |object: Object| {
            let disk = object.key.strip_prefix(&folder)?.strip_suffix(IMAGE)?;
            Some(Image {
                disk: disk.to_owned(),
                key: object.key.clone(),
                size: object.size,
                etag: object.etag,
            })
        };
        let objects = bucket.objects(&folder)?;
        let key = format!("{folder}{DESCRIPTION}");
        let Some(text) = bucket.read(&key)? else {
            return Ok(None);
        };
        Ok(Some(Machine {
            name: name.to_owned(),
            description: parsed(&text, &key)?,
            images: objects.into_iter().filter_map(image).collect(),
        }))
    }

    /// The machine that is meant, and no other one of its name.
    pub fn proven(bucket: &Bucket, vm: &VmRef) -> Result<Machine, Fault> {
        let Some(machine) = Machine::find(bucket, &vm.id)? else {
            let message = format!("There is no complete export of {}.", vm.id);
            return Err(Fault::not_found(message));
        };
        if machine.description.uuid != vm.fingerprint {
            let message = format!("{} is another machine than it was.", vm.id);
            return Err(Fault::conflict(message));
        }
        Ok(machine)
    }

    fn summary(self) -> VmSummary {
        let disk = |image: Image| DiskSummary {
            label: image.key,
            id: image.disk,
            size: image.size,
        };
        VmSummary {
            vm: VmRef {
                id: self.name.clone(),
                fingerprint: self.description.uuid,
            },
            name: self.name,
            folder: FOLDER.to_owned(),
            // An image runs nowhere.
            power: PowerState::Off,
            host: String::new(),
            guest_os: self.description.guest_os,
            disks: self.images.into_iter().map(disk).collect(),
        }
    }

    pub fn findings(self) -> Vec<Finding> {
        let blocking =
            |code: &'static str, subject: String, message: String, remedy: &str| Finding {
                code,
                severity: Severity::Blocking,
                subject,
                message,
                remedy: remedy.to_owned(),
            };
        if self.images.is_empty() {
            let message = "No image of it was exported.".to_owned();
            return vec![blocking(
                "no-images",
                self.name,
                message,
                "Export its disks, or leave it out.",
            )];
        }
        let is_odd = |image: &Image| image.size == 0 || image.size % SECTOR != 0;
        let odd = |image: Image| {
            let message = format!(
                "It has {} bytes, which is no disk of {SECTOR}-byte sectors.",
                image.size
            );
            blocking(
                "image-not-in-sectors",
                image.key,
                message,
                "Export it as a raw image, and upload all of it.",
            )
        };
        self.images.into_iter().filter(is_odd).map(odd).collect()
    }

    /// An image runs nowhere, and nobody knows how much a bucket can take: no limit counts its disks.
    pub fn placement(self) -> VmPlacement {
        let home = |image: Image| DiskHome {
            disk: image.disk,
            datastore: None,
        };
        VmPlacement {
            host: String::new(),
            datastores: Vec::new(),
            disks: self.images.into_iter().map(home).collect(),
        }
    }

    pub fn definition(self) -> VmDefinition {
        let place = |(unit, image): (usize, Image)| DiskPlace {
            disk: image.disk,
            controller: "virtio-scsi".to_owned(),
            controller_number: 0,
            unit: unit as u32,
        };
        VmDefinition {
            name: self.name,
            cpus: self.description.cpus,
            memory_mib: self.description.memory_mib,
            firmware: if self.description.efi {
                Firmware::Efi
            } else {
                Firmware::Bios
            },
            secure_boot: false,
            guest_os: self.description.guest_os,
            nics: Vec::new(),
            disks: self.images.into_iter().enumerate().map(place).collect(),
        }
    }
}
