//! An agent that may die at a named moment, and is started again: whoever talks to it only sees that an answer takes longer.
//!
//! What it is asked over its socket and not by the command line: a matrix of a hundred lives would otherwise start ten thousand processes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::agent::{Agent, PATIENCE};
use crate::parts;
use crate::setup::Setup;

const LOOK_EVERY: Duration = Duration::from_millis(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// What the agent is told by this variable, and what it says when a moment comes (host/src/waypoint.rs).
const VARIABLE: &str = "TRANSLOAD_DIE_AT";
const NOWHERE: &str = "nowhere";
const KILL: i32 = 9;

pub struct Survivor {
    setup: Setup,
    agent: Option<Agent>,
    die_at: Option<String>,
    deaths: usize,
}

impl Survivor {
    /// Dies at this moment, once; without one it lives and says which moments come.
    pub fn new(setup: Setup, die_at: Option<&str>) -> Survivor {
        Survivor { setup, agent: None, die_at: die_at.map(str::to_owned), deaths: 0 }
    }

    pub fn deaths(&self) -> usize {
        self.deaths
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The agent, for those who only look.
    pub fn agent(&mut self) -> &Agent {
        self.alive();
        self.agent.as_ref().expect("it was just started")
    }

    /// kill -9 from outside, between two acts of a scenario. The next question starts it again.
    pub fn stop(&mut self) {
        self.agent.take().expect("an agent runs").kill();
    }

    /// Starts what is not running: a first life, or one after the death that was asked for. Any other end fails the test.
    fn alive(&mut self) {
        if let Some(agent) = &mut self.agent {
            let Some(signal) = agent.ended_by() else { return };
            assert_eq!(signal, Some(KILL), "the agent ended by itself");
            assert!(self.die_at.is_some() && self.deaths == 0, "the agent was killed a second time");
            self.deaths += 1;
        }
        let variable = match (&self.die_at, self.deaths) {
            (None, _) => vec![(VARIABLE.to_owned(), NOWHERE.to_owned())],
            (Some(moment), 0) => vec![(VARIABLE.to_owned(), moment.clone())],
            (Some(_), _) => Vec::new(),
        };
        self.agent = None;
        self.agent = Some(Agent::spawn(&Setup { environment: variable, ..self.setup.clone() }));
    }

    /// One command, one answer; none while the agent starts, or when it died of it.
    pub fn ask(&mut self, command: &Value) -> Option<Value> {
        self.alive();
        parts::waiting(|| ask(&self.setup.state().join("agent.sock"), command)).ok()
    }

    /// What the status says of the VM.
    pub fn vm(&mut self, name: &str) -> Option<Value> {
        let status = self.ask(&serde_json::json!({ "command": "status" }))?;
        status["status"]["vms"].as_array()?.iter().find(|vm| vm["name"] == name).cloned()
    }

    /// Looks at the VM until the question has an answer, over a death if there is one.
    pub async fn until<T>(&mut self, vm: &str, what: &str, mut question: impl FnMut(&Value) -> Option<T>) -> T {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.vm(vm);
            if let Some(answer) = found.as_ref().and_then(&mut question) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < end, "{vm}: {what} did not come: {found:#?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The moments that came in the lives so far, and how often each.
    pub fn moments(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        let log = std::fs::read_to_string(self.setup.log()).unwrap_or_default();
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if let Some(name) = line["fields"]["waypoint"].as_str() {
                *found.entry(name.to_owned()).or_default() += 1;
            }
        }
        found
    }
}

fn ask(socket: &Path, command: &Value) -> std::io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    writeln!(stream, "{command}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
