//! Part `whole`: the real agent from the lab's vCenter to its S3 server and into a replica; a first copy, changes, and cycles in which
//! nothing changed.

use anyhow::{Context, Result, ensure};
use e2e::agent::{row, sum};
use e2e::{Agent, Setup, Site};
use lab::Workload;
use lab::vcenter::{DiskSpec, VmSpec};
use serde_json::{Value, json};

use crate::clock::median;
use crate::report::Report;
use crate::{Arguments, process};

const MIB: u64 = 1 << 20;
const CAPACITY: u64 = 4 << 30;
const FILES: u64 = 2 << 30;
/// Neighbouring writes: what a database or a backup inside of the guest does.
const CHANGED: Workload = Workload::Clustered { writes: 64, bytes: 4 * MIB };

pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    arguments.runtime.block_on(measure(arguments.rounds, report))
}

async fn measure(rounds: usize, report: &mut Report) -> Result<()> {
    let site = Site::without_digests(vec![VmSpec::new("db01", vec![DiskSpec::with_files(CAPACITY, FILES)])]).await;
    // As an operator begins: nothing is said about replication.
    let setup = Setup { replication: String::new(), ..site.setup(&["db01"]) };
    let agent = Agent::start(&setup).await;
    agent.settled("db01", 2).await;
    let vm = agent.vm("db01").context("the VM is there")?;
    let first = row(&vm, 1).context("the first cycle ended")?;
    let full = sum(&first, "sent") as f64 / seconds(&first)?;
    let (mut fixed, mut rates, mut reported) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let nothing = seconds(&agent.sync("db01").await)?;
        // What begins near the end of the disk is cut there; then there is another one.
        let mut seed = 1000 * round as u64;
        while site.guest_writes("db01", CHANGED, seed).await < 200 * MIB {
            seed += 1;
        }
        let cycle = agent.sync("db01").await;
        let sent = sum(&cycle, "sent");
        ensure!(sent >= 200 * MIB, "only {sent} bytes changed");
        fixed.push(nothing);
        rates.push(sent as f64 / (seconds(&cycle)? - nothing));
        reported.push(seconds(&cycle)?);
    }
    let newest = agent.newest("db01");
    report.ratio("delta_rate_vs_full", median(rates) / full);
    report.ratio("delta_fixed_s", median(fixed));
    report.ratio("delta_256mib_s", median(reported));
    let peak = process::mib_of(agent.id(), "VmHWM")?;
    report.set(
        "whole",
        json!({ "full_s": seconds(&first)?, "full_sent_mib_s": (full / MIB as f64).round(), "rss_mib": peak, "cycles": newest }),
    );
    Ok(())
}

/// From the snapshot to the receipt.
fn seconds(row: &Value) -> Result<f64> {
    let at = |name: &str| -> Result<jiff::Timestamp> { Ok(row[name].as_str().context("a row has its times")?.parse()?) };
    Ok((at("ended_at")? - at("began_at")?).total(jiff::Unit::Second)?)
}
