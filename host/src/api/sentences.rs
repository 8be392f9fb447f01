//! Turns a fault into the three things a person wants to know. The only place where faults become advice.

use std::path::Path;

use jiff::Timestamp;

use crate::model::{Fault, FaultKind};
use crate::policy::waiting::{Limit, Shortage, Takes, Waiting};

use super::command::Refusal;
use super::pace;
use super::status::Missing;

/// For a command that was refused or failed. None of the commands changes a replica.
pub fn refusal(fault: Fault) -> Refusal {
    let next = next_for_command(&fault).to_owned();
    Refusal {
        reason: None,
        safe: "Nothing was changed: replicas, recovery points and the source are as they were.".to_owned(),
        next,
        fault,
    }
}

/// For a plan to drop recovery points that was not executed to its end.
pub fn refusal_of_prune(fault: Fault) -> Refusal {
    let safe = "Every recovery point that the plan keeps is whole, and so are replicas and the source. What it drops may be gone in part.";
    let next = match fault.kind {
        FaultKind::Conflict => "Look at `transload status` and at the plan of now (--dry-run), and ask again.",
        _ => "Ask again when that is out of the way; the agent also goes on by itself, unless automatic = false.",
    };
    Refusal { reason: None, safe: safe.to_owned(), next: next.to_owned(), fault }
}

/// For an agent that does not start.
pub fn refusal_at_start(fault: Fault) -> Refusal {
    let next = match fault.kind.passes() {
        true => "Start the agent again when that can be reached; a service manager does it by itself.",
        false => "Correct what is named, then start the agent again.",
    };
    let safe = "Nothing was started and nothing was changed: replicas, recovery points and the source are as they were.";
    Refusal { reason: None, safe: safe.to_owned(), next: next.to_owned(), fault }
}

/// For a command that found no agent to ask.
pub fn nobody(fault: Fault) -> Refusal {
    let next = "Start the agent with `transload run`, then ask again.";
    Refusal { reason: None, safe: "Nothing was asked of anyone and nothing was changed.".to_owned(), next: next.to_owned(), fault }
}

/// For a VM that is wanted and that the agent cannot begin with.
pub fn missing(message: String) -> Missing {
    let safe = "It is not replicated now; what was replicated before is as it was.";
    let next = "`transload check` says what helps; the agent looks for it again by itself.";
    Missing { message, safe: safe.to_owned(), next: next.to_owned() }
}

/// Why a VM does nothing just now. Who waits behind another one is told whom.
pub fn waiting(waiting: &Waiting, now: Timestamp) -> String {
    let shortage = match waiting {
        Waiting::Returning { vms: 0 } => return "waits: the agent has just started and finds its VMs first".to_owned(),
        Waiting::Returning { vms } => return format!("waits: {vms} VMs whose snapshots are open go first"),
        Waiting::Blackout(closed) => return format!("waits: {}", pace::blackout(closed, now)),
        Waiting::Parked(closed) => return format!("stands still: {}", pace::blackout(closed, now)),
        Waiting::FinalCycle { of } => return format!("stands still: the final cycle of {of} has the line"),
        Waiting::Datastore { name, tight, takes } => {
            let takes = match takes {
                Takes::OneVm => "one VM at a time",
                Takes::None => "no snapshot is opened there",
            };
            return format!("waits: datastore {name} {tight}: {takes}");
        }
        Waiting::Limit(shortage) => shortage,
    };
    let Shortage { limit, in_use, max, wanted, behind } = shortage;
    let of = max.map_or_else(|| in_use.to_string(), |max| format!("{in_use} of {max}"));
    let what = match limit {
        Limit::Vms => format!("this appliance replicates {of} VMs"),
        Limit::Disks => format!("this appliance reads {of} disks"),
        Limit::Host { name, .. } => format!("host {name} has {of} disks"),
        Limit::Datastore { name, .. } => format!("datastore {name} has {of} disk snapshots"),
        Limit::Sink { name } => format!("store {name} takes {of} disks"),
    };
    let why = match behind {
        Some(name) => format!(", and {name} goes first"),
        None if max.is_some_and(|max| *in_use < max) => format!(", and this VM needs {wanted}"),
        None => String::new(),
    };
    format!("waits: {what}{why}")
}

/// What `transload check` leaves behind, whatever it found.
pub const CHECKED_SAFE: &str = "Nothing was changed and no VM was touched: replicas, recovery points and the source are as they were.";
/// What comes after a check that found something.
pub const CHECKED_NEXT: &str = "Do what is said under each step, then check again.";

