//! The agent as a process, and what it answers.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::parts;
use crate::setup::Setup;

/// How long anything may take before a test gives up. Generous: two cores are shared with other tests.
pub const PATIENCE: Duration = Duration::from_secs(90);
pub const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// The one JSON object that --json prints.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The fault of a refused command.
    pub fn fault(&self) -> String {
        let message = &self.json()["refused"]["fault"]["message"];
        message.as_str().unwrap_or_else(|| panic!("nothing was refused: {self:?}")).to_owned()
    }

    /// The messages of a `check`'s failed steps, with their fixes.
    pub fn failed_steps(&self) -> Vec<String> {
        let json = self.json();
        let steps = json["steps"].as_array().expect("check answers steps");
        let failed = steps.iter().filter(|step| step["ok"] == false);
        failed.map(|step| format!("{}: {} -> {}", text(&step["what"]), text(&step["message"]), text(&step["fix"]))).collect()
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A running agent. It is killed when this value goes.
pub struct Agent {
    child: Child,
    pub setup: Setup,
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of {}:\n{}", self.setup.log().display(), tail(self.setup.log()));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    /// Writes the configuration, starts the agent, and waits until it answers.
    pub async fn start(setup: &Setup) -> Agent {
        let mut agent = Agent::spawn(setup);
        agent.until_it_answers().await;
        agent
    }

    /// Starts the agent and waits for nothing.
    pub fn spawn(setup: &Setup) -> Agent {
        Agent::spawn_with(setup, "info")
    }

    pub fn spawn_with(setup: &Setup, log: &str) -> Agent {
        setup.write();
        let file = OpenOptions::new().create(true).append(true).open(setup.log()).expect("the site can be written");
        let mut command = Command::new(parts::agent());
        command
            .arg("--config")
            .arg(setup.config())
            .arg("run")
            .args(&setup.run_arguments)
            .env("TRANSLOAD_LOG", log)
            .envs(setup.environment.clone());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("the agent's program starts");
        Agent { child, setup: setup.clone() }
    }

    pub async fn until_it_answers(&mut self) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.setup.run(&["status", "--json"]).code != 0 {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                panic!("the agent ended while it started ({status}): {}", tail(self.setup.log()));
            }
            assert!(tokio::time::Instant::now() < end, "the agent does not answer");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Starts an agent that must refuse to run; answers what it says.
    pub async fn refused(setup: &Setup) -> String {
        setup.write();
        let arguments: Vec<&str> = std::iter::once("run").chain(setup.run_arguments.iter().map(String::as_str)).collect();
        let said = setup.run(&arguments);
        assert_ne!(said.code, 0, "the agent runs although it must not");
        said.err
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        self.child.kill().expect("the child is ours");
        parts::waiting(|| self.child.wait()).expect("the child is ours");
    }

    /// Tells it to stop, as a service manager does, and waits until it has. Answers its exit status.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        parts::waiting(|| self.child.wait()).expect("the child is ours").code()
    }

    /// Ends it as a bug would: by SIGABRT, with core files allowed as far as root can allow them. Whether the kernel wrote one.
    pub fn abort(mut self) -> bool {
        aborts_with_a_core(&mut self.child)
    }

    /// The process stands still until `resume`.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, which: &str) {
        let status = Command::new("kill").args([which, &self.id().to_string()]).status().expect("kill is there");
        assert!(status.success(), "the process cannot be signalled");
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_some()
    }

    /// None while it runs; then the signal that ended it, if one did.
    pub fn ended_by(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("the child is ours").map(|status| status.signal())
    }

    pub fn ask(&self, arguments: &[&str]) -> Said {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        self.setup.run(&arguments)
    }

    pub fn status(&self) -> Value {
        let said = self.ask(&["status"]);
        assert_eq!(said.code, 0, "{said:?}");
        said.json()["status"].take()
    }

    /// What the status says of the VM.
    pub fn vm(&self, name: &str) -> Option<Value> {
        let status = self.status();
        let vms = status["vms"].as_array().expect("the status lists VMs");
        vms.iter().find(|vm| vm["name"] == name || vm["id"] == name).cloned()
    }

    /// Looks at the VM until the question has an answer.
    pub async fn until<T>(&self, name: &str, what: &str, mut question: impl FnMut(&Value) -> Option<T>) -> T {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let vm = self.vm(name);
            if let Some(answer) = vm.as_ref().and_then(&mut question) {
                return answer;
            }
            if tokio::time::Instant::now() > end {
                let shown = vm.map_or("it is not there".to_owned(), |vm| format!("{vm:#}"));
                panic!("{name}: {what} did not come: {shown}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until this cycle is over and its row is there, whatever its outcome.
    pub async fn ended(&self, vm: &str, cycle: u64) -> Value {
        self.until(vm, &format!("the end of cycle {cycle}"), |vm| row(vm, cycle)).await
    }

    /// Waits until this cycle is a recovery point, the replica stands at it, and nothing else runs.
    pub async fn settled(&self, vm: &str, cycle: u64) -> Value {
        let point = format!("at recovery point {cycle}");
        self.until(vm, &format!("recovery point {cycle}"), |vm| {
            let replica = &vm["replica"];
            let there = replica.is_null() || *replica == point;
            let idle = text(&vm["state"]).starts_with("idle") || vm["state"] == "final cycle applied";
            (vm["point"]["cycle"] == cycle && there && idle).then(|| row(vm, cycle))?
        })
        .await
    }

    /// Asks for a delta and waits until it is a recovery point. Answers its row.
    pub async fn sync(&self, vm: &str) -> Value {
        let next = self.newest(vm) + 1;
        self.demand(vm, "sync");
        self.settled(vm, next).await
    }

    /// Asks for something; a VM that is still being looked for is waited for.
    pub fn demand(&self, vm: &str, verb: &str) {
        let mut said = self.ask(&[verb, vm]);
        for _ in 0..100 {
            if said.code == 0 || said.json()["refused"]["fault"]["kind"] != "unavailable" {
                break;
            }
            parts::waiting(|| std::thread::sleep(LOOK_EVERY));
            said = self.ask(&[verb, vm]);
        }
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Asks something of a VM's replication that must be accepted.
    pub fn order(&self, verb: &[&str]) -> String {
        let said = self.ask(&[&["vm"][..], verb].concat());
        let accepted = said.json()["accepted"]["message"].as_str().map(str::to_owned);
        accepted.unwrap_or_else(|| panic!("{verb:?} is not accepted: {said:?}"))
    }

    /// The same of something that must be denied; answers the name of the reason.
    pub fn denied(&self, verb: &[&str]) -> String {
        let said = self.ask(verb);
        assert_eq!(said.code, 1, "{said:?}");
        text(&said.json()["refused"]["reason"]).to_owned()
    }

    /// Waits until the VM's replication is shown in this state.
    pub async fn until_it_is(&self, vm: &str, state: &str) {
        self.until(vm, state, |vm| (vm["replication"]["state"] == state).then_some(())).await;
    }

    /// The newest cycle that ended.
    pub fn newest(&self, vm: &str) -> u64 {
        let vm = self.vm(vm).expect("the VM is there");
        vm["history"].as_array().and_then(|rows| rows.last()?["cycle"].as_u64()).unwrap_or(0)
    }

    pub fn trouble(&self, vm: &str) -> Option<String> {
        let vm = self.vm(vm)?;
        vm["trouble"]["fault"]["message"].as_str().map(str::to_owned)
    }
}

/// The wait status tells about a core file, wherever this machine's core_pattern would have put it.
pub fn aborts_with_a_core(child: &mut Child) -> bool {
    let id = child.id().to_string();
    // A limit that a process gave itself is lifted by root alone.
    let lifted = Command::new("prlimit").args(["--core=unlimited", "--pid", &id]).stderr(Stdio::null()).status();
    println!("core files allowed: {}", lifted.is_ok_and(|status| status.success()));
    assert!(Command::new("kill").args(["-ABRT", &id]).status().expect("kill is there").success());
    let status = parts::waiting(|| child.wait()).expect("the child is ours");
    assert_eq!(status.signal(), Some(6), "{status}");
    status.core_dumped()
}

/// The row of a cycle in the VM's history.
pub fn row(vm: &Value, cycle: u64) -> Option<Value> {
    vm["history"].as_array()?.iter().find(|ended| ended["cycle"] == cycle).cloned()
}

/// The sum of a column over the disks of a row: planned, read, sent, stored.
pub fn sum(row: &Value, column: &str) -> u64 {
    row["disks"].as_array().expect("a row has disks").iter().map(|disk| disk["stats"][column].as_u64().expect("bytes")).sum()
}

/// The modes of a row's disks, by label.
pub fn modes(row: &Value) -> Vec<(String, String)> {
    let disks = row["disks"].as_array().expect("a row has disks").iter();
    disks.map(|disk| (text(&disk["label"]).to_owned(), text(&disk["mode"]).to_owned())).collect()
}

fn tail(path: PathBuf) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
