//! The configuration: one TOML file, checked whole before anything starts.
//!
//! Everything that is wrong is said at once. Unknown keys are errors, units are part of the values, and every default stands here beside
//! its reason. Secrets are never in the file: it names the files they are in.

mod calendar;
mod endpoint;
mod example;
mod limits;
mod plugin;
mod plugins;
mod replication;
mod retention;
mod stores;
pub mod strict;
pub mod units;
mod wave;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::policy::calendar::Calendar;

pub(crate) use calendar::{BlackoutText, CalendarText, ThrottleText, calendar};
pub use endpoint::EndpointConfig;
pub use limits::Limits;
pub use plugin::{Opened, PluginConfig, is_name};
pub use plugins::ConfiguredPlugins;
pub use replication::Replication;
pub use retention::Retention;
pub use stores::{StoreConfig, Weight};
use units::Bytes;
pub use wave::{Wave, WaveVm};

use plugin::PluginText;

#[derive(Debug, Clone)]
pub struct Config {
    /// Journal, digest tables, spool, approvals and compiled code of plugins.
    pub state: PathBuf,
    pub role: Role,
    /// One folder a plugin.
    pub plugins: PathBuf,
    /// What opens the data key of the store.
    pub key: KeyConfig,
    pub sources: Vec<PluginConfig>,
    /// The home store.
    pub sink: PluginConfig,
    pub home_weight: Weight,
    /// Further stores, which take segments off the home store.
    pub stores: Vec<StoreConfig>,
    /// What moves names, addresses and traffic.
    pub cutovers: Vec<PluginConfig>,
    pub replication: Replication,
    pub limits: Limits,
    pub retention: Retention,
    /// When nothing begins, and how fast bytes go. Taken over while the agent runs.
    pub calendar: Calendar,
    pub vms: Vec<VmConfig>,
    pub receiver: Option<ReceiverConfig>,
    /// Where it was read from.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Both,
    Gateway,
    Receiver,
}

impl Role {
    pub fn sends(self) -> bool {
        matches!(self, Role::Both | Role::Gateway)
    }

