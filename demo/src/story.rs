//! The acts of the demo, in order.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lab::Workload;
use serde_json::Value;
use tokio::time::Instant;

use crate::Arguments;
use crate::agent::Agent;
use crate::proof::{self, Proof, text};
use crate::report::{Refused, Report, rows};
use crate::site::{Role, Site};

/// Longer than any act takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(900);

struct Stage<'a> {
    site: Site,
    arguments: &'a Arguments,
    /// The VMs that the agent found.
    vms: Vec<String>,
    proofs: Vec<Proof>,
    memory_peak_kib: u64,
}

pub async fn tell(arguments: &Arguments) -> Result<Report> {
    say("1. A datacentre on loopback: a vCenter with three VMs, an S3 server, TLS on both.");
    let site = Site::open(arguments.keep.as_deref(), arguments.small).await?;
    let mut stage = Stage { site, arguments, vms: Vec::new(), proofs: Vec::new(), memory_peak_kib: 0 };

    say("2. The agent discovers the VMs, and checks every endpoint, right and VM before it touches anything.");
    stage.discover()?;
    stage.check()?;

    say("3. It replicates them: initial, then the first delta at once.");
    let mut agent = stage.start(Role::Both).await?;
    stage.wait_for(&mut agent, "initial and first delta", |vm| point(vm) >= 2 && idle(vm)).await?;
    stage.prove_replicas(&mut agent).await?;

    say("4. Guests write: clustered, scattered, every other cell, the last sector. Deltas bring it over.");
    stage.guests_write(1).await?;
    stage.cycle(&mut agent, "delta").await?;

    say("5. Guests write again, and the agent is killed with -9 in the middle of the delta. It is started again and finishes.");
    stage.guests_write(2).await?;
    let agent = stage.kill_in_mid_delta(agent).await?;

    say("6. One bit of a stored segment flips. The cycle is refused, nothing of it is written, the next one repairs.");
    let (mut agent, refused) = stage.damage_one_bit(agent).await?;

    say("7. Recovery points of the past are restored from the store into files.");
    stage.prove_past(&mut agent).await?;

    say("8. The result.");
    let status = agent.status()?;
    stage.memory_peak_kib = stage.memory_peak_kib.max(agent.kill()?);
    let snapshots_left = stage.site.lab.vcenter().snapshots().len();
    Ok(Report { rows: rows(&status), proofs: stage.proofs, memory_peak_kib: stage.memory_peak_kib, snapshots_left, refused })
}

fn say(line: &str) {
    eprintln!("{line}");
}

