//! Part `peers`: a raw disk image into an S3 server, by us and by others; first all of it, then what changed.
//!
//! ```text
//!   image (4 GiB, files) ──▶ full ──▶ S3          each tool into a fresh place on the same SeaweedFS, in turn
//!     grown to 16 GiB, copied again, 256 MiB change in clusters ──▶ second run
//!   image ──▶ local file                          borg, qemu-img, nbdcopy: no S3 of their own
//! ```
//!
//! Ours is told what changed, as a tracker tells it; the others read everything again: that is the difference that is measured.
//! Our plugin is compiled when an agent starts; that is reported apart, and not part of a copy.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::weed::{self, Weed};
use serde::{Deserialize, Serialize};
use serde_json::json;
use transload::model::DiskSize;

use crate::clock::{Watch, median};
use crate::engine::plain;
use crate::report::Report;
use crate::{Arguments, alone, corpus, delta, engine, process};

const MIB: u64 = 1 << 20;
const FULL: u64 = 4 << 30;
const GROWN: u64 = 16 << 30;

/// What one run of one tool cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Run {
    pub wall: f64,
    pub cpu: f64,
    pub peak_mib: f64,
}

/// A tool, found or not.
struct Tool {
    name: &'static str,
    program: PathBuf,
}

#[derive(Default, Clone)]
struct Runs {
    full: Vec<Run>,
    second: Vec<Run>,
    stored: f64,
}

pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let tools: Vec<Tool> = ["restic", "rustic"].into_iter().filter_map(tool).collect();
    ensure!(!tools.is_empty(), "neither restic nor rustic is here: `cargo xtask bench` provides them");
    // The first of them is ours.
    let mut all: Vec<Runs> = vec![Runs::default(); 1 + tools.len()];
    let mut started = Vec::new();
    for round in 0..arguments.rounds {
        // A fresh server each time, and another one who begins: what was written before costs those that come later time.
        let place = tempfile::tempdir()?;
        let weed = arguments.runtime.block_on(Weed::start(place.path())).context("TRANSLOAD_WEED is not set")?;
        let image = place.path().join("image.raw");
        let order: Vec<usize> = (0..all.len()).map(|place| (place + round) % all.len()).collect();
        write_image(&image)?;
        let mut us = Us::start(&image, &weed)?;
        started.push(us.startup.cpu);
        for &who in &order {
            let before = stored(&weed)?;
            if who > 0 {
                tools[who - 1].init(place.path(), &weed)?;
            }
            all[who].full.push(match who {
                0 => us.ask(&json!({ "full": FULL }))?,
                _ => tools[who - 1].backup(place.path(), &weed, &image)?,
            });
            all[who].stored = stored(&weed)? - before;
        }
        File::options().write(true).open(&image)?.set_len(GROWN)?;
        us.ask(&json!({ "full": GROWN }))?;
        for tool in &tools {
            tool.backup(place.path(), &weed, &image)?;
        }
        change(&image, round as u64)?;
        for &who in &order {
            all[who].second.push(match who {
                0 => us.ask(&json!({ "delta": GROWN }))?,
                _ => tools[who - 1].backup(place.path(), &weed, &image)?,
            });
        }
    }
    let (ours, theirs) = all.split_first().context("we are one of them")?;
    say(report, "ours", ours);
    report.ratio("agent_startup_cpu_s", median(started));
    for (tool, runs) in tools.iter().zip(theirs) {
        say(report, tool.name, runs);
    }
    // Against the best of them in each respect.
    let least = |of: fn(&Runs) -> Vec<f64>| theirs.iter().map(|runs| median(of(runs))).fold(f64::MAX, f64::min);
    let full_cpu = |runs: &Runs| runs.full.iter().map(|run| run.cpu).collect();
    let full_wall = |runs: &Runs| runs.full.iter().map(|run| run.wall).collect();
    let second_wall = |runs: &Runs| runs.second.iter().map(|run| run.wall).collect();
    report.ratio("full_cpu_vs_peer", median(full_cpu(ours)) / least(full_cpu));
    report.ratio("full_wall_vs_peer", least(full_wall) / median(full_wall(ours)));
    report.ratio("delta_wall_vs_peer", least(second_wall) / median(second_wall(ours)));
    local(report)
}

