//! The suite `unit`: formatting, lints, and the tests that need nothing but this machine.

use anyhow::Result;

use super::binaries::{self, TestBinary};
use super::tally::Tally;
use crate::command;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    tally.check("cargo fmt", command::run(workspace.cargo().args(["fmt", "--all", "--check"])));
    let mut clippy = workspace.cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    tally.check("cargo clippy", command::run(&mut clippy));
    for binary in binaries::compile(workspace)?.iter().filter(|binary| is_unit(binary)) {
        tally.tests(&binary.name(), &mut binary.command())?;
    }
    println!("\n-- examples in the documentation");
    tally.tests("documentation", workspace.cargo().args(["test", "--quiet", "--workspace", "--doc", "--no-fail-fast"]))
}

/// What the other suites do not run.
fn is_unit(binary: &TestBinary<'_>) -> bool {
    !super::simulation::owns(binary) && !super::spine::owns(binary)
}
