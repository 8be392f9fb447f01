//! The suite `engine`: everything that is promised of the engine under limits, calendars and faults, in one place.
//!
//! It runs nothing of its own: each of its tests belongs to `unit`, to `sim` or to `spine` as well, and so to a complete run.

use anyhow::Result;

use super::binaries::Kind;
use super::selection::{self, ALL, Selection};
use super::tally::Tally;
use crate::workspace::Workspace;

const SELECTIONS: &[Selection] = &[
    // What is decided: machines, intervals, reactions, verdicts. And what carries it out.
    Selection {
        package: "transload",
        kind: Kind::Inside,
        words: &["policy::", "driver::", "journal::", "pipeline::", "simulate::", "waypoint"],
    },
    // The whole engine in memory, under seeds.
    Selection { package: "sim", kind: Kind::Integration, words: ALL },
    // The real binary: killed at every named moment and at moments that nobody chose, lost and found again, on bad days; a fleet of it,
    // commanded, throttled, spread over stores, pruned, stopped.
    Selection {
        package: "e2e",
        kind: Kind::Integration,
        words: &[
            "bad_line::",
            "changes::",
            "commands::",
            "cycles::",
            "faults::",
            "fleet::",
            "kills::",
            "lost::",
            "matrix::",
            "orphans::",
            "outlook::",
            "retention::",
            "spread::",
            "stopping::",
            "throttle::",
        ],
    },
];

pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    selection::run(workspace, SELECTIONS, "xtask/src/suites/engine.rs", tally)
}
