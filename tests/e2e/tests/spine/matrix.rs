//! The kill matrix: `kill -9` at every named moment of the real binary, a restart, and the oracle.
//!
//! ```text
//!   transload waypoints ─▶ every moment, from the code
//!   undisturbed lives   ─▶ which of them each scenario comes by            every moment is come by, or says here why not
//!   one life a moment   ─▶ dies there ─▶ is started again ─▶ goes on ─▶ oracle: replica and points = what the lab froze,
//!                                                                      no snapshot, little sent twice
//! ```

mod scenario;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use e2e::agent::modes;
use e2e::{MIB, parts};
use scenario::{Run, Scenario, VM, plugins_ready};
use serde_json::Value;

/// Lives that run side by side: mostly they wait for one another's processors.
const LIVES_AT_ONCE: usize = 4;
/// The long form dies at every moment, the first time it comes and at later ones; the short one at every third, once. Before and after a fact
/// is recorded follow each other, so an even number would always leave out one of them.
const SHORT_FORM_EVERY: usize = 3;
/// What may be between source and store at one time, and a page or a bitmap more.
const WINDOW: u64 = 4 * MIB;
const SLACK: u64 = MIB;

/// Moments that no scenario comes by, and why.
const NOT_COME_BY: &[(&str, &str)] = &[
    ("put/other", "only `check` puts a probe, and `check` is no agent"),
    ("vm/test-migration-", "nothing begins a test migration yet"),
    ("replica/rebuild-began/", "only a receiver that was away while points were dropped; sim/tests/retention.rs has one"),
    ("vm/migration-committed/", "nothing commits a migration yet"),
    ("deleted/", "what is deleted is older than what a life of a minute leaves; the simulation drops recovery points under every death"),
    ("collected/", "the same"),
    ("put/dropped", "the same"),
    ("put/lease", "only who reads a recovery point leaves one"),
    ("put/pin", "only `pin` puts one"),
    ("put/verified", "only `verify` puts one"),
    ("vm/blackout-overridden/", "no window holds here; sim/tests/hours.rs has one"),
    ("step/renew-tracking/", "the tracker tells the truth here; sim/tests/distrust.rs has one that lies"),
    ("vm/tracking-renewed/", "the same"),
    ("vm/tracker-lied/", "the same"),
    ("met/", "one store here; tests/e2e/tests/spine/spread.rs has several"),
    ("put/store-entry", "one store here; tests/e2e/tests/spine/spread.rs has several"),
    ("put/bound", "one store here; tests/e2e/tests/spine/spread.rs has several"),
    ("handled/", "a receiver apart remembers what it was told through the store; sim/tests/relay.rs has one"),
    ("put/command", "both roles are one process here; sim/tests/relay.rs has them apart"),
    ("put/reply", "both roles are one process here; sim/tests/relay.rs has them apart"),
    ("put/checkpoint", "one is written every 24 cycles; sim dies there, with one every 3 cycles"),
    ("step/learn-past/", "a gateway that is wrong about its replica cannot be made from outside; sim/tests/known_errors.rs has one"),
];

/// What an undisturbed life came by, and how many bytes the store received.
struct Undisturbed {
    moments: BTreeMap<String, u64>,
    bytes: u64,
}

