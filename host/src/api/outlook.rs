//! What is shown of a VM's changes and of how long its next cycle takes. The numbers are policy's; here they become words and advice.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::churn::{Churn, DiskChurn, Pattern};
use crate::policy::forecast::{Calibration, Experience, Forecast, Outlook};
use crate::policy::vm::Vm;

/// What `transload vm churn` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChurnReport {
    pub vm: String,
    pub churn: Churn,
}

/// What `transload vm forecast` answers, and `status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastReport {
    pub vm: String,
    /// A final cycle that begins now, without the time that the guest takes to shut down. None before enough deltas were seen.
    pub forecast: Option<Forecast>,
    pub outlook: Outlook,
    pub calibration: Calibration,
}

pub fn churn(vm: &Vm) -> ChurnReport {
    ChurnReport { vm: vm.name.clone(), churn: Churn::of(&vm.history) }
}

pub fn forecast(vm: &Vm, now: Timestamp) -> ForecastReport {
    ForecastReport {
        vm: vm.name.clone(),
        forecast: vm.forecast(now),
        outlook: Experience::of(&vm.history).outlook(),
        calibration: Calibration::of(&vm.history),
    }
}

/// The forecast in one line. None before there is one: `status` would say so of every new VM.
pub fn line(report: &ForecastReport) -> Option<String> {
    let forecast = report.forecast?;
    let trend = match report.outlook {
        Outlook::Diverges { .. } => "; deltas do NOT converge",
        Outlook::Converges { .. } | Outlook::Unknown { .. } => "",
    };
    Some(format!("final cycle now: {} (half of them), {} (95 of 100){trend}", span(forecast.p50_ms), span(forecast.p95_ms)))
}

pub fn forecast_lines(report: &ForecastReport) -> Vec<String> {
    let mut lines = Vec::new();
    match report.forecast {
        Some(forecast) => lines.push(format!(
            "{}: a final cycle that begins now takes {} in half of all cases and at most {} in 95 of 100, for about {} that changed; from {} \
             recorded deltas. What the guest takes to shut down comes on top.",
            report.vm,
            span(forecast.p50_ms),
            span(forecast.p95_ms),
            bytes(forecast.bytes),
            forecast.cycles
        )),
        None => lines.push(format!("{}: not enough cycles yet to say how long a final cycle takes.", report.vm)),
    }
    lines.push(outlook(report.outlook));
    let Calibration { forecasts, within_p50, within_p95 } = report.calibration;
    lines.push(match forecasts {
        0 => "No delta has been foreseen and compared yet.".to_owned(),
        _ => format!(
            "Of the last {forecasts} forecasts {within_p95} were within the bound for 95 of 100, and {within_p50} within the one for half."
        ),
    });
    lines
}

fn outlook(outlook: Outlook) -> String {
    match outlook {
        Outlook::Unknown { cycles, needed } => {
            format!("Whether deltas converge is not known yet: {cycles} of {needed} deltas are recorded.")
        }
        Outlook::Converges { churn: 0, shortest_ms, .. } => {
            format!("Deltas converge: nothing changes. The shortest takes about {}, whatever there is to copy.", span(shortest_ms))
        }
        Outlook::Converges { churn, speed, share_millionths, shortest_ms } => format!(
            "Deltas converge: {}/s change and {}/s are copied ({} %). Run one after the other they come down to about {}; more often is not \
             shorter.",
            bytes(churn),
            bytes(speed),
            percent(share_millionths),
            span(shortest_ms)
        ),
        Outlook::Diverges { churn, speed, share_millionths } => format!(
            "Deltas do NOT converge: {}/s change and {}/s are copied ({} %), so each takes longer than the one before. Give it more \
             throughput (a higher throttle, several stores, fewer VMs at a time), leave the disk that changes most out of the cycles \
             (`transload vm churn` ranks them), or have the guest write less before the final cycle.",
            bytes(churn),
            bytes(speed),
            percent(share_millionths)
        ),
    }
}

pub fn churn_lines(report: &ChurnReport) -> Vec<String> {
    let total = report.churn.total;
    if total.deltas == 0 {
        return vec![format!("{}: no delta is recorded yet, so nothing is known of what changes.", report.vm)];
    }
    let mut lines = vec![format!(
        "{}: {} an hour, over {} deltas in {}; {} changed, {} sent, {} stored",
        report.vm,
        bytes(total.bytes_per_hour),
        total.deltas,
        span(total.seconds.saturating_mul(1000)),
        bytes(total.changed),
        bytes(total.sent),
        bytes(total.stored)
    )];
    for disk in &report.churn.disks {
        lines.push(disk_line(disk));
        lines.extend(disk.patterns.iter().map(|pattern| format!("    {}", advice(*pattern))));
    }
    lines
}

fn disk_line(disk: &DiskChurn) -> String {
    format!(
        "  {:<28} {} an hour, {} % of {} in a delta; {} changed, {} sent",
        disk.label,
        bytes(disk.changes.bytes_per_hour),
        percent(disk.share_millionths),
        bytes(disk.size),
        bytes(disk.changes.changed),
        bytes(disk.changes.sent)
    )
}

