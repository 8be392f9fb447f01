//! Part `memory`: what gateway and receiver cost beside the bare arithmetic, both ends in memory.
//!
//! ```text
//!   bound      digest, zstd-1, seal, CRC-32C from memory: the arithmetic alone
//!   gateway    memory ─▶ pipeline ─▶ a store that forgets
//!   receiver   a store in memory ─▶ receiver ─▶ a replica in memory
//! ```

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use transload::model::commit::DiskCommit;
use transload::model::{CycleNumber, DiskSize};
use transload::pipeline::limits::Copies;
use transload::receiver::places;
use transload::receiver::prepare::Places;

use crate::clock::{Cost, Watch, cpu, ratio, wall};
use crate::corpus::{self, Corpus};
use crate::ends::{Keep, MemoryFiles, MemorySource, MemoryStore};
use crate::engine::{self, DiskCycle, plain};
use crate::report::Report;
use crate::{Arguments, bound};

pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let bytes = arguments.mib << 20;
    let mut slowest = f64::MAX;
    for corpus in [corpus::files(bytes)?, corpus::half(bytes)] {
        slowest = slowest.min(measure(arguments, corpus, report)?);
    }
    report.ratio("receiver_vs_gateway", slowest);
    Ok(())
}

#[derive(Default)]
struct Costs {
    bound: Vec<Cost>,
    bound_all: Vec<Cost>,
    gateway: Vec<Cost>,
    receiver: Vec<Cost>,
}

fn measure(arguments: &Arguments, corpus: Corpus, report: &mut Report) -> Result<f64> {
    let Corpus { name, image } = corpus;
    let image = Arc::new(image);
    let (mut costs, mut made, mut stored) = (Costs::default(), bound::Made::default(), 0);
    for round in 0..=arguments.rounds {
        let watch = Watch::start();
        made = bound::run(&image, 1);
        let bound = watch.stop();
        let watch = Watch::start();
        bound::run_on_all_cores(&image, 1);
        let bound_all = watch.stop();
        let gateway = arguments.runtime.block_on(copy(image.clone(), Keep::NoSegments))?.1;
        let receiver = arguments.runtime.block_on(receive(image.clone()))?;
        stored = gateway.stored;
        // The first round warms caches and allocators up.
        if round > 0 {
            costs.bound.push(bound);
            costs.bound_all.push(bound_all);
            costs.gateway.push(gateway.cost);
            costs.receiver.push(receiver);
        }
    }
    let gib = image.len() as f64 / f64::from(1 << 30);
    let per_gib = |costs: &[Cost]| -> Value { json!({ "cpu_s_per_gib": cpu(costs) / gib, "wall_s_per_gib": wall(costs) / gib }) };
    for (what, costs) in
        [("bound", &costs.bound), ("bound_all_cores", &costs.bound_all), ("gateway", &costs.gateway), ("receiver", &costs.receiver)]
    {
        report.set(&format!("{what}_{name}"), per_gib(costs));
    }
    report.ratio(&format!("gateway_vs_bound_{name}"), ratio(&costs.bound, &costs.gateway, |cost| cost.cpu));
    let receiver_vs_gateway = ratio(&costs.gateway, &costs.receiver, |cost| cost.wall);
    report.ratio(&format!("receiver_vs_gateway_{name}"), receiver_vs_gateway);
    report.ratio(&format!("stored_vs_zstd_{name}"), stored as f64 / made.stored as f64);
    Ok(receiver_vs_gateway)
}

struct Kept {
    log: transload::log::store::Log,
    entry: DiskCommit,
}

struct Gateway {
    cost: Cost,
    stored: u64,
}

async fn copy(image: Arc<Vec<u8>>, keep: Keep) -> Result<(Kept, Gateway)> {
    let log = engine::open_log(Arc::new(MemoryStore::new(keep)));
    let cycle = DiskCycle::first(DiskSize::new(image.len() as u64).map_err(plain)?);
    let copied = engine::copy(&log, MemorySource::tiled(image), cycle, &Copies::new(engine::usual_limits())).await?;
    Ok((Kept { log, entry: copied.entry }, Gateway { cost: copied.cost, stored: copied.stored }))
}

/// Into replicas in memory, and shows that the bytes are the source's.
async fn receive(image: Arc<Vec<u8>>) -> Result<Cost> {
    let (Kept { log, entry }, _) = copy(image.clone(), Keep::Everything).await?;
    let (commit, point) = engine::commit(&log, &entry, CycleNumber(1), None).await?;
    let replicas = Arc::new(MemoryFiles::default());
    replicas.prepare(&places::filling(&engine::vm(), &entry.disk), image.len());
    let places_of = Places { replicas: replicas.clone(), work: Arc::new(MemoryFiles::default()) };
    let cost = engine::receive(&log, &places_of, &commit, point).await?;
    ensure!(replicas.content(&places::replica(&engine::vm(), &entry.disk)).as_ref() == Some(&*image), "the replica is not the source");
    Ok(cost)
}

/// Ten copies of an image that halves; answers CPU seconds a GiB.
pub async fn gateway_again_and_again() -> Result<Value> {
    let image = Arc::new(corpus::half(256 << 20).image);
    let mut costs = Vec::new();
    for _ in 0..10 {
        costs.push(copy(image.clone(), Keep::NoSegments).await?.1.cost);
    }
    Ok(json!({ "cpu_s_per_gib": 4.0 * cpu(&costs), "wall_s_per_gib": 4.0 * wall(&costs) }))
}
