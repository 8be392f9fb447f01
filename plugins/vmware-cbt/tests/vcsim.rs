//! The SOAP layer against a vCenter that others wrote: govmomi's simulator (tests/vcsim/main.go says how to build and start it).
//!
//! Skipped, loudly, when TRANSLOAD_VCSIM_URL is not set; with TRANSLOAD_FORBID_SKIP set, that is a failure.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;

use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::{BodyPart, Request, Response};
use transload_guest::ports::{Entry, Http, Sessions};
use transload_guest::source::{Closing, Outcome, PowerAction, PowerState, Quiesce, Severity, Source, VmRef, VmSummary};
use transload_guest::xml::escaped;
use vmware_cbt::changes;
use vmware_cbt::session::Vcenter;
use vmware_cbt::settings::Settings;
use vmware_cbt::tokens;

const PASSWORD: &str = r#"it's <a> & "b""#;

/// What the host does for the plugin: real requests, and the secret written into the body.
struct Network {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    password: &'static str,
}

impl Network {
    fn new(password: &'static str) -> Network {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Network { runtime, client: reqwest::Client::new(), password }
    }
}

impl Http for Network {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        let mut bytes = Vec::new();
        for part in body {
            match part {
                BodyPart::Bytes(part) => bytes.extend_from_slice(part),
                BodyPart::Secret { .. } => bytes.extend_from_slice(escaped(self.password).as_bytes()),
            }
        }
        let method = reqwest::Method::from_bytes(request.method.word().as_bytes()).unwrap();
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let sending =
            headers.fold(self.client.request(method, &request.url), |sending, (name, value)| sending.header(name, value)).body(bytes);
        let answer = self.runtime.block_on(async {
            let response = sending.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
            Ok::<_, reqwest::Error>(Response { status, headers, body: response.bytes().await?.to_vec() })
        });
        answer.map_err(|error| Fault::unavailable(error.to_string()))
    }
}

#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, Entry>>, Cell<u64>);

impl Sessions for Memory {
    fn get(&self, name: &str) -> Option<Entry> {
        self.0.borrow().get(name).cloned()
    }

    fn compare_and_set(&self, name: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
        if self.get(name).map(|entry| entry.version) != expected {
            return Err(Fault::conflict("another instance was faster"));
        }
        self.1.set(self.1.get() + 1);
        self.0.borrow_mut().insert(name.to_owned(), Entry { version: self.1.get(), value: value.to_vec() });
        Ok(self.1.get())
    }
}