fn say(report: &mut Report, name: &str, runs: &Runs) {
    let middle = |runs: &[Run], of: fn(&Run) -> f64| (median(runs.iter().map(of).collect()) * 100.0).round() / 100.0;
    let all = |runs: &[Run]| json!({ "wall_s": middle(runs, |run| run.wall), "cpu_s": middle(runs, |run| run.cpu), "peak_mib": middle(runs, |run| run.peak_mib) });
    report.set(&format!("peer_{name}"), json!({ "full": all(&runs.full), "second": all(&runs.second), "stored_mib": runs.stored.round() }));
}

// ---- the image ----

fn write_image(path: &Path) -> Result<()> {
    let piece = corpus::files(FULL as usize)?.image;
    let file = File::create(path)?;
    file.set_len(FULL)?;
    for (number, block) in piece.chunks(MIB as usize).enumerate() {
        if !transload::log::digest::is_zero(block) {
            file.write_all_at(block, number as u64 * MIB)?;
        }
    }
    file.sync_all()?;
    Ok(())
}

/// The same places that `delta` changes.
fn change(path: &Path, seed: u64) -> Result<()> {
    let file = File::options().write(true).open(path)?;
    for (number, cluster) in delta::clusters(DiskSize::new(GROWN).map_err(plain)?).iter().enumerate() {
        file.write_all_at(&corpus::half_noise(cluster.length as usize, seed * 1000 + number as u64 + 100), cluster.offset)?;
    }
    file.sync_all()?;
    Ok(())
}

/// MiB below the server's data folder.
fn stored(weed: &Weed) -> Result<f64> {
    fn below(folder: &Path) -> Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            bytes += match entry.file_type()?.is_dir() {
                true => below(&entry.path())?,
                false if entry.path().extension().is_some_and(|extension| extension == "dat") => entry.metadata()?.len(),
                false => 0,
            };
        }
        Ok(bytes)
    }
    Ok(engine::mib(below(weed.folder())?))
}

// ---- us ----

/// A process of ours that copies when it is told to, so that its memory is its own.
struct Us {
    child: Child,
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
    startup: Run,
}

impl Drop for Us {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Us {
    fn start(image: &Path, weed: &Weed) -> Result<Us> {
        let what = json!({ "image": image, "url": weed.plain, "prefix": "ours" });
        let mut child = alone::command(&format!("us:{what}"))?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (tell, hear) = (child.stdin.take().context("it has an input")?, child.stdout.take().context("it has an output")?);
        let mut hear = BufReader::new(hear);
        let startup = answer(&mut hear)?;
        Ok(Us { child, tell, hear, startup })
    }

    fn ask(&mut self, what: &serde_json::Value) -> Result<Run> {
        writeln!(self.tell, "{what}")?;
        answer(&mut self.hear)
    }
}

fn answer(hear: &mut BufReader<ChildStdout>) -> Result<Run> {
    let mut said = String::new();
    hear.read_line(&mut said)?;
    serde_json::from_str(&said).with_context(|| format!("our copy says {said:?}"))
}

// ---- the others, into the same server ----

fn tool(name: &'static str) -> Option<Tool> {
    let told = std::env::var_os("TRANSLOAD_PEERS").map(PathBuf::from).into_iter();
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = told.chain(std::env::split_paths(&path)).collect();
    let program = places.into_iter().map(|place| place.join(name)).find(|program| program.exists())?;
    Some(Tool { name, program })
}

impl Tool {
    fn command(&self, place: &Path, weed: &Weed) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.env("AWS_ACCESS_KEY_ID", weed::ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", weed::SECRET_KEY).env("HOME", place);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(place);
        match self.name {
            "restic" => {
                command.env("RESTIC_REPOSITORY", format!("s3:{}/{}/restic", weed.plain, weed::BUCKET));
                command.env("RESTIC_PASSWORD", "bench").args(["--no-cache", "--quiet"]);
            }
            _ => {
                let profile = place.join("rustic.toml");
                let text = format!(
                    "[repository]\nrepository = \"opendal:s3\"\npassword = \"bench\"\nno-cache = true\n[repository.options]\nbucket = \"{}\"\n\
                     root = \"/rustic\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
                    weed::BUCKET,
                    weed.plain,
                    weed::ACCESS_KEY,
                    weed::SECRET_KEY
                );
                std::fs::write(&profile, text)?;
                command.arg("-P").arg(place.join("rustic")).args(["--no-progress", "--log-level", "off"]);
            }
        }
        Ok(command)
    }

