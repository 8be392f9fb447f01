//! `[[source]]`, `[sink]`, `[[store]]` and `[[cutover]]`: which plugin runs, with which settings, secrets and endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::endpoint::{EndpointConfig, EndpointText};
use crate::net::Endpoint;
use crate::secret::Secret;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PluginText {
    name: Option<String>,
    plugin: String,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    endpoint: Vec<EndpointText>,
    /// Of `[sink]` and `[[store]]` only.
    pub(super) weight: Option<u16>,
}

/// One configured plugin. What it may reach follows from these values and its manifest.
#[derive(Debug, Clone)]
pub struct PluginConfig {
    /// What the operator calls it; appears in logs and in VM ids.
    pub name: String,
    /// The folder of the plugin.
    pub folder: PathBuf,
    /// Handed to the guest as JSON.
    pub config: toml::Table,
    /// Where each secret stands: a file, or `credential:NAME`.
    pub secrets: BTreeMap<String, String>,
    pub endpoints: Vec<EndpointConfig>,
}

/// The parts of a plugin's configuration that stand in files of their own.
#[derive(Debug)]
pub struct Opened {
    pub secrets: BTreeMap<String, Secret>,
    pub endpoints: Vec<Endpoint>,
}

impl PluginConfig {
    /// What the plugin itself is called, wherever it is configured.
    pub fn folder_name(&self) -> &str {
        self.folder.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default()
    }

    /// Reads the secrets. Says all that is wrong, not only the first.
    pub fn open(&self) -> Result<Opened, Vec<String>> {
        let mut wrong = Vec::new();
        let mut opened = Opened { secrets: BTreeMap::new(), endpoints: Vec::new() };
        for (name, place) in &self.secrets {
            match Secret::load(place) {
                Ok(secret) => drop(opened.secrets.insert(name.clone(), secret)),
                Err(why) => wrong.push(format!("{}: secret {name:?}: {why}", self.name)),
            }
        }
        for endpoint in &self.endpoints {
            match endpoint.open() {
                Ok(endpoint) => opened.endpoints.push(endpoint),
                Err(why) => wrong.push(format!("{}: proxy of {}: {why}", self.name, endpoint.origin())),
            }
        }
        match wrong.is_empty() {
            true => Ok(opened),
            false => Err(wrong),
        }
    }
}

impl PluginText {
    pub(super) fn check(self, kind: &str, folder: &Path, plugins: &Path) -> Result<PluginConfig, Vec<String>> {
        let mut wrong = Vec::new();
        let name = self.name.unwrap_or_else(|| self.plugin.clone());
        if !is_name(&name) {
            wrong.push(format!("{kind}: {name:?} is no name: use lower-case letters, digits and hyphens, at most 40"));
        }
        if !is_name(&self.plugin) {
            wrong.push(format!("{kind} {name}: plugin {:?} must be the name of a folder below {}", self.plugin, plugins.display()));
        }
        let mut endpoints: Vec<EndpointConfig> = Vec::new();
        let mut origins = BTreeSet::new();
        for endpoint in self.endpoint {
            match endpoint.check(folder) {
                Ok(endpoint) if !origins.insert(endpoint.origin().clone()) => {
                    wrong.push(format!("{kind} {name}: endpoint {} is given twice", endpoint.origin()));
                }
                Ok(endpoint) => endpoints.push(endpoint),
                Err(all) => wrong.extend(all.into_iter().map(|why| format!("{kind} {name}: {why}"))),
            }
        }
        let secrets = self.secrets.into_iter().map(|(name, file)| (name, super::place(folder, &file))).collect();
        match wrong.is_empty() {
            true => Ok(PluginConfig { folder: plugins.join(&self.plugin), name, config: self.config, secrets, endpoints }),
            false => Err(wrong),
        }
    }
}

/// Names become parts of paths, object keys and metrics, so they are plain.
pub fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
