//! `transload plugin`: what a plugin would reach, in plain words, and the operator's yes to it. None of a plugin's code is run here.

mod candidate;
mod trial;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use crate::agent;
use crate::api::command::{Command, Reply};
use crate::api::sentences::{PLUGIN_NEXT, PLUGIN_SAFE};
use crate::api::socket;
use crate::api::status::PluginStatus;
use crate::config::{ConfiguredPlugins, is_name};
use crate::wasm::{Approval, Approvals, CodeCache, Package, Setting, VendorKey, asks, misfits};

use super::local;
use super::print::{bytes, plain};

#[derive(Subcommand)]
pub enum Verb {
    /// Lists the plugins in the plugins folder, and which of them may run.
    List,
    /// Shows what a plugin is, what it would reach, and whether this host can run it.
    Inspect {
        name: String,
        /// The vendor's public key (minisign), to check the signature with.
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Shows what plugins would reach, and lets these versions run. Without a name: all that the configuration uses.
    Approve {
        names: Vec<String>,
        /// Pin the vendor's public key (minisign): a later version that it signed, and that asks for no more, needs no new approval.
        #[arg(long)]
        key: Option<PathBuf>,
        /// Forget the vendor's key that was pinned before: this version is approved without its signature, and so must be every later one.
        #[arg(long, conflicts_with = "key")]
        no_key: bool,
    },
    /// Checks that a plugin's files belong together, are signed, fit this host, and are what was approved.
    Verify {
        name: String,
        /// The vendor's public key (minisign); the pinned one if left out.
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Tries the contract's claims, one by one, on the configured store, by --vm on a source, or by --wave on a cutover. Runs the plugin,
    /// which must be approved. What it writes into the store lies below probe/ and is deleted again; the VM gets two snapshots, one after the
    /// other, and loses them; each step of the wave's plan is really done, several times, and undone.
    Test(trial::Trial),
    /// Takes an approval back. The files stay, and a running agent keeps what it has loaded.
    Remove { name: String },
}

/// One plugin, as it lies in its folder.
#[derive(Debug, Serialize)]
struct Found {
    name: String,
    kind: Option<&'static str>,
    version: Option<String>,
    sha256: Option<String>,
    /// What it asks for, one sentence each.
    asks: Vec<String>,
    /// What may be written under `config`, where its manifest says so.
    settings: Vec<Setting>,
    signature: Signature,
    approved_at: Option<String>,
    key: Option<String>,
    /// Why it may not run; none: it may.
    waits: Vec<String>,
    /// Where the running agent uses it, and what it did there.
    running: Vec<PluginStatus>,
}

/// What is known of a vendor's signature.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Signature {
    None,
    /// No key to check it with.
    Unchecked,
    Good,
    Bad(String),
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Signature::None => f.write_str("it is not signed"),
            Signature::Unchecked => f.write_str("it is signed; no vendor's key was given to check that with"),
            Signature::Good => f.write_str("it is signed by the vendor"),
            Signature::Bad(why) => f.write_str(why),
        }
    }
}

impl Found {
    fn pinned(&self) -> Option<VendorKey> {
        self.key.as_deref().and_then(|key| VendorKey::parse(key).ok())
    }
}

/// What went wrong, the exit status that says so, and what comes next.
pub(super) struct Failed {
    code: u8,
    /// One line, or several.
    pub(super) what: String,
    safe: &'static str,
    next: Cow<'static, str>,
}

impl Failed {
    fn new(code: u8, what: impl Into<String>) -> Failed {
        Failed { code, what: what.into(), safe: PLUGIN_SAFE, next: PLUGIN_NEXT.into() }
    }
}

pub fn main(path: &Path, json: bool, verb: &Verb) -> ExitCode {
    let config = match super::usable(path, ConfiguredPlugins::read(path)) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let desk = Desk { approvals: agent::approvals(&config.state), config, json };
    let done = match verb {
        Verb::List => desk.list(),
        Verb::Inspect { name, key } => desk.inspect(name, key.as_deref()),
        Verb::Approve { names, key, no_key } => desk.approve(names, key.as_deref(), *no_key),
        Verb::Verify { name, key } => desk.verify(name, key.as_deref()),
        Verb::Test(trial) => trial.run(&desk.config, desk.json),
        Verb::Remove { name } => desk.remove(name),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { code, what, safe, next }) => {
            let told: Vec<String> = what.lines().map(plain).collect();
            eprintln!("transload: {}\n{safe}\n{next}", told.join("\n"));
            ExitCode::from(code)
        }
    }
}

struct Desk {
    config: ConfiguredPlugins,
    approvals: Approvals,
    json: bool,
}

