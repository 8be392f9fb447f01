//! How fast Transload is, as ratios inside one run: interleaved rounds, medians, CPU seconds beside wall time.
//!
//! ```text
//!   memory    bound · gateway · receiver: no end but memory
//!   delta     what a change costs, and that a larger disk does not make it dearer
//!   scale     52 disks at once, 64 TiB, a million extents: memory that does not grow; each in a process of its own
//!   line      a source and a store far away, against plain streams
//!   boundary  what it costs that a sink is a plugin
//!   plugins   what a plugin costs by itself, in three languages: its start, a call; bytes moved for it
//!   whole     the real agent: lab vCenter ─▶ S3 ─▶ replica; deltas, and what a cycle costs in which nothing changed
//!   peers     a raw image into an S3 server, beside restic and rustic; borg, qemu-img and nbdcopy into files
//! ```

mod alone;
mod bound;
mod boundary;
mod calls;
mod clock;
mod corpus;
mod delta;
mod ends;
mod engine;
mod far;
mod guests;
mod line;
mod memory;
mod peers;
mod plugin;
mod process;
mod report;
mod scale;
mod us;
mod whole;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::report::Report;

#[derive(Parser)]
#[command(name = "transload-bench")]
struct Options {
    /// Writes the results here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Rounds; every figure is the median over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of an image in memory, in MiB.
    #[arg(long, default_value_t = 512)]
    mib: usize,
    /// One part; may be repeated.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Fail when a ratio is far from what it should be: for machines that are busy with other things.
    #[arg(long)]
    check: bool,
    /// One measurement in this process, which has done nothing else.
    #[arg(long, hide = true)]
    alone: Option<String>,
}

pub struct Arguments {
    pub rounds: usize,
    pub mib: usize,
    pub runtime: Runtime,
}

type Part = fn(&Arguments, &mut Report) -> Result<()>;

const PARTS: &[(&str, Part)] = &[
    ("memory", memory::run),
    ("delta", delta::run),
    ("scale", scale::run),
    ("line", line::run),
    ("boundary", boundary::run),
    ("plugins", calls::run),
    ("whole", whole::run),
    ("peers", peers::run),
];

/// What a busy machine must still show. The aims are in docs/performance.md; these catch what went wrong by a factor.
const CHECKED: &[(&str, f64, f64)] = &[
    ("gateway_vs_bound_files", 0.5, f64::MAX),
    ("gateway_vs_bound_half", 0.5, f64::MAX),
    ("receiver_vs_gateway", 0.5, f64::MAX),
    ("stored_vs_zstd_files", 0.0, 1.05),
    ("stored_vs_zstd_half", 0.0, 1.05),
    ("sent_vs_changed", 0.0, 1.1),
    ("delta_1tib_vs_16gib", 0.0, 3.0),
    ("rss_52_disks_mib", 0.0, 1024.0),
    ("rss_64tib_mib", 0.0, 256.0),
];

fn main() -> Result<()> {
    // As the agent does it: how buffers are kept is a part of what they cost.
    transload::memory::settle();
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(what) = &options.alone {
        return alone::run(&runtime, what);
    }
    let arguments = Arguments { rounds: options.rounds, mib: options.mib, runtime };
    let known: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    for name in &options.only {
        ensure!(known.contains(&name.as_str()), "there is no part {name}; there are: {}", known.join(", "));
    }
    let mut report = Report::default();
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    report.set("machine", json!({ "processors": processors, "rounds": options.rounds, "image_mib": options.mib }));
    for (name, part) in PARTS {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            eprintln!("{name}");
            part(&arguments, &mut report)?;
        }
    }
    print!("{}", report.text());
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    if options.check {
        check(&report)?;
    }
    Ok(())
}

fn check(report: &Report) -> Result<()> {
    let outside = |(name, least, most): &&(&str, f64, f64)| report.number(name).is_some_and(|value| value < *least || value > *most);
    let wrong: Vec<String> =
        CHECKED.iter().filter(outside).map(|(name, least, most)| format!("{name} is not within {least} and {most}")).collect();
    let found = CHECKED.iter().filter(|(name, ..)| report.number(name).is_some()).count();
    ensure!(found > 0, "nothing was measured that could be checked");
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    eprintln!("{found} ratios are where they should be");
    Ok(())
}