/// What a pattern costs, and what helps.
fn advice(pattern: Pattern) -> String {
    match pattern {
        Pattern::Scattered { extents_per_delta, bytes_per_extent, read_for_each_reported } => format!(
            "scattered: {extents_per_delta} places a delta of {} each, {read_for_each_reported} times as much is read as was named. Longer \
             intervals join them; a defragmented file system or a log on a disk of its own writes closer together.",
            bytes(bytes_per_extent)
        ),
        Pattern::Rewritten { sent_of_thousand } => format!(
            "rewritten: of 1000 bytes that are called changed {sent_of_thousand} are new; the rest is read, found to be the same or empty, and \
             not sent. Look for what touches files without changing them."
        ),
        Pattern::Overwritten { longer_tenths, more_tenths } => format!(
            "overwritten: {}.{} times the interval brings {}.{} times as much, so it is the same places again (swap, logs, temporary files). A \
             longer interval sends less; a disk that holds only such things can be left out.",
            longer_tenths / 10,
            longer_tenths % 10,
            more_tenths / 10,
            more_tenths % 10
        ),
    }
}

fn percent(millionths: u64) -> String {
    format!("{}.{}", millionths / 10_000, millionths % 10_000 / 1000)
}

fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        10..120 => format!("{seconds} s"),
        120..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

pub fn bytes(count: u64) -> String {
    const STEPS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let step = ((count.ilog2() / 10) as usize).min(STEPS.len());
    let tenths = u128::from(count) * 10 / (1u128 << (10 * step));
    format!("{}.{} {}", tenths / 10, tenths % 10, STEPS[step - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::churn::Changes;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!([0, 1023, 1024, 1_500_000, 3 << 30, 5 << 40].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "3.0 GiB", "5.0 TiB"]);
        assert_eq!(
            [0, 9_950, 60_000, 119_999, 125_000, 7_260_000].map(span),
            ["0.0 s", "9.9 s", "60 s", "119 s", "2 min 5 s", "2 h 1 min"]
        );
    }

    fn report(outlook: Outlook, forecast: Option<Forecast>, calibration: Calibration) -> Vec<String> {
        forecast_lines(&ForecastReport { vm: "db01".to_owned(), forecast, outlook, calibration })
    }

    #[test]
    fn a_forecast_is_said_with_its_ground_and_its_record() {
        let forecast = Forecast { p50_ms: 42_000, p95_ms: 130_000, bytes: 3 << 30, cycles: 24 };
        let converges = Outlook::Converges { churn: 2 << 20, speed: 96 << 20, share_millionths: 20_833, shortest_ms: 8_100 };
        assert_eq!(
            report(converges, Some(forecast), Calibration { forecasts: 20, within_p50: 11, within_p95: 19 }),
            [
                "db01: a final cycle that begins now takes 42 s in half of all cases and at most 2 min 10 s in 95 of 100, for about 3.0 GiB that \
             changed; from 24 recorded deltas. What the guest takes to shut down comes on top.",
                "Deltas converge: 2.0 MiB/s change and 96.0 MiB/s are copied (2.0 %). Run one after the other they come down to about 8.1 s; more \
             often is not shorter.",
                "Of the last 20 forecasts 19 were within the bound for 95 of 100, and 11 within the one for half.",
            ]
        );
        assert_eq!(
            report(Outlook::Unknown { cycles: 1, needed: 3 }, None, Calibration::default()),
            [
                "db01: not enough cycles yet to say how long a final cycle takes.",
                "Whether deltas converge is not known yet: 1 of 3 deltas are recorded.",
                "No delta has been foreseen and compared yet.",
            ]
        );
        let diverges = Outlook::Diverges { churn: 60 << 20, speed: 40 << 20, share_millionths: 1_500_000 };
        let said = &report(diverges, Some(forecast), Calibration::default())[1];
        assert!(said.starts_with("Deltas do NOT converge: 60.0 MiB/s change and 40.0 MiB/s are copied (150.0 %)"), "{said}");
    }

    #[test]
    fn churn_is_ranked_and_what_hurts_comes_with_advice() {
        let changes = Changes {
            deltas: 4,
            seconds: 14_400,
            changed: 8 << 30,
            reported: 1 << 30,
            extents: 262_144,
            sent: 2 << 30,
            stored: 1 << 30,
            bytes_per_hour: 2 << 30,
        };
        let disk = DiskChurn {
            disk: "2000".into(),
            label: "Hard disk 1".to_owned(),
            size: 64 << 30,
            changes,
            share_millionths: 31_250,
            patterns: vec![
                Pattern::Scattered { extents_per_delta: 65_536, bytes_per_extent: 4096, read_for_each_reported: 8 },
                Pattern::Rewritten { sent_of_thousand: 250 },
                Pattern::Overwritten { longer_tenths: 40, more_tenths: 12 },
            ],
        };
        let lines = churn_lines(&ChurnReport { vm: "db01".to_owned(), churn: Churn { total: changes, disks: vec![disk] } });
        assert_eq!(lines[0], "db01: 2.0 GiB an hour, over 4 deltas in 4 h 0 min; 8.0 GiB changed, 2.0 GiB sent, 1.0 GiB stored");
        assert_eq!(lines[1], "  Hard disk 1                  2.0 GiB an hour, 3.1 % of 64.0 GiB in a delta; 8.0 GiB changed, 2.0 GiB sent");
        assert!(
            lines[2].starts_with("    scattered: 65536 places a delta of 4.0 KiB each, 8 times as much is read as was named."),
            "{}",
            lines[2]
        );
        assert!(lines[3].starts_with("    rewritten: of 1000 bytes that are called changed 250 are new;"), "{}", lines[3]);
        assert!(lines[4].starts_with("    overwritten: 4.0 times the interval brings 1.2 times as much"), "{}", lines[4]);
        let none = churn_lines(&ChurnReport { vm: "db01".to_owned(), churn: Churn::default() });
        assert_eq!(none, ["db01: no delta is recorded yet, so nothing is known of what changes."]);
    }
}
