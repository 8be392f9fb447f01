//! The suite `plugins`: everything that is promised to vendors and to operators about plugins, in one place.
//!
//! It runs nothing of its own: each of its tests belongs to `unit` or to `spine` as well, and so to a complete run.

use anyhow::{Context, Result, ensure};

use super::binaries::{self, Kind, TestBinary};
use super::spine;
use super::tally::Tally;
use crate::build;
use crate::workspace::Workspace;

/// Which tests of a package, by words in their names.
struct Selection {
    package: &'static str,
    kind: Kind,
    words: &'static [&'static str],
}

const ALL: &[&str] = &[];

const SELECTIONS: &[Selection] = &[
    // The host: manifests, packages, admission, grants, limits, approval, signatures, the code cache, the kits, and the verbs.
    Selection { package: "transload", kind: Kind::Inside, words: &["wasm::", "kit::", "cli::plugin::", "cli::project::"] },
    // Components in the real host: the guests that misbehave, and those that do not.
    Selection { package: "transload", kind: Kind::Integration, words: &["cutover::", "misbehaviour::", "sink::", "source::", "trust::"] },
    // What the plugins of this repository are made of, as native code.
    Selection { package: "transload-guest", kind: Kind::Inside, words: ALL },
    Selection { package: "storage-s3", kind: Kind::Inside, words: ALL },
    Selection { package: "storage-azure", kind: Kind::Inside, words: ALL },
    Selection { package: "vmware-cbt", kind: Kind::Inside, words: ALL },
    // And as they speak to servers that others wrote.
    Selection { package: "storage-s3", kind: Kind::Integration, words: ALL },
    Selection { package: "storage-azure", kind: Kind::Integration, words: ALL },
    // As an operator and a vendor meet them.
    Selection { package: "e2e", kind: Kind::Integration, words: &["plugins::", "sdk::", "azure"] },
];

pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    build::everything(workspace)?;
    let binaries = binaries::compile(workspace)?;
    for Selection { package, kind, words } in SELECTIONS {
        let chosen: Vec<_> = binaries.iter().filter(|binary| binary.package.name == *package && binary.kind == *kind).collect();
        for word in *words {
            let found = chosen.iter().map(|binary| count(binary, word)).sum::<Result<usize>>()?;
            ensure!(found > 0, "no test of {package} has {word} in its name any more: correct xtask/src/suites/plugins.rs");
        }
        ensure!(!chosen.is_empty(), "{package} has no tests any more: correct xtask/src/suites/plugins.rs");
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
