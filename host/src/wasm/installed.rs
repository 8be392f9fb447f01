//! What lies in the folders of the plugins in use may change while the agent runs: a new version takes over between two calls.
//!
//! A folder is looked at every few seconds, and judged when two looks found the same, so that files on their way are left alone. What may
//! not run is said once, in the log and in `transload plugin list`; the version before it runs on. Where there was none, as at a start, the
//! source or cutover waits for it and the others do not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::approval::Approvals;
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
    host: Arc<PluginHost>,
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

impl Running {
    fn refuse(&self, refused: &PluginRefused) {
        match self {
            Running::Source(source) => source.current.refuse(refused),
            Running::Sink(sink) => sink.current.refuse(refused),
            Running::Cutover(cutover) => cutover.current.refuse(refused),
        }
    }
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
    /// None: what lies there may not run, and nothing of it did since the start.
    pub version: Option<String>,
    /// The vendor's key that is pinned, whose signature lets a new version in without a new approval.
    pub key: Option<String>,
    /// What it may reach, one sentence each; none while it does not run.
    pub grants: Vec<String>,
    pub counted: Counted,
    /// Why what lies in its folder now does not take over.
    pub refused: Option<String>,
}

impl Installed {
    pub fn new(host: Arc<PluginHost>) -> Installed {
        Installed { host, used: Vec::new() }
    }

    pub fn host(&self) -> &PluginHost {
        &self.host
    }

    pub fn use_sink(&mut self, config: PluginConfig, sink: Arc<PluginSink>) {
        self.add(config, Running::Sink(sink), None);
    }

    /// Loads a source. One that may not run is told why, waits in its place, and takes it when it may.
    pub async fn source(&mut self, config: &PluginConfig) -> (Arc<PluginSource>, Option<PluginRefused>) {
        let (source, refused) = match self.host.source(config).await {
            Ok(source) => (Arc::new(source), None),
            Err(refused) => (Arc::new(PluginSource::waiting(&refused)), Some(refused)),
        };
        self.add(config.clone(), Running::Source(source.clone()), refused.clone());
        (source, refused)
    }

    /// The same for a cutover.
    pub async fn cutover(&mut self, config: &PluginConfig) -> Arc<PluginCutover> {
        let (cutover, refused) = match self.host.cutover(config).await {
            Ok(cutover) => (Arc::new(cutover), None),
            Err(refused) => (Arc::new(PluginCutover::waiting(&refused)), Some(refused)),
        };
        self.add(config.clone(), Running::Cutover(cutover.clone()), refused);
        cutover
    }

    /// The first look judges everything: what was put there since it was loaded is another version.
    fn add(&mut self, config: PluginConfig, plugin: Running, refused: Option<PluginRefused>) {
        let used = Used { config, plugin, seen: Mutex::default() };
        if let Some(refused) = refused {
            used.judged(Err(refused));
        }
        self.used.push(used);
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
        self.used.iter().map(|used| used.shown(self.host.approvals())).collect()
    }

    fn approval(&self, used: &Used) -> Option<PathBuf> {
        self.host.approvals().path(used.config.folder_name())
    }
}

impl Used {
    /// Whether there is something to judge.
    fn changed(&self, approval: Option<PathBuf>) -> bool {
        let found = stamp(&self.config, approval);
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
        let (name, version) = (&self.config.name, self.plugin().map(|plugin| plugin.version().to_owned()));
        let mut seen = self.seen();
        match taken {
            Ok(taken) => {
                if taken {
                    tracing::info!(plugin = name, version, "a new version of the plugin took over");
                }
                seen.refused = None;
            }
            // Said already.
            Err(refused) if seen.refused.as_ref() == Some(&refused) => {}
            Err(refused) => {
                match &version {
                    Some(version) => {
                        tracing::warn!(plugin = name, version, why = %refused, "what lies in the plugin's folder may not run; this version runs on");
                    }
                    None => {
                        tracing::warn!(plugin = name, why = %refused, "the plugin may not run, and waits until it may; the others go on")
                    }
                }
                self.plugin.refuse(&refused);
                seen.refused = Some(refused);
            }
        }
    }

    /// What runs, if anything does.
    fn plugin(&self) -> Option<Arc<Plugin>> {
        match &self.plugin {
            Running::Source(source) => source.current.now().ok().map(|now| now.plugin.clone()),
            Running::Sink(sink) => sink.current.now().ok().map(|now| now.plugin.clone()),
            Running::Cutover(cutover) => cutover.current.now().ok().map(|now| now.plugin.clone()),
        }
    }

    fn shown(&self, approvals: &Approvals) -> InUse {
        let plugin = self.plugin();
        let approval = approvals.read(self.config.folder_name()).ok().flatten();
        InUse {
            name: self.config.name.clone(),
            plugin: self.config.folder_name().to_owned(),
            version: plugin.as_ref().map(|plugin| plugin.version().to_owned()),
            key: approval.and_then(|approval| approval.key),
            grants: plugin.as_ref().map(|plugin| plugin.asks().to_vec()).unwrap_or_default(),
            counted: plugin.map(|plugin| plugin.counters().read()).unwrap_or_default(),
            refused: self.seen().refused.as_ref().map(|refused| refused.reasons.join("; ")),
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of this lock panics")
    }
}

fn stamp(config: &PluginConfig, approval: Option<PathBuf>) -> Stamp {
    let entries = std::fs::read_dir(&config.folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let secrets = config.secrets.values().map(PathBuf::from);
    let files = entries.take(FILES_MAX).chain([Package::archive(&config.folder)]).chain(approval).chain(secrets);
    // What cannot be looked at is as good as not there; the judge will say what is missing.
    files.filter_map(|file| file.metadata().ok().map(|found| (file, found.len(), found.modified().ok()))).collect()
}
