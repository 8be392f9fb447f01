//! What is shown of the doubt in change tracking: how much was read again, how sure that makes, and who lied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Finding, Severity};
use crate::policy::distrust::{Compared, Lie, SHARE, together};
use crate::policy::vm::{Ended, Vm};

/// The code of the finding about a tracker that lied.
pub const LIED: &str = "tracker-lied";

/// One VM's. Probabilities are millionths, rounded down, and those of the disk that was compared least: whichever disk it hides cells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingStatus {
    /// In the newest delta that compared anything, over its disks.
    pub newest: Compared,
    /// That a tracker which hides 1 % of what it calls unchanged is found by such a comparison.
    pub found_millionths: u32,
    /// The least number of wrong cells that such a comparison finds with 95 %.
    pub least_found: Option<u64>,
    /// Deltas that compared, among the cycles that are remembered.
    pub cycles: u64,
    /// The same probability for all of these together.
    pub found_together_millionths: u32,
    /// Cells compared, ever.
    pub compared: u64,
    /// How often a disk's tracker was found lying, ever.
    pub lies: u64,
    /// Disks of which everything is compared in every cycle, until their tracking was reset.
    pub distrusted: Vec<Lie>,
    pub newest_lie: Option<Lie>,
}

/// Over all VMs of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceTracking {
    pub source: String,
    pub compared: u64,
    pub lies: u64,
    pub distrusted: u64,
}

pub fn of_vm(vm: &Vm) -> Option<TrackingStatus> {
    let cycles: Vec<&Ended> = vm.history.iter().filter(|ended| compared(ended).cells > 0).collect();
    if cycles.is_empty() && vm.trust.lies == 0 {
        return None;
    }
    let newest = cycles.last();
    let disks = || newest.iter().flat_map(|ended| doubted(ended));
    Some(TrackingStatus {
        newest: newest.map(|ended| compared(ended)).unwrap_or_default(),
        found_millionths: newest.map_or(0, |ended| millionths(found(ended))),
        least_found: disks()
            .map(|compared| compared.found_with(0.95))
            .collect::<Option<Vec<u64>>>()
            .and_then(|each| each.into_iter().max()),
        cycles: cycles.len() as u64,
        found_together_millionths: millionths(together(cycles.iter().map(|ended| found(ended)))),
        compared: vm.trust.compared,
        lies: vm.trust.lies,
        distrusted: vm.trust.distrusted().cloned().collect(),
        newest_lie: vm.trust.newest.clone(),
    })
}

/// Of each disk that had cells which were called unchanged.
fn doubted(ended: &Ended) -> impl Iterator<Item = Compared> {
    ended.disks.iter().map(|disk| disk.compared).filter(|compared| compared.of > 0)
}

fn compared(ended: &Ended) -> Compared {
    doubted(ended).fold(Compared::default(), Compared::and)
}

fn found(ended: &Ended) -> f64 {
    doubted(ended).map(|compared| compared.finds_share(SHARE)).reduce(f64::min).unwrap_or(0.0)
}

fn millionths(probability: f64) -> u32 {
    (probability * 1e6).floor() as u32
}

pub fn of_sources<'a>(vms: impl IntoIterator<Item = (&'a str, Option<&'a TrackingStatus>)>) -> Vec<SourceTracking> {
    let mut sources: BTreeMap<&str, SourceTracking> = BTreeMap::new();
    for (source, tracking) in vms {
        let Some(tracking) = tracking else { continue };
        let sum = sources.entry(source).or_default();
        sum.source = source.to_owned();
        sum.compared += tracking.compared;
        sum.lies += tracking.lies;
        sum.distrusted += tracking.distrusted.len() as u64;
    }
    sources.into_values().collect()
}

/// A disk whose tracker is not believed, as something that a person should act on.
pub fn finding(lie: &Lie) -> Finding {
    Finding {
        code: LIED.to_owned(),
        severity: Severity::Warning,
        subject: lie.label.clone(),
        message: format!(
            "In cycle {} the source called {} of {} compared cells unchanged that differ from the recovery point before it: a change was left \
             out of its list, or was read wrongly earlier. That cycle compared the whole disk and mended it; recovery points before it may be \
             wrong in places that were not compared.",
            lie.cycle, lie.wrong, lie.compared.cells
        ),
        remedy:
            "The agent begins change tracking anew before the next cycle and compares everything until that is done. If this comes again, \
                 look for the hypervisor's known faults of change tracking, and do not rely on recovery points older than that cycle."
                .to_owned(),
    }
}

