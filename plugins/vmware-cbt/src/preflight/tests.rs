use super::*;
use crate::script::{Scene, disk_xml, objects, prop, raw_prop, snapshot_prop, vm, vm_ref};

/// A VM without fault; `more` is read after it and wins.
fn codes(more: &str) -> Vec<&'static str> {
    findings_of(more).iter().filter(|finding| finding.severity != Severity::Info).map(|finding| finding.code).collect()
}

fn findings_of(more: &str) -> Vec<Finding> {
    scene_findings(Scene::new(), more)
}

fn scene_findings(scene: Scene, more: &str) -> Vec<Finding> {
    let good = [
        prop("name", "web"),
        prop("config.version", "vmx-19"),
        prop("config.changeTrackingEnabled", "true"),
        prop("capability.changeTrackingSupported", "true"),
        prop("runtime.consolidationNeeded", "false"),
        prop("runtime.connectionState", "connected"),
        raw_prop("config.hardware.device", &format!("{}{}", controller("noSharing"), disk())),
    ];
    let scene = scene.on("RetrievePropertiesEx", &vm(&format!("{}{more}", good.concat())));
    scene.run(|vcenter| check(vcenter, &vm_ref())).unwrap()
}

fn disk() -> String {
    disk_xml(2000, 1000, 0, 1 << 30, "6000c29a", "[ds] web/web.vmdk", None)
}

fn controller(sharing: &str) -> String {
    format!(
        r#"<VirtualDevice i:type="v:ParaVirtualSCSIController"><key>1000</key><busNumber>0</busNumber><sharedBus>{sharing}</sharedBus></VirtualDevice>"#
    )
}

fn devices(xml: &str) -> String {
    raw_prop("config.hardware.device", xml)
}

#[test]
fn a_sound_vm_has_facts_and_nothing_else() {
    let facts: Vec<_> = findings_of("").iter().map(|finding| (finding.code, finding.severity)).collect();
    assert_eq!(facts, [("guest-os", Severity::Info), ("firmware", Severity::Info)]);
}

#[test]
fn every_obstacle_has_its_code() {
    let with_disk = |from: &str, to: &str| devices(&format!("{}{}", controller("noSharing"), disk().replace(from, to)));
    let table = [
        (prop("config.template", "true"), "template"),
        (prop("runtime.connectionState", "orphaned"), "not-connected"),
        (raw_prop("config.keyId", "<keyId>k</keyId>"), "encrypted"),
        (prop("runtime.consolidationNeeded", "true"), "consolidation-needed"),
        (prop("config.version", "vmx-04"), "hardware-version-old"),
        (prop("capability.changeTrackingSupported", "false"), "cbt-unsupported"),
        (prop("config.changeTrackingEnabled", "false"), "cbt-off"),
        (raw_prop("config.extraConfig", "<OptionValue><key>scsi0:0.ctkEnabled</key><value>FALSE</value></OptionValue>"), "cbt-off-disk"),
        (devices(&format!("{}{}", controller("physicalSharing"), disk())), "bus-sharing"),
        (devices(""), "no-disks"),
        (with_disk("<diskMode>persistent", "<diskMode>independent_persistent"), "independent-disk"),
        (with_disk("<diskMode>persistent", "<diskMode>nonpersistent"), "disk-mode"),
        (with_disk("VirtualDiskFlatVer2BackingInfo", "VirtualDiskRawDiskMappingVer1BackingInfo"), "rdm-physical"),
        (with_disk("<uuid>", "<sharing>sharingMultiWriter</sharing><uuid>"), "multi-writer"),
        (with_disk("<uuid>6000c29a</uuid>", ""), "disk-without-uuid"),
        (with_disk("1073741824", "1000"), "disk-size-odd"),
        (
            devices(&format!(
                "{}{}<VirtualDevice i:type=\"v:VirtualPCIPassthrough\"><deviceInfo><label>GPU</label></deviceInfo></VirtualDevice>",
                controller("noSharing"),
                disk()
            )),
            "pci-passthrough",
        ),
    ];
    for (more, code) in table {
        assert_eq!(codes(&more), [code]);
    }
}

#[test]
fn a_virtual_raw_mapping_is_told_from_a_physical_one() {
    let rdm = disk()
        .replace("VirtualDiskFlatVer2BackingInfo", "VirtualDiskRawDiskMappingVer1BackingInfo")
        .replace("<uuid>", "<compatibilityMode>virtualMode</compatibilityMode><uuid>");
    assert_eq!(codes(&devices(&rdm)), ["rdm-virtual"]);
}

