//! Driving a scene by hand, from fact to fact: a process lives until a fact is in the journal, the test looks and meddles, and the next
//! process goes on. No guest writes by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use transload::driver::gateway;
use transload::journal::Ledger;
use transload::model::DiskId;
use transload::model::commit::{Mode, RejectCode};
use transload::policy::vm::{Ended, EndedAs, Fact, Urgency, Vm};
use transload::receiver::prepare::Places;

use crate::files::MemoryFiles;
use crate::journal::MemoryJournal;
use crate::scenario::{Plan, Scene};

pub const MIB: u64 = 1024 * 1024;
pub const CELL: u64 = 64 * 1024;

/// The facts that may end a cycle.
const ENDS: [&str; 3] = ["gateway applied", "gateway rejected", "gateway abandoned"];

impl Scene {
    /// Disks of these sizes, and nothing goes wrong by itself.
    pub fn calm(sizes: &[u64]) -> Scene {
        Scene::new(&Plan::calm(sizes.to_vec(), 0))
    }

    pub fn places(&self) -> Places {
        Places { replicas: Arc::new(self.replicas.clone()), work: Arc::new(self.work.clone()) }
    }

    pub fn disk(&self, number: usize) -> DiskId {
        self.source.disk_ids()[number].clone()
    }

    /// One life of the agent that ends at a fact like `gateway disk-planned` or `replica apply-began`. Its power does not fail: what
    /// was written stays written.
    pub async fn until(&self, facts: &[&str]) {
        if let Err(what) = self.try_until(facts).await {
            panic!("{what}\n{}", self.world.trace().join("\n"));
        }
    }

    /// The same, or why the agent stopped by itself.
    pub async fn try_until(&self, facts: &[&str]) -> Result<(), String> {
        self.world.end_at(facts);
        let result = tokio::select! {
            biased;
            () = self.world.crashed() => Ok(()),
            ended = self.live(|_| false) => ended,
        };
        self.world.revive();
        result
    }

    /// Lives until the running or the next cycle has ended, whatever its end.
    pub async fn cycle(&self) -> Ended {
        loop {
            self.until(&ENDS).await;
            let vm = self.vm().await;
            if vm.cycle.is_none() {
                return vm.history.last().expect("a cycle has ended").clone();
            }
        }
    }

    /// A cycle that must be applied; the replica and every recovery point must be what their snapshots froze. Answers the modes.
    pub async fn applied(&self) -> BTreeMap<DiskId, Mode> {
        let ended = self.cycle().await;
        assert_eq!(ended.outcome, EndedAs::Applied, "\n{}", self.world.trace().join("\n"));
        self.sound().await;
        ended.disks.into_iter().map(|disk| (disk.disk, disk.mode)).collect()
    }

    /// A cycle that must be rejected for this reason, and of which nothing may be written: neither replica nor marker may move.
    pub async fn rejected(&self, code: RejectCode) -> String {
        let (replicas, point) = (self.replica_bytes(), self.vm().await.point);
        let ended = self.cycle().await;
        let EndedAs::Rejected(rejection) = ended.outcome else {
            panic!("not rejected but {:?}\n{}", ended.outcome, self.world.trace().join("\n"))
        };
        assert_eq!(rejection.code, code, "{}", rejection.message);
        assert!(self.replica_bytes() == replicas, "a rejected cycle changed the replica");
        assert_eq!(self.vm().await.point, point, "a rejected cycle moved a marker");
        rejection.message
    }

    /// The oracle: replica and recovery points are what was frozen, and no snapshot is left behind.
    pub async fn sound(&self) {
        let result = async {
            self.check_replica().await?;
            self.check_every_point(false).await
        };
        result.await.unwrap_or_else(|what| panic!("{what}\n{}", self.world.trace().join("\n")));
        assert_eq!(self.source.open_snapshots(), 0, "a snapshot was left behind");
    }

    pub async fn vm(&self) -> Vm {
        self.vm_state().await.expect("the journal opens")
    }

    /// An operator asks for something while no agent runs.
    pub async fn ask(&self, urgency: Urgency) {
        let journal = Arc::new(self.journal.clone());
        let mut ledger: Ledger<Vm> = Ledger::open(journal, gateway::aggregate(&self.vm)).await.expect("the journal opens");
        ledger.record(vec![Fact::Demanded { urgency, at: self.clock.now() }]).await.expect("a demand can always follow");
    }

    /// What stands in the replicas, finished ones only.
    pub fn replica_bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let raw = self.replicas.names().into_iter().filter(|name| name.ends_with(".raw"));
        raw.map(|name| (name.clone(), self.replicas.content(&name).unwrap_or_default())).collect()
    }

    /// The guest writes random bytes.
    pub fn write(&self, disk: &DiskId, offset: u64, length: u64) {
        let mut bytes = vec![0; length as usize];
        self.world.fill(&mut bytes);
        self.source.write(disk, offset, &bytes);
    }

    /// The power fails as well: what was not flushed may be lost.
    pub fn crash_files(&self) {
        self.replicas.crash();
        self.work.crash();
    }

    /// Another agent with the same configuration, key and store: its journal and its files are its own.
    pub fn another_agent(&self) -> Scene {
        Scene {
            world: self.world.clone(),
            sink: self.sink.clone(),
            further: self.further.clone(),
            stores_of_vm: self.stores_of_vm.clone(),
            source: self.source.clone(),
            journal: MemoryJournal::new(self.world.clone()),
            replicas: MemoryFiles::new(self.world.clone()),
            work: MemoryFiles::new(self.world.clone()),
            clock: Arc::clone(&self.clock),
            wall: Arc::clone(&self.wall),
            sky: self.sky.clone(),
            vm: self.vm.clone(),
            limits: self.limits,
            distrust: self.distrust,
            retention: self.retention,
            pace: transload::pipeline::pace::Pace::default(),
            hours: Arc::default(),
            fleet: None,
            seed: self.seed + 7,
            lives: Arc::default(),
            commands: Arc::default(),
        }
    }
}
