//! What `transload run` needs of this machine before it asks anybody: tried by `transload check` the way that the start uses it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use crate::agent;
use crate::api::socket;
use crate::config::KeyConfig;
use crate::secret::{Secret, SecretError};

/// Written into a folder and removed again. An agent that runs there meanwhile has no file of this name.
const PROBE: &str = ".check";

/// What is wrong, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub fix: String,
}

impl Wrong {
    fn new(message: impl Into<String>, fix: impl Into<String>) -> Wrong {
        Wrong { message: message.into(), fix: fix.into() }
    }
}

/// The file that opens the store: there, private and not empty.
pub fn key(key: &KeyConfig) -> Result<(), Wrong> {
    let Err(error) = Secret::load(&key.path().to_string_lossy()) else { return Ok(()) };
    let (word, path) = (key.word(), key.path().display());
    let write_again = match key {
        KeyConfig::File(_) => "Restore it from its copy: without it nobody can read what was replicated.",
        KeyConfig::PassphraseFile(_) => "Write the passphrase into it, and let nobody but the agent's user read it (chmod 600).",
    };
    Err(match error {
        SecretError::Missing(_) => Wrong::new(format!("there is no {word} {path}"), write_again),
        SecretError::Open { mode, .. } => {
            Wrong::new(format!("the {word} {path} can be read by others (mode {mode:03o})"), format!("Run chmod 600 {path}"))
        }
        SecretError::Unreadable { reason, .. } => Wrong::new(
            format!("the {word} {path} cannot be read: {reason}"),
            "Let the user that the agent runs as read it, and nobody else (chown, chmod 600).",
        ),
        other => Wrong::new(other.to_string(), write_again),
    })
}

/// The folder of the journal, the digest tables, the spool and the socket.
pub fn state(state: &Path) -> Result<(), Wrong> {
    folder(&agent::work_place(state), "state")?;
    writable(state, "state")?;
    // Made by a run of another user, it is there and cannot be used.
    let journal = agent::journal_place(state);
    match OpenOptions::new().read(true).write(true).open(&journal) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(&journal, "state", &error)),
        _ => {}
    }
    let socket = socket::place(state);
    match SocketAddr::from_pathname(&socket) {
        Ok(_) => Ok(()),
        Err(error) => Err(Wrong::new(
            format!("the socket {} cannot be opened: {error}", socket.display()),
            "Choose a shorter path for state in the configuration.",
        )),
    }
}

/// A folder of the agent's own, made if need be as the start makes it. `setting` names it in the configuration.
pub fn folder(path: &Path, setting: &str) -> Result<(), Wrong> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unusable(path, setting, &error))?;
    writable(path, setting)
}

fn writable(path: &Path, setting: &str) -> Result<(), Wrong> {
    let probe = path.join(PROBE);
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe);
    written.and_then(|mut file| file.write_all(b"probe")).map_err(|error| unusable(path, setting, &error))?;
    std::fs::remove_file(&probe).map_err(|error| unusable(path, setting, &error))
}

fn unusable(path: &Path, setting: &str, error: &std::io::Error) -> Wrong {
    let fix = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("Give it to the user that the agent runs as (chown -R), or correct {setting} in the configuration.")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Make space there.".to_owned(),
        ErrorKind::ReadOnlyFilesystem => format!("Mount it for writing, or correct {setting} in the configuration."),
        _ => format!("Correct {setting} in the configuration: it must be a folder that the agent's user can write to."),
    };
    Wrong::new(format!("{} cannot be written: {error}", path.display()), fix)
}

/// A block device that stands for a replica.
pub fn device(path: &Path) -> Result<(), Wrong> {
    let attach = "Attach the device, or correct its path in the configuration.";
    let found = std::fs::metadata(path).map_err(|error| Wrong::new(format!("{} is not there: {error}", path.display()), attach))?;
    if !found.file_type().is_block_device() {
        return Err(Wrong::new(format!("{} is no block device", path.display()), attach));
    }
    let opened = OpenOptions::new().read(true).write(true).open(path).map(drop);
    opened.map_err(|error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Wrong::new(message, "Let the user that the agent runs as write to it, such as by a udev rule.")
    })
}