    fn init(&self, place: &Path, weed: &Weed) -> Result<()> {
        let mut command = self.command(place, weed)?;
        match self.name {
            "restic" => command.arg("init"),
            _ => command.args(["init", "--set-compression", "1"]),
        };
        let status = command.stderr(Stdio::inherit()).status()?;
        ensure!(status.success(), "{} cannot begin a repository", self.name);
        Ok(())
    }

    fn backup(&self, place: &Path, weed: &Weed, image: &Path) -> Result<Run> {
        let mut command = self.command(place, weed)?;
        command.arg("backup").arg(image);
        watched(&mut command).with_context(|| format!("{} backup", self.name))
    }
}

// ---- the others, into local files ----

/// Each once. borg copies a second time after the same changes; the other two keep nothing of the first time, so their second is the whole
/// again.
fn local(report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (place, image) = (folder.path(), &folder.path().join("image.raw"));
    write_image(image)?;
    for name in ["qemu-img", "nbdcopy", "borg"] {
        let Some(tool) = tool(name) else { continue };
        let out = place.join(name);
        let full = watched(&mut tool.local(place, image, &out, "one")?).with_context(|| name.to_owned())?;
        let stored = engine::mib(occupied(&out)?).round();
        let mut said = json!({ "full": full, "stored_mib": stored });
        if name == "borg" {
            File::options().write(true).open(image)?.set_len(GROWN)?;
            watched(&mut tool.local(place, image, &out, "grown")?)?;
            change(image, 0)?;
            said["second"] = json!(watched(&mut tool.local(place, image, &out, "two")?)?);
        }
        report.set(&format!("peer_{}_local", name.replace('-', "_")), said);
    }
    Ok(())
}

impl Tool {
    fn local(&self, place: &Path, image: &Path, out: &Path, archive: &str) -> Result<Command> {
        let command = || {
            let mut command = Command::new(&self.program);
            command.env("BORG_PASSPHRASE", "bench").env("HOME", place).current_dir(place);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let mut run = command();
        match self.name {
            "borg" => {
                if !out.exists() {
                    let begun = command().args(["init", "-e", "repokey-blake2"]).arg(out).status()?;
                    ensure!(begun.success(), "borg cannot begin a repository");
                }
                run.args(["create", "--compression", "zstd,1"]).arg(format!("{}::{archive}", out.display())).arg(image);
            }
            "qemu-img" => drop(run.args(["convert", "-c", "-O", "qcow2"]).arg(image).arg(out)),
            _ => {
                File::create(out)?.set_len(FULL)?;
                run.arg("--").args(["[", "nbdkit", "file"]).arg(image).arg("]").arg(out);
            }
        }
        Ok(run)
    }
}

/// Bytes that a file, or all files of a folder, take on the disk.
fn occupied(place: &Path) -> Result<u64> {
    let found = std::fs::symlink_metadata(place)?;
    match found.is_dir() {
        true => std::fs::read_dir(place)?.map(|entry| occupied(&entry?.path())).sum(),
        false => Ok(found.blocks() * 512),
    }
}

/// Runs a program to its end, and watches what it needs.
fn watched(command: &mut Command) -> Result<Run> {
    let (watch, cpu) = (Watch::start(), process::cpu_of_children()?);
    let mut child = command.spawn()?;
    let mut peak_mib: f64 = 0.0;
    let status = loop {
        peak_mib = peak_mib.max(process::mib_of(child.id(), "VmHWM").unwrap_or_default());
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "it ended with {status}");
    Ok(Run { wall: watch.stop().wall, cpu: process::cpu_of_children()? - cpu, peak_mib })
}
