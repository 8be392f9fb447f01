//! The demo shows what it promises, and says so itself.

use std::process::Command;

use e2e::{Said, parts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_in_small_holds_in_every_row_and_within_its_memory() {
    let mut demo = Command::new(parts::demo());
    demo.args(["--small", "--json", "--agent"]).arg(parts::agent()).arg("--plugins").arg(parts::plugins());
    let said = Said::from(tokio::task::spawn_blocking(move || demo.output().unwrap()).await.unwrap());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let report = said.json();
    assert!(report["good"] == true && report["snapshots_left"] == 0, "{report:#}");
    assert!(report["memory_peak_kib"].as_u64().unwrap() < report["memory_max_kib"].as_u64().unwrap(), "{report:#}");
    let rows = report["cycles"].as_array().unwrap();
    let damaged = &report["damaged_cycle"];
    for row in rows {
        let is_damaged = row["vm"] == damaged["vm"] && row["cycle"] == damaged["cycle"];
        let expected = if is_damaged { ("rejected", "refused") } else { ("applied", "verified") };
        assert_eq!((row["outcome"].as_str().unwrap(), row["result"].as_str().unwrap()), expected, "{row:#}");
        assert_eq!(row["ratio"].is_null(), row["sent_bytes"] == 0, "{row:#}");
    }
    for vm in ["app01", "db01", "web01"] {
        assert!(rows.iter().filter(|row| row["vm"] == vm).count() >= 4, "initial, delta, more deltas: {report:#}");
    }
    let proofs = report["proofs"].as_array().unwrap();
    for row in rows.iter().filter(|row| row["outcome"] == "applied") {
        let mut of_row = proofs.iter().filter(|proof| ["vm", "cycle", "disk"].iter().all(|field| proof[*field] == row[*field])).peekable();
        assert!(of_row.peek().is_some() && of_row.all(|proof| proof["frozen_digest"] == proof["found_digest"]), "{row:#}");
    }
}
