//! `transload check`: everything the agent will need, tried the way it will be used. Each step with its time, and a fix where it fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use crate::agent;
use crate::api::sentences::{CHECKED_NEXT, CHECKED_SAFE};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, PluginConfig};
use crate::cpu::Cpu;
use crate::cutover::Cutover;
use crate::files::Files;
use crate::folder::Folder;
use crate::log::bound;
use crate::log::keys;
use crate::log::sink::{CreateGuarantee, Sink};
use crate::log::store::Log;
use crate::model::{Extent, Fault, FaultKind, Severity, VmSummary};
use crate::net::ProbeStep;
use crate::pipeline::source::Source;
use crate::random::Random;
use crate::wasm::{CodeCache, PluginHost, PluginRefused};

use super::local::{self, Wrong};
use super::print::{bytes, plain};

#[derive(Debug, Serialize)]
struct Step {
    what: String,
    milliseconds: u128,
    ok: bool,
    /// What was found, or what is wrong.
    message: String,
    /// What to do about it.
    fix: Option<String>,
}

struct Walk {
    steps: Vec<Step>,
    /// The names of the VMs that each source shows to this account.
    inventory: BTreeMap<String, Vec<String>>,
    json: bool,
    clock: Arc<dyn Clock>,
}

pub fn main(path: &Path, json: bool) -> ExitCode {
    let config = match super::load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let mut walk = Walk { steps: Vec::new(), inventory: BTreeMap::new(), json, clock: Arc::new(SystemClock::new()) };
    super::runtime().block_on(walk.all(&config));
    let failed = walk.steps.iter().filter(|step| !step.ok).count();
    if json {
        let next = (failed > 0).then_some(CHECKED_NEXT);
        let all = serde_json::json!({
            "steps": walk.steps, "inventory": walk.inventory, "failed": failed, "safe": CHECKED_SAFE, "next": next
        });
        println!("{all}");
    } else if failed == 0 {
        println!("Everything that was tried works.");
    } else {
        println!("{failed} {} failed. {CHECKED_SAFE}\n{CHECKED_NEXT}", if failed == 1 { "step" } else { "steps" });
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) }
}

/// What helps: by the kind of the fault where that says it, otherwise what usually stops this step.
fn fix_of(fault: &Fault, usual: &str) -> String {
    let by_kind = match fault.kind {
        FaultKind::Auth => "Check the user or access key, its secret file, and this machine's clock.",
        FaultKind::Full => "Make space in the store.",
        FaultKind::Throttled | FaultKind::Unavailable => "Check that the service is well, and try again.",
        _ => usual,
    };
    by_kind.to_owned()
}

/// What a `[[receiver.device]]` calls the VM and its disks.
fn ids(source: &str, found: &VmSummary) -> String {
    let disks: Vec<String> = found.disks.iter().map(|disk| format!("{} is {}", disk.label, disk.id)).collect();
    format!("VM {}; {}", agent::vm_id(source, &found.vm), disks.join(", "))
}

/// The names of all VMs that the source shows.
async fn names(source: &dyn Source) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let page = source.inventory(cursor).await?;
        names.extend(page.vms.into_iter().map(|vm| vm.name));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    names.sort();
    Ok(names)
}

/// The names, or how many there are where nobody would read them.
fn shown(names: &[String]) -> String {
    const READ: usize = 20;
    match names {
        [] => "this account sees none".to_owned(),
        few if few.len() <= READ => few.join(", "),
        many => format!("{} of them, such as {}", many.len(), many[..READ].join(", ")),
    }
}

impl Walk {
    async fn all(&mut self, config: &Config) {
        self.local(config).await;
        let host = match PluginHost::new(self.clock.clone(), CodeCache::none(), agent::approvals(&config.state)) {
            Ok(host) => host,
            Err(error) => return self.failed("plugin engine", &format!("{error:#}"), "Report this: the engine should always start."),
        };
        let home = self.home(config, &host).await;
        for store in &config.stores {
            self.further(&store.plugin, home.as_ref(), &host).await;
        }
        if let Some(home) = &home {
            self.unconfigured(config, home).await;
        }
        if config.role.sends() {
            for source in &config.sources {
                self.source(config, source, &host).await;
            }
        }
        for cutover in &config.cutovers {
            self.cutover(cutover, &host).await;
        }
    }

