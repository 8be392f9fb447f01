//! Suites that select from what others run, by words in the names of tests: a table each.

use anyhow::{Context, Result, ensure};

use super::binaries::{self, Kind, TestBinary};
use super::spine;
use super::tally::Tally;
use crate::build;
use crate::workspace::Workspace;

/// Which tests of a package, by words in their names; all of them without one.
pub struct Selection {
    pub package: &'static str,
    pub kind: Kind,
    pub words: &'static [&'static str],
}

pub const ALL: &[&str] = &[];

/// Runs what is selected. A word that selects nothing any more is a failure: `table` names the file to correct.
pub fn run(workspace: &Workspace, selections: &[Selection], table: &str, tally: &mut Tally) -> Result<()> {
    build::everything(workspace)?;
    let binaries = binaries::compile(workspace)?;
    for Selection { package, kind, words } in selections {
        let chosen: Vec<_> = binaries.iter().filter(|binary| binary.package.name == *package && binary.kind == *kind).collect();
        for word in *words {
            let found = chosen.iter().map(|binary| count(binary, word)).sum::<Result<usize>>()?;
            ensure!(found > 0, "no test of {package} has {word} in its name any more: correct {table}");
        }
        ensure!(!chosen.is_empty(), "{package} has no tests any more: correct {table}");
        for binary in chosen {
            if words.is_empty() || words.iter().map(|word| count(binary, word)).sum::<Result<usize>>()? > 0 {
                spine::test(workspace, binary, words, tally)?;
            }
        }
    }
    Ok(())
}

fn count(binary: &TestBinary<'_>, word: &str) -> Result<usize> {
    let output = binary.quiet_command().args(["--list", word]).output().context("a test program does not start")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.ends_with(": test")).count())
}
