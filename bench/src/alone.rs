//! Processes of our own, each for one thing: a measurement of memory, a far end, our side of a comparison.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::ends::Line;
use crate::{far, memory, scale, us};

/// This program, to be started for one thing.
pub fn command(what: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--alone", what]);
    Ok(command)
}

/// Measures in a process that has done nothing else.
pub fn measure(what: &str) -> Result<Value> {
    let output = command(what)?.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the measurement {what} failed");
    serde_json::from_slice(&output.stdout).context("a measurement answers JSON")
}

/// What such a process does.
pub fn run(runtime: &Runtime, what: &str) -> Result<()> {
    if let Some(line) = what.strip_prefix("far:").and_then(Line::parse) {
        return runtime.block_on(far::serve(line));
    }
    if let Some(task) = what.strip_prefix("us:") {
        return runtime.block_on(us::serve(task));
    }
    let answer = match what {
        "disks" => runtime.block_on(scale::many_disks())?,
        "large" => runtime.block_on(scale::large_disk())?,
        "extents" => runtime.block_on(scale::million_extents())?,
        // For a profiler: `perf record … transload-bench --alone gateway`.
        "gateway" => runtime.block_on(memory::gateway_again_and_again())?,
        _ => bail!("there is no measurement {what}"),
    };
    println!("{answer}");
    Ok(())
}
