//! One configured plugin: what all of its instances share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::beneath::Folder;
use super::counters::Counters;
use super::files::GrantedFolder;
use super::grants::{Grants, StreamGrant};
use super::manifest::{Bounds, Manifest};
use super::masking::Masks;
use super::netfilter::Table;
use super::sessions::Sessions;
use super::trouble::{Mishap, Trouble};
use super::voice::{LINE_BYTES_MAX, LineRate};
use super::words;
use crate::clock::Clock;
use crate::config::Opened;
use crate::model::Fault;
use crate::net::{Client, Dialer, Endpoint, Origin};

/// Why a plugin is not run. Everything that stands in the way, one sentence a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRefused {
    pub plugin: String,
    pub reasons: Vec<String>,
    /// Nothing is wrong with it but that nobody approved it as it is.
    pub waits: bool,
}

impl std::error::Error for PluginRefused {}

impl PluginRefused {
    /// What every call to it ends in, until it may run.
    pub fn fault(&self) -> Fault {
        Fault::denied(format!("the plugin of {} may not run: {}", self.plugin, self.reasons.join("; ")))
    }
}

impl fmt::Display for PluginRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} is refused; none of its code was run:", self.plugin)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  - {reason}"))
    }
}

pub struct Plugin {
    name: String,
    version: String,
    asks: Vec<String>,
    limits: Bounds,
    grants: Grants,
    clients: BTreeMap<Origin, Client>,
    dialers: BTreeMap<String, Dialer>,
    folders: BTreeMap<String, Arc<GrantedFolder>>,
    table: Option<Table>,
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
        let mut wrong = manifest.misfits(config);
        let grants = Grants::decide(manifest, config, &opened).map_err(|more| [std::mem::take(&mut wrong), more].concat())?;
        let mut clients = BTreeMap::new();
        for origin in grants.origins() {
            let written = opened.endpoints.iter().find(|endpoint| endpoint.origin == origin);
            let endpoint = written.cloned().unwrap_or_else(|| Endpoint::usual(origin.clone()));
            match Client::new(endpoint) {
                Ok(client) => drop(clients.insert(origin, client)),
                Err(why) => wrong.push(why),
            }
        }
        let mut dialers = BTreeMap::new();
        for (name, grant) in &grants.streams {
            let dialer = match grant {
                StreamGrant::Endpoint(endpoint) => Dialer::new((**endpoint).clone()),
                StreamGrant::Socket(path) => Ok(Dialer::Unix(path.clone())),
            };
            match dialer {
                Ok(dialer) => drop(dialers.insert(name.clone(), dialer)),
                Err(why) => wrong.push(why),
            }
        }
        let granted = |(name, path): (&String, &PathBuf)| (name.clone(), Arc::new(GrantedFolder::new(Folder::new(path.clone()))));
        let folders = grants.folders.iter().map(granted).collect();
        let table = grants.table.as_deref().map(Table::of).transpose().unwrap_or_else(|why| {
            wrong.push(why);
            None
        });
        let config_json = serde_json::to_string(config).map_err(|error| vec![format!("its settings are no JSON: {error}")])?;
        match wrong.is_empty() {
            true => Ok(Plugin {
                name: name.to_owned(),
                version: manifest.version.clone(),
                asks: words::asks(manifest),
                limits: Bounds::from(&manifest.limits),
                masks: Masks::of(grants.secrets()),
                line_rate: LineRate::new(clock.monotonic()),
                sessions: Sessions::default(),
                counters,
                trouble: None,
                grants,
                clients,
                dialers,
                folders,
                table,
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

    /// What the operator let it reach, one sentence each.
    pub fn asks(&self) -> &[String] {
        &self.asks
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

    /// The way to what the stream of this name leads to.
    pub fn dialer(&self, name: &str) -> Result<&Dialer, Fault> {
        self.dialers.get(name).ok_or_else(|| Fault::denied(format!("no stream {} is granted to this plugin", brief(name))))
    }

    pub fn folder(&self, name: &str) -> Result<&Arc<GrantedFolder>, Fault> {
        self.folders.get(name).ok_or_else(|| Fault::denied(format!("no folder {} is granted to this plugin", brief(name))))
    }

    pub fn table(&self) -> Result<&Table, Fault> {
        self.table.as_ref().ok_or_else(|| Fault::denied("no nftables table is granted to this plugin"))
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

    /// What happens to the next exchange, where this is a trial with mishaps.
    pub fn mishap(&self) -> Option<Mishap> {
        self.trouble.as_ref().and_then(Trouble::next)
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

/// A name that a guest wrote, short enough for a sentence.
fn brief(name: &str) -> String {
    format!("{:?}", name.chars().take(80).collect::<String>())
}
