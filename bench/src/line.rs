//! Part `line`: how much of a long line one disk uses, against eight plain streams through the same line; and what the boundary to the
//! plugin costs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transload::log::sink::Sink;
use transload::model::{DiskSize, Extent, Fault};
use transload::net::Client;
use transload::pipeline::limits::Copies;
use transload::pipeline::source::ByteSource;

use crate::Arguments;
use crate::clock::{Watch, median};
use crate::corpus;
use crate::ends::{Cut, Keep, Line, MemorySource, MemoryStore};
use crate::engine::{self, DiskCycle, plain};
use crate::far::Far;
use crate::plugin;
use crate::report::Report;

const MIB: u64 = 1 << 20;
/// What a stream has on its way: what Linux grants a connection that it knows to be long.
const WINDOW: u64 = 2 * MIB;
const STREAMS: usize = 8;
/// Long enough that filling and emptying the line is little of it.
const COPIED: u64 = 2560 * MIB;

pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    for milliseconds in [20, 100] {
        let line = Line { round_trip: Duration::from_millis(milliseconds), window: WINDOW };
        let (mut of_line, mut theirs_at) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let far = Far::start(line)?;
            let theirs = arguments.runtime.block_on(plain_streams(&far.line))?;
            theirs_at.push(theirs);
            let ours = arguments.runtime.block_on(one_disk(&far.line))?;
            of_line.push(ours / theirs);
        }
        report.ratio(&format!("link_use_{milliseconds}ms"), median(of_line));
        report.ratio(&format!("link_{milliseconds}ms_plain_mib_s"), median(theirs_at));
    }
    boundary(arguments, report)
}

/// MiB per second of eight uploads that do nothing else.
async fn plain_streams(at: &str) -> Result<f64> {
    const EACH: usize = 160 << 20;
    let body = Bytes::from(corpus::half(4 << 20).image);
    let upload = async || -> Result<()> {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(format!("PUT /plain HTTP/1.1\r\ncontent-length: {EACH}\r\n\r\n").as_bytes()).await?;
        for _ in 0..EACH / body.len() {
            stream.write_all(&body).await?;
        }
        let mut said = [0; 12];
        stream.read_exact(&mut said).await?;
        anyhow::ensure!(&said == b"HTTP/1.1 200", "the upload was refused");
        Ok(())
    };
    let watch = Watch::start();
    futures::future::try_join_all((0..STREAMS).map(|_| upload())).await?;
    Ok(engine::mib((STREAMS * EACH) as u64) / watch.stop().wall)
}

/// A disk behind HTTP ranges, asked for as plugins' lazy ranges are: with a seat for each, over the same line as the store.
#[derive(Clone)]
struct FarDisk {
    client: Arc<Client>,
    url: String,
    extent: Extent,
}

impl Cut for FarDisk {
    fn cut(&self, extent: Extent) -> Box<dyn ByteSource> {
        Box::new(FarDisk { extent, ..self.clone() })
    }
}

#[async_trait]
impl ByteSource for FarDisk {
    fn length(&self) -> u64 {
        self.extent.length
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let seat = self.client.seat().await;
        let from = self.extent.offset + offset;
        let range = format!("bytes={from}-{}", from + buffer.len() as u64 - 1);
        let sent = self.client.http().get(&self.url).header("range", range).send().await;
        let mut response = sent.map_err(|error| Fault::unavailable(error.to_string()))?;
        seat.answered();
        let mut filled = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| Fault::unavailable(error.to_string()))? {
            let room = buffer.get_mut(filled..filled + chunk.len()).ok_or_else(|| Fault::corrupt("too much came"))?;
            room.copy_from_slice(&chunk);
            filled += chunk.len();
        }
        if filled == buffer.len() { Ok(()) } else { Err(Fault::corrupt("too little came")) }
    }
}

/// MiB of sealed bytes per second that one disk brings over the line, from a source behind the same line.
async fn one_disk(at: &str) -> Result<f64> {
    let url = format!("http://{at}");
    let sink = plugin::s3(&url, "bucket").await?;
    let log = engine::open_log(Arc::new(sink));
    let size = DiskSize::new(COPIED).map_err(plain)?;
    let source = FarDisk { client: Arc::new(plugin::client(&url)?), url: format!("{url}/disk"), extent: Extent::new(0, COPIED) };
    let copied = engine::copy(&log, source, DiskCycle::first(size), &Copies::new(1, engine::usual_limits())).await?;
    Ok(engine::mib(copied.stored) / copied.cost.wall)
}

/// CPU that a segment costs more through the plugin than by the same client alone, against what the pipeline spends on what is in it.
/// The two take turns quickly: the difference is a hundredth of what neighbours on the machine change within seconds.
fn boundary(arguments: &Arguments, report: &mut Report) -> Result<()> {
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
            let copied = engine::copy(&log, source, cycle, &Copies::new(1, engine::usual_limits())).await?;
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
