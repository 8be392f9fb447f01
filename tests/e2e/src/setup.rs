//! Everything one agent is given: a configuration, secrets in files, a state folder, a place for replicas.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent::Said;
use crate::parts;

/// One agent's configuration in the making. The fields are TOML; a test that wants something special changes them.
#[derive(Clone)]
pub struct Setup {
    pub folder: PathBuf,
    pub role: &'static str,
    pub key: PathBuf,
    /// What `[key]` calls it: file or passphrase-file.
    pub key_word: &'static str,
    pub vms: Vec<String>,
    pub source: String,
    pub sink: String,
    pub replication: String,
    pub receiver: String,
    /// `[retention]`.
    pub retention: String,
    /// The whole configuration, where a test has one of its own and the fields above do not count.
    pub whole: Option<String>,
    /// What `run` is given beside the configuration.
    pub run_arguments: Vec<String>,
    /// Added to the agent's environment.
    pub environment: Vec<(String, String)>,
}

/// Short enough for tests: as soon as the configuration allows.
pub const QUICK: &str = "poll = \"100 ms\"\ninterval-min = \"1 h\"\nin-flight = \"4 MiB\"\nsegment = \"1 MiB\"\n";

impl Setup {
    pub fn config(&self) -> PathBuf {
        self.folder.join("transload.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn replicas(&self) -> PathBuf {
        self.folder.join("replicas")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// Another agent: its own folder, the same store, key, source and VMs.
    pub fn beside(&self, name: &str) -> Setup {
        let folder = self.folder.parent().expect("a setup lies in its site").join(name);
        std::fs::create_dir_all(&folder).expect("the site can be written");
        Setup { folder, ..self.clone() }
    }

    pub fn text(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let Setup { role, key_word, source, sink, replication, receiver, retention, .. } = self;
        let vms: Vec<String> = self.vms.iter().map(|name| format!("{name:?}")).collect();
        let (plugins, key) = (parts::plugins().display(), self.key.display());
        let (source, vms) = match *role {
            "receiver" => ("", String::new()),
            _ => (source.as_str(), format!("vms = [{}]", vms.join(", "))),
        };
        let receiver = if *role == "gateway" { "" } else { receiver };
        format!(
            "state = \"state\"\nrole = \"{role}\"\nplugins = \"{plugins}\"\n{vms}\n[key]\n{key_word} = \"{key}\"\n{source}\n{sink}\n[replication]\n{replication}\n[retention]\n{retention}\n{receiver}\n"
        )
    }

    pub fn write(&self) {
        std::fs::create_dir_all(&self.folder).expect("the site can be written");
        std::fs::write(self.config(), self.text()).expect("the site can be written");
        // As an operator does once; a test of approvals makes the folder itself. What cannot be approved is told by what runs next.
        if !self.state().join("approved").exists() {
            self.run(&["plugin", "approve"]);
        }
    }

    /// Runs a command of `transload` to its end. The configuration is what was written last.
    pub fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(parts::agent());
        command.arg("--config").arg(self.config()).args(arguments).env_remove("TRANSLOAD_LOG").envs(self.environment.clone());
        Said::from(parts::waiting(|| command.output()).expect("the agent's program starts"))
    }

    /// `check`, with this configuration.
    pub fn check(&self) -> Said {
        self.write();
        self.run(&["check", "--json"])
    }
}

/// A file that only its owner can read.
pub fn secret_file(path: &Path, content: &str) -> PathBuf {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).expect("a secret is written");
    file.write_all(content.as_bytes()).expect("a secret is written");
    path.to_owned()
}
