//! Recovery points that are dropped while everything else goes on, and the oracle of what may be left in the store afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use transload::driver::gateway::VmView;
use transload::driver::retention::{Keeper, Outcome, Settings};
use transload::driver::retry::PersistentSink;
use transload::files::Files;
use transload::log::chain::Chain;
use transload::log::dropped::Records;
use transload::log::layout::{self, AttemptFolder};
use transload::log::lease::{SKEW, TERM};
use transload::log::page::{self, Entry, PageKind};
use transload::log::seal::Role;
use transload::log::sink::Sink;
use transload::log::store::Log;
use transload::model::commit::{Commit, Verdict};
use transload::model::{CycleNumber, DiskId, Fault};
use transload::policy::retention::{Batches, Rule, UnderWay};
use transload::random::Random;
use transload::receiver::rebuild;

use crate::files::MemoryFiles;
use crate::scenario::Scene;
use crate::world::World;

/// Two points are left, and every second cycle something goes.
pub fn eager() -> Settings {
    let rule = Rule { recent: Duration::from_secs(90), days: 0, at_least: 2 };
    Settings { rule, batches: Batches { cycles: 2, every: Duration::from_secs(3600) } }
}

impl Scene {
    pub async fn keeper(&self, log: Log, view: watch::Receiver<VmView>) -> Result<Option<Keeper>, String> {
        let Some(settings) = self.retention else { return Ok(None) };
        let (journal, turns) = (Arc::new(self.journal.clone()), Arc::new(Semaphore::new(1)));
        let keeper = Keeper::open(log, journal, self.clock.clone(), self.vm.clone(), settings, view, turns).await;
        keeper.map(Some).map_err(|fault| fault.to_string())
    }

    /// Prunes by hand, as this agent, while none of its tasks runs.
    pub async fn prune(&self) -> Result<Outcome, Fault> {
        let sink: Arc<dyn Sink> = Arc::new(PersistentSink::new(Arc::new(self.sink.clone()), self.clock.clone()));
        let log = self.log(sink, Random::from_seed(self.seed + 99)).await?;
        let vm = self.vm_state().await.map_err(Fault::internal)?;
        let (_show, view) = watch::channel(VmView { vm, ..VmView::default() });
        let keeper = self.keeper(log, view).await.map_err(Fault::internal)?.expect("this scene drops recovery points");
        keeper.prune(None).await.map(|(_, outcome)| outcome)
    }

    /// Prunes until there is nothing more to do.
    pub async fn collect(&self) -> Result<(), String> {
        // A process that died may have been reading. Its lease ends by itself.
        tokio::time::sleep(TERM + SKEW + Duration::from_secs(1)).await;
        let mut in_the_way = None;
        for _ in 0..200 {
            match self.prune().await {
                Ok(Outcome::Done(_)) => return Ok(()),
                Ok(Outcome::Waits { .. }) => tokio::time::sleep(Duration::from_secs(300)).await,
                Err(fault) if fault.kind.passes() => {
                    in_the_way = Some(fault);
                    tokio::time::sleep(Duration::from_secs(1)).await
                }
                Err(fault) => return Err(format!("collecting ends with {fault}")),
            }
        }
        Err(format!("collecting does not come to its end: {in_the_way:?}"))
    }

    /// Every applied cycle can be restored, unless the store itself was damaged afterwards or before.
    pub async fn check_every_point(&self, damage_possible: bool) -> Result<(), String> {
        let log = self.quiet_log().await?;
        let files = MemoryFiles::new(World::new(0));
        let dropped = Records::read(&log, &self.vm).await.map_err(|fault| fault.to_string())?;
        for cycle in log.commits_after(&self.vm, CycleNumber(0)).await.map_err(|fault| fault.to_string())? {
            if dropped.drops(cycle) {
                continue;
            }
            let receipt = log.receipt(&self.vm, cycle).await.map_err(|fault| fault.to_string())?;
            if !receipt.is_some_and(|receipt| matches!(receipt.verdict, Verdict::Applied { .. })) {
                continue;
            }
            let chain = Chain::read(&log, &self.vm, cycle).await.map_err(|fault| fault.to_string())?;
            for disk in &chain.point().disks {
                let name = format!("{cycle}-{}", disk.disk);
                let file = files.open_sized(&name, disk.size.bytes()).await.map_err(|fault| fault.to_string())?;
                match rebuild::restore(&log, &chain, &disk.disk, &*file).await {
                    Ok(()) => self.compare(chain.point(), disk, &files.content(&name).unwrap_or_default(), "the restored copy")?,
                    // A damaged block that a later attempt superseded is never read by the receiver, nor by a restore.
                    Err(fault) if damage_possible => return Err(format!("an applied cycle does not restore: {fault}")),
                    Err(fault) => return Err(format!("cycle {cycle} does not restore: {fault}")),
                }
            }
        }
        Ok(())
    }

