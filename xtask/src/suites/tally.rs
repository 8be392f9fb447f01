//! What the suites found, counted by test, and read from what test programs print.
//!
//! A test that cannot run prints a line that begins with `SKIPPED:` and passes; here it counts as skipped.

use std::fmt;

use anyhow::Result;

use crate::command;

#[derive(Default)]
pub struct Tally {
    suite: &'static str,
    passed: usize,
    failures: Vec<String>,
    skips: Vec<String>,
}

impl Tally {
    pub fn enter(&mut self, suite: &'static str) {
        self.suite = suite;
    }

    /// One check that is a test of its own.
    pub fn check(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                println!("test {name} ... ok");
                self.passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED: {error:#}");
                self.fail(name);
            }
        }
    }

    pub fn fail(&mut self, what: &str) {
        self.failures.push(format!("{}: {what}", self.suite));
    }

    pub fn skip(&mut self, what: &str) {
        println!("SKIPPED: {what}");
        self.skips.push(format!("{}: {what}", self.suite));
    }

    /// Runs a test program (or `cargo test`) and counts what it reports.
    pub fn tests(&mut self, name: &str, program: &mut std::process::Command) -> Result<()> {
        let mut report = Report::default();
        let status = command::watch(program, |line| report.line(line))?;
        self.add(name, report, status.success());
        Ok(())
    }

    fn add(&mut self, name: &str, report: Report, succeeded: bool) {
        // A program that ended by a signal or did not compile names no test.
        if !succeeded && report.failed.is_empty() {
            self.fail(name);
        }
        self.failures.extend(report.failed.iter().map(|test| format!("{}: {name} {test}", self.suite)));
        self.passed += report.passed.saturating_sub(report.skipped.len());
        let skipped = report.skipped.iter().chain(&report.ignored);
        self.skips.extend(skipped.map(|what| format!("{}: {name} {what}", self.suite)));
    }

    /// Where skipping is forbidden, turns each skip into a failure unless it is listed with its reason.
    pub fn forbid_skips(&mut self, allowed: &[(&str, &str)]) {
        let (kept, broken): (Vec<_>, Vec<_>) = self.skips.drain(..).partition(|skip| allowed.iter().any(|(part, _)| skip.contains(part)));
        self.skips = kept;
        self.failures.extend(broken.into_iter().map(|skip| format!("{skip} (skipped, which CI forbids)")));
    }

    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for skip in &self.skips {
            writeln!(out, "skipped  {skip}")?;
        }
        for failure in &self.failures {
            writeln!(out, "failed   {failure}")?;
        }
        write!(out, "{} passed, {} failed", self.passed, self.failures.len())?;
        match self.skips.len() {
            0 => Ok(()),
            skipped => write!(out, ", {skipped} skipped"),
        }
    }
}

/// What one run of test programs printed.
#[derive(Default)]
struct Report {
    passed: usize,
    failed: Vec<String>,
    ignored: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    fn line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
        } else if let Some(why) = line.split_once("SKIPPED: ").map(|(_, why)| why) {
            self.skipped.push(why.to_owned());
        } else if let Some((name, outcome)) = line.strip_prefix("test ").and_then(|test| test.rsplit_once(" ... ")) {
            match outcome {
                "FAILED" => self.failed.push(name.to_owned()),
                ignored if ignored.starts_with("ignored") => self.ignored.push(name.to_owned()),
                _ => {}
            }
        }
    }
}

/// The number before a word: `ok. 12 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> usize {
    let words: Vec<_> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let found = words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok());
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str], succeeded: bool) -> Tally {
        let mut report = Report::default();
        lines.iter().for_each(|line| report.line(line));
        let mut tally = Tally::default();
        tally.enter("unit");
        tally.add("lab", report, succeeded);
        tally
    }

    #[test]
    fn results_of_several_programs_add_up() {
        let tally = tally(
            &[
                "test one ... ok",
                "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.10s",
                "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            ],
            true,
        );
        assert!(tally.is_good());
        assert_eq!(tally.to_string(), "15 passed, 0 failed");
    }

    #[test]
    fn a_failure_is_named_and_closes_with_the_sum() {
        let tally = tally(
            &["test a::b ... FAILED", "test c - should panic ... ok", "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured"],
            false,
        );
        assert!(!tally.is_good());
        assert_eq!(tally.to_string(), "failed   unit: lab a::b\n1 passed, 1 failed");
    }

    #[test]
    fn a_program_that_dies_is_one_failure() {
        assert_eq!(tally(&["test a ... ok"], false).to_string(), "failed   unit: lab\n0 passed, 1 failed");
    }

    #[test]
    fn a_skip_is_no_pass_and_fails_where_it_is_forbidden() {
        let lines = ["SKIPPED: no qemu here", "test a ... ok", "test b ... ok", "test result: ok. 2 passed; 0 failed; 0 ignored"];
        let mut tally = tally(&lines, true);
        assert_eq!(tally.to_string(), "skipped  unit: lab no qemu here\n1 passed, 0 failed, 1 skipped");
        tally.forbid_skips(&[("no qemu", "there is none")]);
        assert!(tally.is_good());
        tally.forbid_skips(&[]);
        assert_eq!(tally.to_string(), "failed   unit: lab no qemu here (skipped, which CI forbids)\n1 passed, 1 failed");
    }

    #[test]
    fn an_ignored_test_is_a_skip() {
        let lines = ["test slow ... ignored, takes an hour", "test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured"];
        assert_eq!(tally(&lines, true).to_string(), "skipped  unit: lab slow\n0 passed, 0 failed, 1 skipped");
    }
}
