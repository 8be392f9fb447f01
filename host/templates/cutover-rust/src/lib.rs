//! A cutover of names: address records at a PowerDNS server, by its HTTP API.
//!
//! ```text
//!   agent ─▶ cutover (this file) ─▶ plan.rs: the steps of a wave, out of its settings alone
//!                 │
//!                 └▶ server.rs: one record set, read and replaced
//! ```
//!
//! Each step is planned, looked at, applied, verified and perhaps undone in calls that know nothing of each other, days apart and in
//! fresh instances. All that connects them is the step's `detail`, and what `check` saw.

mod plan;
mod server;

// The contract in wit/ as Rust: `transload::plugin` is what the agent offers, `exports` is what it calls.
wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

use exports::transload::plugin::cutover::{Context, Description, Guest, Step};
use plan::Change;
use server::{Server, Set};
use transload::plugin::types::{Fault, FaultKind};

struct Plugin;

export!(Plugin);

impl Guest for Plugin {
    fn describe() -> Result<Description, Fault> {
        let product = Server::open()?.product()?;
        Ok(Description { product })
    }

    /// Asks nobody: a plan is shown before anything is touched, and must be the same when it is carried out.
    fn plan(context: Context) -> Result<Vec<Step>, Fault> {
        plan::steps(&context)
    }

    fn check(step: Step) -> Result<String, Fault> {
        let found = Server::open()?.read(&Change::of(&step)?)?;
        serde_json::to_string(&found).map_err(|error| fault(FaultKind::Internal, error.to_string()))
    }

    fn apply(step: Step, before: String, _idempotency_key: String) -> Result<(), Fault> {
        let (change, before) = (Change::of(&step)?, parsed(&before)?);
        replace(&change, &before, &change.done(&before))
    }

    fn verify(step: Step) -> Result<bool, Fault> {
        let change = Change::of(&step)?;
        Ok(change.is_done(&Server::open()?.read(&change)?))
    }

    fn undo(step: Step, before: String) -> Result<(), Fault> {
        let (change, before) = (Change::of(&step)?, parsed(&before)?);
        replace(&change, &change.done(&before), &before)
    }
}

/// From one state to another, unless it is there already. Anything else was made by somebody else, and is left as it is.
fn replace(change: &Change, from: &Set, to: &Set) -> Result<(), Fault> {
    let server = Server::open()?;
    match server.read(change)? {
        now if now == *to => Ok(()),
        now if now == *from => server.write(change, to),
        now => Err(fault(
            FaultKind::Conflict,
            format!(
                "Somebody else changed {}: it is {now}, and {from} was expected. It was left as it is.",
                change.name
            ),
        )),
    }
}

fn parsed(before: &str) -> Result<Set, Fault> {
    serde_json::from_str(before).map_err(|error| {
        fault(
            FaultKind::Invalid,
            format!("This is not what check answered: {error}."),
        )
    })
}

/// The kinds are in types.wit of the contract; the agent's retry policy looks at them and at nothing else.
fn fault(kind: FaultKind, message: impl Into<String>) -> Fault {
    Fault {
        kind,
        message: message.into(),
        retry_after_ms: None,
    }
}
