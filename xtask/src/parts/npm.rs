//! Parts from npm, each in a folder of its own under the target folder: nothing of the machine changes but for Node itself.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::debian;
use crate::command;

pub fn is_there() -> bool {
    ["node", "npm"].iter().all(|name| command::succeeds(Command::new(name).arg("--version")))
}

/// Installs packages, each with its version, into `node_modules` of the folder.
pub fn install(folder: &Path, packages: &[String]) -> Result<()> {
    if !is_there() {
        println!("Installing nodejs and npm (Debian): parts from npm are written for them.");
        debian::install(&["nodejs", "npm"])?;
    }
    std::fs::create_dir_all(folder)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-update-notifier"]).args(packages).arg("--prefix").arg(folder);
    command::run(&mut npm)
}
