//! Which plugins an operator let in, and what a new version of one may do without asking again.
//!
//! ```text
//!   <state>/approved/<folder of the plugin>.toml     the manifest as it was then, and the vendor's key if one was pinned
//!
//!   never approved ─────────────────────────────────────────▶ waits
//!   the same manifest (and so the same component) ──────────▶ runs
//!   another manifest of the same plugin, not older, signed with the pinned key
//!       that asks for no more than was approved ────────────▶ runs
//!       that asks for more ─────────────────────────────────▶ waits, and says for what
//!   another manifest, not signed, or by somebody else ──────▶ waits
//! ```

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::{FolderWish, HttpWish, Limits, Manifest, SecretWish, StreamWish};
use super::package::Package;
use super::signature::VendorKey;
use super::words;
use crate::config::{is_name, strict};

/// What an operator said yes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Approval {
    pub approved_at: jiff::Timestamp,
    /// Whose signature a new version needs; none: every new version waits.
    pub key: Option<String>,
    /// The whole text. It names the component's digest, so nothing else is approved with it.
    pub manifest: String,
}

/// The approvals of one agent.
pub struct Approvals(Option<PathBuf>);

impl Approvals {
    /// For tests and measurements, where nobody is there to ask.
    pub fn of_everything() -> Approvals {
        Approvals(None)
    }

    pub fn at(folder: &Path) -> Approvals {
        Approvals(Some(folder.to_owned()))
    }

    /// Whether the plugin in the folder of this name may run as it is there now; otherwise what it waits for.
    pub fn judge(&self, name: &str, package: &Package) -> Result<(), Vec<String>> {
        if self.0.is_none() {
            return Ok(());
        }
        // It becomes a part of a path, and whoever packed this may have chosen it.
        if !is_name(name) {
            return Err(vec![format!("{name:?} is no name of a plugin, so nobody can have approved it")]);
        }
        let Some(approval) = self.read(name).map_err(|why| vec![why])? else {
            return Err(vec![format!(
                "it waits for approval: `transload plugin inspect {name}` shows what it would reach, `transload plugin approve {name}` lets it in"
            )]);
        };
        approval.covers(package).map_err(|mut reasons| {
            reasons.push(format!(
                "it waits for approval: `transload plugin inspect {name}` shows this version, `transload plugin approve {name}` lets it in"
            ));
            reasons
        })
    }

