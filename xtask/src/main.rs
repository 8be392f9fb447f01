//! `cargo xtask VERB`: builds, shows, tests and tidies Transload. CI runs the same verbs and nothing else.
//!
//! ```text
//!   build ─▶ binaries and plugin folders ─┬─▶ demo     the whole way, on loopback
//!                                         ├─▶ lab      only the simulated datacentre
//!                                         ├─▶ bench    how fast the data planes are
//!                                         └─▶ test     suites; each names the parts that it needs from outside
//! ```

mod build;
mod command;
mod fuzz;
mod parts;
mod suites;
mod tidy;
mod workspace;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::parts::{Install, peers, python, vendors};
use crate::workspace::Workspace;

/// The tools of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Builds the agent, the lab and the plugins; adds the wasm32-wasip2 target if it is missing.
    Build,
    /// Replicates simulated VMs end to end with the real agent and the real plugins, and proves the copies.
    Demo {
        /// Handed to the demo: --json prints the result as one object, --help says what else there is.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs the tests, all that CI runs unless --only is given, and sets up what they need.
    Test {
        /// One suite; may be repeated.
        #[arg(long, value_name = "SUITE")]
        only: Vec<String>,
        /// Refuse instead of installing what is missing.
        #[arg(long)]
        no_install: bool,
        /// Say which suites there are and what they need.
        #[arg(long)]
        list: bool,
    },
    /// Checks the house rules alone: layering, reasons, documentation, length.
    Tidy,
    /// Runs the simulation: --seeds N for many seeds, --seed S for the trace of one.
    Sim {
        /// Handed to the simulation.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Starts the simulated datacentre and serves until it is stopped: --small, --empty, --dir DIR.
    Lab {
        /// Handed to the lab; the folder is target/lab unless --dir says otherwise.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures, as ratios inside one run: --json FILE, --only PART, --rounds N, --mib SIZE, --check.
    Bench {
        /// Handed to the bench.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Feeds one decoder with inputs that a fuzzer invents; without a name, lists the decoders.
    Fuzz {
        target: Option<String>,
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: Verb) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match verb {
        Verb::Build => {
            build::everything(&workspace)?;
            println!("The agent is {}, the plugins are in {}.", workspace.binary("transload").display(), workspace.plugins().display());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Demo { arguments } => demo(&workspace, &arguments),
        Verb::Test { list: true, .. } => {
            suites::list();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Test { only, no_install, .. } => suites::run(&workspace, &only, if no_install { Install::Refuse } else { Install::Missing }),
        Verb::Tidy => suites::run(&workspace, &["tidy".to_owned()], Install::Refuse),
        Verb::Sim { arguments } => {
            build::binary(&workspace, "sim")?;
            hand_over(Command::new(workspace.binary("sim")).args(arguments))
        }
        Verb::Lab { arguments } => lab(&workspace, &arguments),
        Verb::Bench { arguments } => bench(&workspace, &arguments),
        Verb::Fuzz { target, seconds } => fuzz::run(&workspace, target.as_deref(), seconds),
    }
}

fn demo(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    anyhow::ensure!(workspace.has_binary("transload-demo"), "there is no demo in this tree: no package builds transload-demo");
    build::everything(workspace)?;
    let mut command = Command::new(workspace.binary("transload-demo"));
    command.args(arguments);
    for (option, place) in [("--agent", workspace.binary("transload")), ("--plugins", workspace.plugins())] {
        if !arguments.iter().any(|argument| argument == option || argument.starts_with(&format!("{option}="))) {
            command.arg(option).arg(place);
        }
    }
    hand_over(&mut command)
}

fn bench(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let chosen = |part: &str| {
        !arguments.iter().any(|argument| argument.starts_with("--only")) || arguments.iter().any(|argument| argument.ends_with(part))
    };
    if chosen("peers") {
        for part in [python::SEAWEEDFS, peers::RESTIC, peers::RUSTIC] {
            part.provide(workspace, Install::Missing)?;
        }
    }
    if chosen("plugins") {
        for part in [vendors::PYTHON, vendors::JS] {
            part.provide(workspace, Install::Missing)?;
        }
    }
    build::everything(workspace)?;
    let mut command = Command::new(workspace.binary("transload-bench"));
    workspace.tell_where_things_are(&mut command).env("TRANSLOAD_WEED", python::weed(workspace));
    command.env("TRANSLOAD_COMPONENTIZE_PY", vendors::componentize_py(workspace));
    command.env("TRANSLOAD_NODE_MODULES", vendors::node_modules(workspace));
    hand_over(command.env("TRANSLOAD_PEERS", peers::folder(workspace)).args(arguments))
}

fn lab(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    build::binary(workspace, "transload-lab")?;
    let mut command = Command::new(workspace.binary("transload-lab"));
    command.arg("serve").args(arguments);
    if !arguments.iter().any(|argument| argument == "--dir" || argument.starts_with("--dir=")) {
        command.arg("--dir").arg(workspace.target.join("lab"));
    }
    hand_over(&mut command)
}

/// Runs the command on our terminal; its exit status becomes ours.
fn hand_over(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("{} does not start", command.get_program().display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
