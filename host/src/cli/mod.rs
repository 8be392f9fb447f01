//! The command line: reads arguments, asks the agent or does what needs no agent, and prints. Exit status: 0 done, 1 refused or failed,
//! 2 the arguments or the configuration cannot be used, 3 a check or a comparison found something.

mod check;
mod init;
mod local;
mod metrics;
mod plugin;
mod points;
mod print;
mod project;
mod run;
mod simulate;
mod vm;
mod watch;
mod waypoints;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::api::command::{Command, Reply};
use crate::api::sentences::{next_for_configuration, nobody, refusal_at_start};
use crate::api::socket;
use crate::config::{Config, ConfigError, state_in};
use crate::model::commit::Sha;
use crate::model::{CycleNumber, Fault};
use crate::policy::vm::{Repair, command as policy};

#[derive(Parser)]
#[command(name = "transload", version, about = "Moves virtual machines: replicates their disks while they run, and proves every copy.")]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, short, global = true, default_value = "/etc/transload/transload.toml")]
    config: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Writes a commented configuration and a key file.
    Init {
        /// Write the key file here instead of beside the configuration.
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Walks to every endpoint and tries every right, and changes nothing but a probe object that it removes again.
    Check,
    /// Runs the agent.
    Run {
        /// A recovery point that the store must hold: VM=HASH, the VM by its id or name, the hash as `status --json` showed it. Refuses a
        /// store that was rolled back. May be given for several VMs.
        #[arg(long, value_name = "VM=HASH", value_parser = expected_point)]
        expect: Vec<(String, Sha)>,
    },
    /// Shows what a running agent does.
    Status {
        /// Keep showing, once a second.
        #[arg(long)]
        watch: bool,
    },
    /// Prints what a running agent counted, in the text format of Prometheus, for a collector that reads text files.
    Metrics,
    /// Starts replicating a VM.
    Replicate {
        vm: String,
        /// The source it is on, when there are several.
        #[arg(long)]
        source: Option<String>,
        /// A failed cycle is repaired when you say `transload vm repair`, and not by itself.
        #[arg(long)]
        repair_by_command: bool,
    },
    /// Runs a cycle now.
    Sync(vm::Target),
    /// Shuts the guest down and runs the last cycle. Refused in a window of the calendar.
    Final {
        #[command(flatten)]
        target: vm::Target,
        /// Run it whatever window of the calendar holds.
        #[arg(long)]
        override_blackout: bool,
    },
    /// Pauses, resumes, stops, repairs a VM's replication, and leaves disks out of it.
    #[command(subcommand)]
    Vm(vm::Verb),
    /// Reads a recovery point from the store again and compares the replica with it.
    Verify {
        vm: String,
        /// The recovery point, by its cycle; the newest one if left out.
        #[arg(long)]
        point: Option<u64>,
    },
    /// Shows the recovery points of a VM, and why each of them is kept.
    Points { vm: String },
    /// Drops recovery points that need not be kept, and what nobody names any more, from the store.
    Prune {
        /// All VMs of this agent if left out.
        vm: Option<String>,
        /// Only show the plan.
        #[arg(long)]
        dry_run: bool,
        /// Execute the plan of this id, as --dry-run showed it, and no other.
        #[arg(long, conflicts_with = "dry_run")]
        plan: Option<String>,
    },
    /// Keeps a recovery point, however old it becomes.
    Pin {
        vm: String,
        /// The recovery point, by its cycle.
        point: u64,
    },
    /// Lets a pinned recovery point go when its time has come.
    Unpin { vm: String, point: u64 },
    /// Writes the disks of a kept recovery point to files.
    Restore {
        vm: String,
        /// The disk, by its id or label; all of them if left out, with a number behind the file's name.
        #[arg(long)]
        disk: Option<String>,
        #[arg(long)]
        point: Option<u64>,
        /// The hash of the recovery point, as `status --json` showed it: refuses a store that was rolled back.
        #[arg(long)]
        expect: Option<Sha>,
        /// The file to write. It must not exist.
        #[arg(long)]
        to: PathBuf,
    },
    /// Prints every moment at which a test can have the process die.
    #[command(hide = true)]
    Waypoints,
    /// Plays a whole programme in virtual time, by the rules that the agent decides by: when each wave is ready, how old recovery points
    /// get, which limit holds whom. Needs no agent and touches nothing.
    Simulate {
        /// What is to be migrated: docs/simulate.md shows the form.
        fleet: PathBuf,
        /// Play it once more with other numbers, and show both: "disks-per-host=16", "line=2 Gbit/s", or several of them with commas. May
        /// be given several times.
        #[arg(long, value_name = "NAME=VALUE")]
        what_if: Vec<String>,
    },
    /// Plugins: what they would reach, which of them may run, and projects of your own.
    #[command(subcommand)]
    Plugin(PluginVerb),
}