impl Desk {
    fn list(&self) -> Result<(), Failed> {
        let running = self.running();
        let mut all: Vec<Found> = local::installed(&self.config.folder).iter().map(|name| self.found(name, None).0).collect();
        for found in &mut all {
            found.running = running.iter().filter(|plugin| plugin.plugin == found.name).cloned().collect();
        }
        if self.json {
            print(&all);
        } else if all.is_empty() {
            println!("There is no plugin in {}.", self.config.folder.display());
        }
        for found in all.iter().filter(|_| !self.json) {
            let (kind, version) = (found.kind.unwrap_or("-"), found.version.as_deref().unwrap_or("-"));
            let state = match (&found.waits[..], &found.key) {
                ([], Some(key)) => format!("approved, and the vendor's key {key} is pinned"),
                ([], None) => "approved".to_owned(),
                (waits, _) => waits.join("; "),
            };
            println!("{:<20} {kind:<8} {:<10} {}", plain(&found.name), plain(version), plain(&state));
            found.asks.iter().for_each(|ask| println!("  - {}", plain(ask)));
            found.running.iter().for_each(|plugin| println!("  {}", plain(&ran(plugin))));
        }
        Ok(())
    }

    /// What the agent says of the plugins that it runs. None of them, when no agent answers.
    fn running(&self) -> Vec<PluginStatus> {
        let asked = super::runtime().block_on(socket::ask(&socket::place(&self.config.state), &Command::Status));
        match asked {
            Ok(Reply::Status(status)) => status.plugins,
            _ => Vec::new(),
        }
    }

    fn inspect(&self, name: &str, key: Option<&Path>) -> Result<(), Failed> {
        let (found, package) = self.found(name, key_in(key)?.as_ref());
        let package = package.map_err(|why| Failed::new(1, why.join("; ")))?;
        let misfits = self.misfits(&package);
        if self.json {
            print(&serde_json::json!({ "plugin": found, "misfits": misfits }));
            return Ok(());
        }
        self.show(&found, &package);
        misfits.iter().for_each(|why| println!("  ! it cannot be run: {}", plain(why)));
        match &found.approved_at {
            Some(at) if found.waits.is_empty() => println!("It is approved (since {at})."),
            _ => found.waits.iter().for_each(|why| println!("{}", plain(why))),
        }
        Ok(())
    }

    fn approve(&self, names: &[String], key: Option<&Path>, no_key: bool) -> Result<(), Failed> {
        let key = key_in(key)?;
        let names = self.named_or_used(names);
        let began = !self.config.state.exists();
        // One that cannot be approved does not keep the others from it.
        let failed: Vec<String> = names
            .iter()
            .filter_map(|name| {
                let wrong = self.approve_one(name, key.as_ref(), no_key).err()?;
                Some(format!("{name} is not approved: {}", wrong.join("; ")))
            })
            .collect();
        if self.json {
            print(&names.iter().map(|name| self.found(name, None).0).collect::<Vec<Found>>());
        }
        if began && rustix::process::geteuid().is_root() && self.config.state.exists() {
            eprintln!("{}", plain(&belongs_to_root(&self.config.state)));
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Failed::new(1, failed.join(". "))),
        }
    }

    fn approve_one(&self, name: &str, key: Option<&VendorKey>, no_key: bool) -> Result<(), Vec<String>> {
        let (found, package) = self.found(name, key);
        let package = package?;
        let pinned = found.pinned().filter(|_| !no_key);
        let key = key.or(pinned.as_ref());
        // What is compiled here, an agent need not compile again.
        let wrong: Vec<String> =
            signature_wrong(&found, key).into_iter().chain(misfits(&package, CodeCache::beside(&self.config.state))).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.approvals.record(name, &Approval::of(&package, key, jiff::Timestamp::now())).map_err(|why| vec![why])?;
        if !self.json {
            self.show(&found, &package);
            println!("Approved. A running agent that uses it lets this version take over within seconds.");
        }
        Ok(())
    }

    fn verify(&self, name: &str, key: Option<&Path>) -> Result<(), Failed> {
        let key = key_in(key)?;
        let (found, package) = self.found(name, key.as_ref());
        let key = key.or(found.pinned());
        let mut wrong = found.waits.clone();
        wrong.extend(signature_wrong(&found, key.as_ref()));
        wrong.extend(package.as_ref().map(|package| self.misfits(package)).unwrap_or_default());
        if self.json {
            print(&serde_json::json!({ "plugin": found, "wrong": wrong }));
        } else if wrong.is_empty() {
            println!("{} is what was approved, and fits this host; {}.", plain(name), found.signature);
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Failed::new(3, format!("{name}: {}", wrong.join("; ")))),
        }
    }

    fn remove(&self, name: &str) -> Result<(), Failed> {
        let told = match self.approvals.withdraw(checked(name)?).map_err(|why| Failed::new(1, why))? {
            true => format!(
                "{name} is not approved any more. A running agent keeps it until it is started again; its files stay in {}.",
                self.folder(name).display()
            ),
            false => format!("{name} was not approved; nothing was changed."),
        };
        match self.json {
            true => print(&serde_json::json!({ "message": told })),
            false => println!("{}", plain(&told)),
        }
        Ok(())
    }

    /// The plugins that are named, or all that the configuration uses, each once.
    fn named_or_used(&self, names: &[String]) -> Vec<String> {
        if !names.is_empty() {
            return names.to_vec();
        }
        let mut used: Vec<String> = self.config.used().map(|plugin| plugin.folder_name().to_owned()).collect();
        used.sort();
        used.dedup();
        used
    }

    /// What is to be said of a plugin, and the package, or why it is none.
    fn found(&self, name: &str, key: Option<&VendorKey>) -> (Found, Result<Package, Vec<String>>) {
        let package = checked(name).map_err(|failed| vec![failed.what]).and_then(|name| Package::read(&self.folder(name)));
        let approval = checked(name).ok().and_then(|name| self.approvals.read(name).ok().flatten());
        let pinned = approval.as_ref().and_then(|approval| approval.key.as_deref()).and_then(|key| VendorKey::parse(key).ok());
        let mut found = Found {
            name: name.to_owned(),
            kind: None,
            version: None,
            sha256: None,
            asks: Vec::new(),
            settings: Vec::new(),
            signature: Signature::None,
            approved_at: approval.as_ref().map(|approval| approval.approved_at.to_string()),
            key: pinned.as_ref().map(|key| key.line().to_owned()),
            waits: Vec::new(),
            running: Vec::new(),
        };
        match &package {
            Ok(package) => {
                found.kind = Some(package.manifest.kind.word());
                found.version = Some(package.manifest.version.clone());
                found.sha256 = Some(package.sha256.clone());
                found.asks = asks(&package.manifest);
                found.settings.clone_from(&package.manifest.settings);
                found.signature = signature(package, key.or(pinned.as_ref()));
                found.waits = self.approvals.judge(name, package).err().unwrap_or_default();
            }
            Err(why) => found.waits.clone_from(why),
        }
        (found, package)
    }

    /// Looking begins no state.
    fn misfits(&self, package: &Package) -> Vec<String> {
        let state = &self.config.state;
        misfits(package, if state.is_dir() { CodeCache::beside(state) } else { CodeCache::none() })
    }

    fn show(&self, found: &Found, package: &Package) {
        let manifest = &package.manifest;
        println!(
            "{} {}, a {} plugin, for contract {}",
            plain(&found.name),
            plain(&manifest.version),
            manifest.kind.word(),
            plain(&manifest.wit)
        );
        println!("  component  {}, {} bytes, SHA-256 {}", plain(&manifest.component), package.component.len(), package.sha256);
        println!("  signature  {}", plain(&found.signature.to_string()));
        println!("It would");
        found.asks.iter().for_each(|ask| println!("  - {}", plain(ask)));
        if !found.settings.is_empty() {
            println!("Its settings, under config");
        }
        found.settings.iter().for_each(|setting| println!("  {}", plain(&setting.to_string())));
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.config.folder.join(name)
    }
}

