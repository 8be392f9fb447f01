//! Machine code of components, kept from one start to the next: compiling takes from a tenth of a second to ten.
//!
//! ```text
//!   <state>/code/key                                          32 random bytes
//!   <state>/code/<sha-256 of the component>-<engine>.code     MAC (32) ‖ machine code
//! ```
//!
//! Machine code is run as it is, so it is loaded only if this agent made it: the folder is closed to everybody else, and the MAC binds the code
//! to the component and the engine that it was made from. What a vendor compiled is never looked at. Nothing here is needed: whatever is
//! missing, damaged or of another engine is compiled anew, and the folder may be deleted.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;
use zeroize::Zeroizing;

use crate::random::Random;

const MAC_BYTES: usize = 32;
const KEY_BYTES: usize = 32;

/// Where compiled components are kept, if anywhere.
pub struct CodeCache(Option<Place>);

struct Place {
    folder: PathBuf,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl CodeCache {
    /// Everything is compiled at each start.
    pub fn none() -> CodeCache {
        CodeCache(None)
    }

    /// A folder of the agent's own, made if it is missing. One that others can write to, or that cannot be used, is left alone: then nothing is kept.
    pub fn at(folder: &Path) -> CodeCache {
        match Place::open(folder) {
            Ok(place) => CodeCache(Some(place)),
            Err(why) => {
                tracing::warn!(folder = %folder.display(), %why, "compiled plugins are not kept; each start compiles them anew");
                CodeCache(None)
            }
        }
    }

    /// Beside an agent's state, where the state is this user's own: what another user made there, the agent could not use.
    pub fn beside(state: &Path) -> CodeCache {
        let foreign = std::fs::metadata(state).is_ok_and(|found| found.uid() != rustix::process::geteuid().as_raw());
        if foreign { CodeCache::none() } else { CodeCache::at(&state.join("code")) }
    }

    pub(super) fn load_or_compile(&self, engine: &Engine, sha256: &str, bytes: &[u8]) -> wasmtime::Result<Component> {
        match self.load(engine, sha256) {
            Some(component) => Ok(component),
            None => Component::from_binary(engine, bytes).inspect(|component| self.store(engine, sha256, component)),
        }
    }

    /// The component whose bytes have this digest, if this agent compiled it before for the same engine.
    fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let place = self.0.as_ref()?;
        let name = name(engine, sha256);
        let kept = std::fs::read(place.folder.join(&name)).ok()?;
        let Some((_, code)) = kept.split_at_checked(MAC_BYTES).filter(|(mac, code)| place.mac(&name, code).verify_slice(mac).is_ok())
        else {
            tracing::warn!(name, "a compiled plugin was changed by somebody else, or is damaged; it is compiled anew");
            return None;
        };
        // SAFETY: the MAC says that these bytes are what `store` got from the same version of this engine for this component.
        unsafe { Component::deserialize(engine, code) }
            .inspect_err(|error| {
                tracing::warn!(name, error = format!("{error:#}"), "a compiled plugin cannot be used; it is compiled anew")
            })
            .ok()
    }

