//! Everything a test can turn on the vCenter while it runs. The defaults are a healthy vCenter.

use serde::{Deserialize, Serialize};

/// Faults and limits. Serialises with the field names below; `POST /knob` merges a part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// A session unused for this long is gone.
    pub session_idle_milliseconds: u64,
    /// Every session dies after so many authenticated calls (SOAP and `/folder` together).
    pub session_calls_max: Option<u64>,
    /// More live sessions than this: 503 for a new one.
    pub sessions_max: usize,
    /// Privileges the account does not have. They are reported and really enforced.
    pub denied_privileges: Vec<String>,
    /// Every SOAP answer waits this long.
    pub soap_latency_milliseconds: u64,
    /// The prefix bound to the schema-instance namespace in answers; a client must not care.
    pub instance_prefix: String,

    /// The server never puts more objects into one page than this, whatever the client allows.
    pub page_objects_max: usize,

    /// A task works this long before it does anything.
    pub task_milliseconds: u64,
    /// A finished task still says `running` for so many reads of its `info`.
    pub task_polls: u32,
    /// Each entry makes one coming task of that method fail, in order; a lease is such a task.
    pub task_faults: Vec<TaskFault>,
    /// How long a guest takes to shut down.
    pub guest_shutdown_milliseconds: u64,
    /// Merging after RemoveSnapshot and in ConsolidateVMDisks fails: the redo logs stay and `consolidationNeeded` is set.
    pub consolidation_fails: bool,

    /// A lease that hears no progress for so long ends.
    pub lease_timeout_milliseconds: u64,

    /// At most so many extents in one reply of QueryChangedDiskAreas.
    pub changes_extents_max: usize,
    /// A reply covers at most so many bytes, so that windows without any change appear.
    pub changes_window_bytes: Option<u64>,
    /// Lie: leave out the extents with these numbers, counted over the whole answer.
    pub changes_hidden_extents: Vec<usize>,
    /// Lie: leave out all extents of the replies with these numbers, when counted in steps of `changes_extents_max`.
    pub changes_hidden_pages: Vec<usize>,
    /// Lie: change tracking is blind to this share of all cells, always to the same ones.
    pub changes_hidden_share: f64,
    /// Report so many cells too many on both sides of each extent. Allowed, and it must do no harm.
    pub changes_widen_cells: u64,
    /// Lie: the reply starts so many bytes behind the asked offset.
    pub changes_start_shift: u64,

    /// Every `/folder` answer waits this long.
    pub folder_latency_milliseconds: u64,
    /// The server does not know ranges: 200 and the whole file.
    pub folder_ignores_range: bool,
    /// VMFS behaviour: every content file of a running VM is locked (500), not only the one it writes.
    pub folder_locks_running: bool,
    /// Faults of coming GETs, see [`FolderFault`].
    pub folder_faults: Vec<FolderFault>,
}

/// The next task of `method` (for example `CreateSnapshot_Task`) ends with `fault` (for example `FilesystemQuiesceFault`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFault {
    pub method: String,
    pub fault: String,
}

/// Lets `after` GETs of content files pass, then spoils the next `times`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderFault {
    #[serde(default)]
    pub after: u64,
    #[serde(default = "once")]
    pub times: u64,
    pub spoil: Spoil,
}

fn once() -> u64 {
    1
}

/// How a read goes wrong. In JSON: `{"status": 503}`, `"truncate"`, `"close"`, `"flip-bit"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spoil {
    /// This status and no content.
    Status(u16),
    /// Right headers, half of the body, then the connection ends.
    Truncate,
    /// The connection ends without an answer.
    Close,
    /// One bit in the middle of the body is wrong and nothing tells.
    FlipBit,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            session_idle_milliseconds: 30 * 60 * 1000, // vCenter's idle limit for API sessions.
            session_calls_max: None,
            sessions_max: 2000,
            denied_privileges: Vec::new(),
            soap_latency_milliseconds: 0,
            instance_prefix: "xsi".to_owned(),
            page_objects_max: 1000,
            task_milliseconds: 0,
            task_polls: 0,
            task_faults: Vec::new(),
            guest_shutdown_milliseconds: 200,
            consolidation_fails: false,
            lease_timeout_milliseconds: 300 * 1000, // What vCenter tells in `leaseTimeout`.
            changes_extents_max: 2000,              // What every field report shows.
            changes_window_bytes: None,
            changes_hidden_extents: Vec::new(),
            changes_hidden_pages: Vec::new(),
            changes_hidden_share: 0.0,
            changes_widen_cells: 0,
            changes_start_shift: 0,
            folder_latency_milliseconds: 0,
            folder_ignores_range: false,
            folder_locks_running: false,
            folder_faults: Vec::new(),
        }
    }
}

impl Knobs {
    /// The fault that the coming GET meets, if any; counts it off.
    pub(super) fn next_folder_fault(&mut self) -> Option<Spoil> {
        let mut chosen = None;
        for fault in &mut self.folder_faults {
            if fault.after > 0 {
                fault.after -= 1;
            } else if chosen.is_none() && fault.times > 0 {
                fault.times -= 1;
                chosen = Some(fault.spoil);
            }
        }
        self.folder_faults.retain(|fault| fault.times > 0);
        chosen
    }

    pub(super) fn next_task_fault(&mut self, method: &str) -> Option<String> {
        let place = self.task_faults.iter().position(|fault| fault.method == method)?;
        Some(self.task_faults.remove(place).fault)
    }
}