/// A name from the command line becomes part of a path, so it must be a plain one.
pub(super) fn checked(name: &str) -> Result<&str, Failed> {
    match is_name(name) {
        true => Ok(name),
        false => Err(Failed::new(
            2,
            format!("{name:?} is no name of a plugin: it is the name of its folder, of lower-case letters, digits and hyphens"),
        )),
    }
}

/// One line on what it did since the agent was started.
fn ran(plugin: &PluginStatus) -> String {
    let PluginStatus { name, version, counted, .. } = plugin;
    let Some(version) = version else { return format!("{name} waits until it may run") };
    format!(
        "{name} runs {version}: {} calls, {} faults, {} traps, {} time-outs, {} of memory at most, {} moved, {} seen",
        counted.calls,
        counted.faults,
        counted.traps,
        counted.time_outs,
        bytes(counted.memory_peak),
        bytes(counted.spliced),
        bytes(counted.peeked),
    )
}

/// An agent's first start makes this folder as its own; here somebody was before it.
fn belongs_to_root(state: &Path) -> String {
    let state = state.display();
    format!(
        "note: the folder {state} was made just now, and belongs to root. An agent that runs as another user cannot start before it is given to that \
         user: chown -R USER {state}"
    )
}

fn key_in(file: Option<&Path>) -> Result<Option<VendorKey>, Failed> {
    let Some(file) = file else { return Ok(None) };
    let failed = |why: String| Failed::new(2, format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    VendorKey::parse(&text).map(Some).map_err(failed)
}

fn signature(package: &Package, key: Option<&VendorKey>) -> Signature {
    match (&package.signature, key) {
        (None, _) => Signature::None,
        (Some(_), None) => Signature::Unchecked,
        (Some(signature), Some(key)) => key.signed(package.text.as_bytes(), signature).map_or_else(Signature::Bad, |()| Signature::Good),
    }
}

/// Who names a key wants a good signature with it.
fn signature_wrong(found: &Found, key: Option<&VendorKey>) -> Option<String> {
    let wanted = key.is_some() && !matches!(found.signature, Signature::Good);
    wanted.then(|| found.signature.to_string())
}

fn print(what: &impl Serialize) {
    println!("{}", serde_json::to_string_pretty(what).expect("only string keys"));
}
