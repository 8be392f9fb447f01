//! What stands in the way of replicating a VM. Nothing is touched; every finding has a stable code and a remedy.

mod rights;
mod space;

use transload_guest::fault::Fault;
use transload_guest::source::{Finding, Severity, VmRef};

use crate::devices::{self, Disk};
use crate::folder::DatastorePath;
use crate::properties::Object;
use crate::session::Vcenter;
use crate::settings::Settings;
use crate::snapshots;

const PATHS: [&str; 16] = [
    "name",
    "datastore",
    "snapshot",
    "config.template",
    "config.version",
    "config.changeTrackingEnabled",
    "config.hardware.device",
    "config.extraConfig",
    "config.keyId",
    "config.guestFullName",
    "config.firmware",
    "config.bootOptions",
    "capability.changeTrackingSupported",
    "runtime.consolidationNeeded",
    "runtime.connectionState",
    "guest.toolsRunningStatus",
];

/// The first hardware version that can track changed blocks.
const HARDWARE_MIN: u32 = 7;

pub fn check(vcenter: &Vcenter<'_>, vm: &VmRef) -> Result<Vec<Finding>, Fault> {
    let doing = format!("check {}", vcenter.called(&vm.id));
    let object = vcenter.proven(vm, &doing, &PATHS)?;
    let disks = devices::disks(object.items("config.hardware.device"))?;
    let stores = stores_of(vcenter, &doing, &object, &disks)?;
    let mut report = Report { subject: object.text("name").unwrap_or(&object.moref.value).to_owned(), findings: Vec::new() };
    rights::of_account(vcenter, &doing, &object, &stores, &mut report)?;
    of_machine(&object, &mut report);
    of_tracking(&object, &disks, &mut report);
    of_snapshots(&object, &vcenter.settings, &mut report);
    of_hardware(&object, &disks, &vcenter.settings, &mut report);
    space::of_datastores(&stores, &mut report);
    facts(&object, &mut report);
    Ok(report.findings)
}

/// The datastores that its disks lie on. Those of a mounted image or of its swap file grow no snapshot, and nothing is read there.
fn stores_of(vcenter: &Vcenter<'_>, doing: &str, object: &Object, disks: &[Disk]) -> Result<Vec<Object>, Fault> {
    let names: Vec<String> = disks.iter().filter_map(|disk| Some(DatastorePath::parse(&disk.backing.file)?.datastore)).collect();
    let paths = ["name", space::FREE, space::CAPACITY];
    let mut stores = vcenter.read_many(doing, "Datastore", &object.morefs("datastore"), &paths)?;
    stores.retain(|store| store.text("name").is_some_and(|name| names.iter().any(|known| known == name)));
    Ok(stores)
}

fn of_hardware(object: &Object, disks: &[Disk], settings: &Settings, report: &mut Report) {
    let hardware = object.items("config.hardware.device");
    for controller in devices::shared_buses(hardware) {
        report.blocking(
            "bus-sharing",
            format!(
                "SCSI controller {} shares its bus with other VMs ({}); such a VM takes no snapshot.",
                controller.number,
                controller.sharing.unwrap_or_default()
            ),
            "Set the controller's bus sharing to None, or replicate from inside the guests.",
        );
    }
    for label in devices::passthrough(hardware) {
        report.blocking(
            "pci-passthrough",
            format!("{label} is passed through from the host; such a VM takes no snapshot."),
            "Remove the device.",
        );
    }
    if disks.is_empty() {
        report.blocking("no-disks", "It has no virtual disks.".to_owned(), "There is nothing to replicate; leave it out.");
    }
    for disk in disks {
        of_disk(disk, settings, report);
    }
}

fn of_machine(object: &Object, report: &mut Report) {
    if object.flag("config.template") == Some(true) {
        report.blocking("template", "It is a template.".to_owned(), "Convert it to a VM first, or leave it out.");
    }
    if let Some(state) = object.text("runtime.connectionState").filter(|state| *state != "connected") {
        report.blocking("not-connected", format!("vCenter has no hold of it now ({state})."), "Bring its host back into vCenter.");
    }
    if object.element("config.keyId").is_some() {
        report.blocking("encrypted", "It is encrypted; its files hold ciphertext.".to_owned(), "Decrypt it by its storage policy first.");
    }
    if object.flag("runtime.consolidationNeeded") == Some(true) {
        report.blocking(
            "consolidation-needed",
            "Its disks need consolidation: files of a removed snapshot are still in use.".to_owned(),
            "Run Snapshots > Consolidate on the VM in vCenter.",
        );
    }
}

fn of_tracking(object: &Object, disks: &[Disk], report: &mut Report) {
    let version = object.text("config.version").and_then(|version| version.strip_prefix("vmx-")?.parse::<u32>().ok());
    if let Some(version) = version.filter(|version| *version < HARDWARE_MIN) {
        report.blocking(
            "hardware-version-old",
            format!("Its hardware version vmx-{version:02} is older than vmx-{HARDWARE_MIN:02} and cannot track changes."),
            "Upgrade the VM's compatibility while it is off.",
        );
    }
    if object.flag("capability.changeTrackingSupported") != Some(true) {
        let message = "vCenter says that changed block tracking is not supported for it.".to_owned();
        report.blocking("cbt-unsupported", message, "Move it to a host and to hardware that support changed block tracking.");
        return;
    }
    if object.flag("config.changeTrackingEnabled") != Some(true) {
        let message = "Changed block tracking is off.".to_owned();
        report.warning("cbt-off", message, "Transload switches it on before the first cycle; that needs the VM to be free of snapshots.");
    }
    // A single disk can be left out by an advanced setting, and then never has a marker.
    for entry in object.items("config.extraConfig") {
        let (key, value) = (entry.text_of("key").unwrap_or_default(), entry.text_of("value").unwrap_or_default());
        let Some(place) = key.strip_suffix(".ctkEnabled").filter(|_| value.eq_ignore_ascii_case("false")) else { continue };
        if let Some(disk) = disks.iter().find(|disk| disk.address() == place) {
            let message = format!("{} has change tracking switched off by the setting {key}.", disk.label);
            report.warning("cbt-off-disk", message, "Remove the setting; until then this disk is read whole in every cycle.");
        }
    }
}

