//! How a disk is carried over: everything, what changed, or everything compared with what is there.

use crate::model::commit::Mode;
use crate::model::{DiskSize, Marker, ResyncReason, SnapshotDisk};

/// What is known of a disk at the recovery point that a cycle builds on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointDisk {
    pub fingerprint: String,
    pub size: DiskSize,
    pub marker: Option<Marker>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Initial,
    /// Ask the source what changed since the marker; if it cannot say, resync.
    Delta {
        since: Marker,
    },
    Resync(ResyncReason),
}

impl Choice {
    pub fn mode(&self) -> Mode {
        match self {
            Choice::Initial => Mode::Initial,
            Choice::Delta { .. } => Mode::Delta,
            Choice::Resync(_) => Mode::Resync,
        }
    }

    /// What would be a delta is a comparison of everything, when there is a reason for one.
    pub fn compared_whole(self, reason: Option<&ResyncReason>) -> Choice {
        match (self, reason) {
            (Choice::Delta { .. }, Some(reason)) => Choice::Resync(reason.clone()),
            (choice, _) => choice,
        }
    }
}

/// Decides for one disk. If in doubt, copies more: a disk that is not surely the same one starts anew, and a disk that changed its shape,
/// or whose change tracking is not surely unbroken, is compared whole.
pub fn choose(base: Option<&PointDisk>, disk: &SnapshotDisk) -> Choice {
    let Some(base) = base else { return Choice::Initial };
    if disk.size < base.size {
        return Choice::Initial;
    }
    let reason = |code: &str, message: String| Choice::Resync(ResyncReason { code: code.to_owned(), message });
    if disk.size > base.size {
        return reason("disk-grown", format!("the disk grew from {} to {} bytes", base.size.bytes(), disk.size.bytes()));
    }
    if disk.fingerprint != base.fingerprint {
        return reason("disk-reshaped", "the disk is not surely the one of the last recovery point".to_owned());
    }
    match (&base.marker, &disk.marker) {
        (Some(since), _) => Choice::Delta { since: since.clone() },
        (None, _) => reason("marker-missing", "change tracking was not active at the last recovery point".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(size: u64, fingerprint: &str) -> SnapshotDisk {
        SnapshotDisk {
            id: "d".into(),
            label: "Hard disk 1".to_owned(),
            fingerprint: fingerprint.to_owned(),
            size: DiskSize::new(size).unwrap(),
            marker: Some("m2".into()),
        }
    }

    fn base(size: u64, marker: Option<&str>) -> PointDisk {
        PointDisk { fingerprint: "f".to_owned(), size: DiskSize::new(size).unwrap(), marker: marker.map(Marker::from) }
    }

    #[test]
    fn only_a_disk_that_is_surely_the_same_and_tracked_is_a_delta() {
        let point = base(1024, Some("m1"));
        assert_eq!(choose(Some(&point), &disk(1024, "f")), Choice::Delta { since: "m1".into() });
        assert_eq!(choose(None, &disk(1024, "f")), Choice::Initial);
        assert_eq!(choose(Some(&point), &disk(512, "f")), Choice::Initial);
        for (base, disk, code) in [
            (base(1024, Some("m1")), disk(2048, "f"), "disk-grown"),
            (base(1024, Some("m1")), disk(1024, "g"), "disk-reshaped"),
            (base(1024, None), disk(1024, "f"), "marker-missing"),
        ] {
            match choose(Some(&base), &disk) {
                Choice::Resync(reason) => assert_eq!(reason.code, code),
                other => panic!("{code}: {other:?}"),
            }
        }
    }
}