    async fn local(&mut self, config: &Config) {
        self.row("state folder", local::state(&config.state));
        if !self.has_failed("state folder") {
            let free = async { Folder::open(&config.state)?.free().await };
            if let Some(free) = self.step("space for state", "Make the folder readable.", free).await
                && free < 1 << 30
            {
                self.failed("space for state", &format!("only {free} bytes are free"), "Make room: digest tables and the spool live here.");
            }
        }
        if let (true, Some(receiver)) = (config.role.receives(), &config.receiver) {
            if let Some(replicas) = &receiver.replicas {
                self.row("replicas folder", local::folder(replicas, "replicas"));
            }
            for device in &receiver.devices {
                self.row(&format!("device {}", device.path.display()), local::device(&device.path));
            }
        }
        self.row("key", local::key(&config.key));
    }

    // ---- the store ----

    /// The home store, opened if there is one already.
    async fn home(&mut self, config: &Config, host: &PluginHost) -> Option<Log> {
        let plugin = self.sink(&config.sink, host).await?;
        if self.has_failed("key") {
            return None;
        }
        let mut home = None;
        let opened = async {
            if !keys::exists(&*plugin).await? {
                return Ok("it is empty; the agent will begin it".to_owned());
            }
            let sealer = keys::open(&*plugin, &agent::unlock(&config.key)?).await?;
            home = Some(Log::new(plugin.clone(), Arc::new(sealer), Random::from_system(), Cpu::Inline));
            Ok("the key opens it".to_owned())
        };
        self.told(&format!("{}: store", config.sink.name), "Use the key file that this store was begun with.", opened).await;
        home
    }

    /// A further store, and whether its place is what it should be.
    async fn further(&mut self, store: &PluginConfig, home: Option<&Log>, host: &PluginHost) {
        let Some(plugin) = self.sink(store, host).await else { return };
        let examined = async {
            let found = match home {
                Some(home) => bound::examine(home, &store.name, &*plugin, None).await?,
                // A home store that has yet to begin has bound nothing.
                None => bound::found(&*plugin).await?,
            };
            Ok(match (found, home) {
                (None, _) => "it is empty; a gateway will begin it".to_owned(),
                (Some(bound), Some(_)) => format!("it is bound to the home store, as {}", bound.number()),
                (Some(bound), None) => format!("it is bound to the home store {}, which could not be opened here", bound.home),
            })
        };
        let fix = "Correct the place of this store, or restore what was there; nothing is begun in its stead.";
        self.told(&format!("{}: store", store.name), fix, examined).await;
    }

    /// Stores that segments may stand in and that this configuration does not name.
    async fn unconfigured(&mut self, config: &Config, home: &Log) {
        let known = |name: &str| config.stores.iter().any(|store| store.plugin.name == name);
        let registered = match bound::registered(home).await {
            Ok(registered) => registered,
            Err(fault) => return self.failed("further stores", &fault.to_string(), "Allow the agent to list and read the home store."),
        };
        for entry in registered.into_iter().filter_map(|(_, entry)| entry).filter(|entry| !known(&entry.name)) {
            let what = format!("store {}", entry.name);
            let message = "the home store knows it, and this configuration does not name it: segments in it cannot be read";
            match config.role.receives() {
                true => self.failed(&what, message, &format!("Add a [[store]] with name = \"{}\", as on the gateway.", entry.name)),
                false => self.note(&what, message),
            }
        }
    }

    /// Tries all that a log wants of a store. None when something failed.
    async fn sink(&mut self, sink: &PluginConfig, host: &PluginHost) -> Option<Arc<dyn Sink>> {
        let plugin = match host.sink(sink).await {
            Ok(plugin) => plugin,
            Err(refused) => {
                self.refused(sink, &refused);
                return None;
            }
        };
        self.probed(&sink.name, plugin.probe().await);
        if self.any_failed(&sink.name) {
            return None;
        }
        let fix = "Check the access key or account, the secret file, and the name and policy of the bucket or container.";
        let described = self.step(&format!("{}: describe", sink.name), fix, plugin.describe()).await;
        if described.is_some_and(|described| described.create == CreateGuarantee::Advisory) {
            self.note(&format!("{}: fencing", sink.name), "creates are only advisory here: two agents on one VM would not be told apart");
        }
        self.probe_object(&sink.name, &plugin).await;
        (!self.any_failed(&sink.name)).then(|| Arc::new(plugin) as Arc<dyn Sink>)
    }