/// What helps a plugin that was refused: mostly it is not where the configuration says.
pub fn fix_of_plugin(folder: &Path) -> String {
    let plugins = folder.parent().unwrap_or(folder);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if !plugins.is_dir() {
        return format!("There is no folder {}: correct plugins in the configuration, or install the plugins there.", plugins.display());
    }
    if !installed(plugins).iter().any(|other| *other == name) {
        let others = match installed(plugins).join(", ") {
            none if none.is_empty() => "none".to_owned(),
            names => names,
        };
        return format!(
            "Install {name} in {} (what is there: {others}), or correct plugins or plugin in the configuration.",
            plugins.display()
        );
    }
    format!("Correct what is named in the configuration; where the plugin's own files are at fault, install {name} again.")
}

pub fn installed(plugins: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(plugins).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| package(&entry.path())).collect();
    names.sort();
    names.dedup();
    names
}

/// The name of the plugin that may be there: a folder, or an archive.
fn package(place: &Path) -> Option<String> {
    let name = place.file_name()?.to_str()?;
    if place.is_dir() { Some(name.to_owned()) } else { name.strip_suffix(".tar").map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn said<T>(result: Result<T, Wrong>) -> (String, String) {
        let wrong = result.err().expect("something is wrong");
        (wrong.message, wrong.fix)
    }

    #[test]
    fn a_key_that_is_missing_open_or_out_of_reach_is_said_with_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        let shown = path.display().to_string();
        let key_file = KeyConfig::File(path.clone());
        assert_eq!(
            said(key(&key_file)),
            (
                format!("there is no key file {shown}"),
                "Restore it from its copy: without it nobody can read what was replicated.".to_owned()
            )
        );
        assert_eq!(said(key(&KeyConfig::PassphraseFile(path.clone()))).0, format!("there is no passphrase file {shown}"));
        std::fs::write(&path, "0e".repeat(32)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(
            said(key(&key_file)),
            (format!("the key file {shown} can be read by others (mode 644)"), format!("Run chmod 600 {shown}"))
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(key(&key_file), Ok(()));
        let beyond = said(key(&KeyConfig::File(path.join("below-a-file"))));
        assert!(beyond.0.contains("cannot be read: ") && beyond.1.contains("chown"), "{beyond:?}");
    }

    #[test]
    fn a_state_folder_is_tried_by_writing_and_nothing_is_left_in_it() {
        let place = tempfile::tempdir().unwrap();
        let good = place.path().join("state");
        assert_eq!(state(&good), Ok(()));
        let left: Vec<_> = std::fs::read_dir(&good).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["work"]);
        assert_eq!(std::fs::read_dir(good.join("work")).unwrap().count(), 0);
        assert_eq!(std::fs::metadata(&good).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_state_folder_that_cannot_be_written_says_which_setting_to_correct() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        let below = place.path().join("file/state");
        let (message, fix) = said(state(&below));
        assert!(message.starts_with(&format!("{} cannot be written: ", below.join("work").display())), "{message}");
        assert_eq!(fix, "Correct state in the configuration: it must be a folder that the agent's user can write to.");
        // Not even root makes files in there, and the folder itself is there.
        let kernels = place.path().join("kernels");
        std::fs::create_dir(&kernels).unwrap();
        std::os::unix::fs::symlink("/proc/self", kernels.join("work")).unwrap();
        assert!(said(state(&kernels)).0.contains("work cannot be written: "));
    }

    #[test]
    fn a_journal_that_cannot_be_opened_and_a_socket_with_too_long_a_path_are_noticed() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("journal.db")).unwrap();
        assert!(said(state(place.path())).0.contains("journal.db cannot be written: "));
        let long = place.path().join("s".repeat(120));
        assert_eq!(said(state(&long)).1, "Choose a shorter path for state in the configuration.");
    }

    #[test]
    fn a_file_is_no_device() {
        let place = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(said(device(place.path())).0, format!("{} is no block device", place.path().display()));
        assert!(said(device(&place.path().with_extension("none"))).0.contains("is not there"));
    }

    #[test]
    fn a_plugin_that_is_not_there_is_told_from_one_that_is_damaged() {
        let place = tempfile::tempdir().unwrap();
        let plugins = place.path().join("plugins");
        let wanted = plugins.join("vmware-cbt");
        let shown = plugins.display();
        assert_eq!(
            fix_of_plugin(&wanted),
            format!("There is no folder {shown}: correct plugins in the configuration, or install the plugins there.")
        );
        std::fs::create_dir_all(plugins.join("storage-s3")).unwrap();
        assert_eq!(
            fix_of_plugin(&wanted),
            format!("Install vmware-cbt in {shown} (what is there: storage-s3), or correct plugins or plugin in the configuration.")
        );
        std::fs::create_dir_all(&wanted).unwrap();
        assert!(fix_of_plugin(&wanted).ends_with("install vmware-cbt again."));
    }
}
