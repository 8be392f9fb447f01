//! The lives that the matrix cuts short. Each is a row of acts; an act says what has to be true at its end, and does what it takes again if
//! the agent died in between. So the same lines are the undisturbed life and the one with a death in it.

use std::path::Path;

use e2e::agent::text;
use e2e::{MIB, Setup, Site, Survivor};
use lab::Workload;
use lab::vcenter::{DiskSpec, FolderFault, Spoil, TaskFault, VmSpec};
use serde_json::{Value, json};

pub const VM: &str = "db01";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// A VM that is asked for by command: an initial copy of two disks, deltas, the final cycle.
    Life,
    /// A snapshot that cannot be read any more, one that cannot be made, a damaged block, a commit that does not open, another owner.
    Trouble,
    /// The appliance is lost with its journal and its replicas.
    Lost,
    /// Everything that an operator can ask of a VM, to its end.
    Orders,
}

impl Scenario {
    pub const ALL: [Scenario; 4] = [Scenario::Life, Scenario::Trouble, Scenario::Lost, Scenario::Orders];
}

/// One life: a site of its own, so that the lab's counters and snapshots are this life's alone.
pub struct Run {
    pub site: Site,
    pub agent: Survivor,
    /// The newest point that an act has seen.
    pub point: u64,
}

impl Run {
    /// `plugins`: a state folder in which the plugins are approved and compiled.
    pub async fn begin(scenario: Scenario, plugins: &Path, die_at: Option<&str>) -> Run {
        let disk = || DiskSpec::with_files(8 * MIB, 2_500_000);
        let site = Site::with(vec![VmSpec::new(VM, vec![disk(), disk()])]).await;
        let setup = site.setup(if scenario == Scenario::Life { &[] } else { &[VM] });
        copy_folder(plugins, &setup.state());
        let agent = Survivor::new(setup, die_at);
        Run { site, agent, point: 0 }
    }

    pub async fn play(&mut self, scenario: Scenario) {
        match scenario {
            Scenario::Life => self.life().await,
            Scenario::Trouble => self.trouble().await,
            Scenario::Lost => self.lost().await,
            Scenario::Orders => self.orders().await,
        }
    }