// Asking an agent blocks a thread, and each life has servers that must be served meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn killed_at_every_named_moment_the_agent_finishes_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    plugins_ready(folder.path()).await;
    let plugins = folder.path().join("state");

    let undisturbed: Vec<(Scenario, Undisturbed)> =
        side_by_side(Scenario::ALL.map(|scenario| (scenario, plugins.clone())), |(scenario, plugins)| async move {
            let mut run = Run::begin(scenario, &plugins, None).await;
            run.play(scenario).await;
            // The oracle restores, which leaves moments of its own behind.
            let found = Undisturbed { moments: run.agent.moments(), bytes: run.site.lab.s3().counters().bytes_in };
            run.check(scenario, None).await;
            (scenario, found)
        })
        .await;
    let all = waypoints();
    let come_by = |name: &str| undisturbed.iter().find_map(|(scenario, found)| Some((*scenario, *found.moments.get(name)?)));
    let unknown: Vec<&String> = undisturbed.iter().flat_map(|(_, found)| found.moments.keys()).filter(|name| !all.contains(name)).collect();
    assert!(unknown.is_empty(), "these moments came and `transload waypoints` does not list them: {unknown:?}");
    let excused = |name: &str| NOT_COME_BY.iter().any(|(prefix, _)| name.starts_with(prefix));
    let missed: Vec<&String> = all.iter().filter(|name| come_by(name).is_none() && !excused(name)).collect();
    assert!(missed.is_empty(), "no scenario comes by {missed:?}: add an act, or the reason to NOT_COME_BY");
    let mut deaths = Vec::new();
    let come = all.iter().filter_map(|name| Some((name, come_by(name)?)));
    for (name, (scenario, times)) in come.step_by(if parts::long() { 1 } else { SHORT_FORM_EVERY }) {
        deaths.push((scenario, name.clone()));
        if parts::long() {
            let later = [2, times / 2, times].into_iter().filter(|which| *which > 1);
            let later: std::collections::BTreeSet<u64> = later.collect();
            deaths.extend(later.into_iter().map(|which| (scenario, format!("{name}:{which}"))));
        }
    }
    println!("{} moments, {} deaths", all.len(), deaths.len());
    assert!(deaths.len() >= 40, "{} deaths prove too little", deaths.len());
    let bytes: BTreeMap<Scenario, u64> = undisturbed.iter().map(|(scenario, found)| (*scenario, found.bytes)).collect();
    let jobs = deaths.into_iter().map(|(scenario, moment)| (scenario, moment, plugins.clone(), bytes[&scenario]));
    let died = side_by_side(jobs, |(scenario, moment, plugins, bytes)| async move {
        let began = tokio::time::Instant::now();
        let mut run = Run::begin(scenario, &plugins, Some(&moment)).await;
        run.play(scenario).await;
        run.check(scenario, Some(bytes)).await;
        println!("{moment} in {scenario:?}: {} death, {:.1} s", run.agent.deaths(), began.elapsed().as_secs_f32());
        (moment, run.agent.deaths())
    })
    .await;
    // A moment that came once in an undisturbed life may come less often in another one; its first time always comes.
    let survived: Vec<_> = died.iter().filter(|(moment, deaths)| *deaths == 0 && !moment.contains(':')).collect();
    assert!(survived.is_empty(), "nobody died at {survived:?}");
}

impl Run {
    /// The oracle.
    async fn check(&mut self, scenario: Scenario, undisturbed_bytes: Option<u64>) {
        let vm = self.agent.until(VM, "an answer", |vm| Some(vm.clone())).await;
        let sent = self.site.lab.s3().counters().bytes_in;
        let Run { site, agent, point } = self;
        let agent = agent.agent();
        site.assert_no_snapshot();
        site.assert_replica(agent, VM, *point).await;
        let rows = vm["history"].as_array().expect("the status shows what ended").clone();
        // A point without one of the disks holds nothing of what the lab froze of it.
        let whole = |row: &Value| row["outcome"] == "applied" && row["disks"].as_array().is_some_and(|disks| disks.len() == 2);
        for row in rows.iter().filter(|row| whole(row)) {
            site.assert_restored(agent, VM, row["cycle"].as_u64().expect("a row has a cycle")).await;
        }
        if matches!(scenario, Scenario::Life | Scenario::Lost) {
            let resynced: Vec<_> = rows.iter().filter(|row| modes(row).iter().any(|(_, mode)| mode == "resync")).collect();
            assert!(resynced.is_empty(), "a kill costs no resync: {resynced:#?}");
        }
        if let Some(calm) = undisturbed_bytes {
            assert!(sent <= calm + WINDOW + SLACK, "{sent} bytes were sent instead of {calm}");
        }
    }
}

/// Runs the jobs side by side, a few at a time; one that fails fails the test.
async fn side_by_side<J, T, F>(jobs: impl IntoIterator<Item = J>, work: impl Fn(J) -> F + Clone + Send + Sync + 'static) -> Vec<T>
where
    J: Send + 'static,
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let queue: Arc<Mutex<VecDeque<J>>> = Arc::new(Mutex::new(jobs.into_iter().collect()));
    let done = Arc::new(Mutex::new(Vec::new()));
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..LIVES_AT_ONCE {
        let (queue, done, work) = (queue.clone(), done.clone(), work.clone());
        lanes.spawn(async move {
            loop {
                let Some(job) = queue.lock().unwrap().pop_front() else { break };
                let result = work(job).await;
                done.lock().unwrap().push(result);
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.expect("a life of the matrix failed");
    }
    std::mem::take(&mut done.lock().unwrap())
}

/// Every moment, as the binary under test lists them.
fn waypoints() -> Vec<String> {
    let output = std::process::Command::new(parts::agent()).arg("waypoints").output().expect("the agent's program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("names are text").lines().map(str::to_owned).collect()
}
