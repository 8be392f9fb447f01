//! What the commands print. Names that come from a source are shown without control characters.

use crate::api::command::{Refusal, Reply};
use crate::api::outlook;
use crate::api::status::{AgentStatus, VmStatus};
use crate::api::tracking;
use crate::api::verdicts::at;
use crate::policy::vm::{Ended, EndedAs};

pub fn reply(reply: &Reply, json: bool) {
    if json {
        println!("{}", serde_json::to_string_pretty(reply).expect("a reply has only string keys"));
        return;
    }
    match reply {
        Reply::Status(status) => print!("{}", table(status)),
        Reply::Churn(report) => outlook::churn_lines(report).iter().for_each(|line| println!("{}", plain(line))),
        Reply::Forecast(report) => outlook::forecast_lines(report).iter().for_each(|line| println!("{}", plain(line))),
        Reply::Accepted { message } | Reply::Ignored { message } => println!("{}", plain(message)),
        Reply::Verified(verified) => {
            for disk in &verified.disks {
                println!(
                    "{}: {} cells read; {} blocks differ, {} cannot be read from the store",
                    plain(&disk.disk),
                    disk.cells,
                    disk.differing_blocks.len(),
                    disk.unreadable_blocks.len()
                );
                for (what, blocks) in [("differ", &disk.differing_blocks), ("cannot be read", &disk.unreadable_blocks)] {
                    if !blocks.is_empty() {
                        println!("  {what}: {}", numbers(blocks));
                    }
                }
            }
            let verdict = if verified.equal { "equals" } else { "DOES NOT EQUAL" };
            println!("The replica of {} {verdict} recovery point {} in the store.", plain(&verified.vm), verified.point);
        }
        Reply::Restored { files } => {
            for file in files {
                println!("{}: {} ({})", plain(&file.disk), file.file.display(), bytes(file.bytes));
            }
        }
        Reply::Points { vm, points } => print!("{}", super::points::table(vm, points)),
        Reply::Pruned { vms } => vms.iter().for_each(|pruned| print!("{}", super::points::pruned(pruned))),
        Reply::Refused(refusal) => refused(refusal),
    }
}

pub fn refused(refusal: &Refusal) {
    // Some refusals are lists; a line that is not the first never looks like one of ours.
    let told = refusal.fault.to_string();
    let lines: Vec<String> = told.lines().map(|line| plain(line.trim())).collect();
    eprintln!("transload: {}", lines.join("\n  "));
    eprintln!("{}", plain(&refusal.safe));
    eprintln!("{}", plain(&refusal.next));
}

pub fn table(status: &AgentStatus) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("transload {} ({}), store {}, memory {} MiB", status.version, status.role, &status.store[..8], status.memory_kib / 1024));
    if let Some(pace) = &status.pace {
        pace.lines().into_iter().for_each(&mut line);
    }
    for missing in &status.missing {
        line(format!("  ! {}", plain(&missing.message)));
        line(format!("    {} {}", missing.safe, missing.next));
    }
    for store in &status.stores {
        let trouble = store.away.as_ref().map(|why| format!("; away: {why}"));
        let trouble = trouble.or_else(|| store.resting.as_ref().map(|why| format!("; rests: {why}"))).unwrap_or_default();
        let number = store.number.as_deref().unwrap_or("not bound");
        let (rate, taken) = (bytes(store.rate), bytes(store.taken));
        line(format!("  store {:<14} weight {:<3} {rate}/s, {taken} taken ({number}){}", store.name, store.weight, plain(&trouble)));
    }
    for plugin in &status.plugins {
        if let Some(refused) = &plugin.refused {
            line(match &plugin.version {
                Some(version) => {
                    format!(
                        "  ! {} runs on with {} {version}; what lies in its folder now may not: {}",
                        plugin.name,
                        plugin.plugin,
                        plain(refused)
                    )
                }
                None => format!("  ! {} waits for its plugin, which may not run: {}", plugin.name, plain(refused)),
            });
        }
    }
    for vm in &status.vms {
        vm_lines(vm).into_iter().for_each(&mut line);
    }
    if status.vms.is_empty() {
        line("  no VM yet".to_owned());
    }
    out
}

