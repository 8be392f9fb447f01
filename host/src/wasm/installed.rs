//! What lies in the folders of the plugins in use may change while the agent runs: a new version takes over between two calls.
//!
//! A folder is looked at every few seconds, and judged when two looks found the same, so that files on their way are left alone. What may
//! not run is said once, in the log and in `transload plugin list`; the version before it runs on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::cutover::PluginCutover;
use super::engine::PluginHost;
use super::package::Package;
use super::plugin::{Plugin, PluginRefused};
use super::sink::PluginSink;
use super::source::PluginSource;
use crate::config::PluginConfig;
use crate::model::Counted;

/// A plugin's folder holds three files. More than these are somebody else's.
const FILES_MAX: usize = 64;

/// The plugins that this agent uses.
pub struct Installed {
    host: PluginHost,
    used: Vec<Used>,
}

struct Used {
    config: PluginConfig,
    plugin: Running,
    seen: Mutex<Seen>,
}

enum Running {
    Source(Arc<PluginSource>),
    Sink(Arc<PluginSink>),
    Cutover(Arc<PluginCutover>),
}

#[derive(Default)]
struct Seen {
    judged: Stamp,
    latest: Stamp,
    refused: Option<PluginRefused>,
}

/// Which files there are, how long, and when they were written.
type Stamp = BTreeSet<(PathBuf, u64, Option<SystemTime>)>;

/// A plugin as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// What the operator calls it.
    pub name: String,
    /// What it is itself called: its folder.
    pub plugin: String,
    pub version: String,
    pub counted: Counted,
    /// Why what lies in its folder now does not take over.
    pub refused: Option<String>,
}

impl Installed {
    pub fn new(host: PluginHost) -> Installed {
        Installed { host, used: Vec::new() }
    }

    pub fn host(&self) -> &PluginHost {
        &self.host
    }

    pub fn use_source(&mut self, config: PluginConfig, source: Arc<PluginSource>) {
        self.add(config, Running::Source(source));
    }

    pub fn use_sink(&mut self, config: PluginConfig, sink: Arc<PluginSink>) {
        self.add(config, Running::Sink(sink));
    }

    pub fn use_cutover(&mut self, config: PluginConfig, cutover: Arc<PluginCutover>) {
        self.add(config, Running::Cutover(cutover));
    }

    /// The first look judges everything: what was put there since it was loaded is another version.
    fn add(&mut self, config: PluginConfig, plugin: Running) {
        self.used.push(Used { config, plugin, seen: Mutex::default() });
    }

    /// One look at every folder. Called again and again, by one caller.
    pub async fn look(&self) {
        for used in &self.used {
            if used.changed(self.approval(used)) {
                let taken = match &used.plugin {
                    Running::Source(source) => self.host.renew(&used.config, &source.current).await,
                    Running::Sink(sink) => self.host.renew(&used.config, &sink.current).await,
                    Running::Cutover(cutover) => self.host.renew(&used.config, &cutover.current).await,
                };
                used.judged(taken);
            }
        }
    }

    pub fn in_use(&self) -> Vec<InUse> {
        self.used.iter().map(Used::shown).collect()
    }

    fn approval(&self, used: &Used) -> Option<PathBuf> {
        self.host.approvals().path(used.config.folder_name())
    }
}

impl Used {
    /// Whether there is something to judge.
    fn changed(&self, approval: Option<PathBuf>) -> bool {
        let found = stamp(&self.config.folder, approval);
        let mut seen = self.seen();
        let steady = found == seen.latest;
        seen.latest = found;
        if !steady || seen.latest == seen.judged {
            return false;
        }
        seen.judged = seen.latest.clone();
        true
    }

    fn judged(&self, taken: Result<bool, PluginRefused>) {
        let (name, version) = (&self.config.name, self.plugin().version().to_owned());
        let mut seen = self.seen();
        match taken {
            Ok(taken) => {
                if taken {
                    tracing::info!(plugin = name, version, "a new version of the plugin took over");
                }
                seen.refused = None;
            }
            Err(refused) => {
                tracing::warn!(plugin = name, version, why = %refused, "what lies in the plugin's folder may not run; this version runs on");
                seen.refused = Some(refused);
            }
        }
    }

    fn plugin(&self) -> Arc<Plugin> {
        match &self.plugin {
            Running::Source(source) => source.current.now().plugin.clone(),
            Running::Sink(sink) => sink.current.now().plugin.clone(),
            Running::Cutover(cutover) => cutover.current.now().plugin.clone(),
        }
    }

    fn shown(&self) -> InUse {
        let plugin = self.plugin();
        InUse {
            name: self.config.name.clone(),
            plugin: self.config.folder_name().to_owned(),
            version: plugin.version().to_owned(),
            counted: plugin.counters().read(),
            refused: self.seen().refused.as_ref().map(|refused| refused.reasons.join("; ")),
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of this lock panics")
    }
}

fn stamp(folder: &Path, approval: Option<PathBuf>) -> Stamp {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = entries.take(FILES_MAX).chain([Package::archive(folder)]).chain(approval);
    // What cannot be looked at is as good as not there; the judge will say what is missing.
    files.filter_map(|file| file.metadata().ok().map(|found| (file, found.len(), found.modified().ok()))).collect()
}