    async fn life(&mut self) {
        let end = tokio::time::Instant::now() + e2e::agent::PATIENCE;
        while self.agent.vm(VM).is_none() {
            assert!(tokio::time::Instant::now() < end, "the VM was asked for, and is not replicated");
            self.agent.ask(&replicate());
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
        self.first_points().await;
        self.guest_writes(1).await;
        self.another_point().await;
        // Who is started again asks whether the VM is still his.
        self.agent.stop();
        self.guest_writes(2).await;
        self.finish().await;
    }

    async fn trouble(&mut self) {
        // Read fine twice, then gone: a new snapshot is needed.
        let gone = FolderFault { after: 2, times: 1, spoil: Spoil::Status(404) };
        self.site.lab.vcenter().set_knobs(|knobs| knobs.folder_faults = vec![gone]);
        self.site.lab.s3().set_knobs(|knobs| (knobs.rot_puts, knobs.only_paths_with) = (1, Some("/seg-".to_owned())));
        self.first_points().await;

        let refused = TaskFault { method: "CreateSnapshot_Task".to_owned(), fault: "NoDiskSpace".to_owned() };
        self.site.lab.vcenter().set_knobs(|knobs| knobs.task_faults = vec![refused]);
        self.guest_writes(1).await;
        self.another_point().await;

        self.site.lab.s3().set_knobs(|knobs| (knobs.rot_puts, knobs.only_paths_with) = (1, Some("/commit/".to_owned())));
        self.guest_writes(2).await;
        self.another_point().await;

        self.another_owner().await;
        self.guest_writes(3).await;
        self.another_point().await;
    }

    async fn lost(&mut self) {
        self.first_points().await;
        self.agent.stop();
        let (state, replicas) = (self.agent.setup().state(), self.agent.setup().replicas());
        std::fs::remove_dir_all(replicas).expect("there are replicas");
        self.forget_the_journal();
        std::fs::remove_dir_all(state.join("work")).expect("there are tables");
        self.guest_writes(1).await;
        self.another_point().await;
    }

    async fn orders(&mut self) {
        self.first_points().await;
        let label = self.agent.until(VM, "its disks", |vm| vm["history"][0]["disks"][1]["label"].as_str().map(str::to_owned)).await;
        let leave_out = json!({ "exclude-disk": { "disk": label, "at_cutover": "attach-later" } });
        self.ask_until(order(leave_out), |vm| vm["excluded"][0].is_object()).await;
        self.guest_writes(1).await;
        self.another_point().await;
        let take_in = json!({ "include-disk": { "disk": label } });
        self.ask_until(order(take_in), |vm| vm["excluded"].as_array().is_some_and(Vec::is_empty)).await;
        self.another_point().await;
        for (asked, code) in [("resync", "asked-for"), ("reset-tracking", "tracking-reset")] {
            self.ask_until(order(json!(asked)), |vm| is_settled(vm) && was_resynced(vm, code)).await;
        }

        // A copy that takes long enough to be put down in the middle.
        self.site.lab.vcenter().set_knobs(|knobs| knobs.folder_latency_milliseconds = 400);
        self.guest_writes(2).await;
        self.ask_until(order(json!("sync")), |vm| vm["cycle"]["disks"][0].is_object()).await;
        self.ask_until(order(json!("pause")), |vm| vm["replication"]["state"] == "paused").await;
        self.site.lab.vcenter().set_knobs(|knobs| knobs.folder_latency_milliseconds = 0);
        self.ask_until(order(json!("resume")), |vm| vm["replication"]["state"] != "paused").await;
        self.another_point().await;

        self.ask_until(order(json!({ "stop": { "running": "finish" } })), |vm| vm["replication"]["state"] == "stopped").await;
        self.ask_until(replicate(), |vm| vm["replication"]["state"] != "stopped").await;
        self.another_point().await;
        self.finish().await;
        self.ask_until(order(json!("complete")), |vm| vm["replication"]["state"] == "done").await;
    }

    // ---- acts ----

    async fn first_points(&mut self) {
        self.reach(2, |_| None).await;
    }

    async fn another_point(&mut self) {
        self.reach(self.point + 1, |vm| (!is_busy(vm)).then(|| order(json!("sync")))).await;
    }

    async fn finish(&mut self) {
        let is_over = |vm: &Value| vm["state"] == "final cycle applied";
        loop {
            let seen = self.agent.until(VM, "rest or the end", |vm| (is_settled(vm) || is_over(vm)).then(|| vm.clone())).await;
            self.point = seen["point"]["cycle"].as_u64().unwrap_or(self.point);
            if is_over(&seen) {
                return;
            }
            self.agent.ask(&order(json!("final")));
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
    }

    /// Asks until it is so: who was asked and died may not remember.
    async fn ask_until(&mut self, command: Value, is_so: impl Fn(&Value) -> bool) {
        let end = tokio::time::Instant::now() + e2e::agent::PATIENCE;
        loop {
            let vm = self.agent.until(VM, "an answer", |vm| Some(vm.clone())).await;
            if is_so(&vm) {
                self.point = vm["point"]["cycle"].as_u64().unwrap_or(self.point);
                return;
            }
            assert!(tokio::time::Instant::now() < end, "{command} has no effect: {vm:#}");
            self.agent.ask(&command);
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
    }

    /// Somebody with our key says that the VM is his, and takes it back.
    async fn another_owner(&mut self) {
        let s3 = self.site.lab.s3();
        let id = self.agent.until(VM, "its id", |vm| vm["id"].as_str().map(str::to_owned)).await;
        let owner = format!("vm/{id}/owner/{:010}", 9000);
        s3.write_object(&owner, b"somebody").expect("the store can be written");
        loop {
            let halted = |vm: &Value| text(&vm["state"]).starts_with("halted");
            let vm = self.agent.until(VM, "a look", |vm| (halted(vm) || !is_busy(vm)).then(|| vm.clone())).await;
            if halted(&vm) {
                break;
            }
            self.agent.ask(&order(json!("sync")));
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
        self.site.lab.s3().delete_object(&owner).expect("it was just written");
        // Who halted leaves the VM alone, until somebody begins anew on purpose.
        self.agent.stop();
        self.forget_the_journal();
    }

    fn forget_the_journal(&self) {
        for lost in ["journal.db", "journal.db-wal", "journal.db-shm"] {
            let _ = std::fs::remove_file(self.agent.setup().state().join(lost));
        }
    }

    async fn guest_writes(&mut self, seed: u64) {
        for key in self.site.disk_keys(VM) {
            self.site.guest_writes_to(VM, key, Workload::Clustered { writes: 4, bytes: 65536 }, seed).await;
        }
    }

    /// Until there is such a point, and rest. `ask`: what to ask the agent for as long as there is none.
    async fn reach(&mut self, point: u64, ask: impl Fn(&Value) -> Option<Value>) {
        let end = tokio::time::Instant::now() + e2e::agent::PATIENCE;
        loop {
            let vm = self.agent.until(VM, "an answer", |vm| Some(vm.clone())).await;
            let reached = vm["point"]["cycle"].as_u64().unwrap_or(0);
            if reached >= point && is_settled(&vm) {
                self.point = reached;
                return;
            }
            if let Some(command) = ask(&vm).filter(|_| reached < point) {
                self.agent.ask(&command);
            }
            assert!(tokio::time::Instant::now() < end, "recovery point {point} did not come: {vm:#}");
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
    }
}

fn order(ask: Value) -> Value {
    json!({ "command": "vm", "vm": VM, "ask": ask, "dry_run": false })
}

fn replicate() -> Value {
    json!({ "command": "replicate", "vm": VM, "source": null, "repair": "by-command" })
}

fn was_resynced(vm: &Value, code: &str) -> bool {
    let rows = vm["history"].as_array().expect("the status shows what ended");
    rows.iter().any(|row| row["outcome"] == "applied" && row["disks"][0]["resync"]["code"] == code)
}

fn is_busy(vm: &Value) -> bool {
    !vm["cycle"].is_null()
}

/// The replica stands at the newest point, and nothing runs.
fn is_settled(vm: &Value) -> bool {
    let at = vm["point"]["cycle"].as_u64().map(|cycle| format!("at recovery point {cycle}"));
    at.is_some_and(|at| vm["replica"] == at) && !is_busy(vm)
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the site can be written");
    for entry in std::fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("it has a type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("it can be copied")),
        }
    }
}

/// A state folder in which the plugins are approved and compiled, and which knows nothing else.
pub async fn plugins_ready(folder: &Path) {
    let site = Site::small(8 * MIB, 100_000).await;
    let setup = Setup { folder: folder.to_owned(), ..site.setup(&[]) };
    let agent = e2e::Agent::start(&setup).await;
    agent.kill();
    for lost in ["journal.db", "journal.db-wal", "journal.db-shm", "agent.sock"] {
        let _ = std::fs::remove_file(setup.state().join(lost));
    }
    let _ = std::fs::remove_dir_all(setup.state().join("work"));
}