fn vm_lines(vm: &VmStatus) -> Vec<String> {
    let name = if vm.name.is_empty() { vm.id.as_str() } else { &vm.name };
    let point = vm.point.as_ref().map_or_else(
        || "no recovery point yet".to_owned(),
        |point| {
            let how = if point.quiesced { "" } else { ", crash-consistent" };
            format!("recovery point {} is {} s old{how}", point.cycle, point.age_seconds)
        },
    );
    let replica = vm.replica.as_deref().unwrap_or("elsewhere");
    let mut lines = vec![format!("  {:<20} {:<34} {point}; replica {replica}", plain(name), plain(&vm.state))];
    for disk in vm.cycle.iter().flat_map(|cycle| &cycle.disks) {
        let percent = (disk.done * 100).checked_div(disk.planned).unwrap_or(0);
        lines.push(format!(
            "    {:<28} [{:<20}] {percent:>3} %  planned {}, read {}, sent {}, stored {}",
            plain(&disk.label),
            "#".repeat((percent / 5) as usize),
            bytes(disk.planned),
            bytes(disk.read),
            bytes(disk.sent),
            bytes(disk.stored)
        ));
    }
    if let Some(word) = &vm.in_blackout {
        let rule = word.rule.as_ref().map_or_else(String::new, |rule| format!(" (then: {rule})"));
        lines.push(format!("    the final cycle runs whatever window holds: said at {:.0}{}", word.at, plain(&rule)));
    }
    for disk in &vm.excluded {
        lines.push(format!("    {:<28} excluded since {:.0}; at cutover {}", plain(&disk.label), disk.since, at(disk.at_cutover)));
    }
    if let Some(trouble) = &vm.trouble {
        lines.push(format!("    ! {}", plain(&trouble.fault.to_string())));
        lines.push(format!("      {} {}", plain(&trouble.safe), plain(&trouble.next)));
    }
    for finding in vm.findings.iter().filter(|finding| finding.code == tracking::LIED) {
        lines.push(format!("    ! {}: {}", plain(&finding.subject), plain(&finding.message)));
        lines.push(format!("      {}", plain(&finding.remedy)));
    }
    if let Some(tracking) = &vm.tracking {
        lines.push(format!("    {}", tracking::line(tracking)));
    }
    lines.extend(vm.forecast.as_ref().and_then(outlook::line).map(|line| format!("    {line}")));
    if let Some(ended) = vm.history.last() {
        lines.push(format!("    {}", ended_line(ended)));
    }
    lines
}

fn ended_line(ended: &Ended) -> String {
    let outcome = match &ended.outcome {
        EndedAs::Applied => "applied".to_owned(),
        EndedAs::Rejected(rejection) => format!("rejected: {}", rejection.message),
        EndedAs::Failed(fault) => format!("failed: {fault}"),
    };
    let sum = |field: fn(&crate::policy::vm::CopyStats) -> u64| ended.disks.iter().map(|disk| field(&disk.stats)).sum();
    format!(
        "cycle {} {}; {} s, read {}, sent {}, stored {}",
        ended.cycle,
        plain(&outcome),
        ended.ended_at.duration_since(ended.began_at).as_secs(),
        bytes(sum(|stats| stats.read)),
        bytes(sum(|stats| stats.sent)),
        bytes(sum(|stats| stats.stored))
    )
}

/// The first of them; `--json` has all.
fn numbers(blocks: &[u64]) -> String {
    const SHOWN: usize = 20;
    let first: Vec<String> = blocks.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if blocks.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// Text from elsewhere, fit for a terminal.
pub fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

pub fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", count as f64 / 1_073_741_824.0),
    }
}
