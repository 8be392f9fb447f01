//! Turns a fault into the three things a person wants to know. The only place where faults become advice.

use crate::model::{Fault, FaultKind};

use super::command::Refusal;

/// For a command that was refused or failed. None of the commands changes a replica.
pub fn refusal(fault: Fault) -> Refusal {
    let next = next(&fault).to_owned();
    Refusal { safe: "Nothing was changed: replicas, recovery points and the source are as they were.".to_owned(), next, fault }
}

/// Whether the data is safe, for a VM that has trouble. `point`: the newest recovery point, as people write it.
pub fn safe(point: Option<&str>) -> String {
    match point {
        Some(point) => format!("The replica is complete up to {point}. Nothing of it was lost."),
        None => "There is no recovery point yet. The source is not affected.".to_owned(),
    }
}

pub fn next(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Denied => "Allow what is named, or change the configuration; the agent tries again by itself.",
        FaultKind::Auth => "Check the user and the secret file; the agent tries again by itself.",
        FaultKind::NotFound => "Check the name and `transload status`.",
        FaultKind::Conflict => "Somebody else changed something: look before going on; the agent leaves it alone.",
        FaultKind::Invalid => "Correct what is named and ask again.",
        FaultKind::Corrupt => "What was damaged is not used; the next cycle sends it again.",
        FaultKind::Unsupported => "This cannot work here; choose another way.",
        FaultKind::Throttled | FaultKind::Unavailable => "The agent tries again by itself.",
        FaultKind::Full => "Make space; the agent tries again by itself.",
        FaultKind::Cancelled => "Ask again when you are ready.",
        FaultKind::Internal => "This is a bug or a broken disk: look at the log, and report it.",
    }
}
