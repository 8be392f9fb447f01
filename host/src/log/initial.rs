//! Where an initial copy says that it has begun, so that a receiver can follow its pages and need not wait for the commit.
//!
//! Nothing depends on it: a receiver that misses it, or does not believe it, fills the replica when the commit is there.

use serde::{Deserialize, Serialize};

use crate::model::commit::FORMAT;
use crate::model::{Attempt, CycleNumber, DiskId, DiskSize, Fault, VmId};

use super::layout::{self, AttemptFolder};
use super::page::{self, ManifestPage, PageKind};
use super::seal::Role;
use super::store::Log;

/// A disk whose pages will appear in the folder of this attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialCopy {
    format: u32,
    pub cycle: CycleNumber,
    pub attempt: Attempt,
    pub disk: DiskId,
    pub size: DiskSize,
}

impl InitialCopy {
    pub fn new(cycle: CycleNumber, attempt: Attempt, disk: DiskId, size: DiskSize) -> InitialCopy {
        InitialCopy { format: FORMAT, cycle, attempt, disk, size }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an announcement has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<InitialCopy, Fault> {
        let copy: InitialCopy = serde_json::from_slice(bytes)
            .map_err(|error| Fault::corrupt(format!("the announcement of an initial copy cannot be read: {error}")))?;
        match copy.format == FORMAT {
            true => Ok(copy),
            false => Err(Fault::unsupported(format!("an initial copy of format {} was begun by a newer version", copy.format))),
        }
    }

    /// Says it. Saying it twice is saying it once.
    pub async fn announce(&self, log: &Log, vm: &VmId) -> Result<(), Fault> {
        log.create(Role::Initial, &layout::initial(vm, self.cycle, self.attempt, &self.disk), &self.encode()).await
    }

    /// A page that the copy has published.
    pub async fn page(&self, log: &Log, vm: &VmId, number: u32) -> Result<ManifestPage, Fault> {
        let folder = AttemptFolder::new(vm, self.cycle, self.attempt, &self.disk);
        let bytes = log.read(Role::Page, &folder.page(number)).await?;
        page::decode(&bytes, self.size, PageKind::Manifest)
    }
}

/// Keys of all announcements of a VM, oldest first.
pub async fn announced(log: &Log, vm: &VmId) -> Result<Vec<String>, Fault> {
    Ok(log.list(&layout::initials(vm)).await?.into_iter().map(|entry| entry.key).collect())
}

/// The disk that the key of an announcement is for, by the name that its files have. The announcement itself may be a forged one.
pub fn disk_name(key: &str) -> DiskId {
    DiskId(layout::name(key.rsplit('/').next().unwrap_or_default()))
}

pub async fn read(log: &Log, key: &str) -> Result<InitialCopy, Fault> {
    InitialCopy::decode(&log.read(Role::Initial, key).await?)
}