/// What the verbs for plugins leave behind where they fail.
pub const PLUGIN_SAFE: &str = "Replicas, recovery points, the source and a running agent are as they were.";
/// What comes after a plugin that cannot be used as it lies there.
pub const PLUGIN_NEXT: &str = "`transload plugin inspect NAME` shows what lies there; correct what is named, or install the plugin again.";
/// What a trial leaves behind where it fails: it may have failed in taking back what it made.
pub const PLUGIN_TESTED_SAFE: &str = "Replicas, recovery points and a running agent are as they were. Of the trial itself something may be left: \
     objects below probe/kit- in the store, or a snapshot of the VM whose name begins with transload-kit-; both may be removed. Of a wave, steps \
     may still be done: look at what its names and addresses answer.";
/// What comes after claims that do not hold.
pub const PLUGIN_TESTED_NEXT: &str = "Rely on it for nothing before every claim holds: each that fails says what would be lost.";

/// What comes after a configuration that cannot be used.
pub fn next_for_configuration(path: &Path) -> String {
    match path.exists() {
        true => "Correct each of these places, then try again; `transload check` tries everything that the configuration names.".to_owned(),
        false => format!(
            "Name the configuration with --config, or write one: transload --config {} init. A running agent is not affected.",
            path.display()
        ),
    }
}

fn next_for_command(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Denied => "Look at `transload status`: a person has to decide something first.",
        FaultKind::Auth => "Check the secret file and this machine's clock, and ask again.",
        FaultKind::Conflict => "Name another one, and ask again.",
        FaultKind::Throttled | FaultKind::Unavailable => "Ask again in a moment.",
        FaultKind::Full => "Make space, and ask again.",
        _ => next(fault),
    }
}

/// Whether the data is safe, for a VM that has trouble. `point`: the newest recovery point, as people write it.
pub fn safe(point: Option<&str>) -> String {
    match point {
        Some(point) => format!("The replica is complete up to {point}. Nothing of it was lost."),
        None => "There is no recovery point yet. The source is not affected.".to_owned(),
    }
}

/// What a cycle that failed leaves for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// What its attempts published, which the next one builds on.
    Published,
}

/// Who begins the cycle after one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    ByItself,
    ByCommand,
    /// Replication ends.
    Nothing,
}

/// What comes next after a cycle that failed.
pub fn after_failure(fault: &Fault, follows: Follows, kept: Kept) -> String {
    let begins = match follows {
        Follows::ByItself => "The cycle failed; the next one begins by itself",
        Follows::ByCommand => "The cycle failed; the next one begins when you say `transload vm repair`",
        Follows::Nothing => return format!("{} The cycle failed, and none follows: replication ends.", what_helps(fault)),
    };
    let with = match kept {
        Kept::Nothing => "and starts from the same recovery point",
        Kept::Published => "and goes on with what was copied so far",
    };
    format!("{} {begins}, {with}.", what_helps(fault))
}

fn what_helps(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Denied => "Allow what is named, or change the configuration.",
        FaultKind::Auth => "Check the user, the secret file and this machine's clock.",
        FaultKind::NotFound => "It was not there any more when it was needed.",
        FaultKind::Conflict => "Somebody else is at work there: look at it; nothing of theirs was touched.",
        FaultKind::Invalid => "Correct what is named.",
        FaultKind::Corrupt => "What was damaged is not used.",
        FaultKind::Unsupported => "This cannot work here; choose another way.",
        FaultKind::Throttled | FaultKind::Unavailable => "It did not come back within its budget (replication.patience).",
        FaultKind::Full => "Make space.",
        FaultKind::Cancelled => "It was ended before it was done.",
        FaultKind::Internal => "This is a bug or a broken disk: look at the log, and report it.",
    }
}

/// What comes next for a VM that this agent has given up.
pub const HALTED: &str = "This agent leaves the VM alone. To take it over on purpose, begin with an empty state folder.";

