//! `transload vm …`: what is asked of one VM's replication, which the running agent judges by the VM's state, and what is known of it.

use clap::{Args, Subcommand, ValueEnum};

use crate::api::command::Command;
use crate::policy::vm::command::Command as Ask;
use crate::policy::vm::{AtCutover, Running};

/// The VM, and whether anything is to happen.
#[derive(Args)]
pub struct Target {
    /// The VM, by its name or id.
    vm: String,
    /// Say what would happen, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub struct Disk {
    #[command(flatten)]
    target: Target,
    /// The disk, by its label or id.
    disk: String,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Puts a running copy down, closes its snapshot, and begins no cycle before `resume`. What is in the store is kept.
    Pause(Target),
    /// Goes on after a pause.
    Resume(Target),
    /// Ends replication. A running delta is finished first; a first copy ends where it is. Recovery points and replica stay.
    Stop {
        #[command(flatten)]
        target: Target,
        /// End a running delta where it is as well.
        #[arg(long)]
        now: bool,
    },
    /// Ends replication after the VM was moved by a final cycle.
    Complete(Target),
    /// Begins the cycle that repairs a failed one.
    Repair(Target),
    /// Compares every disk whole with the recovery point, and sends what differs.
    Resync(Target),
    /// Begins change tracking anew at the source; a resync follows.
    ResetTracking(Target),
    /// Leaves a disk out of cycles.
    ExcludeDisk {
        #[command(flatten)]
        disk: Disk,
        /// What becomes of it when the VM is moved.
        #[arg(long, value_enum, default_value = "copy-before-start")]
        at_cutover: Choice,
    },
    /// Takes an excluded disk in again.
    IncludeDisk(Disk),
    /// How much of it changes, on which disk, and what makes that dear.
    Churn { vm: String },
    /// How long a final cycle would take now, how good such forecasts were, and whether deltas converge.
    Forecast { vm: String },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Choice {
    /// It is copied before the VM starts, and the VM waits for it.
    CopyBeforeStart,
    /// The VM starts without it, and it is attached when it has arrived.
    AttachLater,
    /// It is left behind.
    Leave,
}

impl Target {
    pub fn ask(&self, ask: Ask) -> Command {
        Command::Vm { vm: self.vm.clone(), ask, dry_run: self.dry_run }
    }
}

impl Verb {
    pub fn command(&self) -> Command {
        match self {
            Verb::Pause(target) => target.ask(Ask::Pause),
            Verb::Resume(target) => target.ask(Ask::Resume),
            Verb::Stop { target, now } => target.ask(Ask::Stop { running: if *now { Running::Cut } else { Running::Finish } }),
            Verb::Complete(target) => target.ask(Ask::Complete),
            Verb::Repair(target) => target.ask(Ask::Repair),
            Verb::Resync(target) => target.ask(Ask::Resync),
            Verb::ResetTracking(target) => target.ask(Ask::ResetTracking),
            Verb::ExcludeDisk { disk: Disk { target, disk }, at_cutover } => {
                let at_cutover = match at_cutover {
                    Choice::CopyBeforeStart => AtCutover::CopyBeforeStart,
                    Choice::AttachLater => AtCutover::AttachLater,
                    Choice::Leave => AtCutover::Leave,
                };
                target.ask(Ask::ExcludeDisk { disk: disk.clone(), at_cutover })
            }
            Verb::IncludeDisk(Disk { target, disk }) => target.ask(Ask::IncludeDisk { disk: disk.clone() }),
            Verb::Churn { vm } => Command::Churn { vm: vm.clone() },
            Verb::Forecast { vm } => Command::Forecast { vm: vm.clone() },
        }
    }
}
