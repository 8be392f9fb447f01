//! `cargo xtask test`: the suites, in the order in which they fail cheapest.
//!
//! A part that cannot be had skips the tests that need it, loudly; under CI=true a skip is a failure unless `ALLOWED_IN_CI` names it.

mod bench;
mod binaries;
mod engine;
mod house_rules;
mod plugins;
mod selection;
mod simulation;
mod spine;
mod tally;
mod unit;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::parts::{Install, Part, azurite, nftables, powerdns, python, qemu, vcsim, vendors, wasm_target};
use crate::workspace::Workspace;
use tally::Tally;

struct Suite {
    name: &'static str,
    what: &'static str,
    parts: &'static [Part],
    runs: Runs,
    run: fn(&Workspace, &mut Tally) -> Result<()>,
}

/// When a suite runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// Whenever nothing else is asked for.
    Always,
    /// Only when it is named: it selects from what others run.
    Named,
}

const SUITES: &[Suite] = &[
    Suite { name: "tidy", what: "the house rules; each break explains itself", parts: &[], runs: Runs::Always, run: house_rules::run },
    Suite {
        name: "unit",
        what: "formatting, clippy, and the tests of every crate (the plugins as native code)",
        parts: &[wasm_target::PART, qemu::PART, nftables::PART],
        runs: Runs::Always,
        run: unit::run,
    },
    Suite {
        name: "sim",
        what: "the engine in memory under seeds, with crashes at every effect",
        parts: &[],
        runs: Runs::Always,
        run: simulation::run,
    },
    Suite {
        name: "spine",
        what: "end to end: the real agent and components against the lab, SeaweedFS, Azurite, PowerDNS, vcsim; pyVmomi against the lab",
        parts: &[
            wasm_target::PART,
            python::SEAWEEDFS,
            azurite::PART,
            python::PYVMOMI,
            vcsim::PART,
            vendors::PYTHON,
            vendors::JS,
            powerdns::PART,
        ],
        runs: Runs::Always,
        run: spine::run,
    },
    Suite { name: "bench", what: "ratios of speed and memory that hold on any machine", parts: &[], runs: Runs::Always, run: bench::run },
    Suite {
        name: "plugins",
        what: "of the others, all that is promised of plugins: admission, limits, approval, kits, templates, the stores",
        parts: &[wasm_target::PART, nftables::PART, python::SEAWEEDFS, azurite::PART, vendors::PYTHON, vendors::JS, powerdns::PART],
        runs: Runs::Named,
        run: plugins::run,
    },
    Suite {
        name: "engine",
        what: "of the others, all that is promised of the engine: policy, driver, simulation, kill matrix, a store and a source on bad days",
        parts: &[wasm_target::PART, python::SEAWEEDFS],
        runs: Runs::Named,
        run: engine::run,
    },
];

/// Skips that CI accepts: a part of the skip's text, and the reason.
const ALLOWED_IN_CI: &[(&str, &str)] = &[];

pub fn list() {
    for suite in SUITES {
        let only = if suite.runs == Runs::Named { " (only when it is named)" } else { "" };
        println!("{:<7} {}{only}", suite.name, suite.what);
        for part in suite.parts {
            println!("{:<7}   needs {}: {}", "", part.name, part.why);
        }
    }
}

/// Runs the suites that are named, or all that together run every test once. The last line is the sum; the exit status says the same.
pub fn run(workspace: &Workspace, only: &[String], install: Install) -> Result<ExitCode> {
    let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no suite {unknown}; there are: {}", known.join(", "));
    }
    let is_chosen = |suite: &&Suite| match only {
        [] => suite.runs == Runs::Always,
        names => names.iter().any(|name| name == suite.name),
    };
    let chosen: Vec<_> = SUITES.iter().filter(is_chosen).collect();
    let mut tally = Tally::default();
    for suite in &chosen {
        for part in suite.parts {
            match part.provide(workspace, install) {
                Err(refusal) if install == Install::Refuse => return Err(refusal),
                // The tests that need it say so when they are reached.
                Err(error) => println!("{error:#}"),
                Ok(()) => {}
            }
        }
    }
    for suite in chosen {
        println!("\n== {}: {}", suite.name, suite.what);
        tally.enter(suite.name);
        if let Err(error) = (suite.run)(workspace, &mut tally) {
            tally.fail(&format!("{error:#}"));
        }
    }
    if in_ci() {
        tally.forbid_skips(ALLOWED_IN_CI);
    }
    println!("\n{tally}");
    Ok(if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}
