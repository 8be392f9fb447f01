//! What the ends share: the seed and the trace; and what the ends of one process share: the moment of its next crash.

use std::sync::{Arc, Mutex, MutexGuard};

use futures::FutureExt;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::sync::Notify;

/// One world per seed, and one process in it. Cloning shares both.
#[derive(Clone)]
pub struct World {
    all: Arc<Mutex<State>>,
    process: Arc<Process>,
}

struct State {
    random: ChaCha20Rng,
    effects: u64,
    trace: Vec<String>,
    hooks: Vec<(String, Hook)>,
}

#[derive(Default)]
struct Process {
    life: Mutex<Life>,
    crash: Notify,
}

#[derive(Default)]
struct Life {
    /// Effects until the process dies; none: it lives.
    fuse: Option<u64>,
    dead: bool,
    /// Lines after which the process ends.
    ends: Vec<String>,
}

type Hook = Box<dyn FnOnce() + Send>;

/// No simulation is that long: a process that does so much turns in circles.
const EFFECTS_MAX: u64 = 5_000_000;

impl World {
    pub fn new(seed: u64) -> World {
        let state = State { random: ChaCha20Rng::seed_from_u64(seed), effects: 0, trace: Vec::new(), hooks: Vec::new() };
        World { all: Arc::new(Mutex::new(state)), process: Arc::default() }
    }

    /// The same world for the ends of another process, which has a death of its own.
    pub fn another_process(&self) -> World {
        World { all: self.all.clone(), process: Arc::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.all.lock().expect("nothing panics while it holds the world"))
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.process.life.lock().expect("nothing panics while it holds a life")
    }

    /// One place where the process may die: before and after every effect on an end. Never returns in a process that died.
    pub async fn step(&self, what: &str) {
        self.with(|state| {
            state.effects += 1;
            assert!(
                state.effects < EFFECTS_MAX,
                "the process turns in circles, at {what}:\n{}",
                state.trace[state.trace.len() - 20..].join("\n")
            );
        });
        if self.dies(what) {
            self.process.crash.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn dies(&self, what: &str) -> bool {
        let mut life = self.life();
        if !life.dead {
            life.dead = life.fuse == Some(0);
            life.fuse = life.fuse.map(|fuse| fuse.saturating_sub(1));
            if life.dead {
                self.with(|state| state.trace.push(format!("crash at {what}")));
            }
        }
        life.dead
    }

    /// Lets the process die after so many effects.
    pub fn light_fuse(&self, effects: u64) {
        self.life().fuse = Some(effects);
    }

    /// A new process after a crash.
    pub fn revive(&self) {
        *self.life() = Life::default();
        // Of several tasks that died together only the first was waited for.
        let _ = self.process.crash.notified().now_or_never();
    }

    pub async fn crashed(&self) {
        self.process.crash.notified().await;
    }

    pub fn effects(&self) -> u64 {
        self.with(|state| state.effects)
    }

    pub fn chance(&self, probability: f64) -> bool {
        self.with(|state| state.random.random_bool(probability))
    }

    /// The same, for what was added to the world later: where it never happens nothing is drawn, so that older histories stay as they were.
    pub fn rarely(&self, probability: f64) -> bool {
        probability > 0.0 && self.chance(probability)
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.with(|state| state.random.random_range(0..bound))
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        self.with(|state| state.random.fill(bytes));
    }

    /// Adds a line to the trace: the same seed gives the same lines.
    pub fn note(&self, line: String) {
        {
            let mut life = self.life();
            if life.ends.iter().any(|end| line.ends_with(end)) {
                life.fuse = Some(0);
            }
        }
        let hook = self.with(|state| {
            let hook = state.hooks.iter().position(|(when, _)| line.ends_with(when)).map(|index| state.hooks.remove(index).1);
            state.trace.push(line);
            hook
        });
        if let Some(act) = hook {
            act();
        }
    }

    /// The process ends at its first effect after a line that ends like one of these.
    pub fn end_at(&self, lines: &[&str]) {
        self.life().ends = lines.iter().map(|line| (*line).to_owned()).collect();
    }

    /// Does something once, right when a line that ends like this is noted, while the process lives on.
    pub fn when(&self, line: &str, act: impl FnOnce() + Send + 'static) {
        self.with(|state| state.hooks.push((line.to_owned(), Box::new(act))));
    }

    pub fn trace(&self) -> Vec<String> {
        self.with(|state| state.trace.clone())
    }
}
