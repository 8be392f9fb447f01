//! Where things lie, as cargo tells it: packages, their targets, and what a build leaves behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Workspace {
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    pub packages: Vec<Package>,
}

#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    #[serde(rename = "manifest_path")]
    pub manifest: PathBuf,
    pub targets: Vec<Target>,
}

#[derive(Deserialize)]
pub struct Target {
    pub name: String,
    pub kind: Vec<String>,
}

impl Package {
    pub fn folder(&self) -> &Path {
        self.manifest.parent().expect("a manifest lies in a folder")
    }

    /// The file stem of the component that this package becomes, if it becomes one.
    pub fn component(&self) -> Option<String> {
        let library = self.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "cdylib"))?;
        Some(library.name.replace('-', "_"))
    }
}

impl Workspace {
    pub fn find() -> Result<Workspace> {
        // Asked when it runs: trees that share a target folder share this program as well.
        let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = xtask.parent().context("xtask lies in no workspace")?;
        let output = cargo(root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cargo does not start")?;
        ensure!(output.status.success(), "cargo cannot read the workspace");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Cargo, at the root of the workspace.
    pub fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    pub fn has_binary(&self, name: &str) -> bool {
        let is_it = |target: &Target| target.name == name && target.kind.iter().any(|kind| kind == "bin");
        self.packages.iter().any(|package| package.targets.iter().any(is_it))
    }

    pub fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// One folder per plugin, as an operator would install it.
    pub fn plugins(&self) -> PathBuf {
        self.target.join("plugins")
    }

    pub fn test_plugins(&self) -> PathBuf {
        self.target.join("test-plugins")
    }

    /// What the end-to-end tests run; they ask the environment instead of guessing paths.
    pub fn tell_where_things_are<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("TRANSLOAD_AGENT", self.binary("transload"))
            .env("TRANSLOAD_LAB", self.binary("transload-lab"))
            .env("TRANSLOAD_DEMO", self.binary("transload-demo"))
            .env("TRANSLOAD_PLUGINS", self.plugins())
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // They describe xtask, not what is built next: with them, ring's build script believes that it is another build than without this tool,
    // and all that stands on it is compiled again.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}
