//! What the ends share: the seed, the trace, and the moment of the next crash.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tokio::sync::Notify;

/// One world per seed. Cloning shares it.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    crash: Notify,
}

struct State {
    random: ChaCha20Rng,
    /// Effects until the process dies; none: it lives.
    fuse: Option<u64>,
    dead: bool,
    effects: u64,
    trace: Vec<String>,
    /// Lines after which the process ends.
    ends: Vec<String>,
    hooks: Vec<(String, Hook)>,
}

type Hook = Box<dyn FnOnce() + Send>;

/// No simulation is that long: a process that does so much turns in circles.
const EFFECTS_MAX: u64 = 5_000_000;

impl World {
    pub fn new(seed: u64) -> World {
        let state = State {
            random: ChaCha20Rng::seed_from_u64(seed),
            fuse: None,
            dead: false,
            effects: 0,
            trace: Vec::new(),
            ends: Vec::new(),
            hooks: Vec::new(),
        };
        World(Arc::new(Inner { state: Mutex::new(state), crash: Notify::new() }))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.state.lock().expect("nothing panics while it holds the world"))
    }

    /// One place where the process may die: before and after every effect on an end. Never returns in a process that died.
    pub async fn step(&self, what: &str) {
        let dies = self.with(|state| {
            state.effects += 1;
            assert!(state.effects < EFFECTS_MAX, "the process turns in circles:\n{}", state.trace[state.trace.len() - 20..].join("\n"));
            if state.dead {
                return true;
            }
            match &mut state.fuse {
                Some(0) => {
                    state.dead = true;
                    state.trace.push(format!("crash at {what}"));
                    true
                }
                Some(fuse) => {
                    *fuse -= 1;
                    false
                }
                None => false,
            }
        });
        if dies {
            self.0.crash.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Lets the process die after so many effects.
    pub fn light_fuse(&self, effects: u64) {
        self.with(|state| state.fuse = Some(effects));
    }

    /// A new process after a crash.
    pub fn revive(&self) {
        self.with(|state| {
            state.dead = false;
            state.fuse = None;
            state.ends.clear();
        });
        // Of several tasks that died together only the first was waited for.
        let _ = self.0.crash.notified().now_or_never();
    }

    pub async fn crashed(&self) {
        self.0.crash.notified().await;
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
        let hook = self.with(|state| {
            if state.ends.iter().any(|end| line.ends_with(end)) {
                state.fuse = Some(0);
            }
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
        self.with(|state| state.ends = lines.iter().map(|line| (*line).to_owned()).collect());
    }

    /// Does something once, right when a line that ends like this is noted, while the process lives on.
    pub fn when(&self, line: &str, act: impl FnOnce() + Send + 'static) {
        self.with(|state| state.hooks.push((line.to_owned(), Box::new(act))));
    }

    pub fn trace(&self) -> Vec<String> {
        self.with(|state| state.trace.clone())
    }
}
