//! What a person is told when a VM's state has judged a command: what will be done, what is so already, or why it must not be.

use jiff::Timestamp;

use crate::model::Fault;
use crate::policy::vm::command::{Already, Command, Denial};
use crate::policy::vm::{AtCutover, Running, Vm};

use super::command::Refusal;
use super::pace;

/// What follows, before it happens. `vm`: the state that accepted the command.
pub fn accepted(name: &str, vm: &Vm, command: &Command) -> String {
    match command {
        Command::Sync => format!("{name}: a cycle begins as soon as nothing else runs"),
        Command::Final => format!("{name}: the final cycle begins as soon as nothing else runs; the guest is shut down first"),
        Command::FinalInBlackout => format!(
            "{name}: the final cycle begins as soon as nothing else runs, whatever window of the calendar holds; the guest is shut down first"
        ),
        Command::Pause if vm.cycle.is_some() => {
            format!("{name}: the copy is put down and its snapshot closed; what is in the store is kept, and `resume` goes on from there")
        }
        Command::Pause => format!("{name}: no cycle begins until `transload vm resume {name}`"),
        Command::Resume => format!("{name}: replication goes on from what is in the store"),
        Command::Stop { running } => format!("{name}: {}. {}", what_runs(vm, *running), what_goes(vm)),
        Command::Complete => format!("{name}: the move is over, and replication ends. {}", what_goes(vm)),
        Command::Repair => format!("{name}: the repair begins now"),
        Command::Resync => {
            format!(
                "{name}: the next cycle compares every disk whole with the recovery point, and sends what differs; it begins as soon as nothing else runs"
            )
        }
        Command::ResetTracking if vm.cycle.is_some() => {
            format!(
                "{name}: change tracking is begun anew at the source when the running cycle is over; a comparison of everything follows"
            )
        }
        Command::ResetTracking => {
            format!("{name}: change tracking is begun anew at the source now; the next cycle compares every disk whole")
        }
        Command::ExcludeDisk { disk, at_cutover } => {
            format!(
                "{name}: {disk} is left out of this and further cycles, and so of their recovery points; at cutover {}",
                at(*at_cutover)
            )
        }
        Command::IncludeDisk { disk } => {
            format!("{name}: {disk} is taken in again; unless no recovery point was made without it, the next cycle copies it whole")
        }
        Command::Restart => format!("{name}: it is replicated again; the first cycle compares what is there and sends what differs"),
    }
}

fn what_runs(vm: &Vm, running: Running) -> &'static str {
    match (&vm.cycle, running) {
        (None, _) => "no cycle begins any more, and replication ends",
        (Some(_), Running::Finish) if vm.point.is_some() => "the running cycle is finished first, then replication ends",
        (Some(_), _) => "the running copy is ended where it is, its snapshot is closed, and replication ends",
    }
}

/// What a stop lets go of, and what it leaves.
fn what_goes(vm: &Vm) -> String {
    let copy = match &vm.point {
        Some(_) => "Recovery points and the replica stay",
        None => "There is no recovery point; what the first copy put into the store is not used again",
    };
    format!("Markers are released at the source, and this agent's digest tables are deleted. {copy}. `transload replicate` begins again")
}

pub fn at(choice: AtCutover) -> &'static str {
    match choice {
        AtCutover::CopyBeforeStart => "it is copied before the VM starts",
        AtCutover::AttachLater => "the VM starts without it, and it is attached later",
        AtCutover::Leave => "it is left behind",
    }
}

pub fn ignored(name: &str, already: Already) -> String {
    match already {
        Already::Asked => format!("{name}: this was asked for already, and is under way or about to begin"),
        Already::DeltaFollows => format!("{name}: the first copy is under way, and a delta follows it at once"),
        Already::Paused => format!("{name} is paused already"),
        Already::NotPaused => format!("{name} is not paused"),
        Already::Stopping => format!("{name}: replication is ending already"),
        Already::Stopped => format!("{name}: replication was ended before"),
        Already::Replicated => format!("{name} is replicated already"),
        Already::RepairRuns => format!("{name}: the repair runs already"),
        Already::Excluded => format!("{name}: the disk is excluded already"),
        Already::NotExcluded => format!("{name}: the disk is not excluded"),
    }
}

