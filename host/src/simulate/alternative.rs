//! What if: the same fleet with some of its numbers changed.

use crate::config::units::PerSecond;
use crate::policy::throttle::Rate;

use super::fleet::Fleet;

/// Changes that are looked at together.
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative(Vec<Change>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Line(Rate),
    Appliances(u32),
    Vms(u32),
    Disks(u32),
    DisksPerHost(u32),
    SnapshotsPerDatastore(u32),
}

const KNOWN: &str = "line, appliances, vms, disks, disks-per-host, snapshots-per-datastore";

impl Alternative {
    /// `disks-per-host=16,line=2 Gbit/s`
    pub fn parse(text: &str) -> Result<Alternative, String> {
        text.split(',').map(|part| Change::parse(part.trim())).collect::<Result<_, _>>().map(Alternative)
    }

    pub fn of(&self, fleet: &Fleet) -> Fleet {
        let mut fleet = fleet.clone();
        for change in &self.0 {
            match *change {
                Change::Line(rate) => fleet.line = rate,
                Change::Appliances(count) => fleet.appliances = count,
                Change::Vms(count) => fleet.limits.vms = count,
                Change::Disks(count) => fleet.limits.disks = count,
                Change::DisksPerHost(count) => {
                    fleet.hosts.iter_mut().for_each(|host| host.disks = count);
                    fleet.limits.host_disks = None;
                }
                Change::SnapshotsPerDatastore(count) => fleet.limits.datastore_snapshots = count,
            }
        }
        fleet
    }
}

impl Change {
    fn parse(text: &str) -> Result<Change, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is no NAME=VALUE"))?;
        let (name, value) = (name.trim(), value.trim());
        let count = || match value.parse::<u32>() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(format!("{name} takes a number of at least 1, not {value:?}")),
        };
        match name {
            "line" => PerSecond::parse(value)
                .and_then(|rate| Rate::bytes(rate.0).ok_or_else(|| "a line of nothing carries nothing".to_owned()))
                .map(Change::Line),
            "appliances" => count().map(Change::Appliances),
            "vms" => count().map(Change::Vms),
            "disks" => count().map(Change::Disks),
            "disks-per-host" => count().map(Change::DisksPerHost),
            "snapshots-per-datastore" => count().map(Change::SnapshotsPerDatastore),
            _ => Err(format!("{name:?} is none of {KNOWN}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_changes_are_one_alternative_and_what_is_not_known_is_said() {
        let alternative = Alternative::parse("disks-per-host=16, line = 2 Gbit/s").unwrap();
        assert_eq!(alternative.0.len(), 2);
        assert_eq!(Alternative::parse("hosts=3").unwrap_err(), format!("\"hosts\" is none of {KNOWN}"));
        assert_eq!(Alternative::parse("disks=0").unwrap_err(), "disks takes a number of at least 1, not \"0\"");
        assert_eq!(Alternative::parse("faster").unwrap_err(), "\"faster\" is no NAME=VALUE");
    }
}
