//! One configured plugin: what all of its instances share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::counters::Counters;
use super::grants::Grants;
use super::manifest::{Bounds, Manifest};
use super::masking::Masks;
use super::sessions::Sessions;
use super::trouble::Trouble;
use super::voice::{LINE_BYTES_MAX, LineRate};
use crate::clock::Clock;
use crate::config::Opened;
use crate::model::Fault;
use crate::net::{Client, Endpoint, Origin};

/// Why a plugin is not run. Everything that stands in the way, one sentence a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRefused {
    pub plugin: String,
    pub reasons: Vec<String>,
    /// Nothing is wrong with it but that nobody approved it as it is.
    pub waits: bool,
}

impl std::error::Error for PluginRefused {}

impl fmt::Display for PluginRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} is refused; none of its code was run:", self.plugin)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  - {reason}"))
    }
}

pub struct Plugin {
    name: String,
    version: String,
    limits: Bounds,
    grants: Grants,
    clients: BTreeMap<Origin, Client>,
    config_json: String,
    sessions: Sessions,
    masks: Masks,
    line_rate: LineRate,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    trouble: Option<Trouble>,
}

impl Plugin {
    pub fn new(
        name: &str,
        manifest: &Manifest,
        config: &toml::Table,
        opened: Opened,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Result<Plugin, Vec<String>> {
        let grants = Grants::decide(manifest, config, &opened)?;
        let mut wrong = Vec::new();
        let mut clients = BTreeMap::new();
        for origin in grants.origins() {
            let written = opened.endpoints.iter().find(|endpoint| endpoint.origin == origin);
            let endpoint = written.cloned().unwrap_or_else(|| Endpoint::usual(origin.clone()));
            match Client::new(endpoint) {
                Ok(client) => drop(clients.insert(origin, client)),
                Err(why) => wrong.push(why),
            }
        }
        let config_json = serde_json::to_string(config).map_err(|error| vec![format!("its settings are no JSON: {error}")])?;
        match wrong.is_empty() {
            true => Ok(Plugin {
                name: name.to_owned(),
                version: manifest.version.clone(),
                limits: Bounds::from(&manifest.limits),
                masks: Masks::of(grants.secrets()),
                line_rate: LineRate::new(clock.monotonic()),
                sessions: Sessions::default(),
                counters,
                trouble: None,
                grants,
                clients,
                config_json,
                clock,
            }),
            false => Err(wrong),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn limits(&self) -> &Bounds {
        &self.limits
    }

    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    pub fn client(&self, origin: &Origin) -> Result<&Client, Fault> {
        self.clients.get(origin).ok_or_else(|| Fault::denied(format!("requests to {origin} are not granted to this plugin")))
    }

    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    pub fn config_json(&self) -> &str {
        &self.config_json
    }

    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    pub fn line_rate(&self) -> &LineRate {
        &self.line_rate
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The same, with mishaps on its way.
    pub fn troubled(self, trouble: Option<Trouble>) -> Plugin {
        Plugin { trouble, ..self }
    }

    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// A fault from a guest, fit to be shown: no secret, one line, bounded.
    pub fn shown(&self, mut fault: Fault) -> Fault {
        fault.message = self.masks.line(&fault.message, LINE_BYTES_MAX);
        fault
    }
}