/// One line for a person.
pub fn line(tracking: &TrackingStatus) -> String {
    let newest = tracking.newest;
    let mut said = format!(
        "tracker: {} of {} unchanged cells compared; one that hides 1 % is found with p = {} ({} cycles: {})",
        grouped(newest.cells),
        grouped(newest.of),
        decimal(tracking.found_millionths),
        tracking.cycles,
        decimal(tracking.found_together_millionths)
    );
    if let Some(lie) = &tracking.newest_lie {
        let now = if tracking.distrusted.is_empty() { "tracking began anew since" } else { "it is not believed until tracking was reset" };
        let often = if tracking.lies == 1 { "once".to_owned() } else { format!("{} times", tracking.lies) };
        said.push_str(&format!("; found lying {often}, last in cycle {}: {now}", lie.cycle));
    }
    said
}

fn decimal(millionths: u32) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::CycleNumber;

    fn lie() -> Lie {
        Lie {
            disk: "2000".into(),
            label: "Hard disk 1".to_owned(),
            cycle: CycleNumber(7),
            at: Timestamp::UNIX_EPOCH,
            compared: Compared { cells: 1024, of: 1_048_576 },
            wrong: 3,
            cells: vec![5, 6, 70_000],
        }
    }

    #[test]
    fn what_was_compared_is_said_with_its_probability() {
        let newest = Compared { cells: 4096, of: 1_000_000 };
        let mut status = TrackingStatus {
            newest,
            found_millionths: millionths(Compared { cells: 100, of: 1_000_000 }.finds_share(SHARE)),
            least_found: newest.found_with(0.95),
            cycles: 3,
            found_together_millionths: millionths(together([0.9, 0.9, 0.9])),
            compared: 12_288,
            lies: 0,
            distrusted: Vec::new(),
            newest_lie: None,
        };
        assert_eq!(status.least_found, Some(730));
        assert_eq!(
            line(&status),
            "tracker: 4,096 of 1,000,000 unchanged cells compared; one that hides 1 % is found with p = 0.633985 (3 cycles: 0.999000)"
        );
        (status.lies, status.newest_lie, status.distrusted) = (1, Some(lie()), vec![lie()]);
        assert!(line(&status).ends_with("; found lying once, last in cycle 7: it is not believed until tracking was reset"));
        status.distrusted.clear();
        assert!(line(&status).ends_with("last in cycle 7: tracking began anew since"));
    }

    #[test]
    fn a_lie_says_what_happened_what_is_safe_and_what_comes_next() {
        let finding = finding(&lie());
        assert_eq!((finding.code.as_str(), finding.subject.as_str()), ("tracker-lied", "Hard disk 1"));
        assert_eq!(
            finding.message,
            "In cycle 7 the source called 3 of 1024 compared cells unchanged that differ from the recovery point before it: a change was left \
             out of its list, or was read wrongly earlier. That cycle compared the whole disk and mended it; recovery points before it may be \
             wrong in places that were not compared."
        );
        assert!(finding.remedy.starts_with("The agent begins change tracking anew before the next cycle"));
    }

    #[test]
    fn sources_are_added_up() {
        let tracking = |compared, lies| TrackingStatus {
            newest: Compared::default(),
            found_millionths: 0,
            least_found: None,
            cycles: 0,
            found_together_millionths: 0,
            compared,
            lies,
            distrusted: Vec::new(),
            newest_lie: None,
        };
        let (one, two) = (tracking(5, 0), tracking(7, 1));
        let sums = of_sources([("b", Some(&one)), ("a", None), ("b", Some(&two))]);
        assert_eq!(sums, [SourceTracking { source: "b".to_owned(), compared: 12, lies: 1, distrusted: 0 }]);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_048_576].map(grouped), ["0", "999", "1,000", "1,048,576"]);
    }
}
