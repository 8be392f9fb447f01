//! `[limits]`: what one appliance does at one time, so that neither it nor the source is overrun. They take effect while the agent runs.

use serde::Deserialize;

use super::units::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Limits {
    /// VMs that are replicated. What more there is waits by name: each VM has tables, timers and connections of its own, and 300 is what the
    /// seed system proved on one appliance.
    pub vms: u32,
    /// Disks that are read at one time over all VMs. A vCenter serves 52 network copies; they share `in-flight`, so that more of them cost
    /// no more memory than that says.
    pub disks: u32,
    /// Snapshots of disks on one datastore at one time: each grows with what is written meanwhile, and merging them costs the datastore
    /// twice. A VM that has more disks than this goes alone.
    pub disk_snapshots_per_datastore: u32,
    /// Disks that are read from one host at one time, where that is less than the source says itself (8 for ESXi).
    pub disks_per_host: Option<u32>,
    /// What of a datastore's capacity is never touched. Snapshots are closed before it is reached, and until twice as much is free none is
    /// opened there; a datastore that is full suspends its VMs.
    pub datastore_reserve_percent: u8,
    /// How long a snapshot may be open. What was copied by then is kept and another one goes on from there. vSphere's own advice is 72 hours.
    pub snapshot_age_max: Span,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            vms: 300,
            disks: 52,
            disk_snapshots_per_datastore: 15,
            disks_per_host: None,
            datastore_reserve_percent: 5,
            snapshot_age_max: Span::seconds(72 * 3600),
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Vec<String> {
        let given = [
            ("vms", Some(self.vms)),
            ("disks", Some(self.disks)),
            ("disk-snapshots-per-datastore", Some(self.disk_snapshots_per_datastore)),
            ("disks-per-host", self.disks_per_host),
        ];
        let nothing = given.iter().filter(|(_, max)| *max == Some(0));
        let mut wrong: Vec<String> = nothing.map(|(name, _)| format!("[limits] {name} must be at least 1")).collect();
        if self.datastore_reserve_percent > 50 {
            wrong.push("[limits] datastore-reserve-percent must be at most 50: no datastore would ever be open".to_owned());
        }
        if self.snapshot_age_max < Span::seconds(3600) {
            wrong.push("[limits] snapshot-age-max must be at least 1 h: a large disk would never be through".to_owned());
        }
        wrong
    }
}