fn with_vcsim(password: &'static str, work: impl FnOnce(&Vcenter<'_>)) {
    let Ok(url) = std::env::var("TRANSLOAD_VCSIM_URL") else {
        assert!(std::env::var_os("TRANSLOAD_FORBID_SKIP").is_none(), "TRANSLOAD_VCSIM_URL is not set, and skipping is forbidden");
        // The macros' output of a test that passes is swallowed; this is not.
        let _ = writeln!(std::io::stderr(), "SKIPPED: TRANSLOAD_VCSIM_URL is not set; tests/vcsim/main.go says how to start the simulator");
        return;
    };
    let settings = Settings::parse(&format!(r#"{{"url":"{url}","username":"svc@vsphere.local"}}"#)).unwrap();
    work(&Vcenter { http: &Network::new(password), sessions: &Memory::default(), settings });
}

/// The nth VM, so that tests which change a VM do not share one.
fn nth_vm(vcenter: &Vcenter<'_>, n: usize) -> VmSummary {
    vcenter.inventory(None).unwrap().vms.swap_remove(n)
}

fn finish(vcenter: &Vcenter<'_>, mut outcome: Outcome) -> Outcome {
    for _ in 0..100 {
        let Outcome::Pending { operation, .. } = &outcome else { return outcome };
        outcome = vcenter.poll(operation).unwrap();
    }
    panic!("still pending: {outcome:?}")
}

#[test]
fn it_logs_in_once_and_says_who_answers() {
    with_vcsim(PASSWORD, |vcenter| {
        let description = vcenter.describe().unwrap();
        assert!(description.product.contains("VMware vCenter"), "{}", description.product);
        let first = vcenter.held().unwrap();
        vcenter.describe().unwrap();
        assert_eq!(vcenter.held().unwrap(), first, "the session of the first call serves the second");
    });
}

#[test]
fn a_wrong_password_is_an_auth_fault_that_names_the_user() {
    with_vcsim("wrong", |vcenter| {
        let fault = vcenter.describe().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Auth, "{fault}");
        assert!(fault.message.contains("svc@vsphere.local"), "{}", fault.message);
    });
}

#[test]
fn the_inventory_has_every_vm_with_its_identity_folder_and_disks() {
    with_vcsim(PASSWORD, |vcenter| {
        let page = vcenter.inventory(None).unwrap();
        assert_eq!((page.vms.len(), page.next), (24, None), "VPX: 12 VMs on a host and 12 in a cluster");
        for vm in &page.vms {
            assert_eq!(vm.vm.fingerprint.len(), 36, "{vm:?}");
            assert!(!vm.host.is_empty() && vm.folder.contains("DC0"), "{vm:?}");
            assert_eq!(vm.disks.len(), 1, "{vm:?}");
        }
    });
}

#[test]
fn the_definition_and_placement_are_read() {
    with_vcsim(PASSWORD, |vcenter| {
        let vm = nth_vm(vcenter, 0);
        let definition = vcenter.definition(&vm.vm).unwrap();
        assert_eq!(definition.name, vm.name);
        assert_eq!((definition.disks.len(), definition.nics.len()), (1, 1));
        assert!(definition.nics[0].network.contains("DVPG"), "{:?}", definition.nics);
        let placement = vcenter.placement(&vm.vm).unwrap();
        assert_eq!(placement.host, vm.host);
        assert_eq!(placement.datastores.len(), 1);
        assert_eq!(placement.disks[0].datastore.as_ref(), Some(&placement.datastores[0].id));
        assert_eq!(placement.disks[0].disk, vm.disks[0].id);
    });
}

#[test]
fn the_absence_of_change_tracking_ends_in_a_clear_finding() {
    with_vcsim(PASSWORD, |vcenter| {
        let findings = vcenter.preflight(&nth_vm(vcenter, 1).vm).unwrap();
        let unsupported = findings.iter().find(|finding| finding.code == "cbt-unsupported");
        assert!(unsupported.is_some_and(|finding| finding.severity == Severity::Blocking), "{findings:?}");
    });
}

#[test]
fn a_snapshot_is_opened_once_found_again_and_closed_twice() {
    with_vcsim(PASSWORD, |vcenter| {
        let vm = nth_vm(vcenter, 2).vm;
        let open = || finish(vcenter, vcenter.open_snapshot(&vm, "transload-7", Quiesce::Unwanted).unwrap());
        let Outcome::Opened(opened) = open() else { panic!("opened") };
        assert_eq!(open(), Outcome::Opened(opened.clone()), "the same tag is the same snapshot");
        assert_eq!(vcenter.leftovers(&vm, "transload-").unwrap(), std::slice::from_ref(&opened.token));
        let disks = vcenter.disks(&opened.token).unwrap();
        assert_eq!(disks.len(), 1);
        assert_eq!(disks[0].marker, None, "there is no tracking there");
        let gone = tokens::read(&opened.token).unwrap();
        for _ in 0..2 {
            assert_eq!(finish(vcenter, vcenter.close_snapshot(&opened.token, Closing::KeepMarkers).unwrap()), Outcome::Closed(Vec::new()));
        }
        assert_eq!(changes::disks(vcenter, &gone).unwrap_err().kind, FaultKind::NotFound);
        assert_eq!(vcenter.leftovers(&vm, "transload-").unwrap(), [] as [String; 0]);
    });
}

#[test]
fn asking_for_changes_is_a_resync_since_tracking_is_not_active() {
    with_vcsim(PASSWORD, |vcenter| {
        let vm = nth_vm(vcenter, 3).vm;
        let Outcome::Opened(opened) = finish(vcenter, vcenter.open_snapshot(&vm, "transload-8", Quiesce::Unwanted).unwrap()) else {
            panic!("opened")
        };
        let disk = vcenter.disks(&opened.token).unwrap().remove(0);
        let changes = vcenter.changed(&opened.token, &disk.id, "52 00/1", None).unwrap();
        assert!(matches!(changes, transload_guest::source::Changes::Resync { code: "tracking-reset", .. }), "{changes:?}");
        finish(vcenter, vcenter.close_snapshot(&opened.token, Closing::KeepMarkers).unwrap());
    });
}

#[test]
fn power_goes_off_and_on_again() {
    with_vcsim(PASSWORD, |vcenter| {
        let vm = nth_vm(vcenter, 4).vm;
        for (action, state) in [(PowerAction::Off, PowerState::Off), (PowerAction::Off, PowerState::Off), (PowerAction::On, PowerState::On)]
        {
            assert_eq!(finish(vcenter, vcenter.power(&vm, action).unwrap()), Outcome::Power(state));
        }
    });
}

#[test]
fn another_identity_under_the_same_reference_is_a_conflict() {
    with_vcsim(PASSWORD, |vcenter| {
        let vm = VmRef { fingerprint: "00000000-0000-0000-0000-000000000000".into(), ..nth_vm(vcenter, 5).vm };
        for fault in [
            vcenter.power(&vm, PowerAction::Off).unwrap_err(),
            vcenter.open_snapshot(&vm, "transload-9", Quiesce::Unwanted).unwrap_err(),
            vcenter.reset_tracking(&vm).unwrap_err(),
        ] {
            assert_eq!(fault.kind, FaultKind::Conflict, "{fault}");
        }
        let gone = VmRef { id: "vm-999999".into(), fingerprint: "x".into() };
        assert_eq!(vcenter.preflight(&gone).unwrap_err().kind, FaultKind::NotFound);
    });
}

#[test]
fn change_tracking_is_set_by_a_reconfiguration_and_a_stun() {
    with_vcsim(PASSWORD, |vcenter| {
        let vm = nth_vm(vcenter, 6).vm;
        for _ in 0..2 {
            assert_eq!(finish(vcenter, vcenter.enable_tracking(&vm).unwrap()), Outcome::Done);
        }
        let codes: Vec<_> = vcenter.preflight(&vm).unwrap().into_iter().map(|finding| finding.code).collect();
        assert!(!codes.contains(&"cbt-off"), "{codes:?}");
        assert_eq!(vcenter.leftovers(&vm, "transload-").unwrap(), [] as [String; 0]);
    });
}
