//! A VM that replicates as long as any test of this program runs. Whatever misbehaves here does so in its process and in its plugin host.
//!
//! ```text
//!   lab: vCenter, S3 ─▶ vmware-cbt, storage-s3 ─▶ one agent, both roles ─▶ replica     (threads of its own)
//!     the guest writes ─▶ sync ─▶ a recovery point, applied ─▶ is the replica what the lab froze? ─▶ the guest writes
//!
//!   World::start … a misdeed … World's end: the cycle that ran then has ended well too
//! ```
//!
//! Undisturbed: no trouble is shown, no call to its plugins trapped or took too long, its source never failed, and every replica is right to the byte.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use e2e::{MIB, Site};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use transload::agent::Agent;
use transload::api::command::{Command, Desk, Reply};
use transload::api::status::{AgentStatus, VmStatus};
use transload::clock::SystemClock;
use transload::config::Config;
use transload::desk::AgentDesk;
use transload::driver::expected::Expected;
use transload::model::CycleNumber;
use transload::policy::vm::{EndedAs, command};

use crate::setup::plugin_host;

const NAME: &str = "db01";
/// A cycle that takes longer stands still, on the slowest machine as well.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Beside {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Cycles whose replica was right, or what was wrong.
    cycles: Mutex<Result<u64, String>>,
    news: Condvar,
    stop: AtomicBool,
}

impl Beside {
    /// The VM of this program. Whoever is the first to ask begins it, and it ends with the program.
    pub fn running() -> Arc<Beside> {
        static RUNNING: Mutex<Option<Arc<Beside>>> = Mutex::new(None);
        /// The tests end by `exit`, which drops nothing: the lab's folder would stay behind.
        extern "C" fn end() {
            drop(RUNNING.lock().unwrap().take());
        }
        let begin = || {
            // SAFETY: it is a function that lives as long as the program, and does not unwind.
            assert_eq!(unsafe { libc::atexit(end) }, 0);
            Arc::new(Beside::begin())
        };
        RUNNING.lock().unwrap().get_or_insert_with(begin).clone()
    }

    fn begin() -> Beside {
        let shared = Arc::new(Shared { cycles: Mutex::new(Ok(0)), news: Condvar::new(), stop: AtomicBool::new(false) });
        let own = shared.clone();
        let replicate = move || {
            // What is asserted below goes to whoever waits for the next cycle.
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                threads.block_on(replicate(&own));
            }));
            if let Err(panic) = caught {
                let words = panic.downcast_ref::<String>().cloned();
                own.tell(Err(words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_default()));
            }
        };
        let thread = std::thread::Builder::new().name("vm-beside".to_owned()).spawn(replicate).unwrap();
        Beside { shared, thread: Some(thread) }
    }

    /// Waits until the cycle that runs now is over. It must have ended well, and all before it.
    pub fn goes_on(&self) {
        let now = self.shared.cycles.lock().unwrap().clone();
        let same = |cycles: &mut Result<u64, String>| *cycles == now && now.is_ok();
        let cycles = self.shared.cycles.lock().unwrap();
        let (cycles, waited) = self.shared.news.wait_timeout_while(cycles, STANDS_STILL_AFTER, same).unwrap();
        assert!(!waited.timed_out(), "the VM beside it stands still after {now:?} cycles");
        assert!(cycles.is_ok(), "the VM beside it was disturbed: {cycles:?}");
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was caught, and told to whoever waited.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn tell(&self, cycles: Result<u64, String>) {
        *self.cycles.lock().unwrap() = cycles;
        self.news.notify_all();
    }
}

async fn replicate(shared: &Shared) {
    let site = Site::with(vec![VmSpec::new(NAME, vec![DiskSpec::with_files(12 * MIB, 1_000_000)])]).await;
    let setup = site.setup(&[NAME]);
    let config = Config::parse(&setup.text(), &setup.folder).unwrap();
    let agent = Agent::open_in(plugin_host(), config, Expected::default(), Arc::new(SystemClock::new())).await.unwrap();
    let running = tokio::spawn({
        let agent = agent.clone();
        async move { agent.run().await }
    });
    let desk = AgentDesk(agent.clone());
    // The first cycle copies all of the disk, and the second begins by itself.
    let mut point = 2;
    while !shared.stop.load(Ordering::Relaxed) {
        let vm = settled(&desk, CycleNumber(point)).await;
        assert_undisturbed(&desk.status(), &vm);
        site.assert_replica_in(&setup.replicas(), vm.id.as_str(), NAME, point).await;
        shared.tell(Ok(point));
        site.guest_writes(NAME, Workload::Scattered { writes: 8, bytes: 4096 }, point).await;
        let sync = Command::Vm { vm: NAME.to_owned(), ask: command::Command::Sync, dry_run: false };
        let said = desk.carry_out(sync).await;
        assert!(matches!(said, Reply::Accepted { .. }), "{said:?}");
        point += 1;
    }
    agent.leave().await;
    site.assert_no_snapshot();
    running.abort();
}

/// Waits for the replica to stand at this recovery point.
async fn settled(desk: &AgentDesk, point: CycleNumber) -> VmStatus {
    let there = format!("at recovery point {point}");
    loop {
        let vm = desk.status().vms.into_iter().find(|vm| vm.name == NAME);
        if let Some(vm) = vm {
            assert!(vm.trouble.is_none(), "{vm:#?}");
            if vm.replica.as_ref() == Some(&there) && vm.state.starts_with("idle") {
                return vm;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn assert_undisturbed(status: &AgentStatus, vm: &VmStatus) {
    assert!(status.missing.is_empty(), "{:?}", status.missing);
    let last = vm.history.last().unwrap();
    assert_eq!(last.outcome, EndedAs::Applied, "{last:#?}");
    for plugin in &status.plugins {
        let counted = plugin.counted;
        assert_eq!((counted.traps, counted.time_outs), (0, 0), "{}: {counted:?}", plugin.name);
        // That an object is not there yet is an ordinary answer of a store, and a fault.
        assert!(plugin.name == "store" || counted.faults == 0, "{}: {counted:?}", plugin.name);
        assert!(counted.calls > 0, "{}", plugin.name);
    }
}
