//! Programs that others wrote: govmomi's simulator as a vCenter for us, pyVmomi as a client of our lab.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use e2e::agent::text;
use e2e::setup::secret_file;
use e2e::{Setup, Site, parts};
use serde_json::json;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It has no change tracking, which must end in a finding and not in a copy that nobody could bring up to date.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_logs_into_govmomis_vcenter_and_says_that_it_cannot_track_changes() {
    let Some(program) = parts::foreign("TRANSLOAD_VCSIM") else { return };
    let site = Site::empty().await;
    let mut command = Command::new(program);
    let mut simulator = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut url = String::new();
    BufReader::new(simulator.0.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let url = url.trim().to_owned();
    let password = secret_file(&site.folder().join("vcsim.password"), "it's <a> & \"b\"");
    let setup = site.setup(&["DC0_H0_VM0"]);
    // Its TLS shows a key of 1024 bits, which no careful client takes.
    let source = format!(
        "[[source]]\nname = \"sim\"\nplugin = \"vmware-cbt\"\nsecrets = {{ password = {password:?} }}\n\
         config = {{ url = \"{url}\", username = \"svc@vsphere.local\" }}\n[[source.endpoint]]\norigin = \"{url}\"\nplaintext = true\n"
    );
    let said = Setup { source, ..setup }.check();
    let json = said.json();
    let steps = json["steps"].as_array().unwrap();
    let logged_in = steps.iter().find(|step| step["what"] == "sim: log in").unwrap_or_else(|| panic!("{steps:?}"));
    println!("{logged_in}\n{:?}", said.failed_steps());
    assert!(logged_in["ok"] == true && text(&logged_in["message"]).contains("VMware vCenter"), "{logged_in}");
    assert!(steps.iter().any(|step| step["what"] == "sim: VM DC0_H0_VM0" && step["ok"] == true), "the inventory was read: {steps:?}");
    let findings = said.failed_steps();
    assert!(
        findings.len() == 1 && findings[0].contains("cbt-unsupported") && findings[0].contains("changed block tracking"),
        "{findings:?}"
    );
    assert_eq!(said.code, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyvmomi_drives_our_lab() {
    let Some(python) = parts::foreign("TRANSLOAD_PYTHON") else { return };
    let site = Site::empty().await;
    lab::populate(site.lab.vcenter(), lab::Size::Small).await.unwrap();
    let folder = site.folder().to_owned();
    let ca = site.ca_file();
    let lab = Arc::new(site.lab);
    let control = lab::ControlServer::start(lab.clone()).await.unwrap();
    let password = secret_file(&folder.join("vcenter.password"), lab.vcenter().password());
    let description = json!({
        "ca_file": ca,
        "control": control.url(),
        "vcenter": {
            "url": lab.vcenter().url(),
            "user": lab.vcenter().user(),
            "password_file": password,
            "certificate_sha256": lab.vcenter().leaf_sha256(),
            "datacenter_path": lab.vcenter().datacenter_path(),
            "vms": lab.vcenter().vms(),
        },
    });
    std::fs::write(folder.join("lab.json"), description.to_string()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lab/tests/pyvmomi.py");
    let output = parts::waiting(|| Command::new(python).arg(script).arg(folder.join("lab.json")).output()).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.lines().count() > 5, "{said}");
}
