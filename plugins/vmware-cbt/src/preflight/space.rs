//! Whether the datastores have room for a snapshot.

use super::Report;
use crate::properties::Object;

pub(super) const FREE: &str = "summary.freeSpace";
pub(super) const CAPACITY: &str = "summary.capacity";

/// A snapshot grows by what the guest writes until the cycle has read the frozen disk, and nobody can say how much that is. A datastore that
/// is full stops every VM that still grows on it. Less than a tenth is beyond the point (85 % used) at which vCenter's own alarm is red; on a
/// small datastore a tenth is soon written, and 10 GiB is what a busy guest writes in some minutes.
const FREE_PERCENT_MIN: u64 = 10;
const FREE_BYTES_MIN: u64 = 10 << 30;

/// A warning and no more: whether it is enough is the operator's to judge, and a VM that is not replicated is no safer.
pub(super) fn of_datastores(stores: &[Object], report: &mut Report) {
    for store in stores {
        let (Some(free), Some(capacity)) = (store.number(FREE), store.number(CAPACITY)) else { continue };
        if free >= FREE_BYTES_MIN && free >= capacity / 100 * FREE_PERCENT_MIN {
            continue;
        }
        let name = store.text("name").unwrap_or(&store.moref.value);
        report.warning(
            "datastore-nearly-full",
            format!(
                "{name} has {} of {} free; the snapshot of a cycle grows there by what the guest writes meanwhile.",
                gibibytes(free),
                gibibytes(capacity)
            ),
            &format!("Make room on {name}: {FREE_PERCENT_MIN} % and 10 GiB should be free."),
        );
    }
}

fn gibibytes(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB)
}
