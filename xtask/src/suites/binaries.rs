//! The test programs of the workspace: compiled together once, run suite by suite.
//!
//! `cargo test -p X` would choose the features of shared dependencies anew for every X and compile them again; this costs a cold run
//! minutes. What cargo does for a test program besides is little: its folder as working directory, and its package's environment.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::workspace::{Package, Workspace};

pub struct TestBinary<'a> {
    pub package: &'a Package,
    pub target: String,
    pub kind: Kind,
    program: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The unit tests of a library or a binary.
    Inside,
    /// One of the files or folders under `tests/`.
    Integration,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    manifest_path: PathBuf,
    target: Option<MessageTarget>,
    executable: Option<PathBuf>,
    #[serde(default)]
    profile: Profile,
}

#[derive(Deserialize)]
struct MessageTarget {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Profile {
    #[serde(default)]
    test: bool,
}

/// Compiles every test program of the workspace.
pub fn compile(workspace: &Workspace) -> Result<Vec<TestBinary<'_>>> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cargo does not start")?;
    if !output.status.success() {
        bail!("the tests do not compile");
    }
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(Message { manifest_path, target: Some(target), executable: Some(program), profile: Profile { test: true } }) =
            serde_json::from_str(line)
        else {
            continue;
        };
        let Some(package) = workspace.packages.iter().find(|package| package.manifest == manifest_path) else { continue };
        let kind = if target.kind.iter().any(|kind| kind == "test") { Kind::Integration } else { Kind::Inside };
        found.push(TestBinary { package, target: target.name, kind, program });
    }
    found.sort_by(|a, b| (&a.package.name, &a.target).cmp(&(&b.package.name, &b.target)));
    Ok(found)
}

impl TestBinary<'_> {
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Inside => self.package.name.clone(),
            Kind::Integration => format!("{}/{}", self.package.name, self.target),
        }
    }

    pub fn command(&self) -> Command {
        println!("\n-- {}", self.name());
        self.quiet_command()
    }

    /// For a question, and not for a run.
    pub fn quiet_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.package.folder()).env("CARGO_MANIFEST_DIR", self.package.folder());
        command.env("CARGO_PKG_NAME", &self.package.name);
        if super::in_ci() {
            command.env("TRANSLOAD_FORBID_SKIP", "1");
        }
        command
    }
}
