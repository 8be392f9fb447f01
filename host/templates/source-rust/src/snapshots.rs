//! A snapshot is a note of which images there were, `snapshots/UUID/TAG` in the bucket. Its text is the snapshot's token as well.
//!
//! An image is not kept from being replaced. But a note holds ETags, every range is asked for with `If-Match`, and a store that has
//! another image by then refuses: what is copied is one export, or the copy fails.

use serde::{Deserialize, Serialize};
use transload_guest::fault::Fault;
use transload_guest::http::Extent;
use transload_guest::source::{ByteSource, ChangedPage, Changes, ReadablePart, SnapshotDisk};

use crate::answers::parsed;
use crate::bucket::{Bucket, Created};
use crate::machines::{Image, Machine};

#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    uuid: String,
    tag: String,
    images: Vec<Image>,
}

impl Snapshot {
    pub fn of(machine: Machine, tag: &str) -> Snapshot {
        Snapshot {
            uuid: machine.description.uuid,
            tag: tag.to_owned(),
            images: machine.images,
        }
    }

    /// From a token, which the agent kept.
    pub fn read(token: &str) -> Result<Snapshot, Fault> {
        parsed(token.as_bytes(), "the token of a snapshot")
    }

    fn key(&self) -> String {
        format!("snapshots/{}/{}", self.uuid, self.tag)
    }

    /// Answers the token. Whoever is second with this tag, perhaps because the first reply was lost, gets the first one's.
    pub fn open(&self, bucket: &Bucket) -> Result<String, Fault> {
        let token = serde_json::to_string(self).expect("only text and numbers");
        match bucket.create(&self.key(), &token)? {
            Created::Now => Ok(token),
            Created::Before => noted(bucket, &self.key())?.ok_or_else(|| self.gone()),
        }
    }

    pub fn close(&self, bucket: &Bucket) -> Result<(), Fault> {
        bucket.delete(&self.key())
    }

    pub fn disks(&self, bucket: &Bucket) -> Result<Vec<SnapshotDisk>, Fault> {
        noted(bucket, &self.key())?.ok_or_else(|| self.gone())?;
        let disk = |image: &Image| SnapshotDisk {
            id: image.disk.clone(),
            label: image.key.clone(),
            fingerprint: format!("{}/{}", self.uuid, image.disk),
            size: image.size,
            marker: Some(image.etag.clone()),
            readable: ReadablePart::WholeDisk,
        };
        Ok(self.images.iter().map(disk).collect())
    }

    /// The same ETag is the same image. What differs between two images, nobody noted: the agent compares them.
    pub fn changed(&self, disk: &str, since: &str) -> Result<Changes, Fault> {
        let image = self.image(disk)?;
        if image.etag != since {
            return Ok(Changes::Resync {
                code: "image-replaced",
                message: format!("{} was exported anew.", image.key),
            });
        }
        let covers = Extent::new(0, image.size);
        Ok(Changes::Page(ChangedPage {
            covers,
            extents: Vec::new(),
            next: None,
        }))
    }

    pub fn range(&self, bucket: &Bucket, disk: &str, range: Extent) -> Result<ByteSource, Fault> {
        let image = self.image(disk)?;
        let end = range.offset.checked_add(range.length);
        if end.is_none_or(|end| end > image.size) {
            let message = format!(
                "{} bytes from {} reach past the {} bytes of {disk}.",
                range.length, range.offset, image.size
            );
            return Err(Fault::invalid(message));
        }
        bucket.range(&image.key, &image.etag, range)
    }

    fn image(&self, disk: &str) -> Result<&Image, Fault> {
        let found = self.images.iter().find(|image| image.disk == disk);
        found.ok_or_else(|| Fault::not_found(format!("The snapshot has no disk {disk}.")))
    }

    fn gone(&self) -> Fault {
        Fault::not_found(format!("The snapshot {} is gone.", self.tag))
    }
}

pub fn leftovers(
    bucket: &Bucket,
    machine: &Machine,
    tag_prefix: &str,
) -> Result<Vec<String>, Fault> {
    let notes = bucket.objects(&format!(
        "snapshots/{}/{tag_prefix}",
        machine.description.uuid
    ))?;
    let mut tokens = Vec::new();
    for note in notes {
        // One that is closed meanwhile is none any more.
        tokens.extend(noted(bucket, &note.key)?);
    }
    Ok(tokens)
}

/// The token that stands there.
fn noted(bucket: &Bucket, key: &str) -> Result<Option<String>, Fault> {
    let token = |text: Vec<u8>| String::from_utf8(text);
    let unreadable = |_| Fault::corrupt(format!("{key} is no text."));
    bucket.read(key)?.map(token).transpose().map_err(unreadable)
}
