//! Secrets: read from a file that only its owner can read, wiped when dropped, silent everywhere else.
//!
//! There is no way in from an argument or an environment variable: both are visible to others on the machine.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, ZeroizeOnDrop};

/// No secret that is typed or issued is longer; a longer file is the wrong file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A password, token or key. `Debug` and `Display` say nothing.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

/// Why a secret could not be had. Names the file, never its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("there is no secret file {0}: write the secret into it and make it readable for its owner only (chmod 600)")]
    Missing(PathBuf),
    #[error("secret file {path} can be read by others (mode {mode:03o}): run chmod 600 {path}")]
    Open { path: PathBuf, mode: u32 },
    #[error("secret file {0} is empty")]
    Empty(PathBuf),
    #[error("secret file {0} is longer than 64 KiB and can hardly be a secret")]
    Long(PathBuf),
    #[error("secret {0} was asked of systemd, but CREDENTIALS_DIRECTORY is not set: start the agent as a unit with LoadCredential={0}:…")]
    NoCredentials(String),
    #[error("{0:?} is no name of a systemd credential")]
    Name(String),
    #[error("secret file {path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, reason: String },
}

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Secret {
        Secret(bytes.into())
    }

    /// Loads what the configuration names: a path, or `credential:NAME` for one that systemd hands over.
    pub fn load(place: &str) -> Result<Secret, SecretError> {
        match place.strip_prefix("credential:") {
            Some(name) => Secret::from_credential(name, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)),
            None => Secret::from_file(Path::new(place)),
        }
    }

    /// Reads a file that nobody but its owner may read. One line end at its end does not belong to the secret.
    pub fn from_file(path: &Path) -> Result<Secret, SecretError> {
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => SecretError::Missing(path.to_owned()),
            _ => SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() },
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Open { path: path.to_owned(), mode });
        }
        Secret::read(file, path)
    }

    /// systemd keeps the folder to itself and the unit, so the file's mode says nothing there.
    fn from_credential(name: &str, folder: Option<PathBuf>) -> Result<Secret, SecretError> {
        if name.is_empty() || name.contains('/') || name == ".." || name == "." {
            return Err(SecretError::Name(name.to_owned()));
        }
        let path = folder.ok_or_else(|| SecretError::NoCredentials(name.to_owned()))?.join(name);
        match std::fs::File::open(&path) {
            Ok(file) => Secret::read(file, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(SecretError::Missing(path)),
            Err(error) => Err(SecretError::Unreadable { path, reason: error.to_string() }),
        }
    }

    fn read(file: std::fs::File, path: &Path) -> Result<Secret, SecretError> {
        // Allocated whole at once: a vector that grows would leave copies behind that nobody wipes.
        let mut secret = Secret(Vec::with_capacity(SECRET_BYTES_MAX as usize + 1));
        file.take(SECRET_BYTES_MAX + 1)
            .read_to_end(&mut secret.0)
            .map_err(|error| SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
        if secret.0.len() as u64 > SECRET_BYTES_MAX {
            return Err(SecretError::Long(path.to_owned()));
        }
        if secret.0.last() == Some(&b'\n') {
            secret.0.pop();
            if secret.0.last() == Some(&b'\r') {
                secret.0.pop();
            }
        }
        match secret.0.is_empty() {
            true => Err(SecretError::Empty(path.to_owned())),
            false => Ok(secret),
        }
    }

    /// The bytes themselves. Every caller is a place to look at when reviewing where secrets go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(folder: &tempfile::TempDir, content: &str, mode: u32) -> PathBuf {
        let path = folder.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_line_end_of_the_file_does_not_belong_to_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        for (content, secret) in [("pass\n", "pass"), ("pass\r\n", "pass"), ("pass", "pass"), ("two\n\n", "two\n")] {
            assert_eq!(Secret::from_file(&file(&folder, content, 0o600)).unwrap().expose(), secret.as_bytes());
        }
    }

    #[test]
    fn each_refusal_says_what_to_do_and_never_what_is_inside() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "hunter2\n", 0o640);
        let said = Secret::from_file(&path).unwrap_err().to_string();
        assert_eq!(said, format!("secret file {0} can be read by others (mode 640): run chmod 600 {0}", path.display()));

        let empty = file(&folder, "\n", 0o600);
        assert_eq!(Secret::from_file(&empty).unwrap_err().to_string(), format!("secret file {} is empty", empty.display()));

        let missing = folder.path().join("none");
        assert_eq!(
            Secret::from_file(&missing).unwrap_err().to_string(),
            format!(
                "there is no secret file {}: write the secret into it and make it readable for its owner only (chmod 600)",
                missing.display()
            )
        );
        assert!(matches!(Secret::from_file(&file(&folder, &"x".repeat(70_000), 0o600)), Err(SecretError::Long(_))));
    }

    #[test]
    fn a_credential_comes_from_the_folder_that_systemd_names() {
        let folder = tempfile::tempdir().unwrap();
        file(&folder, "pass\n", 0o444);
        assert_eq!(Secret::from_credential("secret", Some(folder.path().into())).unwrap().expose(), b"pass");
        assert!(matches!(Secret::from_credential("../secret", Some(folder.path().into())), Err(SecretError::Name(_))));
        assert!(matches!(Secret::from_credential("secret", None), Err(SecretError::NoCredentials(_))));
    }

    #[test]
    fn printing_a_secret_says_nothing() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
    }
}
