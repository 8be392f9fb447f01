//! Sinks in languages other than Rust, as `transload plugin new` and `plugin build` make them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow, ensure};
use transload::config::{ConfiguredPlugins, PluginConfig};

const NAME: &str = "guest";

/// What a vendor's own tool is found by; `cargo xtask bench` says where they are.
const PYTHON: &str = "TRANSLOAD_COMPONENTIZE_PY";
const JAVASCRIPT: &str = "TRANSLOAD_NODE_MODULES";

/// A sink of each language whose tool is there, configured as its template is.
pub fn built(place: &Path) -> Result<Vec<(&'static str, PluginConfig)>> {
    let mut all = Vec::new();
    if let Some(componentize_py) = found(PYTHON) {
        let project = new(&place.join("python"), "python")?;
        let beside = componentize_py.parent().unwrap_or(Path::new("/")).display().to_string();
        let path = format!("{beside}:{}", std::env::var("PATH").unwrap_or_default());
        all.push(("python", build(&project, Some(path))?));
    }
    if let Some(node_modules) = found(JAVASCRIPT) {
        let project = new(&place.join("js"), "js")?;
        symlink(node_modules, project.join("node_modules"))?;
        all.push(("js", build(&project, None)?));
    }
    Ok(all)
}

fn found(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        eprintln!("{variable} is not set: no guest of its language is measured");
    }
    found
}

fn new(project: &Path, language: &str) -> Result<PathBuf> {
    let mut command = Command::new(e2e::parts::agent());
    transload(command.args(["plugin", "new", "--kind", "sink", "--lang", language, NAME, "--into"]).arg(project))?;
    Ok(project.to_owned())
}

fn build(project: &Path, path: Option<String>) -> Result<PluginConfig> {
    let mut command = Command::new(e2e::parts::agent());
    transload(command.args(["plugin", "build"]).current_dir(project).envs(path.map(|path| ("PATH", path))))?;
    let config = ConfiguredPlugins::read(&project.join("transload.toml")).map_err(|error| anyhow!("{error}"))?;
    config.sink.ok_or_else(|| anyhow!("the template of a sink configures one"))
}

fn transload(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