    pub fn read(&self, name: &str) -> Result<Option<Approval>, String> {
        let Some(path) = self.path(name) else { return Ok(None) };
        match std::fs::read_to_string(&path) {
            Ok(text) => strict::parse(&text).map(Some).map_err(|why| format!("{}: {}; approve it again", path.display(), why.join("; "))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }

    /// Written whole or not at all. Readable for all: nothing in it is secret, and the agent may be another user than the operator.
    pub fn record(&self, name: &str, approval: &Approval) -> Result<(), String> {
        let Some(path) = self.path(name) else { return Ok(()) };
        let written = || -> std::io::Result<()> {
            let folder = path.parent().unwrap_or(&path);
            let state = folder.parent().unwrap_or(folder);
            DirBuilder::new().recursive(true).mode(0o700).create(state)?;
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
            let new = path.with_extension("new");
            let text = toml::to_string(approval).map_err(std::io::Error::other)?;
            // Made anew, so that nothing else is written through a link that somebody put there.
            std::fs::remove_file(&new).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(new, &path)?;
            std::fs::File::open(folder)?.sync_all()
        };
        written().map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// Answers whether there was one.
    pub fn withdraw(&self, name: &str) -> Result<bool, String> {
        let Some(path) = self.path(name) else { return Ok(false) };
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(format!("{} cannot be removed: {error}", path.display())),
        }
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.as_ref().map(|folder| folder.join(format!("{name}.toml")))
    }
}

impl Approval {
    pub fn of(package: &Package, key: Option<&VendorKey>, now: jiff::Timestamp) -> Approval {
        Approval { approved_at: now, key: key.map(|key| key.line().to_owned()), manifest: package.text.clone() }
    }

    /// Whether the operator's yes reaches as far as this package. Says everything that it does not reach.
    pub fn covers(&self, package: &Package) -> Result<(), Vec<String>> {
        if self.manifest == package.text {
            return Ok(());
        }
        let Some(key) = &self.key else {
            return Err(vec!["it is another version than the one that was approved, and no vendor's key was pinned then".to_owned()]);
        };
        let key = VendorKey::parse(key).map_err(|why| vec![format!("the pinned key cannot be used: {why}")])?;
        let Some(signature) = &package.signature else {
            return Err(vec!["it is another version than the one that was approved, and it is not signed".to_owned()]);
        };
        key.signed(package.text.as_bytes(), signature)
            .map_err(|why| vec![format!("it is another version than the one that was approved, and {why}")])?;
        let approved = Manifest::parse(&self.manifest).map_err(|_| vec!["what was approved cannot be read any more".to_owned()])?;
        let new = &package.manifest;
        if approved.name != new.name {
            return Err(vec![format!("it is the plugin {}, and {} was approved", new.name, approved.name)]);
        }
        if numbers(&new.version).is_none() || numbers(&new.version) < numbers(&approved.version) {
            return Err(vec![format!(
                "its version {} is not known to be newer than {}, which was approved",
                new.version, approved.version
            )]);
        }
        match more(&approved, new) {
            none if none.is_empty() => Ok(()),
            more => Err(more),
        }
    }
}

/// A version made of numbers, so that two can be put in order.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// What `new` asks for beyond `old`, one sentence each.
fn more(old: &Manifest, new: &Manifest) -> Vec<String> {
    let mut more = Vec::new();
    if old.kind != new.kind {
        more.push(format!("it was approved as a {} plugin, and is a {} plugin now", old.kind.word(), new.kind.word()));
    }
    let http = new.http.iter().filter(|wish| !old.http.iter().any(|known| reaches(known, wish)));
    more.extend(http.map(|wish| format!("new: {} ({})", words::http(wish), wish.reason)));
    let secrets = new.secrets.iter().filter(|wish| !old.secrets.iter().any(|known| lends(known, wish)));
    more.extend(secrets.map(|wish| format!("new: {} ({})", words::secret(wish), wish.reason)));
    let streams = new.streams.iter().filter(|wish| !old.streams.iter().any(|known| dials(known, wish)));
    more.extend(streams.map(|wish| format!("new: {} ({})", words::stream(wish), wish.reason)));
    let folders = new.folders.iter().filter(|wish| !old.folders.iter().any(|known| opens(known, wish)));
    more.extend(folders.map(|wish| format!("new: {} ({})", words::folder(wish), wish.reason)));
    let table = new.netfilter.iter().filter(|wish| !old.netfilter.iter().any(|known| known.table == wish.table));
    more.extend(table.map(|wish| format!("new: {} ({})", words::netfilter(wish), wish.reason)));
    if !allows(&old.limits, &new.limits) {
        more.push(format!("new: {}", words::limits(&new.limits)));
    }
    more
}

fn reaches(known: &HttpWish, wish: &HttpWish) -> bool {
    let method = |wanted: &String| known.methods.iter().any(|each| each.eq_ignore_ascii_case(wanted));
    known.origin == wish.origin
        && (known.when.is_empty() || known.when == wish.when)
        && wish.methods.iter().all(method)
        && wish.paths.iter().all(|path| known.paths.contains(path))
}

fn lends(known: &SecretWish, wish: &SecretWish) -> bool {
    let chain = match (&known.sign_chain, &wish.sign_chain) {
        (_, None) => true,
        (Some(known), Some(wish)) => known.prefix == wish.prefix && known.steps_min <= wish.steps_min,
        (None, Some(_)) => false,
    };
    known.name == wish.name && chain && wish.origins.iter().all(|origin| known.origins.contains(origin))
}

/// By what name the plugin calls it changes nothing for the operator.
fn dials(known: &StreamWish, wish: &StreamWish) -> bool {
    known.endpoint == wish.endpoint && known.protocol == wish.protocol
}

fn opens(known: &FolderWish, wish: &FolderWish) -> bool {
    known.path == wish.path
}

fn allows(known: &Limits, wish: &Limits) -> bool {
    wish.memory <= known.memory
        && wish.call <= known.call
        && wish.instances <= known.instances
        && wish.response <= known.response
        && wish.peek <= known.peek
}

#[cfg(test)]
mod tests;