#[derive(Subcommand)]
enum PluginVerb {
    #[command(flatten)]
    Installed(plugin::Verb),
    #[command(flatten)]
    Own(project::Verb),
}

pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.verb {
        Verb::Init { key } => init::init(&arguments.config, key.as_deref()),
        Verb::Check => check::main(&arguments.config, arguments.json),
        Verb::Run { expect } => run::main(&arguments.config, expect.iter().cloned().collect()),
        Verb::Plugin(PluginVerb::Installed(verb)) => plugin::main(&arguments.config, arguments.json, verb),
        Verb::Plugin(PluginVerb::Own(verb)) => project::main(arguments.json, verb),
        Verb::Simulate { fleet, what_if } => simulate::main(fleet, what_if, arguments.json),
        Verb::Status { watch: true } => watch::main(&arguments.config),
        Verb::Metrics => metrics::main(&arguments.config),
        Verb::Waypoints => waypoints::main(),
        verb => ask(&arguments.config, arguments.json, command(verb)),
    }
}

fn command(verb: &Verb) -> Command {
    let point = |point: &Option<u64>| point.map(CycleNumber);
    match verb {
        Verb::Replicate { vm, source, repair_by_command } => {
            let repair = if *repair_by_command { Repair::ByCommand } else { Repair::Automatic };
            Command::Replicate { vm: vm.clone(), source: source.clone(), repair }
        }
        Verb::Sync(target) => target.ask(policy::Command::Sync),
        Verb::Final { target, override_blackout: false } => target.ask(policy::Command::Final),
        Verb::Final { target, override_blackout: true } => target.ask(policy::Command::FinalInBlackout),
        Verb::Vm(verb) => verb.command(),
        Verb::Verify { vm, point: at } => Command::Verify { vm: vm.clone(), point: point(at) },
        Verb::Points { vm } => Command::Points { vm: vm.clone() },
        Verb::Prune { vm, dry_run, plan } => Command::Prune { vm: vm.clone(), dry_run: *dry_run, plan: plan.clone() },
        Verb::Pin { vm, point } => Command::Pin { vm: vm.clone(), point: CycleNumber(*point) },
        Verb::Unpin { vm, point } => Command::Unpin { vm: vm.clone(), point: CycleNumber(*point) },
        Verb::Restore { vm, disk, point: at, expect, to } => {
            Command::Restore { vm: vm.clone(), disk: disk.clone(), point: point(at), expect: *expect, to: absolute(to) }
        }
        Verb::Init { .. }
        | Verb::Check
        | Verb::Run { .. }
        | Verb::Plugin(_)
        | Verb::Simulate { .. }
        | Verb::Waypoints
        | Verb::Metrics
        | Verb::Status { .. } => Command::Status,
    }
}

fn expected_point(text: &str) -> Result<(String, Sha), String> {
    let (vm, hash) = text.rsplit_once('=').ok_or("it takes the form VM=HASH")?;
    Ok((vm.to_owned(), hash.parse().map_err(|fault: Fault| fault.message)?))
}

/// The agent may run in another folder than the one who asks.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn ask(config: &Path, json: bool, command: Command) -> ExitCode {
    let found = match &command {
        Command::Status => place(config),
        // What changes something is not sent to whom a wrong file may name.
        _ => load(config).map(|config| socket::place(&config.state)),
    };
    let place = match found {
        Ok(place) => place,
        Err(code) => return code,
    };
    let reply = runtime().block_on(socket::ask(&place, &command)).unwrap_or_else(|fault| Reply::Refused(nobody(fault)));
    print::reply(&reply, json);
    match reply {
        Reply::Refused(_) => ExitCode::from(1),
        Reply::Verified(verified) if !verified.equal => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    }
}

/// Where a running agent answers. It goes on with what it last read, so a file that became wrong since keeps nobody from asking how it is,
/// as long as it is TOML and says where the state is.
fn place(path: &Path) -> Result<PathBuf, ExitCode> {
    match Config::load(path) {
        Ok(config) => Ok(socket::place(&config.state)),
        Err(error) => match state_in(path).map(|state| socket::place(&state)).filter(|place| place.exists()) {
            Some(place) => {
                eprintln!("note: the agent goes on with what it read before. {error}");
                Ok(place)
            }
            None => usable(path, Err(error)),
        },
    }
}

fn load(path: &Path) -> Result<Config, ExitCode> {
    usable(path, Config::load(path))
}

fn usable<T>(path: &Path, config: Result<T, ConfigError>) -> Result<T, ExitCode> {
    config.map_err(|error| {
        eprintln!("transload: {error}\n{}", next_for_configuration(path));
        ExitCode::from(2)
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("the machine has threads to give")
}

/// No agent answered a question.
fn print_nobody(fault: Fault) -> ExitCode {
    print::refused(&nobody(fault));
    ExitCode::from(1)
}

fn print_fault(fault: Fault) -> ExitCode {
    print::refused(&refusal_at_start(fault));
    ExitCode::from(1)
}
