//! The attacker's and the broken disk's side of the store: changing stored objects behind everyone's back.
//!
//! s3s-fs keeps an ETag and checksums of each object in a file beside it. Whoever changes an object here removes that
//! file, so that the store itself vouches for the changed bytes: only the client's own checks can find out.

use super::S3;
use anyhow::{Context, Result, ensure};
use base64::Engine;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

impl S3 {
    /// All keys that begin with `prefix`, sorted.
    pub fn list_objects(&self, prefix: &str) -> Result<Vec<String>> {
        let bucket = self.root.join(&self.options.bucket);
        let mut keys = Vec::new();
        collect(&bucket, &bucket, &mut keys)?;
        keys.retain(|key| key.starts_with(prefix));
        keys.sort();
        Ok(keys)
    }

    pub fn read_object(&self, key: &str) -> Result<Vec<u8>> {
        std::fs::read(self.path(key)?).with_context(|| format!("there is no object {key}"))
    }

    /// Creates or replaces an object.
    pub fn write_object(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(key)?;
        std::fs::create_dir_all(path.parent().context("a key lies in a bucket")?)?;
        std::fs::write(path, bytes)?;
        self.forget_checksums(key)
    }

    /// Flips the lowest bit of one stored byte.
    pub fn flip_bit(&self, key: &str, offset: u64) -> Result<()> {
        flip_stored_bit(&self.path(key)?, offset)?;
        self.forget_checksums(key)
    }

    pub fn truncate_object(&self, key: &str, length: u64) -> Result<()> {
        let file = std::fs::OpenOptions::new().write(true).open(self.path(key)?).with_context(|| format!("there is no object {key}"))?;
        file.set_len(length)?;
        self.forget_checksums(key)
    }

    pub fn delete_object(&self, key: &str) -> Result<()> {
        std::fs::remove_file(self.path(key)?).with_context(|| format!("there is no object {key}"))?;
        self.forget_checksums(key)
    }

    /// Exchanges the contents of two objects.
    pub fn swap_objects(&self, left: &str, right: &str) -> Result<()> {
        let (left_bytes, right_bytes) = (self.read_object(left)?, self.read_object(right)?);
        self.write_object(left, &right_bytes)?;
        self.write_object(right, &left_bytes)
    }

    /// Stores a copy under another key, as a replay would.
    pub fn copy_object(&self, from: &str, to: &str) -> Result<()> {
        let bytes = self.read_object(from)?;
        self.write_object(to, &bytes)
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        ensure!(key.split('/').all(|part| !matches!(part, "" | "." | "..")), "{key:?} is no key the lab can name");
        Ok(self.root.join(&self.options.bucket).join(key))
    }

    fn forget_checksums(&self, key: &str) -> Result<()> {
        forget_checksums(&self.root, &self.options.bucket, key)
    }
}

/// What the store of `root` keeps of one of its objects changes by itself, as on a disk that rots.
pub(super) fn rot(root: &Path, bucket: &str, key: &str) -> Result<()> {
    flip_stored_bit(&root.join(bucket).join(key), 0)?;
    forget_checksums(root, bucket, key)
}

fn flip_stored_bit(path: &Path, offset: u64) -> Result<()> {
    let open = std::fs::OpenOptions::new().read(true).write(true).open(path);
    let file = open.with_context(|| format!("there is no object {}", path.display()))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).with_context(|| format!("{} has no byte {offset}", path.display()))?;
    Ok(file.write_all_at(&[byte[0] ^ 1], offset)?)
}

fn forget_checksums(root: &Path, bucket: &str, key: &str) -> Result<()> {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let name = format!(".bucket-{}.object-{}.internal.json", encode(bucket), encode(key));
    match std::fs::remove_file(root.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn collect(bucket: &Path, directory: &Path, keys: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(bucket, &path, keys)?;
        } else {
            keys.push(path.strip_prefix(bucket)?.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
