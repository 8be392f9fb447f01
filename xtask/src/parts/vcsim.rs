//! A vCenter that others wrote: govmomi's simulator, built from Debian's packages.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Part, debian};
use crate::command::{self, Background};
use crate::workspace::Workspace;

const SOURCES: &str = "/usr/share/gocode/src/github.com/vmware/govmomi/simulator";
const PROGRAM: &str = "plugins/vmware-cbt/tests/vcsim/main.go";

pub const PART: Part = Part {
    name: "golang-go and golang-github-vmware-govmomi-dev (Debian)",
    why: "a vCenter simulator that others wrote judges our SOAP layer",
    present: |_| Path::new(SOURCES).exists() && command::succeeds(Command::new("go").arg("version")),
    install: |_| debian::install(&["golang-go", "golang-github-vmware-govmomi-dev"]),
};

pub fn binary(workspace: &Workspace) -> PathBuf {
    workspace.target.join("vcsim").join("vcsim")
}

/// Whether this tree has the simulator's main program.
pub fn has_program(workspace: &Workspace) -> bool {
    workspace.root.join(PROGRAM).exists()
}

pub fn build(workspace: &Workspace) -> Result<()> {
    let (source, binary) = (workspace.root.join(PROGRAM), binary(workspace));
    let folder = binary.parent().expect("it has a folder");
    command::run(
        Command::new("go")
            .args(["build", "-o"])
            .args([&binary, &source])
            .env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode")
            .env("GOCACHE", folder.join("cache"))
            .env("GOFLAGS", "")
            .current_dir(&workspace.root),
    )
}

/// The running simulator and its address. It serves until its input ends, so it cannot outlive this process.
pub fn start(workspace: &Workspace) -> Result<(Background, String)> {
    let mut command = Command::new(binary(workspace));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("vcsim does not start")?;
    let mut running = Background(child);
    let mut url = String::new();
    BufReader::new(running.0.stdout.take().expect("piped")).read_line(&mut url)?;
    if url.trim().is_empty() {
        bail!("vcsim ended before it said where it listens");
    }
    Ok((running, url.trim().to_owned()))
}
