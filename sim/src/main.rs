//! `sim --seeds N [--from S]`: runs so many seeds and says which of them fail. `sim --seed S` prints one seed's trace. With `--several` the
//! histories are those of several VMs under the limits of one datacentre.

use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use sim::scenario::{self, Plan};
use sim::several::{self, SeveralPlan};

#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Seeds that run side by side; as many as there are processors, if left out. Each has a runtime and a world of its own.
    #[arg(long)]
    threads: Option<usize>,
    /// Run this one only, and print what happened.
    #[arg(long)]
    seed: Option<u64>,
    /// Play several VMs under limits instead of one alone.
    #[arg(long)]
    several: bool,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return match play(&arguments, seed) {
            Ok(trace) => {
                println!("{}", trace.join("\n"));
                std::process::ExitCode::SUCCESS
            }
            Err(what) => {
                println!("{what}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from));
    let (next, failed) = (AtomicU64::new(arguments.from), AtomicU64::new(0));
    let end = arguments.from + arguments.seeds;
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if let Err(what) = story(&arguments, seed) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        println!("{}", what.lines().next().unwrap_or_default());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("{} passed, {failed} failed", arguments.seeds - failed);
    if failed == 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

/// One history, and what happened in it.
fn play(arguments: &Arguments, seed: u64) -> Result<Vec<String>, String> {
    match arguments.several {
        true => several::run(&SeveralPlan::from_seed(seed)).map(|played| played.trace),
        false => scenario::run(&Plan::from_seed(seed)).map(|played| played.trace),
    }
}

/// A seed that panics has failed, and the others are run all the same.
fn story(arguments: &Arguments, seed: u64) -> Result<(), String> {
    match std::panic::catch_unwind(|| play(arguments, seed)) {
        Ok(result) => result.map(|_| ()),
        Err(_) => Err(format!("seed {seed}: a panic")),
    }
}