fn of_snapshots(object: &Object, settings: &Settings, report: &mut Report) {
    for snapshot in snapshots::all(object.element("snapshot")) {
        if snapshot.name.starts_with(&settings.tag_prefix) {
            let message = format!("The agent's own snapshot \"{}\" is there.", snapshot.name);
            report.info("own-snapshot-present", message, "Nothing: a running cycle holds it, or the agent removes it.");
        } else {
            report.blocking(
                "snapshots-present",
                format!("It has the snapshot \"{}\".", snapshot.name),
                "Remove all snapshots of this VM in vCenter: tracking must not be switched on over one, and the frozen disk could not be read.",
            );
        }
    }
}

fn of_disk(disk: &Disk, settings: &Settings, report: &mut Report) {
    let label = &disk.label;
    if disk.is_raw_device() {
        match disk.backing.compatibility.as_deref() {
            Some("virtualMode") => report.blocking(
                "rdm-virtual",
                format!("{label} is a raw device mapping in virtual mode; its bytes lie on the array, not in a file."),
                "Convert it to a VMDK by a storage migration.",
            ),
            _ => report.blocking(
                "rdm-physical",
                format!("{label} is a raw device mapping in physical mode; no snapshot holds it."),
                "Copy it to a VMDK, or replicate it from inside the guest.",
            ),
        }
    } else if disk.is_independent() {
        report.blocking(
            "independent-disk",
            format!("{label} is independent ({}); snapshots leave it out.", disk.backing.mode),
            "Make its mode dependent while the VM is off.",
        );
    } else if disk.backing.mode != "persistent" && !disk.backing.mode.is_empty() {
        report.blocking(
            "disk-mode",
            format!("{label} has the mode {}, which is not replicated.", disk.backing.mode),
            "Make its mode persistent.",
        );
    }
    if disk.backing.multi_writer {
        report.blocking(
            "multi-writer",
            format!("{label} is shared by several writers; it is neither tracked nor frozen."),
            "Set its sharing to None.",
        );
    }
    if disk.backing.encrypted {
        report.blocking(
            "encrypted",
            format!("{label} is encrypted; its file holds ciphertext."),
            "Decrypt it by its storage policy first.",
        );
    }
    if let Some(max) = settings.target_disk_size_max.filter(|max| disk.size > *max) {
        report.blocking(
            "disk-too-large",
            format!("{label} has {} bytes; the target takes {max}.", disk.size),
            "Make the disk smaller inside the guest, or choose a target that takes it.",
        );
    }
    if !disk.size.is_multiple_of(512) {
        report.blocking(
            "disk-size-odd",
            format!("{label} has {} bytes, which is no whole number of sectors.", disk.size),
            "Grow it to a multiple of 512 bytes.",
        );
    }
    if disk.backing.uuid.is_none() {
        report.warning(
            "disk-without-uuid",
            format!("{label} has no UUID; it is known by its device key only."),
            "Nothing, but removing and adding it again makes it another disk.",
        );
    }
}

/// What a target should know before it is too late to ask.
fn facts(object: &Object, report: &mut Report) {
    let guest = object.text("config.guestFullName").unwrap_or("unknown");
    report.info("guest-os", format!("Its guest is {guest}."), "Check that the target supports it.");
    let secure = object.element("config.bootOptions").and_then(|boot| boot.text_of("efiSecureBootEnabled")) == Some("true");
    let firmware = match object.text("config.firmware") {
        Some("efi") if secure => "EFI with secure boot",
        Some("efi") => "EFI",
        _ => "BIOS",
    };
    report.info("firmware", format!("Its firmware is {firmware}."), "The target must boot the same kind.");
    if object.text("guest.toolsRunningStatus").is_some_and(|status| status == "guestToolsNotRunning") {
        report.info(
            "tools-not-running",
            "VMware Tools do not run in it.".to_owned(),
            "Without them snapshots are crash-consistent and the guest cannot be asked to shut down.",
        );
    }
}

struct Report {
    subject: String,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, code: &'static str, severity: Severity, message: String, remedy: &str) {
        self.findings.push(Finding { code, severity, subject: self.subject.clone(), message, remedy: remedy.to_owned() });
    }

    fn blocking(&mut self, code: &'static str, message: String, remedy: &str) {
        self.add(code, Severity::Blocking, message, remedy);
    }

    fn warning(&mut self, code: &'static str, message: String, remedy: &str) {
        self.add(code, Severity::Warning, message, remedy);
    }

    fn info(&mut self, code: &'static str, message: String, remedy: &str) {
        self.add(code, Severity::Info, message, remedy);
    }
}

#[cfg(test)]
mod tests;
