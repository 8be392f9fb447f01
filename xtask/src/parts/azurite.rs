//! Azurite, the emulator of Azure Blob Storage that Microsoft writes: an npm package under the target folder, so that nothing of the
//! machine changes but for Node itself.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Part, debian};
use crate::command;
use crate::workspace::Workspace;

pub const PART: Part = Part {
    name: "azurite 3.35.0 (npm)",
    why: "the Azure plugin is tried against the emulator that Microsoft writes",
    present: |workspace| program(workspace).exists() && has_node(),
    install,
};

/// The emulator of blobs alone; queues and tables are programs of their own.
pub fn program(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("node_modules").join(".bin").join("azurite-blob")
}

fn install(workspace: &Workspace) -> Result<()> {
    if !has_node() {
        println!("Installing nodejs and npm (Debian): Azurite is written for them.");
        debian::install(&["nodejs", "npm"])?;
    }
    std::fs::create_dir_all(folder(workspace))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-update-notifier", "azurite@3.35.0", "--prefix"]);
    command::run(npm.arg(folder(workspace)))
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("azurite")
}

fn has_node() -> bool {
    ["node", "npm"].iter().all(|name| command::succeeds(Command::new(name).arg("--version")))
}
