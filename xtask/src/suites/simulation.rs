//! The suite `sim`: the whole engine in memory, under seeds.

use anyhow::Result;

use super::binaries::{self, TestBinary};
use super::tally::Tally;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    for binary in binaries::compile(workspace)?.iter().filter(|binary| owns(binary)) {
        tally.tests(&binary.name(), &mut binary.command())?;
    }
    Ok(())
}

pub fn owns(binary: &TestBinary<'_>) -> bool {
    binary.package.name == "sim"
}
