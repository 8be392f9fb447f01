//! What the host keeps for us between calls, as JSON with a version. No login and no cookie is ever in one.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use transload_guest::fault::Fault;

use transload_guest::source::{PowerAction, VmRef};

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotToken {
    pub vm: String,
    pub uuid: String,
    /// The name that the host gave it: proof that the reference still means the same snapshot.
    pub tag: String,
    pub snapshot: String,
}

impl SnapshotToken {
    pub fn vm_ref(&self) -> VmRef {
        VmRef { id: self.vm.clone(), fingerprint: self.uuid.clone() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub vm: String,
    pub uuid: String,
    #[serde(flatten)]
    pub work: Work,
}

impl Operation {
    pub fn of(vm: &VmRef, work: Work) -> Operation {
        Operation { vm: vm.id.clone(), uuid: vm.fingerprint.clone(), work }
    }

    pub fn vm_ref(&self) -> VmRef {
        VmRef { id: self.vm.clone(), fingerprint: self.uuid.clone() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case")]
pub enum Work {
    Open {
        tag: String,
        task: String,
        asking: Asking,
        origin: Origin,
    },
    /// `task` is none while vCenter is busy with something else on this VM.
    Close {
        tag: String,
        snapshot: String,
        phase: ClosePhase,
        task: Option<String>,
    },
    Track {
        goal: Goal,
        step: usize,
        task: Option<String>,
    },
    Power {
        #[serde(with = "Action")]
        action: PowerAction,
        task: Option<String>,
    },
}

/// A `PowerAction`, as it stands in a token.
#[derive(Serialize, Deserialize)]
#[serde(remote = "PowerAction", rename_all = "kebab-case")]
enum Action {
    On,
    Off,
    Shutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asking {
    /// Quiesced, and nothing else will do.
    Required,
    /// Quiesced; crash-consistent when the guest cannot.
    Quiesced,
    CrashConsistent,
}

/// Who started a task that makes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// We did, in the call that made this token.
    Ours,
    /// It ran already; it may be ours from a call whose reply was lost, or somebody else's.
    Met,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosePhase {
    Removing,
    Consolidating,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    Enable,
    Reset,
}

/// Where a page of changes goes on. It carries what the first page looked up, so that the next ones need not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreasCursor {
    pub offset: u64,
    pub key: u64,
    pub size: u64,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    value: T,
}

pub fn write<T: Serialize>(value: &T) -> String {
    // These types hold strings and numbers only; writing them as JSON cannot fail.
    serde_json::to_string(&Versioned { v: VERSION, value }).unwrap_or_default()
}

pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let versioned: Versioned<T> =
        serde_json::from_str(text).map_err(|error| Fault::invalid(format!("That is no token of this plugin: {error}.")))?;
    if versioned.v != VERSION {
        return Err(Fault::invalid(format!("The token has version {}; this plugin writes and reads version {VERSION}.", versioned.v)));
    }
    Ok(versioned.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_as_they_were_written() {
        let vm = VmRef { id: "vm-1".into(), fingerprint: "u".into() };
        for work in [
            Work::Open { tag: "t".into(), task: "task-1".into(), asking: Asking::Quiesced, origin: Origin::Met },
            Work::Close { tag: "t".into(), snapshot: "snapshot-1".into(), phase: ClosePhase::Removing, task: None },
            Work::Track { goal: Goal::Reset, step: 4, task: Some("task-2".into()) },
            Work::Power { action: PowerAction::Shutdown, task: None },
        ] {
            let operation = Operation::of(&vm, work);
            assert_eq!(read::<Operation>(&write(&operation)).unwrap(), operation);
        }
    }

    #[test]
    fn foreign_text_and_other_versions_are_refused() {
        let token = SnapshotToken { vm: "vm-1".into(), uuid: "u".into(), tag: "t".into(), snapshot: "s".into() };
        let later = write(&token).replace("\"v\":1", "\"v\":2");
        assert!(read::<SnapshotToken>(&later).unwrap_err().message.contains("version 2"));
        for bad in ["", "{}", "snapshot-1", r#"{"v":1,"vm":"x"}"#] {
            assert!(read::<SnapshotToken>(bad).is_err(), "{bad}");
        }
    }
}
