//! Part `line`: how much of a long line one disk uses, against eight plain streams through the same line.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transload::model::{DiskSize, Extent, Fault};
use transload::net::Client;
use transload::pipeline::limits::Copies;
use transload::pipeline::source::ByteSource;

use crate::Arguments;
use crate::clock::{Watch, median};
use crate::corpus;
use crate::ends::{Cut, Line};
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
    Ok(())
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
    let copied = engine::copy(&log, source, DiskCycle::first(size), &Copies::new(engine::usual_limits())).await?;
    Ok(engine::mib(copied.stored) / copied.cost.wall)
}
