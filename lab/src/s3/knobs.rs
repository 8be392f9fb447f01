//! What a test can turn on the object store while it runs.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Every answer waits this long.
    pub latency_milliseconds: u64,
    /// So many coming requests get `fail_status` (503 `SlowDown` or 500 `InternalError`) without effect.
    pub fail_next: u64,
    /// 0 means 503.
    pub fail_status: u16,
    /// So many coming requests find the connection closed, without effect.
    pub drop_next: u64,
    /// So many coming PUTs take effect, but the connection closes instead of the answer.
    pub lose_put_replies: u64,
    /// So many coming GETs end in the middle of the body.
    pub truncate_gets: u64,
    /// So many coming PUTs arrive with one bit of their body changed, as a wire without TLS may do it.
    pub flip_puts: u64,
    /// So many coming PUTs are stored as they came, and then one bit of them changes where it lies.
    pub rot_puts: u64,
    /// Every PUT is refused: no space (507).
    pub full: bool,
    /// Only requests whose path contains this are met by `fail_next`, `drop_next`, `lose_put_replies`, `truncate_gets`, `flip_puts`,
    /// `rot_puts`.
    pub only_paths_with: Option<String>,
}

/// What reached the object store since it started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    pub requests: u64,
    pub puts: u64,
    pub gets: u64,
    pub deletes: u64,
    /// PUTs whose signature covers the body's SHA-256.
    pub puts_with_hash: u64,
    /// Requests that name the bucket by the host.
    pub by_virtual_host: u64,
    /// Content-Length of all PUTs and POSTs that reached the store.
    pub bytes_in: u64,
    /// Content-Length of all answers to GETs.
    pub bytes_out: u64,
    /// Answers of 400 and above, planned faults included.
    pub refused: u64,
}
