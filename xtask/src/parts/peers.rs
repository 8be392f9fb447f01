//! Programs that the bench compares with. None of them is needed for anything else.

use std::path::PathBuf;
use std::process::Command;

use super::{Part, debian};
use crate::command;
use crate::workspace::Workspace;

pub const RESTIC: Part = Part {
    name: "restic, borgbackup, libnbd-bin, nbdkit (Debian)",
    why: "the bench copies the same image with them",
    present: |_| ["restic", "borg", "nbdcopy", "nbdkit"].iter().all(|name| command::succeeds(Command::new(name).arg("--version"))),
    install: |_| debian::install(&["restic", "borgbackup", "libnbd-bin", "nbdkit"]),
};

/// Built with the flags of its own makers; it takes some minutes, once.
pub const RUSTIC: Part = Part {
    name: "rustic 0.11.4 (crates)",
    why: "the bench copies the same image with it",
    present: |workspace| folder(workspace).join("rustic").exists(),
    install: |workspace| {
        let root = workspace.target.join("peers");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--quiet", "--locked", "rustic-rs@0.11.4", "--root"]).arg(&root).arg("--target-dir").arg(root.join("build"));
        command::run(cargo.current_dir(std::env::temp_dir()))
    },
};

/// Where programs are that were built for the bench alone.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("peers").join("bin")
}