#[test]
fn a_snapshot_is_named_and_the_agents_own_does_not_block() {
    let findings = findings_of(&snapshot_prop(&[("snapshot-1", "before patch", false), ("snapshot-2", "transload-7", false)]));
    let found = |code: &str| findings.iter().find(|finding| finding.code == code).unwrap();
    assert!(found("snapshots-present").message.contains("\"before patch\""));
    assert_eq!(found("snapshots-present").severity, Severity::Blocking);
    assert_eq!(found("own-snapshot-present").severity, Severity::Info);
}

#[test]
fn the_target_says_how_large_a_disk_may_be() {
    let mut scene = Scene::new();
    scene.settings.target_disk_size_max = Some((1 << 30) - 1);
    let findings = scene_findings(scene, "");
    let large = findings.iter().find(|finding| finding.code == "disk-too-large").unwrap();
    assert!(large.message.contains("1073741824") && large.message.contains("1073741823"), "{}", large.message);
}

#[test]
fn a_right_that_is_lacking_is_a_fault_and_not_a_clean_bill() {
    let hidden = r#"<missingSet><path>snapshot</path><fault><fault i:type="v:NoPermission"><object type="VirtualMachine">vm-1</object><privilegeId>System.Read</privilegeId></fault><localizedMessage>no</localizedMessage></fault></missingSet>"#;
    let scene = Scene::new().on("RetrievePropertiesEx", &vm(hidden));
    let fault = scene.run(|vcenter| check(vcenter, &vm_ref())).unwrap_err();
    assert!(fault.message.contains("System.Read"), "{}", fault.message);
}

#[test]
fn every_finding_has_a_remedy() {
    for finding in findings_of(&devices("")) {
        assert!(!finding.remedy.is_empty() && !finding.message.is_empty(), "{}", finding.code);
        assert_eq!(finding.subject, "web");
    }
}

#[test]
fn what_a_target_must_know_is_told_in_words() {
    let told = |more: &str| -> Vec<String> {
        let facts = findings_of(more).into_iter().filter(|finding| matches!(finding.code, "guest-os" | "firmware"));
        facts.map(|finding| finding.message).collect()
    };
    let secure = raw_prop("config.bootOptions", "<efiSecureBootEnabled>true</efiSecureBootEnabled>");
    let debian = prop("config.guestFullName", "Debian GNU/Linux 12 (64-bit)");
    let efi = prop("config.firmware", "efi");
    assert_eq!(
        told(&format!("{debian}{efi}{secure}")),
        ["Its guest is Debian GNU/Linux 12 (64-bit).", "Its firmware is EFI with secure boot."]
    );
    assert_eq!(told(&format!("{debian}{efi}"))[1], "Its firmware is EFI.");
    // Secure boot is a matter of EFI; a setting that was left behind means nothing.
    assert_eq!(told(&secure), ["Its guest is unknown.", "Its firmware is BIOS."]);
}

// ---- datastores ----

const LIES_ON: &str =
    r#"<propSet><name>datastore</name><val><m type="Datastore">datastore-7</m><m type="Datastore">datastore-8</m></val></propSet>"#;

/// The VM's disk lies on `ds`; an image of `isos` is mounted.
fn on_datastores(free: u64, capacity: u64) -> Scene {
    let store = |name: &str, free: u64| {
        [prop("name", name), prop("summary.freeSpace", &free.to_string()), prop("summary.capacity", &capacity.to_string())].concat()
    };
    let both = objects(&[("Datastore", "datastore-7", &store("ds", free)), ("Datastore", "datastore-8", &store("isos", 0))]);
    Scene::new().on("RetrievePropertiesEx:summary.freeSpace", &both)
}

#[test]
fn a_datastore_that_is_nearly_full_is_a_warning_with_numbers_and_only_where_disks_lie() {
    const GIB: u64 = 1 << 30;
    let warned = |free: u64, capacity: u64| {
        let findings = scene_findings(on_datastores(free, capacity), LIES_ON);
        let mut found = findings.into_iter().filter(|finding| finding.severity != Severity::Info);
        let first = found.next();
        assert_eq!(found.next(), None);
        first
    };
    assert_eq!(warned(10 * GIB, 100 * GIB), None);
    assert_eq!(warned(400 * GIB, 4000 * GIB), None);
    let little = warned(9 * GIB + GIB / 2, 50 * GIB).unwrap();
    assert_eq!((little.code, little.severity), ("datastore-nearly-full", Severity::Warning));
    assert!(little.message.starts_with("ds has 9.5 GiB of 50.0 GiB free;"), "{}", little.message);
    let part = warned(399 * GIB, 4000 * GIB).unwrap();
    assert!(part.message.starts_with("ds has 399.0 GiB of 4000.0 GiB free;"), "{}", part.message);
}

