//! How fast the data planes are, as ratios inside one run: interleaved rounds, medians, CPU seconds beside wall time.
//!
//! ```text
//!   bound      digest, zstd-1, seal, CRC-32C from memory: the arithmetic alone
//!   gateway    memory ─▶ pipeline ─▶ a store that forgets
//!   receiver   a store in memory ─▶ receiver ─▶ a replica in memory
//! ```

mod bound;
mod clock;
mod corpus;
mod ends;
mod engine;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;
use serde_json::{Map, Value, json};

use crate::clock::{Cost, Watch, median};
use crate::corpus::Corpus;
use crate::ends::Keep;

#[derive(Parser)]
#[command(name = "transload-bench")]
struct Arguments {
    /// Writes the results here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Rounds; every figure is the median over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of an image in memory, in MiB.
    #[arg(long, default_value_t = 512)]
    mib: usize,
}

#[derive(Default)]
struct Costs {
    bound: Vec<Cost>,
    gateway: Vec<Cost>,
    receiver: Vec<Cost>,
}

fn main() -> Result<()> {
    // As the agent does it: how buffers are kept is a part of what they cost.
    transload::memory::settle();
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut results = Map::new();
    results.insert("machine".to_owned(), json!({ "processors": threads, "rounds": arguments.rounds, "image_mib": arguments.mib }));
    let bytes = arguments.mib << 20;
    for corpus in [corpus::files(bytes)?, corpus::half(bytes)] {
        measure(&runtime, corpus, arguments.rounds, threads, &mut results)?;
    }
    let results = Value::Object(results);
    println!("{results:#}");
    if let Some(path) = arguments.json {
        std::fs::write(path, format!("{results:#}\n"))?;
    }
    Ok(())
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    corpus: Corpus,
    rounds: usize,
    threads: usize,
    results: &mut Map<String, Value>,
) -> Result<()> {
    let Corpus { name, image } = corpus;
    let image = Arc::new(image);
    let (mut costs, mut made, mut stored) = (Costs::default(), bound::Made::default(), 0);
    for round in 0..=rounds {
        let watch = Watch::start();
        made = bound::run(&image, 1);
        let bound = watch.stop();
        let gateway = runtime.block_on(engine::copy(image.clone(), Keep::NoSegments, threads))?;
        stored = gateway.stored;
        let kept = runtime.block_on(engine::copy(image.clone(), Keep::Everything, threads))?;
        let receiver = runtime.block_on(engine::receive(&kept))?;
        // The first round warms caches and allocators up.
        if round > 0 {
            costs.bound.push(bound);
            costs.gateway.push(gateway.cost);
            costs.receiver.push(receiver);
        }
    }
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu).collect());
    let wall = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall).collect());
    let gib = image.len() as f64 / f64::from(1 << 30);
    for (what, costs) in [("bound", &costs.bound), ("gateway", &costs.gateway), ("receiver", &costs.receiver)] {
        results.insert(format!("{what}_{name}"), json!({ "cpu_s_per_gib": cpu(costs) / gib, "wall_s_per_gib": wall(costs) / gib }));
    }
    results.insert(format!("gateway_vs_bound_{name}"), json!(cpu(&costs.bound) / cpu(&costs.gateway)));
    results.insert(format!("receiver_vs_gateway_{name}"), json!(wall(&costs.gateway) / wall(&costs.receiver)));
    results.insert(format!("stored_vs_zstd_{name}"), json!(stored as f64 / made.stored as f64));
    Ok(())
}
