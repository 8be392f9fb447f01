//! The gateway's digest tables: for each disk the digests of its newest recovery point, so that what was read and is the same is not sent.
//!
//! They are a cache. A table says which point it speaks of and is used for that point alone; one that is missing, speaks of another point
//! or was left half written is made anew out of the log when a copy needs it.

use std::sync::Arc;

use crate::log::chain::Chain;
use crate::log::fold::Fold;
use crate::log::lease::Leases;
use crate::log::table::{DigestTable, record_fold};
use crate::model::commit::{Mode, PointRef};
use crate::model::{DiskId, Fault};
use crate::pipeline::copy::{BaseTable, open_table, table_name};
use crate::policy::vm::Point;

use super::Performing;

impl Performing {
    /// The digests of the base: our own table, or one made anew out of the log.
    pub(super) async fn base_table(&self, disk: &DiskId) -> Result<BaseTable, Fault> {
        let missing = || Fault::internal(format!("disk {disk} has no base to compare with"));
        let point = self.vm.point.as_ref().ok_or_else(missing)?;
        let size = point.disks.get(disk).ok_or_else(missing)?.size;
        if let Some(table) = open_table(&*self.gateway.work, &self.id, disk, size, point.commit).await? {
            return Ok(BaseTable { table, size });
        }
        let leases = Leases::new(self.gateway.log.clone(), self.gateway.clock.clone());
        let making = self.table_from_log(disk, point.commit);
        let table = leases.hold(&self.id, point.commit.cycle, "a gateway's digest table", making).await?;
        Ok(BaseTable { table, size })
    }

    pub(super) async fn table_from_log(&self, disk: &DiskId, point: PointRef) -> Result<DigestTable, Fault> {
        let log = &self.gateway.log;
        let chain = Chain::read(log, &self.id, point.cycle).await?;
        let table = DigestTable::create(&*self.gateway.work, &table_name(&self.id, disk), chain.disk(disk)?.size).await?;
        record_fold(&table, &mut chain.fold(log, disk)?).await?;
        table.settle(chain.point_ref()).await?;
        Ok(table)
    }

    /// Brings our digest tables to the new point. Only a cache: what goes wrong half-way is made anew when it is needed.
    pub(super) async fn update_tables(&self, point: &Point) -> Result<(), Fault> {
        let log = &self.gateway.log;
        let (commit, found) = log.commit(&self.id, point.commit.cycle).await?;
        for disk in &commit.disks {
            let name = table_name(&self.id, &disk.disk);
            let table = match (disk.mode, commit.base, self.base_disk(&disk.disk)) {
                (Mode::Initial, _, _) => DigestTable::create(&*self.gateway.work, &name, disk.size).await?,
                (_, Some(base), Some(known))
                    if open_table(&*self.gateway.work, &self.id, &disk.disk, known.size, base).await?.is_some() =>
                {
                    DigestTable::open_for_changes(&*self.gateway.work, &name, disk.size).await?
                }
                _ => continue,
            };
            let mut fold = Fold::new(Arc::new(log.clone()), log.sealer().clone(), disk.size);
            fold.add_commit(&self.id, commit.cycle, disk);
            record_fold(&table, &mut fold).await?;
            table.settle(found).await?;
        }
        Ok(())
    }
}
