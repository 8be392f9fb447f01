//! The conformance kit: what Transload relies on in a plugin, as numbered claims with their reasons, tried on the real thing.
//!
//! ```text
//!   plugin ─▶ Trial ─▶ claim 1 … claim n ─▶ Judged: holds, noted or fails, with what was seen
//! ```
//!
//! A claim is tried alone: one that fails does not keep the next from being tried. Whatever a trial writes lies below a folder of its own
//! and is deleted at its end.

pub mod cutover;
pub mod sink;
pub mod source;

use std::time::Duration;

use serde::Serialize;

use crate::model::Fault;

// As the driver does it: a step that failed in passing is done again, as a whole.
const TRIES_MAX: u32 = 7;
const PAUSE: Duration = Duration::from_secs(1);

macro_rules! patiently {
    ($step:expr) => {{
        let mut tries = 1;
        loop {
            match $step.await {
                Err(fault) if fault.kind.passes() && tries < $crate::kit::TRIES_MAX => tries += 1,
                done => break done,
            }
            tokio::time::sleep($crate::kit::PAUSE).await;
        }
    }};
}

use patiently;

/// One claim, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    pub number: usize,
    pub claim: &'static str,
    /// What is lost where it does not hold.
    pub because: &'static str,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Holds,
    /// It holds as far as the plugin says that it does.
    Noted(String),
    Fails(String),
}

impl Judged {
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Fails(_))
    }
}

/// Nothing to say, a note, or why the claim does not hold.
type Tried = Result<Option<String>, String>;

fn judged(number: usize, claim: &'static str, because: &'static str, tried: Tried) -> Judged {
    let outcome = match tried {
        Ok(None) => Outcome::Holds,
        Ok(Some(note)) => Outcome::Noted(note),
        Err(why) => Outcome::Fails(why),
    };
    Judged { number, claim, because, outcome }
}

fn told(what: &str, fault: &Fault) -> String {
    format!("{what}: {} ({})", fault.message, fault.kind)
}