pub fn next(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Denied => "Allow what is named, or change the configuration; the agent tries again by itself.",
        FaultKind::Auth => "Check the user, the secret file and this machine's clock; the agent tries again by itself.",
        FaultKind::NotFound => "Check the name and `transload status`.",
        FaultKind::Conflict => "Somebody else is at work there: look at it; the agent touches nothing of theirs and tries again by itself.",
        FaultKind::Invalid => "Correct what is named and ask again.",
        FaultKind::Corrupt => "What was damaged is not used; the next cycle sends it again.",
        FaultKind::Unsupported => "This cannot work here; choose another way.",
        FaultKind::Throttled | FaultKind::Unavailable => "The agent tries again by itself.",
        FaultKind::Full => "Make space; the agent tries again by itself.",
        FaultKind::Cancelled => "Ask again when you are ready.",
        FaultKind::Internal => "This is a bug or a broken disk: look at the log, and report it.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::calendar::{Closed, OnEnter};
    use crate::policy::governor::Tight;

    #[test]
    fn a_vm_that_waits_names_the_limit_and_who_goes_first() {
        let waiting = |why: &Waiting| waiting(why, "2026-11-30T09:00:00Z".parse().unwrap());
        let limit = |limit, in_use, max, wanted, behind: Option<&str>| {
            waiting(&Waiting::Limit(Shortage { limit, in_use, max, wanted, behind: behind.map(str::to_owned) }))
        };
        let host = || Limit::Host { source: "vc1".into(), name: "esx-07".into() };
        let store = Limit::Datastore { source: "vc1".into(), id: "datastore-1".into(), name: "fast".into() };
        let closed = || Closed {
            rule: "Monday 07:00 for 7 h".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            on_enter: OnEnter::Park,
            until: "2026-11-30T13:00:00Z".parse().ok(),
        };
        let window = "blackout until Monday 14:00 Europe/Berlin (rule: Monday 07:00 for 7 h)";
        assert_eq!(waiting(&Waiting::Blackout(closed())), format!("waits: {window}"));
        assert_eq!(waiting(&Waiting::Parked(closed())), format!("stands still: {window}"));
        for (sentence, expected) in [
            (limit(host(), 8, Some(8), 1, None), "waits: host esx-07 has 8 of 8 disks"),
            (limit(host(), 6, Some(8), 4, None), "waits: host esx-07 has 6 of 8 disks, and this VM needs 4"),
            (limit(host(), 6, Some(8), 1, Some("db01")), "waits: host esx-07 has 6 of 8 disks, and db01 goes first"),
            (limit(Limit::Vms, 300, Some(300), 1, None), "waits: this appliance replicates 300 of 300 VMs"),
            (limit(Limit::Disks, 52, Some(52), 1, None), "waits: this appliance reads 52 of 52 disks"),
            (limit(store, 15, Some(15), 1, None), "waits: datastore fast has 15 of 15 disk snapshots"),
            (limit(Limit::Sink { name: "s3".into() }, 9, Some(9), 1, None), "waits: store s3 takes 9 of 9 disks"),
            (
                waiting(&Waiting::Datastore {
                    name: "fast".into(),
                    tight: Tight::Space { free: 9 << 30, reserve: 5 << 30 },
                    takes: Takes::OneVm,
                }),
                "waits: datastore fast has 9.0 GiB free, and its reserve is 5.0 GiB: one VM at a time",
            ),
            (
                waiting(&Waiting::Datastore {
                    name: "fast".into(),
                    tight: Tight::Filling { free: 9 << 30, reserve: 5 << 30, seconds: 600 },
                    takes: Takes::None,
                }),
                "waits: datastore fast has 9.0 GiB free and comes down to its reserve of 5.0 GiB in 10 min: no snapshot is opened there",
            ),
            (waiting(&Waiting::Returning { vms: 3 }), "waits: 3 VMs whose snapshots are open go first"),
            (waiting(&Waiting::FinalCycle { of: "db01".into() }), "stands still: the final cycle of db01 has the line"),
        ] {
            assert_eq!(sentence, expected);
        }
    }

    const KINDS: [FaultKind; 12] = {
        use FaultKind::*;
        [Denied, Auth, NotFound, Conflict, Invalid, Corrupt, Unsupported, Throttled, Unavailable, Full, Cancelled, Internal]
    };

    /// Everything that a person may read about a failed cycle, as one file. `TRANSLOAD_GOLDEN=write` writes it anew.
    #[test]
    fn a_failed_cycle_says_what_happened_what_is_safe_and_what_comes_next() {
        let mut found = String::new();
        for (number, kind) in KINDS.into_iter().enumerate() {
            let fault = Fault::new(kind, "what happened");
            let point = (number % 2 == 0).then_some("2026-11-30T14:02:00Z");
            let (follows, kept) = [
                (Follows::ByItself, Kept::Published),
                (Follows::ByCommand, Kept::Nothing),
                (Follows::Nothing, Kept::Nothing),
                (Follows::ByItself, Kept::Nothing),
            ][number % 4];
            found.push_str(&format!("{fault}\n  {}\n  {}\n", safe(point), after_failure(&fault, follows, kept)));
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/failed-cycle.txt");
        if std::env::var("TRANSLOAD_GOLDEN").as_deref() == Ok("write") {
            std::fs::write(&path, &found).unwrap();
        }
        assert_eq!(found, std::fs::read_to_string(&path).unwrap());
    }
}