impl Stage<'_> {
    /// Configures an agent without VMs, and takes those that its `check` shows.
    fn discover(&mut self) -> Result<()> {
        self.site.write_configs(&self.arguments.plugins, &[])?;
        let config = self.site.config(Role::Both);
        let approved = std::process::Command::new(&self.arguments.agent)
            .args(["--config".as_ref(), config.as_os_str(), "plugin".as_ref(), "approve".as_ref()])
            .stdout(std::io::stderr())
            .status()?;
        if !approved.success() {
            bail!("`transload plugin approve` refused the plugins of this repository");
        }
        let words: [&std::ffi::OsStr; 4] = ["--config".as_ref(), config.as_os_str(), "--json".as_ref(), "check".as_ref()];
        let output = std::process::Command::new(&self.arguments.agent).args(words).output()?;
        let said: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`transload check`: {}", String::from_utf8_lossy(&output.stderr)))?;
        let seen = said["inventory"].as_object().into_iter().flat_map(|sources| sources.values()).flat_map(|names| names.as_array());
        self.vms = seen.flatten().map(text).collect();
        if self.vms.is_empty() {
            bail!("`transload check` found no VM: {said}");
        }
        self.site.write_configs(&self.arguments.plugins, &self.vms)
    }

    fn check(&self) -> Result<()> {
        let config = self.site.config(Role::Both);
        let status = std::process::Command::new(&self.arguments.agent)
            .args(["--config".as_ref(), config.as_os_str(), "check".as_ref()])
            .stdout(std::io::stderr())
            .status()?;
        if status.success() { Ok(()) } else { bail!("`transload check` found something") }
    }

    async fn start(&self, role: Role) -> Result<Agent> {
        let log = self.site.folder.join("agent.log");
        let started = Agent::start(&self.arguments.agent, &self.site.config(role), &log).await;
        started.with_context(|| format!("the agent's log ends with:\n{}", tail(&log)))
    }

    async fn guests_write(&self, seed: u64) -> Result<()> {
        let vcenter = self.site.lab.vcenter();
        for vm in vcenter.vms() {
            for disk in &vm.disks {
                let scale = if self.arguments.small { 1 } else { 8 };
                for work in [
                    Workload::Clustered { writes: 4 * scale, bytes: 1 << 20 },
                    Workload::Scattered { writes: 20 * scale, bytes: 4096 },
                    Workload::EveryOtherCell { start: 1 << 20, writes: 16 },
                    Workload::Overwrite { start: 2 << 20, bytes: 1 << 20 },
                    Workload::LastSector,
                ] {
                    vcenter.run_workload(&vm.id, disk.key, &work, seed).await?;
                }
            }
        }
        Ok(())
    }

    /// One cycle of every VM on command, and proof of what it made.
    async fn cycle(&mut self, agent: &mut Agent, what: &str) -> Result<()> {
        let before = points(&agent.status()?);
        for vm in &self.vms {
            agent.ask(&["sync", vm])?;
        }
        self.wait_for(agent, what, |vm| point(vm) > before.get(&text(&vm["name"])).copied().unwrap_or(0) && idle(vm)).await?;
        self.prove_replicas(agent).await
    }

    async fn kill_in_mid_delta(&mut self, mut agent: Agent) -> Result<Agent> {
        let before = points(&agent.status()?);
        // A slow source, so that there is a middle to kill it in.
        self.site.lab.vcenter().set_knobs(|knobs| knobs.folder_latency_milliseconds = 150);
        for vm in &self.vms {
            agent.ask(&["sync", vm])?;
        }
        let copying =
            |vm: &Value| vm["cycle"]["disks"].as_array().is_some_and(|disks| disks.iter().any(|disk| disk["read"].as_u64() > Some(0)));
        self.wait_for_any(&mut agent, copying).await?;
        say(&format!("   killed while {} snapshots were open", self.site.lab.vcenter().snapshots().len()));
        self.memory_peak_kib = self.memory_peak_kib.max(agent.kill()?);
        self.site.lab.vcenter().set_knobs(|knobs| knobs.folder_latency_milliseconds = 0);
        let mut agent = self.start(Role::Both).await?;
        self.wait_for(&mut agent, "delta, after the kill", |vm| {
            point(vm) > before.get(&text(&vm["name"])).copied().unwrap_or(0) && idle(vm)
        })
        .await?;
        self.prove_replicas(&mut agent).await?;
        Ok(agent)
    }

    /// Lets a cycle wait for its verdict, damages it in the store, and watches the verdict and the repair.
    async fn damage_one_bit(&mut self, agent: Agent) -> Result<(Agent, Refused)> {
        let name = self.vms[0].clone();
        self.memory_peak_kib = self.memory_peak_kib.max(agent.kill()?);
        self.guests_write(3).await?;
        let mut gateway = self.start(Role::Gateway).await?;
        self.wait_for_any(&mut gateway, |vm| vm["name"] == name.as_str()).await?;
        gateway.ask(&["sync", &name])?;
        self.wait_for_any(&mut gateway, |vm| text(&vm["state"]).starts_with("waits: receipt")).await?;
        let status = gateway.status()?;
        self.memory_peak_kib = self.memory_peak_kib.max(gateway.kill()?);
        let vm = find(&status, &name)?;
        let (cycle, id) = (vm["cycle"]["number"].as_u64().context("a cycle runs")?, text(&vm["id"]));
        let prefix = format!("vm/{id}/{cycle:010}.");
        let segment = self
            .site
            .lab
            .s3()
            .list_objects(&prefix)?
            .into_iter()
            .find(|key| key.contains("/seg-"))
            .context("the cycle stored a segment")?;
        self.site.lab.s3().flip_bit(&segment, 100)?;
        say(&format!("   flipped one bit of {segment}"));
        let before = digest_of(&self.site, &id)?;
        let mut agent = self.start(Role::Both).await?;
        let refused = self.wait_for_refusal(&mut agent, &name, cycle, &id, &before).await?;
        self.wait_for(&mut agent, "repair", |vm| vm["name"] != name.as_str() || (point(vm) > cycle && idle(vm))).await?;
        self.prove_replicas(&mut agent).await?;
        Ok((agent, refused))
    }

    async fn wait_for_refusal(&self, agent: &mut Agent, name: &str, cycle: u64, id: &str, before: &[String]) -> Result<Refused> {
        let started = Instant::now();
        loop {
            let status = agent.status()?;
            // An agent that has just begun shows a replica before it knows the name of its VM.
            let vm = find(&status, name).unwrap_or(&Value::Null);
            let ended = vm["history"].as_array().into_iter().flatten().find(|ended| ended["cycle"] == cycle);
            if let Some(ended) = ended {
                let rejected = &ended["outcome"]["rejected"];
                if rejected.is_null() {
                    bail!("the damaged cycle {cycle} was not refused");
                }
                // The repair is not due for some seconds: what stands there now is what stood there before.
                if point(vm) < cycle && digest_of(&self.site, id)? != before {
                    bail!("the replica changed although cycle {cycle} was refused");
                }
                let said = format!("cycle {cycle} of {name} was refused ({}); its replica was not touched", text(&rejected["message"]));
                return Ok(Refused { vm: name.to_owned(), cycle, said });
            }
            patience(started, "the refusal")?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn prove_replicas(&mut self, agent: &mut Agent) -> Result<()> {
        let proofs = proof::replicas(&self.site, &agent.status()?).await?;
        let wrong = proofs.iter().filter(|proof| !proof.holds()).count();
        say(&format!("   {} replicas compared with the frozen snapshots, {wrong} differ", proofs.len()));
        self.proofs.extend(proofs);
        Ok(())
    }

    /// Recovery points that the replicas have left behind: restored, and compared like the others.
    async fn prove_past(&mut self, agent: &mut Agent) -> Result<()> {
        let status = agent.status()?;
        for vm in status["vms"].as_array().into_iter().flatten() {
            let name = text(&vm["name"]);
            for ended in vm["history"].as_array().into_iter().flatten().filter(|ended| ended["outcome"] == "applied") {
                let cycle = ended["cycle"].as_u64().unwrap_or(0);
                if self.proofs.iter().any(|proof| proof.vm == name && proof.cycle == cycle) {
                    continue;
                }
                let proofs = proof::restored(&self.site, agent, vm, cycle).await?;
                say(&format!("   {name}, recovery point {cycle}: {} disks restored and compared", proofs.len()));
                self.proofs.extend(proofs);
            }
        }
        Ok(())
    }

    /// Waits until every VM is there, with a bar for each.
    async fn wait_for(&mut self, agent: &mut Agent, what: &str, there: impl Fn(&Value) -> bool) -> Result<()> {
        let started = Instant::now();
        let bars = Bars::new();
        loop {
            let status = agent.status()?;
            let vms = status["vms"].as_array().cloned().unwrap_or_default();
            bars.show(&vms);
            if vms.len() == self.vms.len() && vms.iter().all(&there) {
                bars.clear();
                say(&format!("   {what}: {:.1} s", started.elapsed().as_secs_f64()));
                return Ok(());
            }
            patience(started, what)?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn wait_for_any(&mut self, agent: &mut Agent, there: impl Fn(&Value) -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            if agent.status()?["vms"].as_array().is_some_and(|vms| vms.iter().any(&there)) {
                return Ok(());
            }
            patience(started, "the right moment")?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn patience(started: Instant, what: &str) -> Result<()> {
    if started.elapsed() < PATIENCE { Ok(()) } else { bail!("{what} did not come within {} s", PATIENCE.as_secs()) }
}

fn point(vm: &Value) -> u64 {
    vm["point"]["cycle"].as_u64().unwrap_or(0)
}

/// Between cycles, and the replica where the gateway believes it is.
fn idle(vm: &Value) -> bool {
    vm["cycle"].is_null() && text(&vm["replica"]) == format!("at recovery point {}", point(vm)) && text(&vm["state"]).starts_with("idle")
}

fn points(status: &Value) -> BTreeMap<String, u64> {
    status["vms"].as_array().into_iter().flatten().map(|vm| (text(&vm["name"]), point(vm))).collect()
}

fn find<'a>(status: &'a Value, name: &str) -> Result<&'a Value> {
    let mut vms = status["vms"].as_array().into_iter().flatten();
    vms.find(|vm| vm["name"] == name).with_context(|| format!("{name} is not in the status"))
}

fn digest_of(site: &Site, vm: &str) -> Result<Vec<String>> {
    let mut files: Vec<_> = std::fs::read_dir(site.replicas().join(vm))?.collect::<std::io::Result<Vec<_>>>()?;
    files.sort_by_key(|file| file.file_name());
    Ok(files.iter().map(|file| lab::sparse_digest(&file.path())).collect::<std::io::Result<_>>()?)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Progress on a terminal; nothing where nobody watches.
struct Bars {
    all: MultiProgress,
    each: std::cell::RefCell<BTreeMap<String, ProgressBar>>,
}

impl Bars {
    fn new() -> Bars {
        Bars { all: MultiProgress::new(), each: std::cell::RefCell::default() }
    }

    fn show(&self, vms: &[Value]) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        for vm in vms {
            let disks = vm["cycle"]["disks"].as_array().cloned().unwrap_or_default();
            let sum = |field: &str| disks.iter().filter_map(|disk| disk[field].as_u64()).sum::<u64>();
            let mut each = self.each.borrow_mut();
            let bar = each.entry(text(&vm["name"])).or_insert_with(|| {
                let style = ProgressStyle::with_template("   {prefix:<8} [{bar:30}] {bytes:>12} / {total_bytes:<12} {msg}");
                self.all.add(ProgressBar::new(1).with_style(style.expect("the template is right")))
            });
            bar.set_prefix(text(&vm["name"]));
            bar.set_length(sum("planned").max(1));
            bar.set_position(sum("done"));
            bar.set_message(text(&vm["state"]));
        }
    }

    fn clear(&self) {
        for bar in self.each.borrow().values() {
            bar.finish_and_clear();
        }
    }
}
