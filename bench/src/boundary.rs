//! Part `boundary`: what it costs that a sink is a plugin.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use transload::log::sink::Sink;
use transload::model::DiskSize;
use transload::pipeline::limits::Copies;

use crate::Arguments;
use crate::clock::{Watch, median};
use crate::corpus;
use crate::ends::{Keep, Line, MemorySource, MemoryStore};
use crate::engine::{self, DiskCycle, plain};
use crate::far::Far;
use crate::plugin;
use crate::report::Report;

const MIB: u64 = 1 << 20;

/// CPU that a segment costs more through the plugin than by the same client alone, against what the pipeline spends on what is in it.
/// The two take turns quickly: the difference is a hundredth of what neighbours on the machine change within seconds.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    const TURNS: usize = 12;
    const PUTS: usize = 25;
    let far = Far::start(Line { round_trip: Duration::ZERO, window: 64 * MIB })?;
    let url = format!("http://{}", far.store);
    let image = Arc::new(corpus::half(128 << 20).image);
    let segment = engine::usual_limits().segment_bytes;
    let (mut through, mut alone, mut more, mut pipeline) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    arguments.runtime.block_on(async {
        let sink = plugin::s3(&url, "bucket").await?;
        let client = plugin::client(&url)?;
        let body = engine::sealed(&corpus::half(segment as usize).image);
        for round in 0..=arguments.rounds {
            for turn in 0..TURNS {
                let watch = Watch::start();
                for number in 0..PUTS {
                    sink.put(&format!("vm/{round}/{turn}/{number}"), body.clone()).await.map_err(plain)?;
                }
                let plugin = watch.stop().cpu / PUTS as f64;
                let watch = Watch::start();
                for number in 0..PUTS {
                    std::hint::black_box(crc32c::crc32c(&body.whole()));
                    let url = format!("{url}/bucket/vm/{round}/{turn}/{number}");
                    let request = client.http().put(url).header("content-length", body.len()).body(body.whole());
                    request.send().await.context("a plain put fails")?.bytes().await?;
                }
                let direct = watch.stop().cpu / PUTS as f64;
                if round > 0 {
                    through.push(plugin);
                    alone.push(direct);
                    more.push(plugin - direct);
                }
            }
            let log = engine::open_log(Arc::new(MemoryStore::new(Keep::NoSegments)));
            let cycle = DiskCycle::first(DiskSize::new(image.len() as u64).map_err(plain)?);
            let source = MemorySource::tiled(image.clone());
            let copied = engine::copy(&log, source, cycle, &Copies::new(engine::usual_limits())).await?;
            if round > 0 {
                // Of as many blocks as fill a segment.
                pipeline.push(copied.cost.cpu * segment as f64 / copied.stored as f64);
            }
        }
        anyhow::Ok(())
    })?;
    let (through, alone, more, pipeline) = (median(through), median(alone), median(more), median(pipeline));
    report.set(
        "put_of_a_segment_cpu_us",
        serde_json::json!({ "bytes": segment, "by_plugin": through * 1e6, "alone": alone * 1e6, "pipeline": pipeline * 1e6 }),
    );
    report.set("boundary_cpu_share", serde_json::json!((more / (pipeline + through) * 1e4).round() / 1e4));
    Ok(())
}
