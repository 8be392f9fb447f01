//! What the system counts for a process.

use anyhow::{Context, Result};

/// A line of /proc/PID/status that is a size, in MiB: `VmRSS` now, `VmHWM` the most it ever was.
pub fn mib_of(pid: u32, name: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).with_context(|| format!("no {name}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok((kib / 1024.0).round())
}

pub fn own_mib(name: &str) -> Result<f64> {
    mib_of(std::process::id(), name)
}

/// CPU seconds of children that have ended: proc(5), fields 16 and 17 of stat, in hundredths.
pub fn cpu_of_children() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text.rsplit(')').next().context("stat names the program")?.split_whitespace().collect();
    Ok((fields[13].parse::<f64>()? + fields[14].parse::<f64>()?) / 100.0)
}
