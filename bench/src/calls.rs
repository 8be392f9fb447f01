//! Part `plugins`: what a plugin costs by itself: until its first answer, for a call, and for bytes that the host moves for it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use transload::clock::SystemClock;
use transload::config::PluginConfig;
use transload::log::sink::Sink;
use transload::model::Extent;
use transload::net::Client;
use transload::wasm::{Approvals, CodeCache, PluginHost, PluginSink};

use crate::Arguments;
use crate::clock::{Watch, median};
use crate::ends::Line;
use crate::engine::plain;
use crate::far::Far;
use crate::report::Report;
use crate::{guests, plugin};

const CALLS: usize = 500;
/// Fresh instances of a component that is compiled already.
const FRESH: usize = 20;
const MOVED: u64 = 64 << 20;

pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let far = Far::start(Line { round_trip: std::time::Duration::ZERO, window: 64 << 20 })?;
    let url = format!("http://{}", far.store);
    arguments.runtime.block_on(async {
        let place = tempfile::tempdir()?;
        let s3 = plugin::s3_config(place.path(), &url, "bucket", "", ("AK", "SK"))?.sink;
        for (language, config) in [("rust", s3)].into_iter().chain(guests::built(place.path())?) {
            starts(arguments, report, language, &config, &place.path().join("code")).await?;
        }
        moves(arguments, report, &url).await
    })
}

/// Cold: compiled. Warm: its code is kept from an earlier start. An instance: what the first call to one takes beyond a call.
async fn starts(arguments: &Arguments, report: &mut Report, language: &str, config: &PluginConfig, code: &Path) -> Result<()> {
    first_answer(config, CodeCache::at(code)).await?;
    let (mut cold, mut warm, mut fresh, mut call) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        cold.push(first_answer(config, CodeCache::none()).await?);
        warm.push(first_answer(config, CodeCache::at(code)).await?);
        let host = host(CodeCache::at(code))?;
        let sink = loaded(&host, config).await?;
        let watch = Watch::start();
        for _ in 0..CALLS {
            sink.describe().await.map_err(plain)?;
        }
        call.push(watch.stop().wall / CALLS as f64);
        for _ in 0..FRESH {
            let sink = loaded(&host, config).await?;
            let watch = Watch::start();
            sink.describe().await.map_err(plain)?;
            fresh.push(watch.stop().wall);
        }
    }
    let (call, fresh) = (median(call), median(fresh));
    let milliseconds = |seconds: f64| (seconds * 1e4).round() / 10.0;
    let microseconds = |seconds: f64| (seconds * 1e6).round();
    report.set(
        &format!("plugin_{language}"),
        json!({
            "cold_start_ms": milliseconds(median(cold)), "warm_start_ms": milliseconds(median(warm)),
            "instance_us": microseconds(fresh - call), "call_us": microseconds(call),
        }),
    );
    Ok(())
}

fn host(code: CodeCache) -> Result<PluginHost> {
    PluginHost::new(Arc::new(SystemClock::default()), code, Approvals::of_everything())
}

async fn loaded(host: &PluginHost, config: &PluginConfig) -> Result<PluginSink> {
    host.sink(config).await.map_err(|refused| anyhow!("{refused}"))
}

/// Seconds from nothing to the first answer.
async fn first_answer(config: &PluginConfig, code: CodeCache) -> Result<f64> {
    let watch = Watch::start();
    let host = host(code)?;
    loaded(&host, config).await?.describe().await.map_err(plain)?;
    Ok(watch.stop().wall)
}

/// CPU of ranges that come through the plugin, against the same ranges by the same client alone.
async fn moves(arguments: &Arguments, report: &mut Report, url: &str) -> Result<()> {
    let sink = plugin::s3(url, "bucket").await?;
    let client = plugin::client(url)?;
    for (name, bytes) in [("64k", 64 << 10), ("1m", 1 << 20), ("4m", 4 << 20)] {
        let mut more = Vec::new();
        for _ in 0..=arguments.rounds {
            let (times, range) = (MOVED / bytes, Extent::new(0, bytes));
            let watch = Watch::start();
            for _ in 0..times {
                sink.get("segment", Some(range)).await.map_err(plain)?;
            }
            let through = watch.stop().cpu;
            let watch = Watch::start();
            for _ in 0..times {
                alone(&client, &format!("{url}/bucket/segment"), bytes).await?;
            }
            more.push(through / watch.stop().cpu);
        }
        // The first round warmed both up.
        report.ratio(&format!("splice_cpu_vs_native_{name}"), median(more.split_off(1)));
    }
    Ok(())
}

async fn alone(client: &Client, url: &str, bytes: u64) -> Result<()> {
    let response = client.http().get(url).header("range", format!("bytes=0-{}", bytes - 1)).send().await.context("a plain range fails")?;
    let body = response.bytes().await?;
    anyhow::ensure!(body.len() as u64 == bytes, "{} of {bytes} bytes came", body.len());
    Ok(())
}