// ---- rights ----

fn may_not(entity: (&str, &str), rights: &[&str]) -> String {
    let each = |id: &&str| format!("<privAvailability><privId>{id}</privId><isGranted>false</isGranted></privAvailability>");
    let rights: String = rights.iter().map(each).collect();
    let granted = "<privAvailability><privId>Datastore.Browse</privId><isGranted>true</isGranted></privAvailability>";
    format!(r#"<returnval><entity type="{}">{}</entity>{granted}{rights}</returnval>"#, entity.0, entity.1)
}

#[test]
fn each_right_that_is_lacking_is_a_finding_of_its_own_with_the_object_and_what_to_give() {
    let told = [
        may_not(("VirtualMachine", "vm-1"), &["VirtualMachine.State.CreateSnapshot", "VirtualMachine.Interact.PowerOff"]),
        // A VM's rights mean nothing on a datastore.
        may_not(("Datastore", "datastore-7"), &["Datastore.FileManagement", "VirtualMachine.State.RemoveSnapshot"]),
    ];
    let scene = on_datastores(100 << 30, 200 << 30).on("HasPrivilegeOnEntities", &told.concat());
    let findings = scene_findings(scene, LIES_ON);
    let rights: Vec<_> = findings.iter().filter(|finding| finding.code.starts_with("right")).collect();
    let told: Vec<_> = rights.iter().map(|finding| (finding.code, finding.severity, finding.message.as_str())).collect();
    assert_eq!(
        told,
        [
            ("right-missing", Severity::Blocking, "svc@x lacks VirtualMachine.State.CreateSnapshot on web: no snapshot can be taken."),
            ("right-missing", Severity::Blocking, "svc@x lacks Datastore.FileManagement on ds: its files cannot be read through /folder."),
            (
                "right-for-cutover-missing",
                Severity::Info,
                "svc@x lacks VirtualMachine.Interact.PowerOff on web: a final cycle cannot shut it down."
            ),
        ]
    );
    assert_eq!(
        rights[0].remedy,
        "Give the account VirtualMachine.State.CreateSnapshot on web (Virtual machine > Snapshot management > Create snapshot)."
    );
}

#[test]
fn the_question_names_the_session_and_only_datastores_of_disks() {
    let scene = on_datastores(100 << 30, 200 << 30).on("RetrievePropertiesEx", &vm(&format!("{}{LIES_ON}", devices(&disk()))));
    scene.run(|vcenter| check(vcenter, &vm_ref())).unwrap();
    let asked = scene.bodies("HasPrivilegeOnEntities").remove(0);
    let wanted = r#"<_this type="AuthorizationManager">am</_this><entity type="VirtualMachine">vm-1</entity><entity type="Datastore">datastore-7</entity><sessionId>52-key</sessionId><privId>VirtualMachine.State.CreateSnapshot</privId>"#;
    assert!(asked.contains(wanted), "{asked}");
}

#[test]
fn a_server_that_cannot_say_what_an_account_may_do_stops_nothing_and_a_refusal_is_a_fault() {
    for kind in ["MethodNotFound", "NotSupported", "NotImplemented", "InvalidRequest"] {
        let findings = scene_findings(Scene::new().fails("HasPrivilegeOnEntities", kind), "");
        assert!(findings.iter().all(|finding| finding.severity == Severity::Info), "{kind}: {findings:?}");
    }
    let without = r#"<returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">pc</propertyCollector><viewManager type="ViewManager">vm</viewManager><sessionManager type="SessionManager">sm</sessionManager></returnval>"#;
    let scene = Scene::new().on("RetrieveServiceContent", without).on("RetrievePropertiesEx", &vm(""));
    scene.run(|vcenter| check(vcenter, &vm_ref())).unwrap();
    assert_eq!(scene.count("HasPrivilegeOnEntities"), 0);
    let scene = Scene::new().fails("HasPrivilegeOnEntities", "NoPermission").on("RetrievePropertiesEx", &vm(""));
    assert!(scene.run(|vcenter| check(vcenter, &vm_ref())).is_err());
}
