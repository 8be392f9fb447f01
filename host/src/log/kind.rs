//! What an object is for, told from its key alone.

use serde::{Deserialize, Serialize};

use super::layout;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    Store,
    Key,
    /// A further store, as the home store names it.
    StoreEntry,
    /// Which further store it is.
    Bound,
    Vm,
    Owner,
    Initial,
    Planned,
    Segment,
    Page,
    Commit,
    Receipt,
    CheckpointPage,
    /// What makes a checkpoint exist.
    Checkpoint,
    /// Recovery points that are gone, or are going.
    Dropped,
    Lease,
    Pin,
    Verified,
    Command,
    Reply,
    /// Nothing that the layout knows: a probe, or somebody else's.
    Other,
}

impl ObjectKind {
    pub fn of(key: &str) -> ObjectKind {
        let last = key.rsplit('/').next().unwrap_or_default();
        match key.split('/').collect::<Vec<_>>()[..] {
            [layout::STORE] => ObjectKind::Store,
            [layout::BOUND] => ObjectKind::Bound,
            ["keys", ..] => ObjectKind::Key,
            ["stores", _] => ObjectKind::StoreEntry,
            ["vms", _] => ObjectKind::Vm,
            ["cmd", _] => ObjectKind::Command,
            ["reply", _] => ObjectKind::Reply,
            ["vm", _, "owner", _] => ObjectKind::Owner,
            ["vm", _, "initial", ..] => ObjectKind::Initial,
            ["vm", _, "commit", _] => ObjectKind::Commit,
            ["vm", _, "receipt", _] => ObjectKind::Receipt,
            ["vm", _, "dropped", _] => ObjectKind::Dropped,
            ["vm", _, "lease", _] => ObjectKind::Lease,
            ["vm", _, "pin", _] => ObjectKind::Pin,
            ["vm", _, "verified", _] => ObjectKind::Verified,
            ["vm", _, "checkpoint", _, "done"] => ObjectKind::Checkpoint,
            ["vm", _, "checkpoint", ..] => ObjectKind::CheckpointPage,
            ["vm", _, _, _, _] if last.starts_with("planned-") => ObjectKind::Planned,
            ["vm", _, _, _, _] if last.starts_with("seg-") => ObjectKind::Segment,
            ["vm", _, _, _, _] if last.starts_with("page-") => ObjectKind::Page,
            _ => ObjectKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::layout::AttemptFolder;
    use crate::model::{Attempt, CycleNumber, DiskId, Epoch, VmId};

    #[test]
    fn every_key_of_the_layout_tells_what_it_is_for() {
        let (vm, disk, cycle) = (VmId::from("vc1-1"), DiskId("d".to_owned()), CycleNumber(4));
        let attempt = AttemptFolder::new(&vm, cycle, Attempt::FIRST, &disk);
        for (key, kind) in [
            (layout::STORE.to_owned(), ObjectKind::Store),
            (layout::key_slot(&[1; 16], "main"), ObjectKind::Key),
            (layout::BOUND.to_owned(), ObjectKind::Bound),
            ("stores/2".to_owned(), ObjectKind::StoreEntry),
            (layout::vm_entry(&vm), ObjectKind::Vm),
            (layout::owner(&vm, Epoch(1)), ObjectKind::Owner),
            (layout::initial(&vm, cycle, Attempt::FIRST, &disk), ObjectKind::Initial),
            (attempt.planned(0), ObjectKind::Planned),
            (attempt.segment(3, 4), ObjectKind::Segment),
            (attempt.page(2), ObjectKind::Page),
            (layout::commit(&vm, cycle), ObjectKind::Commit),
            (layout::receipt(&vm, cycle, 0), ObjectKind::Receipt),
            (layout::checkpoint_page(&vm, cycle, &disk, 0), ObjectKind::CheckpointPage),
            (layout::checkpoint_done(&vm, cycle), ObjectKind::Checkpoint),
            (layout::pin(&vm, cycle), ObjectKind::Pin),
            (layout::command(1), ObjectKind::Command),
            (layout::reply(1), ObjectKind::Reply),
            ("vm/x/y".to_owned(), ObjectKind::Other),
        ] {
            assert_eq!(ObjectKind::of(&key), kind, "{key}");
        }
    }
}