    /// Nothing that a kept commit names is missing, and nothing else is left. Found out by another way than the collector's: out of every
    /// kept point, all at once.
    pub async fn check_collected(&self) -> Result<(), String> {
        let log = self.quiet_log().await?;
        let mut expected = self.expected_keys(&log).await.map_err(|fault| format!("what is kept cannot be read: {fault}"))?;
        let from = UnderWay::of(&self.vm_state().await?).from;
        // What is under way has a commit when only its receipt is missing.
        expected.retain(|key| !self.is_later(key, from));
        let found: BTreeSet<String> =
            self.sink.keys(&format!("vm/{}/", self.vm)).into_iter().filter(|key| !self.is_later(key, from)).collect();
        let missing: Vec<&String> = expected.difference(&found).collect();
        let left: Vec<&String> = found.difference(&expected).collect();
        match (missing.is_empty(), left.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("kept commits name what is gone: {missing:#?}")),
            _ => Err(format!("orphans are left: {left:#?}\nexpected: {expected:#?}")),
        }
    }

    fn is_later(&self, key: &str, from: CycleNumber) -> bool {
        let announced = layout::cycle_below(&layout::initials(&self.vm), key);
        layout::in_attempt(&self.vm, key).map(|found| found.cycle).or(announced).is_some_and(|cycle| cycle >= from)
    }

    async fn expected_keys(&self, log: &Log) -> Result<BTreeSet<String>, Fault> {
        let records = Records::read(log, &self.vm).await?;
        let mut keys: BTreeSet<String> = self.sink.keys(&layout::owners(&self.vm)).into_iter().collect();
        keys.extend(records.numbers.last().map(|newest| layout::dropped_record(&self.vm, *newest)));
        let checkpoints = layout::checkpoints(&self.vm);
        for key in self.sink.keys(&checkpoints) {
            if layout::cycle_below(&checkpoints, &key).is_some_and(|cycle| !records.drops(cycle)) {
                keys.insert(key);
            }
        }
        for cycle in log.commits_after(&self.vm, CycleNumber(0)).await? {
            if records.drops(cycle) {
                continue;
            }
            keys.insert(layout::commit(&self.vm, cycle));
            keys.extend(self.sink.keys(&format!("{}{:010}.", layout::receipts(&self.vm), cycle.0)));
            let commit = log.commit(&self.vm, cycle).await?.0;
            self.named_by(log, &commit, &mut keys).await?;
        }
        for (disk, layer) in UnderWay::of(&self.vm_state().await.map_err(Fault::internal)?).layers {
            let folder = AttemptFolder::new(&self.vm, layer.cycle, layer.attempt, &disk);
            keys.extend(self.sink.keys(folder.prefix()));
        }
        Ok(keys)
    }

    async fn named_by(&self, log: &Log, commit: &Commit, keys: &mut BTreeSet<String>) -> Result<(), Fault> {
        for disk in &commit.disks {
            for layer in &disk.layers {
                let folder = AttemptFolder::new(&self.vm, layer.cycle, layer.attempt, &disk.disk);
                keys.extend((0..layer.planned_parts).map(|part| folder.planned(part)));
                for number in 0..layer.pages {
                    let key = folder.page(number);
                    let page = page::decode(&log.read(Role::Page, &key).await?, disk.size, PageKind::Manifest)?;
                    keys.insert(key);
                    let blocks = page.entries.iter().filter_map(|entry| match entry {
                        Entry::Block(block) => block.body,
                        _ => None,
                    });
                    keys.extend(blocks.map(|body| folder.segment(body.segment.number, body.segment.random)));
                }
            }
        }
        let applied = log.receipt(&self.vm, commit.cycle).await?.is_some_and(|receipt| matches!(receipt.verdict, Verdict::Applied { .. }));
        if applied {
            let chain = Chain::read(log, &self.vm, commit.cycle).await?;
            for disk in &commit.disks {
                self.read_by(log, &chain, &disk.disk, keys).await?;
            }
        }
        Ok(())
    }

    async fn read_by(&self, log: &Log, chain: &Chain, disk: &DiskId, keys: &mut BTreeSet<String>) -> Result<(), Fault> {
        let mut fold = chain.fold(log, disk)?;
        while let Some(block) = fold.next().await? {
            for segment in block.pieces.iter().map(|piece| piece.body.segment) {
                let folder = AttemptFolder::new(&self.vm, segment.cycle, segment.attempt, disk);
                keys.insert(folder.segment(segment.number, segment.random));
            }
        }
        Ok(())
    }
}
