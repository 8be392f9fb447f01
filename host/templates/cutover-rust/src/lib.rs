//! A cutover of names: address records at a PowerDNS server, by its HTTP API.
//!
//! ```text
//!   agent ─▶ Cutover (this file) ─▶ plan.rs: the steps of a wave, out of its settings alone
//!                 │
//!                 └▶ server.rs: one record set, read and replaced
//! ```
//!
//! Each step is planned, looked at, applied, verified and perhaps undone in calls that know nothing of each other, days apart and in
//! fresh instances. All that connects them is the step's `detail`, and what `check` saw.

mod plan;
mod server;

use transload_guest::cutover::{Context, Cutover, Description, Step};
use transload_guest::fault::Fault;

use plan::Change;
use server::{Server, Set};

transload_guest::export_cutover!(Plugin);

struct Plugin {
    server: Server,
}

impl Cutover for Plugin {
    fn open(settings: &str) -> Result<Plugin, Fault> {
        Ok(Plugin {
            server: Server::open(settings)?,
        })
    }

    fn describe(&self) -> Result<Description, Fault> {
        Ok(Description {
            product: self.server.product()?,
        })
    }

    /// Asks nobody: a plan is shown before anything is touched, and must be the same when it is carried out.
    fn plan(&self, context: &Context) -> Result<Vec<Step>, Fault> {
        plan::steps(context)
    }

    fn check(&self, step: &Step) -> Result<String, Fault> {
        let found = self.server.read(&Change::of(step)?)?;
        serde_json::to_string(&found).map_err(|error| Fault::internal(error.to_string()))
    }

    fn apply(&self, step: &Step, before: &str, _idempotency_key: &str) -> Result<(), Fault> {
        let (change, before) = (Change::of(step)?, parsed(before)?);
        self.replace(&change, &before, &change.done(&before))
    }

    fn verify(&self, step: &Step) -> Result<bool, Fault> {
        let change = Change::of(step)?;
        Ok(change.is_done(&self.server.read(&change)?))
    }

    fn undo(&self, step: &Step, before: &str) -> Result<(), Fault> {
        let (change, before) = (Change::of(step)?, parsed(before)?);
        self.replace(&change, &change.done(&before), &before)
    }
}

impl Plugin {
    /// From one state to another, unless it is there already. Anything else was made by somebody else, and is left as it is.
    fn replace(&self, change: &Change, from: &Set, to: &Set) -> Result<(), Fault> {
        match self.server.read(change)? {
            now if now == *to => Ok(()),
            now if now == *from => self.server.write(change, to),
            now => Err(Fault::conflict(format!(
                "Somebody else changed {}: it is {now}, and {from} was expected. It was left as it is.",
                change.name
            ))),
        }
    }
}

fn parsed(before: &str) -> Result<Set, Fault> {
    serde_json::from_str(before)
        .map_err(|error| Fault::invalid(format!("This is not what check answered: {error}.")))
}
