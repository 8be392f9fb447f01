//! One test's world: a lab in this process, and a folder that goes away with it.

use std::path::{Path, PathBuf};

use lab::vcenter::{DiskSpec, VCenterOptions, VmSpec};
use lab::{Lab, LabOptions, Workload};
use tempfile::TempDir;

use crate::setup::{QUICK, Setup, secret_file};

/// What the key file of every test holds.
pub const STORE_KEY: &str = "4b1f09c7d2e86a53f0b9471c3de582a6971e04bd3c6f58a2107be9d4652c8f3a";

pub struct Site {
    pub lab: Lab,
    folder: TempDir,
}

impl Site {
    /// A lab without VMs.
    pub async fn empty() -> Site {
        Site::start(true).await
    }

    /// One that does not compute what it froze, where time is measured.
    pub async fn without_digests(vms: Vec<VmSpec>) -> Site {
        Site::start(false).await.taking(vms).await
    }

    /// The fleet: 301 VMs on 12 hosts and 8 datastores, with disks of so many bytes.
    pub async fn fleet(disk_bytes: u64) -> Site {
        let site = Site::start_as(VCenterOptions { digest_every_snapshot: true, ..lab::fleet_options() }).await;
        lab::populate_fleet(site.lab.vcenter(), disk_bytes).await.expect("the lab takes the fleet");
        site
    }

    async fn start(digest_every_snapshot: bool) -> Site {
        Site::start_as(VCenterOptions { digest_every_snapshot, ..VCenterOptions::default() }).await
    }

    async fn start_as(vcenter: VCenterOptions) -> Site {
        let folder = tempfile::tempdir().expect("there is room for a test");
        let options = LabOptions { vcenter, ..LabOptions::new(folder.path().join("lab")) };
        let lab = Lab::start(options).await.expect("the lab starts");
        std::fs::write(folder.path().join("ca.pem"), lab.authority_pem()).expect("the site can be written");
        Site { lab, folder }
    }

    pub async fn with(vms: Vec<VmSpec>) -> Site {
        Site::empty().await.taking(vms).await
    }

    async fn taking(self, vms: Vec<VmSpec>) -> Site {
        for vm in vms {
            self.lab.vcenter().add_vm(vm).await.expect("the lab takes the VM");
        }
        self
    }

    /// One VM "db01" with one disk of so many bytes, of which so many are files.
    pub async fn small(capacity: u64, data_bytes: u64) -> Site {
        Site::with(vec![VmSpec::new("db01", vec![DiskSpec::with_files(capacity, data_bytes)])]).await
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// An agent for these VMs, both roles in one, everything at the lab and over TLS.
    pub fn setup(&self, vms: &[&str]) -> Setup {
        let folder = self.folder().join("agent");
        std::fs::create_dir_all(&folder).expect("the site can be written");
        let (vcenter, s3, ca) = (self.lab.vcenter(), self.lab.s3(), self.ca_file());
        let password = secret_file(&self.folder().join("vcenter.password"), vcenter.password());
        let secret_key = secret_file(&self.folder().join("s3.secret-key"), s3.secret_key());
        let key = secret_file(&self.folder().join("store.key"), &format!("{STORE_KEY}\n"));
        let source = format!(
            "[[source]]\nname = \"vc1\"\nplugin = \"vmware-cbt\"\nsecrets = {{ password = {password:?} }}\n\
             config = {{ url = \"{url}\", username = \"{user}\" }}\n[[source.endpoint]]\norigin = \"{url}\"\ntrust = {{ ca-file = {ca:?} }}\n",
            url = vcenter.url(),
            user = vcenter.user(),
        );
        let sink = s3_sink(&s3.url(), s3.bucket(), s3.access_key(), &secret_key, &format!("trust = {{ ca-file = {ca:?} }}"));
        Setup {
            folder,
            role: "both",
            key,
            key_word: "file",
            vms: vms.iter().map(|name| (*name).to_owned()).collect(),
            source,
            sink,
            replication: QUICK.to_owned(),
            receiver: "[receiver]\nreplicas = \"replicas\"\n".to_owned(),
            retention: String::new(),
            whole: None,
            run_arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Lets the guest of the VM's first disk write.
    pub async fn guest_writes(&self, vm: &str, workload: Workload, seed: u64) -> u64 {
        self.guest_writes_to(vm, 2000, workload, seed).await
    }

    pub async fn guest_writes_to(&self, vm: &str, disk_key: i32, workload: Workload, seed: u64) -> u64 {
        self.lab.vcenter().run_workload(vm, disk_key, &workload, seed).await.expect("the guest writes")
    }

    /// Keys of the VM's disks, in their order.
    pub fn disk_keys(&self, vm: &str) -> Vec<i32> {
        self.lab.vcenter().vm(vm).expect("the VM is there").disks.iter().map(|disk| disk.key).collect()
    }

    /// No snapshot is left on any VM.
    pub fn assert_no_snapshot(&self) {
        let left: Vec<String> =
            self.lab.vcenter().snapshots().into_iter().map(|(vm, snapshot)| format!("{vm}: {}", snapshot.name)).collect();
        assert!(left.is_empty(), "snapshots are left: {left:?}");
    }
}

/// A `[sink]` on any S3 server. `reached`: what the endpoint says of trust or plaintext.
pub fn s3_sink(url: &str, bucket: &str, access_key: &str, secret_key: &Path, reached: &str) -> String {
    s3_table("[sink]\nname = \"store\"", "sink", url, (bucket, access_key, secret_key), reached)
}

/// A `[[store]]` at another lab, beside the site's own.
pub fn second_store(site: &Site, name: &str, weight: u16, second: &Lab) -> String {
    let (s3, ca) = (second.s3(), site.folder().join(format!("{name}-ca.pem")));
    std::fs::write(&ca, second.authority_pem()).expect("the site can be written");
    let secret_key = secret_file(&site.folder().join(format!("{name}.secret-key")), s3.secret_key());
    let head = format!("[[store]]\nname = \"{name}\"\nweight = {weight}");
    s3_table(&head, "store", &s3.url(), (s3.bucket(), s3.access_key(), &secret_key), &format!("trust = {{ ca-file = {ca:?} }}"))
}

fn s3_table(head: &str, table: &str, url: &str, (bucket, access_key, secret_key): (&str, &str, &Path), reached: &str) -> String {
    format!(
        "{head}\nplugin = \"storage-s3\"\nsecrets = {{ secret-key = {secret_key:?} }}\n\
         config = {{ endpoint = \"{url}\", region = \"us-east-1\", bucket = \"{bucket}\", access-key = \"{access_key}\" }}\n\
         [[{table}.endpoint]]\norigin = \"{url}\"\n{reached}\n"
    )
}