    /// Writes, reads, lists and deletes an object of its own.
    async fn probe_object(&mut self, name: &str, sink: &dyn Sink) {
        let random = Random::from_system();
        let key = format!("probe/{:016x}", random.number());
        let body = crate::log::seal::probe_body(&random);
        let fix = "Create the bucket or container, or correct its name, and allow the agent to create objects in it (on S3: s3:PutObject).";
        if self.step(&format!("{name}: create"), fix, sink.put(&key, body.clone())).await.is_none() {
            return;
        }
        let again = async {
            match sink.put(&key, body.clone()).await {
                Err(fault) if fault.kind == FaultKind::Conflict => Ok("a second create is refused".to_owned()),
                Err(fault) => Err(fault),
                Ok(()) => Err(Fault::unsupported("a second create of the same key succeeded: the store ignores If-None-Match")),
            }
        };
        self.told(&format!("{name}: create only"), "Use a store with conditional writes; without them two agents are not fenced.", again)
            .await;
        let part = async {
            let got = sink.get(&key, Some(Extent::new(1, 2))).await?;
            if got[..] == body.whole()[1..3] { Ok(()) } else { Err(Fault::corrupt("the store gave other bytes than were written")) }
        };
        self.step(&format!("{name}: read a part"), "Allow the agent to read objects here (on S3: s3:GetObject).", part).await;
        let listed = async {
            let page = sink.entries("probe/", None).await?;
            if page.entries.iter().any(|entry| entry.key == key) { Ok(()) } else { Err(Fault::not_found("the object is not listed")) }
        };
        self.step(&format!("{name}: list"), "Allow the agent to list the bucket (on S3: s3:ListBucket).", listed).await;
        let deleted = async { sink.delete(std::slice::from_ref(&key)).await?.remove(0) };
        self.step(&format!("{name}: delete"), "Allow the agent to delete objects here (on S3: s3:DeleteObject).", deleted).await;
    }

    // ---- sources ----

    async fn source(&mut self, config: &Config, source: &PluginConfig, host: &PluginHost) {
        let name = &source.name;
        let plugin = match host.source(source).await {
            Ok(plugin) => plugin,
            Err(refused) => return self.refused(source, &refused),
        };
        self.probed(name, plugin.probe().await);
        if self.any_failed(name) {
            return;
        }
        let described = async { plugin.describe().await.map(|described| described.product) };
        if self.told(&format!("{name}: log in"), "Check the user and the secret file.", described).await.is_none() {
            return;
        }
        let fix = "Let the account read the inventory.";
        let Some(vms) = self.step(&format!("{name}: inventory"), fix, names(&plugin)).await else { return };
        self.note(&format!("{name}: VMs"), &shown(&vms));
        self.inventory.insert(name.clone(), vms);
        for wanted in config.vms.iter().filter(|vm| vm.source == *name) {
            let fix = "Name the VM as the source does, by folder/name, or by its instance UUID.";
            let found = agent::find(&plugin, &wanted.name);
            let Some(found) = self.step(&format!("{name}: VM {}", wanted.name), fix, found).await else { continue };
            self.note(&format!("{name}: ids of {}", found.name), &ids(name, &found));
            let Some(findings) = self
                .step(&format!("{name}: preflight of {}", found.name), "Give the account its rights.", plugin.preflight(&found.vm))
                .await
            else {
                continue;
            };
            let placed = self
                .step(&format!("{name}: placement of {}", found.name), "Give the account its rights.", plugin.placement(&found.vm))
                .await;
            for datastore in placed.into_iter().flat_map(|placement| placement.datastores) {
                let [free, capacity, snapshots] = [datastore.free, datastore.capacity, datastore.snapshot_bytes].map(bytes);
                let message = format!("{free} of {capacity} are free; snapshots of this VM hold {snapshots}");
                self.note(&format!("{name}: datastore {}", datastore.name), &message);
            }
            for finding in findings {
                let what = format!("{name}: {} ({})", finding.subject, finding.code);
                match finding.severity {
                    Severity::Blocking => self.failed(&what, &finding.message, &finding.remedy),
                    _ => self.note(&what, &finding.message),
                }
            }
        }
    }