    pub fn receives(self) -> bool {
        matches!(self, Role::Both | Role::Receiver)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyConfig {
    /// Random bytes in a file.
    File(PathBuf),
    /// Words that a person can keep on paper; stretched with Argon2id.
    PassphraseFile(PathBuf),
}

impl KeyConfig {
    pub fn path(&self) -> &Path {
        match self {
            KeyConfig::File(path) | KeyConfig::PassphraseFile(path) => path,
        }
    }

    /// What sentences call it.
    pub fn word(&self) -> &'static str {
        match self {
            KeyConfig::File(_) => "key file",
            KeyConfig::PassphraseFile(_) => "passphrase file",
        }
    }
}

/// A VM that is replicated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VmConfig {
    /// Its name, `folder/name`, or its instance UUID, when a name is not enough to tell it from others.
    pub name: String,
    /// The source it is on; may be left out when there is one source only.
    #[serde(default)]
    pub source: String,
    /// The largest disk that the target can take; a larger one stops at preflight and not after a day of copying.
    pub target_size_max: Option<Bytes>,
    /// Who begins the cycle that repairs a failed one. The agent, unless somebody wants to look first.
    #[serde(default)]
    pub repair: RepairConfig,
    /// The stores that its segments may go to, by name; all of them when left out.
    pub stores: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairConfig {
    #[default]
    Automatic,
    /// `transload vm repair NAME`
    ByCommand,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReceiverConfig {
    /// Replicas are raw files in here, unless a disk has a device of its own.
    pub replicas: Option<PathBuf>,
    #[serde(default, rename = "device")]
    pub devices: Vec<DeviceConfig>,
}

/// A disk whose replica is a block device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceConfig {
    pub vm: String,
    pub disk: String,
    pub path: PathBuf,
}

/// All that is wrong with a configuration, one sentence a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub file: Option<PathBuf>,
    pub wrong: Vec<String>,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "the configuration {} cannot be used; nothing was started and nothing was touched:", file.display())?,
            None => write!(f, "the configuration cannot be used; nothing was started and nothing was touched:")?,
        }
        self.wrong.iter().try_for_each(|why| write!(f, "\n  - {why}"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ConfigText {
    /// Where Debian keeps the state of services.
    #[serde(default = "default_state")]
    state: PathBuf,
    /// A small site runs both ends in one process.
    #[serde(default = "default_role")]
    role: Role,
    /// Where the package installs them.
    #[serde(default = "default_plugins")]
    plugins: PathBuf,
    key: Option<KeyConfig>,
    #[serde(default)]
    source: Vec<PluginText>,
    sink: Option<PluginText>,
    #[serde(default)]
    store: Vec<PluginText>,
    #[serde(default)]
    cutover: Vec<PluginText>,
    #[serde(default)]
    replication: Replication,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    retention: Retention,
    #[serde(default)]
    calendar: CalendarText,
    #[serde(default)]
    blackout: Vec<BlackoutText>,
    #[serde(default)]
    throttle: Vec<ThrottleText>,
    #[serde(default)]
    vm: Vec<VmConfig>,
    /// VMs of the only source, for which the name says everything.
    #[serde(default)]
    vms: Vec<String>,
    receiver: Option<ReceiverConfig>,
}

/// Where a file says that state is kept, whatever else is wrong in it; none when it does not, or is no TOML.
pub fn state_in(path: &Path) -> Option<PathBuf> {
    let text: toml::Table = std::fs::read_to_string(path).ok()?.parse().ok()?;
    Some(path.parent().unwrap_or(Path::new(".")).join(text.get("state")?.as_str()?))
}

fn default_state() -> PathBuf {
    "/var/lib/transload".into()
}

fn default_role() -> Role {
    Role::Both
}

fn default_plugins() -> PathBuf {
    "/usr/lib/transload/plugins".into()
}

impl Config {
    /// Reads and checks the file alone: what it names need not be there yet.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let failed = |wrong| ConfigError { file: Some(path.to_owned()), wrong };
        let text = std::fs::read_to_string(path).map_err(|error| failed(vec![format!("it cannot be read: {error}")]))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let config = Config::parse(&text, folder).map_err(|error| failed(error.wrong))?;
        Ok(Config { file: Some(path.to_owned()), ..config })
    }

    /// Reads and checks the file and everything it names: after this the secrets exist and can be read.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let config = Config::read(path)?;
        let mut wrong: Vec<String> = Vec::new();
        for plugin in config.used_plugins() {
            wrong.extend(plugin.open().err().unwrap_or_default());
        }
        match wrong.is_empty() {
            true => Ok(config),
            false => Err(ConfigError { file: Some(path.to_owned()), wrong }),
        }
    }

    /// Checks the text alone; touches no file. Relative paths count from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Config, ConfigError> {
        let failed = |wrong| ConfigError { file: None, wrong };
        let text: ConfigText = strict::parse(text).map_err(failed)?;
        text.check(folder).map_err(failed)
    }

    /// What `transload init` writes.
    pub fn commented_example() -> &'static str {
        example::EXAMPLE
    }
}

