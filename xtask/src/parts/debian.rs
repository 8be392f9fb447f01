//! Debian packages by apt-get. The package lists are fetched only when a package is missing.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

pub fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if !command::succeeds(Command::new("apt-get").arg("--version")) {
        bail!("this is no Debian; install what `{by_hand}` would");
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments);
        command::run(&mut command)
    };
    let install = || apt(&[&["install", "-y", "--no-install-recommends"], packages].concat());
    match apt(&["update"]).and_then(|()| install()) {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error}; as root, run `{by_hand}`"),
    }
}
