//! Builds what runs: the binaries of the workspace, and one folder per plugin.
//!
//! Binaries are always built with the whole workspace selected. Cargo chooses the features of shared dependencies per selection, so a
//! narrower one would compile wasmtime and its friends twice.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::command;
use crate::parts::{Install, wasm_target};
use crate::workspace::{Package, Workspace};

const TARGET: &str = wasm_target::NAME;

pub fn everything(workspace: &Workspace) -> Result<()> {
    wasm_target::PART.provide(workspace, Install::Missing)?;
    command::run(workspace.cargo().args(["build", "--workspace", "--bins"]))?;
    components(workspace)
}

pub fn binary(workspace: &Workspace, name: &str) -> Result<()> {
    command::run(workspace.cargo().args(["build", "--quiet", "--workspace", "--bin", name]))
}

/// Compiles the plugins and the guests of the tests, and puts each into the folder that the host reads.
fn components(workspace: &Workspace) -> Result<()> {
    let below = |folder: &str| {
        let folder = workspace.root.join(folder);
        workspace.packages.iter().filter(move |package| package.folder().starts_with(&folder) && package.component().is_some())
    };
    let (plugins, guests): (Vec<_>, Vec<_>) = (below("plugins").collect(), below("tests/guests").collect());
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--profile", "component", "--target", TARGET, "--lib"]);
    for package in plugins.iter().chain(&guests) {
        cargo.args(["--package", &package.name]);
    }
    command::run(&mut cargo)?;
    for package in plugins {
        install(workspace, package, &workspace.plugins())?;
    }
    for package in guests {
        // A guest without a manifest is one that its test writes a manifest for.
        if package.folder().join(MANIFEST).exists() {
            install(workspace, package, &workspace.test_plugins())?;
        }
    }
    Ok(())
}

const MANIFEST: &str = "manifest.toml";

/// What this tool has to know of a manifest; the host reads the rest, and checks all of it.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    component: String,
}

/// Writes `<plugins>/<name>/{manifest.toml, <component>}`, the manifest with the component's digest.
fn install(workspace: &Workspace, package: &Package, plugins: &Path) -> Result<()> {
    let template = package.folder().join(MANIFEST);
    let text = fs::read_to_string(&template).with_context(|| format!("plugin {} has no {}", package.name, template.display()))?;
    let manifest: Manifest = toml::from_str(&text).with_context(|| format!("{} is no manifest", template.display()))?;
    let Some(stem) = package.component() else { bail!("{} is no component", package.name) };
    let component = workspace.target.join(TARGET).join("component").join(format!("{stem}.wasm"));
    let component = fs::read(&component).with_context(|| format!("{} was not built", component.display()))?;
    ensure!(!manifest.name.contains('/') && !manifest.component.contains('/'), "{} names a path", template.display());
    let folder = plugins.join(&manifest.name);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    let digest: String = Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect();
    replace(&folder.join(&manifest.component), &component)?;
    replace(&folder.join(MANIFEST), with_digest(&text, &digest).as_bytes())
}

/// An agent that runs from this folder keeps the file it has open.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path)).with_context(|| format!("{} cannot be written", path.display()))
}

/// The template with its digest filled in: in place of the line that stands there, or after the component's.
fn with_digest(template: &str, digest: &str) -> String {
    let key = |line: &str, name: &str| line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
    let has_line = template.lines().any(|line| key(line, "sha256"));
    let mut text = String::new();
    for line in template.lines() {
        match (key(line, "sha256"), key(line, "component") && !has_line) {
            (true, _) => text.push_str(&format!("sha256 = \"{digest}\"\n")),
            (_, true) => text.push_str(&format!("{line}\nsha256 = \"{digest}\"\n")),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_replaces_the_line_that_is_there() {
        let template = "component = \"a.wasm\"\nsha256 = \"\"  # filled in by the build\n\n[limits]\n";
        assert_eq!(with_digest(template, "ab"), "component = \"a.wasm\"\nsha256 = \"ab\"\n\n[limits]\n");
    }

    #[test]
    fn the_digest_follows_the_component_where_no_line_is() {
        let template = "# a sink\ncomponent = \"a.wasm\"\n\n[limits]\nmemory = \"8 MiB\"\n";
        assert_eq!(with_digest(template, "ab"), "# a sink\ncomponent = \"a.wasm\"\nsha256 = \"ab\"\n\n[limits]\nmemory = \"8 MiB\"\n");
    }
}
