//! `transload simulate`: when each wave is ready, and what would change it. Asks no agent and touches nothing.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;

use crate::simulate::{Alternative, Fleet, Outcome, Quantiles, Quantity, run};

use super::print::bytes;

/// One column of the answer.
#[derive(Serialize)]
struct Answer {
    /// "as it is", or what was asked for.
    what_if: String,
    #[serde(flatten)]
    outcome: Outcome,
}

pub fn main(path: &Path, what_if: &[String], json: bool) -> ExitCode {
    let fleet = match Fleet::read(path) {
        Ok(fleet) => fleet,
        Err(error) => {
            eprintln!("transload: {error}");
            return ExitCode::from(2);
        }
    };
    let mut alternatives = vec![("as it is".to_owned(), fleet.clone())];
    for text in what_if {
        match Alternative::parse(text) {
            Ok(alternative) => alternatives.push((text.clone(), alternative.of(&fleet))),
            Err(why) => {
                eprintln!("transload: --what-if {text:?}: {why}");
                return ExitCode::from(2);
            }
        }
    }
    let answers: Vec<Answer> = alternatives.into_iter().map(|(what_if, fleet)| Answer { what_if, outcome: run(&fleet) }).collect();
    match json {
        true => println!("{}", serde_json::to_string_pretty(&answers).expect("an answer has only string keys")),
        false => print!("{}", table(&fleet, &answers)),
    }
    ExitCode::SUCCESS
}

fn table(fleet: &Fleet, answers: &[Answer]) -> String {
    let mut rows = vec![Row::new("", answers, |answer| answer.what_if.clone())];
    for (number, wave) in fleet.waves.iter().enumerate() {
        let of = |show: &dyn Fn(&crate::simulate::WaveOutcome) -> String| {
            answers.iter().map(|answer| show(&answer.outcome.waves[number])).collect::<Vec<_>>()
        };
        rows.push(Row { label: format!("wave {}", wave.name), cells: of(&|wave| format!("{} VMs", wave.vms)) });
        rows.push(Row { label: "  ready".to_owned(), cells: of(&|wave| reached(wave.ready_at, wave.ready, wave.vms)) });
        rows.push(Row { label: "  moved".to_owned(), cells: of(&|wave| reached(wave.moved_at, wave.moved, wave.vms)) });
        rows.push(Row { label: "  window".to_owned(), cells: of(&|wave| window(wave.cutover_at, wave.moved_at)) });
        rows.push(Row { label: "  downtime".to_owned(), cells: of(&|wave| wave.downtime.map_or_else(none, quantity)) });
        rows.push(Row { label: "  RPO".to_owned(), cells: of(&|wave| wave.rpo.map_or_else(none, quantiles)) });
    }
    rows.push(Row::new("all", answers, |answer| format!("{} cycles", answer.outcome.cycles)));
    rows.push(Row::new("  RPO", answers, |answer| answer.outcome.rpo.map_or_else(none, quantiles)));
    rows.push(Row::new("  on the line", answers, |answer| {
        format!("{}, {:.0} % of it", bytes(answer.outcome.bytes_on_the_line), answer.outcome.line_use * 100.0)
    }));
    for place in 0..3 {
        rows.push(Row::new(if place == 0 { "waits for" } else { "" }, answers, |answer| match answer.outcome.held.get(place) {
            Some(held) => format!("{}: {} VM-hours, most on {}", held.limit, held.vm_hours, day(held.worst_day)),
            None => String::new(),
        }));
    }
    drawn(&rows)
}

struct Row {
    label: String,
    cells: Vec<String>,
}

impl Row {
    fn new(label: &str, answers: &[Answer], show: impl Fn(&Answer) -> String) -> Row {
        Row { label: label.to_owned(), cells: answers.iter().map(show).collect() }
    }
}

fn drawn(rows: &[Row]) -> String {
    let label_width = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let width = |column: usize| rows.iter().map(|row| row.cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows.iter().filter(|row| row.cells.iter().any(|cell| !cell.is_empty())) {
        let mut line = format!("{:<label_width$}", row.label);
        for (cell, width) in row.cells.iter().zip(&widths) {
            line.push_str(&format!("  {cell:<width$}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn none() -> String {
    "-".to_owned()
}

fn reached(at: Option<Timestamp>, count: u32, of: u32) -> String {
    match at {
        Some(at) => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        None => format!("{count} of {of} by the end"),
    }
}

fn window(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => seconds(to.duration_since(from).as_secs().max(0) as u64),
        (Some(_), None) => "not over by the end".to_owned(),
        (None, _) => none(),
    }
}

fn quantity(quantity: Quantity) -> String {
    format!("P50 {}, P95 {}, longest {}", seconds(quantity.p50_seconds), seconds(quantity.p95_seconds), seconds(quantity.max_seconds))
}

fn quantiles(quantiles: Quantiles) -> String {
    let minutes = |minutes: u64| seconds(minutes * 60);
    format!("P50 {}, P95 {}, oldest {}", minutes(quantiles.p50_minutes), minutes(quantiles.p95_minutes), minutes(quantiles.max_minutes))
}

/// In the two largest units that say something.
fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
