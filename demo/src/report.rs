//! What came of it: per VM, cycle and disk what was reported, read, sent and stored, how long it took, and whether it is proven.

use serde_json::{Value, json};

use crate::proof::{Proof, text};

/// The project's own bound for gateway and receiver in one process, in KiB.
const MEMORY_MAX_KIB: u64 = 300 * 1024;

pub struct Report {
    pub rows: Vec<Row>,
    pub proofs: Vec<Proof>,
    pub memory_peak_kib: u64,
    pub snapshots_left: usize,
    pub refused: Refused,
}

/// The cycle that was damaged on purpose, and what the agent said of it.
pub struct Refused {
    pub vm: String,
    pub cycle: u64,
    pub said: String,
}

pub struct Row {
    pub vm: String,
    pub cycle: u64,
    pub disk: String,
    pub disk_label: String,
    pub mode: String,
    pub outcome: String,
    pub reported: u64,
    pub read: u64,
    pub sent: u64,
    pub stored: u64,
    pub seconds: f64,
}

/// Every disk of every cycle that the agent remembers.
pub fn rows(status: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    for vm in status["vms"].as_array().into_iter().flatten() {
        for ended in vm["history"].as_array().into_iter().flatten() {
            for disk in ended["disks"].as_array().into_iter().flatten() {
                rows.push(row(vm, ended, disk));
            }
        }
    }
    rows
}

fn row(vm: &Value, ended: &Value, disk: &Value) -> Row {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let outcome = match &ended["outcome"] {
        Value::String(word) => word.clone(),
        Value::Object(object) => object.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    Row {
        vm: text(&vm["name"]),
        cycle: number(&ended["cycle"]),
        disk: text(&disk["disk"]),
        disk_label: text(&disk["label"]),
        mode: text(&disk["mode"]),
        outcome,
        reported: number(&disk["reported_bytes"]),
        read: number(&disk["stats"]["read"]),
        sent: number(&disk["stats"]["sent"]),
        stored: number(&disk["stats"]["stored"]),
        seconds: seconds(&ended["began_at"], &ended["ended_at"]),
    }
}

/// Between two times of one day, as RFC 3339 writes them; the demo is over long before midnight comes twice.
fn seconds(from: &Value, to: &Value) -> f64 {
    let of_day = |value: &Value| {
        let time = text(value);
        let clock = time.split('T').nth(1).unwrap_or_default().trim_end_matches('Z').to_owned();
        clock.split(':').fold(0.0, |total, part| total * 60.0 + part.parse::<f64>().unwrap_or(0.0))
    };
    (of_day(to) - of_day(from)).rem_euclid(86_400.0)
}

impl Report {
    fn verified(&self, row: &Row) -> &'static str {
        let mut of_row =
            self.proofs.iter().filter(|proof| proof.vm == row.vm && proof.cycle == row.cycle && proof.disk == row.disk).peekable();
        match (row.outcome.as_str(), of_row.peek().is_some(), of_row.all(Proof::holds)) {
            ("applied", true, true) => "verified",
            ("applied", true, false) => "DIFFERS",
            ("applied", false, _) => "NOT LOOKED AT",
            // Only the damage that the demo did itself explains a refusal, and nothing explains a failure.
            ("rejected", ..) if row.vm == self.refused.vm && row.cycle == self.refused.cycle => "refused",
            _ => "NOT APPLIED",
        }
    }

    /// Every applied cycle of every disk is proven, the damaged one was refused, nothing was left behind, and memory stayed in bounds.
    pub fn is_good(&self) -> bool {
        let proven = self.rows.iter().all(|row| matches!(self.verified(row), "verified" | "refused"));
        let some_refused = self.rows.iter().any(|row| self.verified(row) == "refused");
        proven && some_refused && !self.rows.is_empty() && self.snapshots_left == 0 && self.memory_peak_kib < MEMORY_MAX_KIB
    }

    pub fn print(&self, as_json: bool) {
        if as_json {
            return println!("{:#}", self.json());
        }
        println!();
        println!(
            "{:<7}{:>5}  {:<26}{:<9}{:>11}{:>11}{:>11}{:>11}{:>7}{:>8}  result",
            "VM", "cycle", "disk", "mode", "reported", "read", "sent", "stored", "ratio", "seconds"
        );
        for row in &self.rows {
            println!(
                "{:<7}{:>5}  {:<26}{:<9}{:>11}{:>11}{:>11}{:>11}{:>7}{:>8.1}  {}",
                row.vm,
                row.cycle,
                row.disk_label,
                row.mode,
                mib(row.reported),
                mib(row.read),
                mib(row.sent),
                mib(row.stored),
                ratio(row).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
                row.seconds,
                self.verified(row)
            );
        }
        println!();
        println!("reported: what the source said changed; sent: what was neither zero nor as before; stored: compressed and sealed.");
        println!(
            "verified: the digest of the replica, or of the restored recovery point, equals the lab's own digest of the frozen snapshot."
        );
        println!("The damaged cycle: {}", self.refused.said);
        println!("Snapshots left on the source: {}.", self.snapshots_left);
        println!(
            "Memory of gateway and receiver at its highest: {} MiB (bound: {} MiB).",
            self.memory_peak_kib / 1024,
            MEMORY_MAX_KIB / 1024
        );
        println!("{}", if self.is_good() { "All of it holds." } else { "SOMETHING DOES NOT HOLD." });
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "vm": row.vm, "cycle": row.cycle, "disk": row.disk, "label": row.disk_label, "mode": row.mode, "outcome": row.outcome,
                    "reported_bytes": row.reported, "read_bytes": row.read, "sent_bytes": row.sent, "stored_bytes": row.stored,
                    "ratio": ratio(row),
                    "seconds": row.seconds, "result": self.verified(row),
                })
            })
            .collect();
        let proof = |proof: &Proof| {
            let Proof { vm, cycle, disk, frozen, found, what } = proof;
            json!({ "vm": vm, "cycle": cycle, "disk": disk, "compared": what, "frozen_digest": frozen, "found_digest": found })
        };
        let proofs: Vec<Value> = self.proofs.iter().map(proof).collect();
        json!({
            "good": self.is_good(),
            "cycles": rows,
            "proofs": proofs,
            "damaged_cycle": { "vm": self.refused.vm, "cycle": self.refused.cycle, "said": self.refused.said },
            "snapshots_left": self.snapshots_left,
            "memory_peak_kib": self.memory_peak_kib,
            "memory_max_kib": MEMORY_MAX_KIB,
        })
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// What compression left of what was sent, seal included.
fn ratio(row: &Row) -> Option<f64> {
    (row.sent > 0).then(|| row.stored as f64 / row.sent as f64)
}
