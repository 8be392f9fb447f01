//! A plugin as it is handed over: a manifest, the component that it was written for, and perhaps the vendor's signature.
//!
//! ```text
//!   plugins/storage-s3/             or    plugins/storage-s3.tar
//!     manifest.toml                         the same files, at its top or in one folder
//!     storage-s3.wasm                       not compressed: nothing in it is larger than it looks
//!     manifest.toml.minisig               over the manifest, and by its digest over the component
//! ```
//!
//! Nothing is unpacked. Links are not followed and what is no plain file is not opened: the folder may have been filled by a stranger.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::manifest::Manifest;

/// A component of JavaScript or Python is 20 MB; ten times that is no plugin.
const COMPONENT_BYTES_MAX: u64 = 200 << 20;
/// A manifest is a page of text.
const MANIFEST_BYTES_MAX: u64 = 256 << 10;
const MANIFEST_FILE: &str = "manifest.toml";
const SIGNATURE_FILE: &str = "manifest.toml.minisig";
/// What minisign writes has four short lines.
const SIGNATURE_BYTES_MAX: u64 = 4096;
/// The files, and what the archive itself needs.
const ARCHIVE_BYTES_MAX: u64 = COMPONENT_BYTES_MAX + (1 << 20);

/// A manifest and the component that it really belongs to.
pub struct Package {
    pub manifest: Manifest,
    /// The manifest as it is written: what is approved and signed.
    pub text: String,
    /// What stands beside it, if anything.
    pub signature: Option<String>,
    pub component: Vec<u8>,
    pub sha256: String,
}

impl Package {
    /// Reads the folder, or the archive of its name beside it.
    pub fn read(folder: &Path) -> Result<Package, Vec<String>> {
        let one = |why| vec![why];
        let place = Place::of(folder).map_err(one)?;
        let missing = |name: &str| vec![format!("{} cannot be read: it is not there", place.called(name))];
        let text = place.text(MANIFEST_FILE, MANIFEST_BYTES_MAX).map_err(one)?.ok_or_else(|| missing(MANIFEST_FILE))?;
        let called = place.called(MANIFEST_FILE);
        let named = |all: Vec<String>| all.into_iter().map(|why| format!("{called}: {why}")).collect::<Vec<_>>();
        let manifest = Manifest::parse(&text).map_err(named)?;
        let component = place.bytes(&manifest.component, COMPONENT_BYTES_MAX).map_err(one)?;
        let component = component.ok_or_else(|| missing(&manifest.component))?;
        let sha256 = sha256(&component);
        if !manifest.sha256.eq_ignore_ascii_case(&sha256) {
            return Err(vec![format!(
                "{} is not the component that the manifest was written for: its SHA-256 is {sha256}, the manifest says {}",
                place.called(&manifest.component),
                manifest.sha256
            )]);
        }
        let signature = place.text(SIGNATURE_FILE, SIGNATURE_BYTES_MAX).map_err(one)?;
        Ok(Package { manifest, text, signature, component, sha256 })
    }

    /// Of the manifest, and so of everything: it names the component's.
    pub fn digest(&self) -> String {
        sha256(self.text.as_bytes())
    }

    /// The archive that may stand in for a folder.
    pub fn archive(folder: &Path) -> PathBuf {
        let mut name = folder.as_os_str().to_owned();
        name.push(".tar");
        PathBuf::from(name)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

enum Place<'a> {
    Folder(&'a Path),
    Archive(PathBuf),
}

impl Place<'_> {
    fn of(folder: &Path) -> Result<Place<'_>, String> {
        let archive = Package::archive(folder);
        match (folder.exists(), archive.exists()) {
            (true, true) => Err(format!("there are {} and {}: remove the one that is not meant", folder.display(), archive.display())),
            (false, true) => Ok(Place::Archive(archive)),
            _ => Ok(Place::Folder(folder)),
        }
    }

    /// The file, if there is one.
    fn bytes(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, String> {
        let too_long = || Err(format!("{} is longer than {bytes_max} bytes, and no such file of a plugin is", self.called(name)));
        if self.is_known_to_be_longer(name, bytes_max) {
            return too_long();
        }
        let found = match self {
            Place::Folder(folder) => of_folder(folder, name, bytes_max),
            Place::Archive(archive) => of_archive(archive, name, bytes_max),
        };
        let found = found.map_err(|why| format!("{} cannot be read: {why}", self.called(name)))?;
        match &found {
            Some(bytes) if bytes.len() as u64 > bytes_max => too_long(),
            _ => Ok(found),
        }
    }

    /// Before it is read. What grows meanwhile is noticed afterwards.
    fn is_known_to_be_longer(&self, name: &str, bytes_max: u64) -> bool {
        match self {
            Place::Folder(folder) => folder.join(name).symlink_metadata().is_ok_and(|found| found.is_file() && found.len() > bytes_max),
            Place::Archive(_) => false,
        }
    }

    fn text(&self, name: &str, bytes_max: u64) -> Result<Option<String>, String> {
        let text = |bytes| String::from_utf8(bytes).map_err(|_| format!("{} is no text", self.called(name)));
        self.bytes(name, bytes_max)?.map(text).transpose()
    }

    fn called(&self, name: &str) -> String {
        match self {
            Place::Folder(folder) => folder.join(name).display().to_string(),
            Place::Archive(archive) => format!("{name} in {}", archive.display()),
        }
    }
}

/// Up to one byte more than is allowed, so that the caller sees what is too long.
fn of_folder(folder: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, String> {
    match plain_file(&folder.join(name)) {
        Ok(file) => read(file, bytes_max).map(Some),
        Err(Unopened::Missing) => Ok(None),
        Err(Unopened::Because(why)) => Err(why),
    }
}

/// The same of an archive's one entry of this name.
fn of_archive(archive: &Path, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, String> {
    let file = match plain_file(archive) {
        Ok(file) => file,
        Err(Unopened::Missing) => return Ok(None),
        Err(Unopened::Because(why)) => return Err(why),
    };
    let broken = |error: std::io::Error| format!("the archive is broken: {error}");
    let mut archive = tar::Archive::new(file.take(ARCHIVE_BYTES_MAX));
    let mut found = None;
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if !is_called(&entry.path().map_err(broken)?, name) {
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err("it is no plain file".to_owned());
        }
        if found.is_some() {
            return Err("the archive holds it twice".to_owned());
        }
        found = Some(read(entry, bytes_max)?);
    }
    Ok(found)
}

/// At the archive's top, or in one folder of it.
fn is_called(path: &Path, name: &str) -> bool {
    let mut parts = path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).rev();
    parts.next().is_some_and(|last| last.as_os_str() == name) && parts.count() <= 1
}

fn read(from: impl Read, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

enum Unopened {
    Missing,
    Because(String),
}

/// Not through a link, and without waiting for whoever is at the other end of a pipe.
fn plain_file(path: &Path) -> Result<File, Unopened> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((found, file)) if found.is_file() => Ok(file),
        Ok(_) => Err(Unopened::Because("it is no plain file".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Unopened::Missing),
        Err(_) if path.is_symlink() => Err(Unopened::Because("it is a link, and links are not followed here".to_owned())),
        Err(error) => Err(Unopened::Because(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
