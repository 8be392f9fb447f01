//! What builds a plugin in a language other than Rust. Which versions, the templates of such projects say: what is installed here is what
//! a vendor installs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Part, npm, python};
use crate::command;
use crate::workspace::Workspace;

pub const PYTHON: Part = Part {
    name: "componentize-py (PyPI)",
    why: "a plugin in Python is built as its vendor does",
    present: |workspace| requirements(workspace).is_ok_and(|wanted| wanted.iter().all(|each| is_installed(workspace, each))),
    install: |workspace| python::pip(workspace, &requirements(workspace)?.iter().map(String::as_str).collect::<Vec<_>>()),
};

pub const JS: Part = Part {
    name: "componentize-js (npm)",
    why: "a plugin in JavaScript is built as its vendor does",
    present: |workspace| npm::is_there() && packages(workspace).is_ok_and(|wanted| wanted.iter().all(|each| is_there(workspace, each))),
    install: |workspace| {
        let wanted: Vec<String> = packages(workspace)?.iter().map(|(name, version)| format!("{name}@{version}")).collect();
        npm::install(&folder(workspace), &wanted)
    },
};

pub fn componentize_py(workspace: &Workspace) -> PathBuf {
    python::bin(workspace).join("componentize-py")
}

/// What `npm install` would make in a project.
pub fn node_modules(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("node_modules")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("componentize-js")
}

fn template(workspace: &Workspace, path: &str) -> Result<String> {
    let path = workspace.root.join("host/templates").join(path);
    std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

/// "name==version", one a line.
fn requirements(workspace: &Workspace) -> Result<Vec<String>> {
    Ok(template(workspace, "python/requirements.txt")?.lines().map(str::to_owned).collect())
}

fn is_installed(workspace: &Workspace, requirement: &str) -> bool {
    let (name, version) = requirement.split_once("==").unwrap_or((requirement, ""));
    let asked = "import importlib.metadata, sys; sys.exit(importlib.metadata.version(sys.argv[1]) != sys.argv[2])";
    command::succeeds(Command::new(python::python(workspace)).args(["-c", asked, name, version]))
}

#[derive(Deserialize)]
struct Project {
    #[serde(rename = "devDependencies")]
    packages: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Installed {
    version: String,
}

fn packages(workspace: &Workspace) -> Result<BTreeMap<String, String>> {
    Ok(serde_json::from_str::<Project>(&template(workspace, "js/package.json")?)?.packages)
}

fn is_there(workspace: &Workspace, (name, version): (&String, &String)) -> bool {
    let installed = std::fs::read(node_modules(workspace).join(name).join("package.json")).ok();
    installed.and_then(|text| serde_json::from_slice::<Installed>(&text).ok()).is_some_and(|installed| installed.version == *version)
}
