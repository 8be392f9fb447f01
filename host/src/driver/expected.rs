//! A store that was set back is whole, only old, and a new agent cannot see that. Whoever knows a newer point names it by its hash; then
//! nothing begins, on either side, in a store that does not hold it.

use std::collections::BTreeMap;

use crate::log::dropped::Records;
use crate::log::layout;
use crate::log::store::Log;
use crate::model::commit::{Sha, Verdict};
use crate::model::{CycleNumber, Fault, FaultKind, VmId};

/// By a VM's id, or by the name it was registered under: the hash of a recovery point whose receipt says applied.
pub type Expected = BTreeMap<String, Sha>;

pub async fn check(log: &Log, expected: &Expected) -> Result<(), Fault> {
    if expected.is_empty() {
        return Ok(());
    }
    let mut vms = Vec::new();
    for entry in log.list(layout::VMS).await? {
        let id = VmId(entry.key[layout::VMS.len()..].to_owned());
        vms.push((log.registered_name(&id).await?, id));
    }
    for (vm, hash) in expected {
        let named: Vec<&VmId> = vms.iter().filter(|(name, id)| name == vm || id.as_str() == vm).map(|(_, id)| id).collect();
        let id = match named[..] {
            [] => return Err(missing(format!("this store knows no VM {vm} (is the name right?)"))),
            [id] => id,
            _ => {
                return Err(Fault::invalid(format!(
                    "{} VMs in this store are called {vm}; name the one that is meant by its id",
                    named.len()
                )));
            }
        };
        if !holds(log, id, *hash).await? {
            return Err(match Records::read(log, id).await?.newest {
                None => missing(format!("this store holds no applied recovery point of {vm} with the hash {hash}")),
                Some(record) => missing(format!(
                    "this store holds no applied recovery point of {vm} with the hash {hash} (retention dropped those up to cycle {}, but for a few: \
                     name the newest one that is known)",
                    record.through
                )),
            });
        }
    }
    Ok(())
}

async fn holds(log: &Log, vm: &VmId, hash: Sha) -> Result<bool, Fault> {
    for cycle in log.commits_after(vm, CycleNumber(0)).await?.into_iter().rev() {
        let found = match log.commit(vm, cycle).await {
            Ok((_, point)) => point.hash,
            Err(fault) if matches!(fault.kind, FaultKind::Corrupt | FaultKind::NotFound) => continue,
            Err(fault) => return Err(fault),
        };
        if found == hash {
            let receipt = log.receipt(vm, cycle).await?;
            return Ok(receipt.is_some_and(|receipt| matches!(receipt.verdict, Verdict::Applied { .. })));
        }
    }
    Ok(false)
}

/// Where the store should be there is none.
pub fn no_store() -> Fault {
    missing("there is no store in this place: store.json is missing".to_owned())
}

fn missing(what: String) -> Fault {
    Fault::conflict(format!("{what}: it was rolled back, or is another one. Nothing was begun or written"))
}
