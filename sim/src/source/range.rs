//! A range of a disk in an open snapshot, while it is read.

use async_trait::async_trait;
use transload::model::{DiskId, Extent, Fault, SnapshotToken};
use transload::pipeline::source::ByteSource;

use super::{MemorySource, SourceFault};

pub struct MemoryRange {
    source: MemorySource,
    token: SnapshotToken,
    disk: DiskId,
    range: Extent,
}

impl MemoryRange {
    pub fn of(source: &MemorySource, token: &SnapshotToken, disk: &DiskId, range: Extent) -> MemoryRange {
        let opened = MemoryRange { source: source.clone(), token: token.clone(), disk: disk.clone(), range };
        opened.is_read();
        opened
    }

    fn is_read(&self) {
        if let Some(home) = &self.source.home {
            home.reads(self.token.as_str(), &self.disk);
        }
    }
}

impl Drop for MemoryRange {
    fn drop(&mut self) {
        self.is_read();
    }
}

#[async_trait]
impl ByteSource for MemoryRange {
    fn length(&self) -> u64 {
        self.range.length
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        self.source.world.step("fetch").await;
        let trouble = self.source.trouble;
        if self.source.world.chance(trouble.read_fails) || self.source.is_broken(SourceFault::ReadsNothing) {
            return Err(Fault::unavailable("the read failed"));
        }
        if self.source.world.chance(trouble.login_expires) {
            return Err(Fault::auth("the login expired"));
        }
        if self.source.world.chance(trouble.snapshot_lost) {
            self.source.world.note("the snapshot is lost".to_owned());
            self.source.lose_snapshots();
        }
        let from = (self.range.offset + offset) as usize;
        let length = buffer.len();
        let bytes = self.source.snapshot(&self.token, |snapshot| snapshot.disks[&self.disk].0.content[from..from + length].to_vec())?;
        buffer.copy_from_slice(&bytes);
        self.source.with(|state| state.bytes_read += length as u64);
        Ok(())
    }
}
