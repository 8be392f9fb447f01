//! `sim --seeds N [--from S]`: runs so many seeds and says which of them fail. `sim --seed S` prints one seed's trace.

use clap::Parser;
use sim::scenario::{Plan, run};

#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one only, and print what happened.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return match run(&Plan::from_seed(seed)) {
            Ok(played) => {
                println!("{}", played.trace.join("\n"));
                std::process::ExitCode::SUCCESS
            }
            Err(what) => {
                println!("{what}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    let mut failed = 0;
    for seed in arguments.from..arguments.from + arguments.seeds {
        if let Err(what) = run(&Plan::from_seed(seed)) {
            failed += 1;
            println!("{}", what.lines().next().unwrap_or_default());
        }
    }
    println!("{} passed, {failed} failed", arguments.seeds - failed);
    if failed == 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
