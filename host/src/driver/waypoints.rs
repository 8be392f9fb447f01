//! Every moment at which the engine can be told to die, read from the types that it works with.

use crate::journal;
use crate::log::kind::ObjectKind;
use crate::policy::replica::Replica;
use crate::policy::vm::{Step, Vm};
use crate::receiver::moment::Moment;
use crate::waypoint;

use super::relay::Handled;
use super::retention::Collected;
use super::store::Pin;
use super::stores::Met;

/// In the order: steps, facts, objects, the receiver, the journal.
pub fn all() -> Vec<String> {
    let steps = waypoint::names::<Step>().iter().filter(|step| **step != "wait");
    let steps = steps.flat_map(|step| ["begun", "done"].map(|moment| format!("step/{step}/{moment}")));
    let of_vms = [journal::waypoints::<Vm>(), journal::waypoints::<Replica>(), journal::waypoints::<Collected>()];
    let of_the_agent = [journal::waypoints::<Pin>(), journal::waypoints::<Met>(), journal::waypoints::<Handled>()];
    let facts = [of_vms.concat(), of_the_agent.concat()].concat();
    let objects = ["put", "deleted"].into_iter().flat_map(|what| named(what, waypoint::names::<ObjectKind>()));
    let receiver = named("receiver", waypoint::names::<Moment>());
    steps.chain(facts).chain(objects).chain(receiver).chain([journal::UNCOMMITTED.to_owned()]).collect()
}

fn named(group: &str, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{group}/{name}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_read_from_the_code_and_long_enough() {
        let all = super::all();
        for expected in [
            "step/open-snapshot/begun",
            "step/open-snapshot/done",
            "vm/snapshot-opened/unrecorded",
            "vm/snapshot-opened/recorded",
            "replica/apply-began/recorded",
            "pin/pinned/recorded",
            "put/segment",
            "deleted/segment",
            "receiver/flushed",
            "journal/uncommitted",
        ] {
            assert!(all.iter().any(|name| name == expected), "{expected} is not in {all:?}");
        }
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all.len(), "two moments have one name");
        assert!(all.len() >= 40, "{} moments", all.len());
    }
}
