//! The place where the demo happens: a lab, a configuration, an empty state folder.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab::{Lab, LabOptions, Size};

pub struct Site {
    pub lab: Lab,
    pub folder: PathBuf,
    /// Gone with the site, unless the folder is to be kept.
    _temporary: Option<tempfile::TempDir>,
}

/// Which half of the agent a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Both,
    /// Replicates, and leaves judging to somebody else.
    Gateway,
}

impl Site {
    pub async fn open(keep: Option<&Path>, small: bool) -> Result<Site> {
        let temporary = match keep {
            Some(_) => None,
            None => Some(tempfile::tempdir()?),
        };
        let folder = keep.map_or_else(|| temporary.as_ref().expect("made above").path().to_owned(), Path::to_owned);
        std::fs::create_dir_all(&folder)?;
        let mut options = LabOptions::new(folder.join("lab"));
        options.vcenter.digest_every_snapshot = true;
        let lab = Lab::start(options).await.context("start the lab")?;
        lab::populate(lab.vcenter(), if small { Size::Small } else { Size::Full }).await.context("fill the lab's disks")?;
        let site = Site { lab, folder, _temporary: temporary };
        site.write_secrets()?;
        Ok(site)
    }

    pub fn replicas(&self) -> PathBuf {
        self.folder.join("replicas")
    }

    pub fn config(&self, role: Role) -> PathBuf {
        self.folder.join(match role {
            Role::Both => "transload.toml",
            Role::Gateway => "gateway.toml",
        })
    }

    /// Writes what the agent is configured with, for these VMs.
    pub fn write_configs(&self, plugins: &Path, vms: &[String]) -> Result<()> {
        let plugins = std::path::absolute(plugins)?;
        for (role, word) in [(Role::Both, "both"), (Role::Gateway, "gateway")] {
            std::fs::write(self.config(role), self.config_text(word, &plugins, vms))?;
        }
        Ok(())
    }

    fn config_text(&self, role: &str, plugins: &Path, vms: &[String]) -> String {
        let (vcenter, s3) = (self.lab.vcenter(), self.lab.s3());
        let vms = vms.iter().map(|vm| format!("{vm:?}")).collect::<Vec<_>>().join(", ");
        format!(
            r#"state = "state"
role = "{role}"
plugins = "{plugins}"
vms = [{vms}]

[key]
file = "store.key"

[[source]]
name = "vc1"
plugin = "vmware-cbt"
secrets = {{ password = "vcenter.password" }}
config = {{ url = "{vcenter_url}", username = "{user}" }}

[[source.endpoint]]
origin = "{vcenter_url}"
trust = {{ pin = "sha256:{pin}" }}

[sink]
name = "store"
plugin = "storage-s3"
secrets = {{ secret-key = "s3.secret-key" }}
config = {{ endpoint = "{s3_url}", region = "us-east-1", bucket = "{bucket}", access-key = "{access_key}" }}

[[sink.endpoint]]
origin = "{s3_url}"
trust = {{ ca-file = "ca.pem" }}

[replication]
poll = "500 ms"

[receiver]
replicas = "replicas"
"#,
            plugins = plugins.display(),
            vcenter_url = vcenter.url(),
            user = vcenter.user(),
            pin = vcenter.leaf_sha256(),
            s3_url = s3.url(),
            bucket = s3.bucket(),
            access_key = s3.access_key(),
        )
    }

    fn write_secrets(&self) -> Result<()> {
        let mut key = [0; 32];
        std::fs::File::open("/dev/urandom").and_then(|mut random| std::io::Read::read_exact(&mut random, &mut key))?;
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.write_private("store.key", &key)?;
        self.write_private("vcenter.password", self.lab.vcenter().password())?;
        self.write_private("s3.secret-key", self.lab.s3().secret_key())?;
        std::fs::write(self.folder.join("ca.pem"), self.lab.authority_pem())?;
        Ok(())
    }

    fn write_private(&self, name: &str, text: &str) -> Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.folder.join(name))?;
        file.write_all(text.as_bytes())?;
        Ok(())
    }
}
