//! The suite `plugins`: everything that is promised to vendors and to operators about plugins, in one place.
//!
//! It runs nothing of its own: each of its tests belongs to `unit` or to `spine` as well, and so to a complete run. A word that no test has any
//! more is an error, so that what is moved is not lost here.

use anyhow::Result;

use super::binaries::Kind;
use super::selection::{self, ALL, Selection};
use super::tally::Tally;
use crate::workspace::Workspace;

const SELECTIONS: &[Selection] = &[
    // The host: manifests, packages, admission, grants, limits, approval, signatures, the code cache, the kits, and the verbs.
    Selection {
        package: "transload",
        kind: Kind::Inside,
        words: &["wasm::", "kit::", "cli::plugin::", "cli::project::", "api::metrics::", "fleet::holders::"],
    },
    // Components in the real host: the guests that misbehave, and those that do not.
    Selection { package: "boundary", kind: Kind::Integration, words: ALL },
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
    selection::run(workspace, SELECTIONS, "xtask/src/suites/plugins.rs", tally)?;
    println!("\n-- the examples in the SDK's documentation");
    tally.tests("documentation", workspace.cargo().args(["test", "--quiet", "--workspace", "--doc", "--no-fail-fast", "plugins/guest"]))
}