    /// Drops what this start had no use for: the code of older versions of plugins and of the engine.
    pub(super) fn keep_only<'a>(&self, engine: &Engine, sha256s: impl Iterator<Item = &'a String>) {
        let Some(place) = &self.0 else { return };
        let used: BTreeSet<String> = sha256s.map(|sha256| name(engine, sha256)).collect();
        for entry in std::fs::read_dir(&place.folder).into_iter().flatten().flatten() {
            let found = entry.file_name().to_string_lossy().into_owned();
            if found.ends_with(".code") && !used.contains(&found) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Keeps it for the next start. A failure costs time then, and nothing else.
    fn store(&self, engine: &Engine, sha256: &str, component: &Component) {
        let Some(place) = &self.0 else { return };
        let name = name(engine, sha256);
        let written = component.serialize().map_err(|error| format!("{error:#}")).and_then(|code| {
            let mac = place.mac(&name, &code).finalize().into_bytes();
            place.write(&name, &[&mac, &code]).map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => {}
            Err(why) => tracing::warn!(name, %why, "a compiled plugin could not be kept; the next start compiles it anew"),
        }
    }
}

/// Another version of the engine, or other settings of it, give another name.
fn name(engine: &Engine, sha256: &str) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{sha256}-{:016x}.code", hasher.finish())
}

impl Place {
    fn open(folder: &Path) -> Result<Place, String> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| error.to_string())?;
        let found = std::fs::symlink_metadata(folder).map_err(|error| error.to_string())?;
        if !found.is_dir() || found.mode() & 0o077 != 0 || found.uid() != rustix::process::geteuid().as_raw() {
            return Err("it must be a folder that belongs to the agent's user and is closed to all others (chmod 700)".to_owned());
        }
        let mut place = Place { folder: folder.to_owned(), key: Zeroizing::new([0; KEY_BYTES]) };
        place.key = place.read_key().map_or_else(|| place.new_key(), Ok).map_err(|error| error.to_string())?;
        Ok(place)
    }

    fn read_key(&self) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let mut file = std::fs::File::open(self.folder.join("key")).ok()?;
        file.read_exact(&mut *key).ok()?;
        Some(key)
    }

    fn new_key(&self) -> std::io::Result<Zeroizing<[u8; KEY_BYTES]>> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Random::from_system().fill(&mut *key);
        self.write("key", &[&*key])?;
        Ok(key)
    }

    fn mac(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("HMAC takes keys of any length");
        mac.update(name.as_bytes());
        mac.update(code);
        mac
    }

    /// Whole or not at all. It need not survive a power cut: what is damaged then is found by its MAC.
    fn write(&self, name: &str, parts: &[&[u8]]) -> std::io::Result<()> {
        let new = self.folder.join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        drop(file);
        std::fs::rename(new, self.folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::wasm::engine::engine;

    const SHA256: &str = "aa11";

    fn kept(folder: &Path) -> PathBuf {
        let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "code")).unwrap()
    }

    fn compiled(engine: &Engine) -> Component {
        Component::new(engine, wat::parse_str("(component (core module (func (export \"f\"))))").unwrap()).unwrap()
    }

    #[test]
    fn what_this_agent_compiled_is_loaded_again_and_nothing_else() {
        let (engine, place) = (engine().unwrap(), tempfile::tempdir().unwrap());
        let folder = place.path().join("code");
        let cache = CodeCache::at(&folder);
        assert!(cache.load(&engine, SHA256).is_none());
        cache.store(&engine, SHA256, &compiled(&engine));
        let again = CodeCache::at(&folder);
        assert!(again.load(&engine, SHA256).is_some(), "a later start has the same key");
        assert!(again.load(&engine, "bb22").is_none());

        // Under another component's name it is that one's code, which it is not.
        let (file, other) = (kept(&folder), folder.join(name(&engine, "bb22")));
        std::fs::copy(&file, &other).unwrap();
        assert!(again.load(&engine, "bb22").is_none());

        let good = std::fs::read(&file).unwrap();
        for at in [0, MAC_BYTES - 1, MAC_BYTES, good.len() / 2, good.len() - 1] {
            let mut changed = good.clone();
            changed[at] ^= 1;
            std::fs::write(&file, changed).unwrap();
            assert!(again.load(&engine, SHA256).is_none(), "byte {at}");
        }
        std::fs::write(&file, &good[..MAC_BYTES - 1]).unwrap();
        assert!(again.load(&engine, SHA256).is_none());

        // Rightly compiled, by somebody who has another key.
        let elsewhere = place.path().join("elsewhere");
        CodeCache::at(&elsewhere).store(&engine, SHA256, &compiled(&engine));
        std::fs::copy(kept(&elsewhere), &file).unwrap();
        assert!(again.load(&engine, SHA256).is_none());
        std::fs::write(&file, good).unwrap();
        assert!(again.load(&engine, SHA256).is_some());
    }

    #[test]
    fn a_folder_that_others_can_reach_is_not_used() {
        let (engine, place) = (engine().unwrap(), tempfile::tempdir().unwrap());
        let folder = place.path().join("code");
        CodeCache::at(&folder).store(&engine, SHA256, &compiled(&engine));
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(CodeCache::at(&folder).load(&engine, SHA256).is_none());
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(CodeCache::at(&folder).load(&engine, SHA256).is_some());
    }

    #[test]
    fn code_that_a_start_had_no_use_for_goes() {
        let (engine, place) = (engine().unwrap(), tempfile::tempdir().unwrap());
        let folder = place.path().join("code");
        let cache = CodeCache::at(&folder);
        let old = folder.join(format!("{SHA256}-0000000000000000.code"));
        std::fs::write(&old, "from another version of the engine").unwrap();
        cache.store(&engine, SHA256, &compiled(&engine));
        cache.store(&engine, "bb22", &compiled(&engine));
        cache.keep_only(&engine, [SHA256.to_owned()].iter());
        assert!(!old.exists() && cache.load(&engine, "bb22").is_none());
        assert!(cache.load(&engine, SHA256).is_some() && CodeCache::at(&folder).load(&engine, SHA256).is_some(), "the key stays");
    }
}
