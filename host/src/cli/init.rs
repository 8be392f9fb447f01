//! `transload init`: a commented configuration and a key file, neither of which overwrites anything.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::Config;
use crate::log::layout::hex;
use crate::random::Random;

/// What the example calls the key file.
const EXAMPLE_KEY: &str = "/etc/transload/store.key";

pub fn init(config: &Path, key: Option<&Path>) -> ExitCode {
    let key = key.map_or_else(|| config.with_file_name("store.key"), Path::to_owned);
    match write_both(config, &key) {
        Ok(()) => {
            println!("Wrote {} and {}.", config.display(), key.display());
            println!("Keep a copy of the key file elsewhere: without it nobody can read what is replicated.");
            println!("Fill in the configuration, then run: transload --config {} check", config.display());
            ExitCode::SUCCESS
        }
        Err((path, error)) => {
            eprintln!("transload: {} was not written: {error}. Nothing was overwritten.", path.display());
            ExitCode::from(1)
        }
    }
}

fn write_both(config: &Path, key: &Path) -> Result<(), (PathBuf, std::io::Error)> {
    let named = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    if let Some(folder) = config.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(named(folder))?;
    }
    // Both or none: a configuration without its key would only be in the way of the next attempt.
    if let Some(there) = [config, key].into_iter().find(|path| path.exists()) {
        return Err((there.to_owned(), std::io::ErrorKind::AlreadyExists.into()));
    }
    let mut secret = [0; 32];
    Random::from_system().fill(&mut secret);
    let shown = std::path::absolute(key).unwrap_or_else(|_| key.to_owned());
    let text = Config::commented_example().replace(EXAMPLE_KEY, &shown.to_string_lossy());
    create(config, 0o640, text.as_bytes()).map_err(named(config))?;
    create(key, 0o600, format!("{}\n", hex(&secret)).as_bytes()).map_err(|error| {
        let _ = std::fs::remove_file(config);
        named(key)(error)
    })
}

/// A file that cannot be written whole is not left behind.
fn create(path: &Path, mode: u32, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| drop(std::fs::remove_file(path)))
}