pub fn denied(name: &str, denial: &Denial, now: Timestamp) -> Refusal {
    let (what, next) = match denial {
        Denial::Halted(why) => {
            (format!("{name} is halted: {why}"), "Look at `transload status`: a person has to decide something first.".to_owned())
        }
        Denial::Paused => (format!("{name} is paused"), format!("Say `transload vm resume {name}` first.")),
        Denial::Stopping => {
            (format!("replication of {name} is ending"), "Wait until it has ended; `transload status` shows it.".to_owned())
        }
        Denial::Stopped => (
            format!("{name} is not replicated any more"),
            format!("`transload replicate {name}` begins again; it compares, and sends what differs."),
        ),
        Denial::FirstCopy => {
            let next = "Wait for the first recovery point; until then the copy can be paused or stopped.";
            (format!("{name} has no recovery point yet: its first copy is not complete"), next.to_owned())
        }
        Denial::TestOpen => (format!("a test migration of {name} holds the replica"), "Clean the test up first.".to_owned()),
        Denial::Blackout(closed) => (
            format!("no final cycle of {name} begins in a window of the calendar: {}", pace::blackout(closed, now)),
            format!("Ask again when the window is over, or have it begin now: `transload final {name} --override-blackout`."),
        ),
        Denial::NotMigrated => {
            let next = format!("Run `transload final {name}` first, or end its replication with `transload vm stop {name}`.");
            (format!("{name} was not moved: its newest recovery point is not that of a final cycle"), next)
        }
        Denial::NothingFailed => (format!("no cycle of {name} failed"), "There is nothing to repair.".to_owned()),
        Denial::DisksUnknown => {
            let next = "Ask again in a moment, when a cycle has looked at the disks.";
            (format!("the disks of {name} are not known yet"), next.to_owned())
        }
        Denial::UnknownDisk { known } => {
            (format!("{name} has no such disk: it has {}", known.join(", ")), "Name one of them by its label or id.".to_owned())
        }
        Denial::AmbiguousDisk { ids } => {
            (format!("several disks of {name} have this label: {}", ids.join(", ")), "Name the one by its id.".to_owned())
        }
        Denial::LastDisk => {
            let next = format!("Include another one first, or pause or stop {name}.");
            (format!("it is the last disk of {name} that is replicated"), next)
        }
    };
    let safe = match denial {
        Denial::Blackout(_) => "Nothing was touched: the guest runs, and replicas, recovery points and the source are as they were.",
        _ => "Nothing was changed: replicas, recovery points and the source are as they were.",
    };
    Refusal { reason: Some(denial.name().to_owned()), fault: Fault::denied(what), safe: safe.to_owned(), next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::calendar::{Closed, OnEnter};

    #[test]
    fn a_final_cycle_that_is_refused_for_a_window_names_it_and_its_end_and_the_way_around_it() {
        let closed = Closed {
            rule: "Monday 07:00 for 7 h".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            on_enter: OnEnter::Finish,
            until: "2026-11-30T13:00:00Z".parse().ok(),
        };
        let refusal = denied("db01", &Denial::Blackout(closed), "2026-11-30T09:00:00Z".parse().unwrap());
        assert_eq!(
            [refusal.reason.unwrap(), refusal.fault.message, refusal.safe, refusal.next],
            [
                "blackout",
                "no final cycle of db01 begins in a window of the calendar: blackout until Monday 14:00 Europe/Berlin (rule: Monday 07:00 for 7 h)",
                "Nothing was touched: the guest runs, and replicas, recovery points and the source are as they were.",
                "Ask again when the window is over, or have it begin now: `transload final db01 --override-blackout`.",
            ]
        );
    }
}
