//! What stands in the store of a VM beside segments and pages: commits and what became of them, marks, leases, records.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::log::dropped::Records;
use crate::log::sink::Entry;
use crate::log::store::Log;
use crate::log::{checkpoint, layout, lease, mark};
use crate::model::commit::{Commit, PointRef, Verdict};
use crate::model::{CycleNumber, Epoch, Fault, FaultKind, VmId};
use crate::policy::retention::{Held, Known, Plan, Situation, Standing, UnderWay};

use super::erase::Eraser;
use super::sweep::stores_of;

pub struct Survey {
    pub vm: VmId,
    pub epoch: Epoch,
    pub under_way: UnderWay,
    /// Commits that open and were not dropped.
    pub commits: BTreeMap<CycleNumber, (Commit, PointRef)>,
    pub situation: Situation,
    pub records: Records,
    ended_leases: Vec<String>,
}

impl Survey {
    pub async fn of(log: &Log, vm: &VmId, epoch: Epoch, under_way: UnderWay, now: Timestamp) -> Result<Survey, Fault> {
        let leases = lease::find(log, vm, now).await?;
        let records = Records::read(log, vm).await?;
        let mut survey = Survey {
            vm: vm.clone(),
            epoch,
            commits: BTreeMap::new(),
            situation: Situation { base: under_way.base, ..Situation::default() },
            under_way,
            records,
            ended_leases: leases.ended,
        };
        survey.situation.held = leases.held.into_iter().map(|lease| Held { point: lease.point, purpose: lease.purpose }).collect();
        let marks = Marks::read(log, vm).await?;
        for cycle in log.commits_after(vm, CycleNumber(0)).await? {
            if !survey.records.drops(cycle) {
                survey.look_at(log, cycle, &marks).await?;
            }
        }
        Ok(survey)
    }

    async fn look_at(&mut self, log: &Log, cycle: CycleNumber, marks: &Marks) -> Result<(), Fault> {
        let opened = match log.commit(&self.vm, cycle).await {
            Ok(opened) => Some(opened),
            Err(fault) if fault.kind == FaultKind::Corrupt => None,
            Err(fault) => return Err(fault),
        };
        let verdict = log.receipt(&self.vm, cycle).await?.map(|receipt| receipt.verdict);
        let standing = match (&opened, verdict) {
            (_, None) => Standing::Unjudged,
            (_, Some(Verdict::Rejected(_))) => Standing::Rejected,
            (Some(_), Some(Verdict::Applied { .. })) => Standing::Applied,
            (None, Some(Verdict::Applied { .. })) => Standing::Unreadable,
        };
        let checkpoint = match &opened {
            Some((_, point)) if marks.checkpoints.contains(&cycle) => checkpoint::find(log, &self.vm, *point).await?.is_some(),
            _ => false,
        };
        self.situation.commits.push(Known {
            cycle,
            base: opened.as_ref().and_then(|(commit, _)| commit.base).map(|base| base.cycle),
            taken_at: opened.as_ref().map_or(Timestamp::UNIX_EPOCH, |(commit, _)| commit.taken_at),
            standing,
            checkpoint,
            verified: marks.verified.contains(&cycle),
            pinned: marks.pinned.contains(&cycle),
        });
        self.commits.extend(opened.map(|opened| (cycle, opened)));
        Ok(())
    }

    /// Whether a cycle is no recovery point any more when the plan is executed.
    fn is_gone(&self, plan: &Plan, cycle: CycleNumber) -> bool {
        plan.drops(cycle) || self.records.drops(cycle)
    }

    /// Everything that is named after a dropped cycle, names first.
    pub async fn erase_dropped(&self, log: &Log, plan: &Plan, eraser: &mut Eraser<'_>) -> Result<(), Fault> {
        let gone = |folder: &str, entry: &Entry| layout::cycle_below(folder, &entry.key).is_some_and(|cycle| self.is_gone(plan, cycle));
        // A receipt that went before its commit would make it one that waits to be judged.
        for folder in [layout::commits(&self.vm), layout::receipts(&self.vm), layout::pins(&self.vm), layout::verifications(&self.vm)] {
            for entry in log.list(&folder).await?.into_iter().filter(|entry| gone(&folder, entry)) {
                eraser.erase(entry).await?;
            }
            eraser.flush().await?;
        }
        let folder = layout::checkpoints(&self.vm);
        let checkpoints = log.list(&folder).await?.into_iter().filter(|entry| gone(&folder, entry));
        let (done, pages): (Vec<Entry>, Vec<Entry>) = checkpoints.partition(|entry| entry.key.ends_with("/done"));
        for entries in [done, pages] {
            for entry in entries {
                eraser.erase(entry).await?;
            }
            eraser.flush().await?;
        }
        for key in self.ended_leases.iter().cloned() {
            eraser.erase(Entry { key, size: 0 }).await?;
        }
        eraser.flush().await
    }

    /// The newest record says all that the ones before it said. After everything else: until then an older one may be all that opens.
    pub async fn erase_old_records(&self, plan: &Plan, eraser: &mut Eraser<'_>) -> Result<(), Fault> {
        let newest = if plan.dropped.is_empty() { self.records.numbers.last().copied() } else { None };
        for number in self.records.numbers.iter().filter(|number| newest != Some(**number)) {
            eraser.erase(Entry { key: layout::dropped_record(&self.vm, *number), size: 0 }).await?;
        }
        eraser.flush().await
    }
}

/// What is told by keys alone.
struct Marks {
    pinned: BTreeSet<CycleNumber>,
    verified: BTreeSet<CycleNumber>,
    /// Cycles in whose checkpoint folder anything stands.
    checkpoints: BTreeSet<CycleNumber>,
}

impl Marks {
    async fn read(log: &Log, vm: &VmId) -> Result<Marks, Fault> {
        let cycles =
            async |folder: String| -> Result<BTreeSet<CycleNumber>, Fault> { Ok(mark::marked(log, &folder).await?.into_iter().collect()) };
        Ok(Marks {
            pinned: cycles(layout::pins(vm)).await?,
            verified: cycles(layout::verifications(vm)).await?,
            checkpoints: cycles(layout::checkpoints(vm)).await?,
        })
    }
}

/// Bytes that each cycle put into the stores.
pub async fn stored_by_cycle(log: &Log, vm: &VmId) -> Result<BTreeMap<CycleNumber, u64>, Fault> {
    let mut stored = BTreeMap::new();
    for store in stores_of(log).await? {
        let mut cursor = None;
        loop {
            let page = log.sink_of(store).await?.entries(&layout::all_attempts(vm), cursor).await?;
            for entry in &page.entries {
                if let Some(found) = layout::in_attempt(vm, &entry.key) {
                    *stored.entry(found.cycle).or_default() += entry.size;
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    }
    Ok(stored)
}