impl ConfigText {
    fn check(mut self, folder: &Path) -> Result<Config, Vec<String>> {
        let mut wrong = Vec::new();
        let any_source = !self.source.is_empty();
        if self.sink.is_none() {
            wrong.push("there is no [sink]: the replication log needs a store, which gateway and receiver share".to_owned());
        }
        let plugins = ConfiguredPlugins::of(&mut self, folder, &mut wrong);
        if self.key.is_none() {
            wrong.push("there is no [key]: say with file = \"…\" what opens the data key of the store".to_owned());
        }
        if self.role.sends() && !any_source {
            wrong.push("there is no [[source]]: a gateway needs one; with role = \"receiver\" none is needed".to_owned());
        }
        let vms = chosen_vms(self.vm, self.vms, &plugins.sources, &mut wrong);
        stores::check_chosen(&vms, plugins.sink.as_ref(), &plugins.stores, &mut wrong);
        wrong.extend(self.replication.check());
        wrong.extend(self.limits.check());
        wrong.extend(self.retention.check());
        let calendar = calendar::calendar(self.calendar, self.blackout, self.throttle, &mut wrong);
        let receiver = self.receiver.map(|receiver| receiver.below(folder));
        match &receiver {
            None if self.role.receives() => wrong.push("there is no [receiver]: say with replicas = \"…\" where replicas go".to_owned()),
            Some(receiver) => receiver.check(&mut wrong),
            None => {}
        }
        let key = self.key.map(|key| match key {
            KeyConfig::File(path) => KeyConfig::File(folder.join(path)),
            KeyConfig::PassphraseFile(path) => KeyConfig::PassphraseFile(folder.join(path)),
        });
        let ConfiguredPlugins { state, folder: plugins, role, sources, sink, home_weight, stores, cutovers } = plugins;
        match (sink, key) {
            (Some(sink), Some(key)) if wrong.is_empty() => Ok(Config {
                state,
                role,
                plugins,
                key,
                sources,
                sink,
                home_weight,
                stores,
                cutovers,
                replication: self.replication,
                limits: self.limits,
                retention: self.retention,
                calendar,
                vms,
                receiver,
                file: None,
            }),
            _ => Err(wrong),
        }
    }
}

fn chosen_vms(tables: Vec<VmConfig>, names: Vec<String>, sources: &[PluginConfig], wrong: &mut Vec<String>) -> Vec<VmConfig> {
    let repair = RepairConfig::default();
    let short = names.into_iter().map(|name| VmConfig { name, source: String::new(), target_size_max: None, repair, stores: None });
    let mut vms: Vec<VmConfig> = tables.into_iter().chain(short).collect();
    let mut seen = BTreeSet::new();
    for vm in &mut vms {
        match (vm.source.as_str(), sources) {
            ("", [only]) => vm.source = only.name.clone(),
            // What is wrong with the sources is said already.
            ("", []) => {}
            ("", _) => wrong.push(format!("VM {:?} does not say which source it is on: add source = \"…\"", vm.name)),
            (named, [_, ..]) if sources.iter().all(|source| source.name != named) => {
                wrong.push(format!("VM {:?} is on source {named:?}, but there is no such source", vm.name));
            }
            _ => {}
        }
        if vm.name.trim().is_empty() {
            wrong.push("a VM has no name".to_owned());
        }
        if !seen.insert((vm.source.clone(), vm.name.clone())) {
            wrong.push(format!("VM {:?} is listed twice", vm.name));
        }
    }
    vms
}

impl ReceiverConfig {
    fn below(mut self, folder: &Path) -> ReceiverConfig {
        self.replicas = self.replicas.map(|path| folder.join(path));
        self
    }

    fn check(&self, wrong: &mut Vec<String>) {
        if self.replicas.is_none() && self.devices.is_empty() {
            wrong.push("[receiver] has neither replicas nor a device: there is no place for replicas".to_owned());
        }
        let mut paths = BTreeSet::new();
        let mut disks = BTreeSet::new();
        for device in &self.devices {
            if !device.path.is_absolute() {
                wrong.push(format!("device {} of {} {} must be an absolute path", device.path.display(), device.vm, device.disk));
            }
            if !paths.insert(&device.path) {
                wrong.push(format!("device {} is given to two disks; one would overwrite the other", device.path.display()));
            }
            if !disks.insert((&device.vm, &device.disk)) {
                wrong.push(format!("disk {} of VM {} has two devices", device.disk, device.vm));
            }
        }
    }
}

/// A secret's place: a path counts from the configuration's folder, a systemd credential is a name.
fn place(folder: &Path, text: &str) -> String {
    match text.starts_with("credential:") {
        true => text.to_owned(),
        false => folder.join(text).to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests;
