//! The suite `spine`: end to end, with the programs that a user runs and servers that others wrote.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::binaries::{self, Kind, TestBinary};
use super::tally::Tally;
use crate::build;
use crate::command::{self, Background};
use crate::parts::{azurite, powerdns, python, seaweedfs, vcsim, vendors};
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    build::everything(workspace)?;
    let binaries = binaries::compile(workspace)?;
    let another_vcenter = binaries.iter().filter(|binary| needs_another_vcenter(binary));
    let stores = binaries.iter().filter(|binary| needs_another_store(binary)).chain(binaries.iter().filter(|binary| needs_azure(binary)));
    let end_to_end = binaries.iter().filter(|binary| is_end_to_end(binary));

    if vcsim::has_program(workspace) {
        match (vcsim::PART.present)(workspace) {
            true => tally.check("the vCenter simulator of govmomi builds", vcsim::build(workspace)),
            false => tally.skip(&format!("{} is not installed", vcsim::PART.name)),
        }
    }
    if vcsim::binary(workspace).exists() {
        for binary in another_vcenter {
            let (_running, url) = vcsim::start(workspace)?;
            tally.tests(&binary.name(), binary.command().env("TRANSLOAD_VCSIM_URL", url))?;
        }
    }
    for binary in stores {
        test(workspace, binary, &[], tally)?;
    }
    match (python::PYVMOMI.present)(workspace) {
        true => tally.check("pyVmomi drives the lab's vCenter", pyvmomi_drives_the_lab(workspace)),
        false => tally.skip(&format!("{} is not installed", python::PYVMOMI.name)),
    }
    for binary in end_to_end {
        test(workspace, binary, &[], tally)?;
    }
    Ok(())
}

/// Runs a test program, or those of its tests whose names hold one of the words, with the server and the parts that it needs.
pub fn test(workspace: &Workspace, binary: &TestBinary<'_>, words: &[&str], tally: &mut Tally) -> Result<()> {
    let name = binary.name();
    if needs_another_store(binary) {
        if !(python::SEAWEEDFS.present)(workspace) {
            tally.skip(&format!("{name}: {} is not installed", python::SEAWEEDFS.name));
            return Ok(());
        }
        let (_running, url) = seaweedfs::start(workspace)?;
        return tally.tests(&name, binary.command().args(words).env("TRANSLOAD_S3_URL", url));
    }
    if needs_azure(binary) {
        if !(azurite::PART.present)(workspace) {
            tally.skip(&format!("{name}: {} is not installed", azurite::PART.name));
            return Ok(());
        }
        return tally.tests(&name, binary.command().args(words).env("TRANSLOAD_AZURITE", azurite::program(workspace)));
    }
    match is_end_to_end(binary) {
        true => tally.tests(&name, with_parts(workspace, binary.command()).args(words)),
        false => tally.tests(&name, binary.command().args(words)),
    }
}

/// The test programs that this suite runs and no other.
pub fn owns(binary: &TestBinary<'_>) -> bool {
    needs_another_vcenter(binary) || needs_another_store(binary) || needs_azure(binary) || is_end_to_end(binary)
}

fn needs_another_vcenter(binary: &TestBinary<'_>) -> bool {
    binary.package.name == "vmware-cbt" && binary.kind == Kind::Integration
}

fn needs_another_store(binary: &TestBinary<'_>) -> bool {
    binary.package.name == "storage-s3" && binary.kind == Kind::Integration
}

/// Its tests start the emulator themselves, one each.
fn needs_azure(binary: &TestBinary<'_>) -> bool {
    binary.package.name == "storage-azure" && binary.kind == Kind::Integration
}

fn is_end_to_end(binary: &TestBinary<'_>) -> bool {
    binary.package.name == "e2e"
}

/// Tells a test where its parts are. A part that is not there is not told; the test then skips, loudly.
fn with_parts(workspace: &Workspace, mut command: Command) -> Command {
    workspace.tell_where_things_are(&mut command);
    command.env("TRANSLOAD_TEST_PLUGINS", workspace.test_plugins());
    // These tests mostly wait for something to be polled; two cores carry six of them.
    command.env("RUST_TEST_THREADS", "6");
    for (name, path) in [
        ("TRANSLOAD_WEED", python::weed(workspace)),
        ("TRANSLOAD_AZURITE", azurite::program(workspace)),
        ("TRANSLOAD_VCSIM", vcsim::binary(workspace)),
        ("TRANSLOAD_PYTHON", python::python(workspace)),
        ("TRANSLOAD_COMPONENTIZE_PY", vendors::componentize_py(workspace)),
        ("TRANSLOAD_NODE_MODULES", vendors::node_modules(workspace)),
        ("TRANSLOAD_PDNS", powerdns::program()),
    ] {
        match path.exists() {
            true => command.env(name, path),
            false => command.env_remove(name),
        };
    }
    command
}

fn pyvmomi_drives_the_lab(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("pyvmomi-lab");
    let _lab = start_lab(workspace, &folder)?;
    let script = workspace.root.join("lab/tests/pyvmomi.py");
    command::run(Command::new(python::python(workspace)).arg(script).arg(folder.join("lab.json")))
}

/// A small lab of its own in the folder. It is up when it has written where it listens.
fn start_lab(workspace: &Workspace, folder: &Path) -> Result<Background> {
    let description = folder.join("lab.json");
    let _ = std::fs::remove_file(&description);
    let mut command = Command::new(workspace.binary("transload-lab"));
    command.args(["serve", "--small", "--digest-every-snapshot", "--dir"]).arg(folder).stdin(Stdio::null());
    let mut lab = Background(command.spawn().context("the lab does not start")?);
    for _ in 0..600 {
        if description.exists() {
            return Ok(lab);
        }
        if let Some(status) = lab.0.try_wait()? {
            bail!("the lab ended while it started ({status})");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the lab did not come up within a minute")
}