    // ---- cutovers ----

    async fn cutover(&mut self, cutover: &PluginConfig, host: &PluginHost) {
        let name = &cutover.name;
        let plugin = match host.cutover(cutover).await {
            Ok(plugin) => plugin,
            Err(refused) => return self.refused(cutover, &refused),
        };
        self.probed(name, plugin.probe().await);
        if self.any_failed(name) {
            return;
        }
        let described = async { plugin.describe().await.map(|described| described.product) };
        self.told(&format!("{name}: log in"), "Check the user and the secret file.", described).await;
    }

    // ---- telling ----

    fn probed(&mut self, name: &str, steps: Vec<ProbeStep>) {
        for step in steps {
            let what = format!("{name}: {}", step.what);
            match step.outcome {
                Ok(found) => self.push(Step { what, milliseconds: step.took.as_millis(), ok: true, message: found, fix: None }),
                Err(failure) => self.push(Step {
                    what,
                    milliseconds: step.took.as_millis(),
                    ok: false,
                    message: failure.message,
                    fix: Some(failure.fix),
                }),
            }
        }
    }

    fn has_failed(&self, what: &str) -> bool {
        self.steps.iter().any(|step| !step.ok && step.what == what)
    }

    /// Any step of this plugin's.
    fn any_failed(&self, name: &str) -> bool {
        self.steps.iter().any(|step| !step.ok && step.what.split(": ").next() == Some(name))
    }

    async fn step<T>(&mut self, what: &str, fix: &str, trying: impl Future<Output = Result<T, Fault>>) -> Option<T> {
        let (result, took) = self.timed(trying).await;
        let (ok, fix) = (result.is_ok(), result.as_ref().err().map(|fault| fix_of(fault, fix)));
        let message = result.as_ref().err().map_or_else(|| "works".to_owned(), |fault| fault.to_string());
        self.push(Step { what: what.to_owned(), milliseconds: took, ok, message, fix });
        result.ok()
    }

    async fn told(&mut self, what: &str, fix: &str, trying: impl Future<Output = Result<String, Fault>>) -> Option<String> {
        let (result, took) = self.timed(trying).await;
        let (ok, fix) = (result.is_ok(), result.as_ref().err().map(|fault| fix_of(fault, fix)));
        let message = match &result {
            Ok(found) => found.clone(),
            Err(fault) => fault.to_string(),
        };
        self.push(Step { what: what.to_owned(), milliseconds: took, ok, message, fix });
        result.ok()
    }

    async fn timed<T>(&self, trying: impl Future<Output = T>) -> (T, u128) {
        let started = self.clock.monotonic();
        let result = trying.await;
        (result, self.clock.monotonic().saturating_sub(started).as_millis())
    }

    fn failed(&mut self, what: &str, message: &str, fix: &str) {
        let step = Step { what: what.to_owned(), milliseconds: 0, ok: false, message: message.to_owned(), fix: Some(fix.to_owned()) };
        self.push(step);
    }

    fn row(&mut self, what: &str, tried: Result<(), Wrong>) {
        match tried {
            Ok(()) => self.note(what, "works"),
            Err(Wrong { message, fix }) => self.failed(what, &message, &fix),
        }
    }

    fn refused(&mut self, plugin: &PluginConfig, refused: &PluginRefused) {
        let fix = match refused.waits {
            true => "Approve it, if you agree with what the command shows. Where its approval cannot be read, correct state first: it is kept there.".to_owned(),
            false => local::fix_of_plugin(&plugin.folder),
        };
        self.failed(&format!("plugin of {}", plugin.name), &refused.reasons.join("; "), &fix);
    }

    fn note(&mut self, what: &str, message: &str) {
        self.push(Step { what: what.to_owned(), milliseconds: 0, ok: true, message: message.to_owned(), fix: None });
    }

    fn push(&mut self, step: Step) {
        if !self.json {
            let mark = if step.ok { "ok  " } else { "FAIL" };
            println!("{mark} {:>6} ms  {:<44} {}", step.milliseconds, plain(&step.what), plain(&step.message));
            if let Some(fix) = &step.fix {
                println!("                   {}", plain(fix));
            }
        }
        self.steps.push(step);
    }
}
