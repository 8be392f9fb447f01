//! Fuzzing: cargo-fuzz feeds one of the decoders of `fuzz/src/decoders`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, target: Option<&str>, seconds: u64) -> Result<ExitCode> {
    let targets = targets(workspace)?;
    let Some(target) = target else {
        targets.iter().for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    };
    if !targets.iter().any(|name| name == target) {
        bail!("there is no fuzz target {target}; there are: {}", targets.join(", "));
    }
    let tools = workspace.target.join("tools");
    let program = tools.join("bin").join("cargo-fuzz");
    if !program.exists() {
        println!("Installing cargo-fuzz into {}, once.", tools.display());
        command::run(workspace.cargo().args(["install", "--quiet", "--locked", "cargo-fuzz", "--root"]).arg(&tools))?;
    }
    let folder = workspace.root.join("fuzz");
    let corpus = folder.join("corpus").join(target);
    std::fs::create_dir_all(&corpus).with_context(|| format!("{} cannot be made", corpus.display()))?;
    // The sanitizer is a nightly option of the compiler; the stable one has it too when it is asked this way.
    command::run(
        Command::new(program)
            .args(["fuzz", "run", "--fuzz-dir"])
            .arg(folder.join("libfuzzer"))
            .arg("decoder")
            .arg(&corpus)
            .args(["--", &format!("-max_total_time={seconds}")])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("TRANSLOAD_DECODER", target)
            .env("TRANSLOAD_CORPUS", &corpus)
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(&workspace.root),
    )?;
    println!("{target}: nothing found in {seconds} s.");
    Ok(ExitCode::SUCCESS)
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz").join("src").join("decoders");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("there are no fuzz targets: {} cannot be read", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name != "mod")
        .collect();
    names.sort();
    Ok(names)
}
