//! Our side of the comparison with peers: a process that copies a raw file into an S3 server by the product's own plugin, when it is told to.

use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use async_trait::async_trait;
use serde::Deserialize;
use transload::log::store::Log;
use transload::model::commit::{DiskCommit, Mode, PointRef};
use transload::model::{CycleNumber, DiskSize, Extent, Fault, SectorBitmap};
use transload::pipeline::limits::Copies;
use transload::pipeline::source::ByteSource;

use crate::clock::{Cost, Watch};
use crate::ends::{Cut, MemoryFiles};
use crate::engine::{self, DiskCycle, plain};
use crate::peers::Run;
use crate::{delta, plugin, process};

#[derive(Deserialize)]
struct Task {
    image: PathBuf,
    url: String,
    prefix: String,
}

/// What we are told, with the size of the disk.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Told {
    Full(u64),
    Delta(u64),
}

pub async fn serve(task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    let watch = Watch::start();
    let sink = plugin::s3_below(&task.url, e2e::weed::BUCKET, &task.prefix, (e2e::weed::ACCESS_KEY, e2e::weed::SECRET_KEY)).await?;
    let log = engine::open_log(Arc::new(sink));
    say(watch.stop())?;
    let file = Arc::new(File::open(&task.image)?);
    let copies = Copies::new(engine::usual_limits());
    let (mut number, mut newest): (u64, Option<(DiskCommit, PointRef)>) = (0, None);
    for line in std::io::stdin().lock().lines() {
        number += 1;
        let cycle = CycleNumber(number);
        let (size, delta) = match serde_json::from_str(&line?)? {
            Told::Full(size) => (size, false),
            Told::Delta(size) => (size, true),
        };
        let size = DiskSize::new(size).map_err(plain)?;
        let source = FileRange { file: file.clone(), extent: Extent::new(0, size.bytes()) };
        let disk_cycle = match (delta, &newest) {
            (false, _) => DiskCycle { cycle, ..DiskCycle::first(size) },
            (true, Some((entry, at))) => changed(&log, cycle, size, entry, at.cycle).await?,
            (true, None) => bail!("nothing was copied before"),
        };
        let watch = Watch::start();
        let copied = engine::copy(&log, source, disk_cycle, &copies).await?;
        let (_, point) = engine::commit(&log, &copied.entry, cycle, None).await?;
        say(watch.stop())?;
        newest = Some((copied.entry, point));
    }
    Ok(())
}

async fn changed(log: &Log, cycle: CycleNumber, size: DiskSize, before: &DiskCommit, at: CycleNumber) -> Result<DiskCycle> {
    let base = engine::table_of(log, &MemoryFiles::default(), "table", before, at).await?;
    let mut planned = SectorBitmap::empty(size);
    delta::clusters(size).iter().for_each(|cluster| planned.insert_widened(*cluster));
    Ok(DiskCycle { cycle, mode: Mode::Delta, planned: Arc::new(planned), base: Some(base), ..DiskCycle::first(size) })
}

fn say(cost: Cost) -> Result<()> {
    let peak_mib = process::own_mib("VmHWM")?;
    println!("{}", serde_json::to_string(&Run { wall: cost.wall, cpu: cost.cpu, peak_mib })?);
    Ok(())
}

/// A part of a file.
#[derive(Clone)]
pub struct FileRange {
    file: Arc<File>,
    extent: Extent,
}

impl Cut for FileRange {
    fn cut(&self, extent: Extent) -> Box<dyn ByteSource> {
        Box::new(FileRange { file: self.file.clone(), extent })
    }
}

#[async_trait]
impl ByteSource for FileRange {
    fn length(&self) -> u64 {
        self.extent.length
    }

    async fn fetch(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let read = || self.file.read_exact_at(buffer, self.extent.offset + offset);
        tokio::task::block_in_place(read).map_err(|error| Fault::internal(format!("the image cannot be read: {error}")))
    }
}
