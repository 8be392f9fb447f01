//! `vm/<vm>/lease/<random>.<n>`: somebody reads a recovery point, and what it builds on must stay until he is done.
//!
//! ```text
//!   reader   put lease ─▶ look for a record that drops the point ─▶ read …  renew … renew …  ─▶ delete lease
//!   owner    put record ─▶ look for leases on what it drops      ─▶ wait, or delete
//! ```
//!
//! Whichever of the two came first, one sees the other. A lease says until when it is good, by its holder's clock; each renewal is an object
//! of its own, because objects never change. The owner believes a lease for `SKEW` longer than it says: that much may the clocks of two
//! machines differ. A lease saves a reader from reading again; content is verified by digests whatever happens.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::model::commit::FORMAT;
use crate::model::{CycleNumber, Fault, FaultKind, VmId};

use super::dropped::Records;
use super::layout;
use super::seal::Role;
use super::store::Log;

/// How long a lease is good for. A reader that died holds what it read for no longer.
pub const TERM: Duration = Duration::from_secs(15 * 60);
/// A third of that: two renewals may fail.
const RENEW_AFTER: Duration = Duration::from_secs(5 * 60);
/// How far the clocks of a reader and of the owner may differ.
pub const SKEW: Duration = Duration::from_secs(10 * 60);
/// Leases that are looked at. Somebody who makes more of them is no reader.
const LEASES_MAX: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    format: u32,
    /// What is done with the point, for people.
    pub purpose: String,
    pub point: CycleNumber,
    /// When the reading began.
    pub since: Timestamp,
    pub until: Timestamp,
}

impl Lease {
    pub fn new(purpose: String, point: CycleNumber, since: Timestamp, until: Timestamp) -> Lease {
        Lease { format: FORMAT, purpose, point, since, until }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a lease has only string keys")
    }

    pub fn decode(bytes: &[u8]) -> Result<Lease, Fault> {
        let lease: Lease = serde_json::from_slice(bytes).map_err(|error| Fault::corrupt(format!("a lease cannot be read: {error}")))?;
        match lease.format == FORMAT {
            true => Ok(lease),
            false => Err(Fault::unsupported(format!("a lease of format {} was taken by a newer version", lease.format))),
        }
    }

    fn holds(&self, now: Timestamp) -> bool {
        now <= self.until.checked_add(SKEW).unwrap_or(Timestamp::MAX)
    }
}

/// The leases on a VM, as its owner sees them.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub held: Vec<Lease>,
    /// Keys of those that have ended without being taken back, or do not open.
    pub ended: Vec<String>,
}

pub async fn find(log: &Log, vm: &VmId, now: Timestamp) -> Result<Found, Fault> {
    let mut found = Found::default();
    for entry in log.list(&layout::leases(vm)).await?.into_iter().take(LEASES_MAX) {
        match log.read(Role::Lease, &entry.key).await.and_then(|bytes| Lease::decode(&bytes)) {
            Ok(lease) if lease.holds(now) => found.held.push(lease),
            Ok(_) => found.ended.push(entry.key),
            Err(fault) if fault.kind == FaultKind::NotFound => {}
            Err(fault) if fault.kind == FaultKind::Corrupt => found.ended.push(entry.key),
            Err(fault) => return Err(fault),
        }
    }
    Ok(found)
}

/// Takes leases for those who read.
#[derive(Clone)]
pub struct Leases {
    log: Log,
    clock: Arc<dyn Clock>,
}

impl Leases {
    pub fn new(log: Log, clock: Arc<dyn Clock>) -> Leases {
        Leases { log, clock }
    }

    /// Does some reading while the point, and everything that it builds on, stays. Refuses a point that was dropped, by name. The reading
    /// must begin with this call: what was read of the chain before may be gone.
    pub async fn hold<T>(
        &self,
        vm: &VmId,
        point: CycleNumber,
        purpose: &str,
        reading: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let since = self.clock.now();
        let mut lease = Taken { leases: self, vm, point, purpose, since, holder: self.log.random().number(), renewal: 0 };
        let until = lease.put().await?;
        if let Err(refused) = Records::read(&self.log, vm).await.and_then(|records| records.refuse_dropped(point)) {
            lease.take_back().await;
            return Err(refused);
        }
        // Both are looked at all the time: a reading that nobody polls may hold the very connection that a renewal waits for.
        tokio::select! {
            biased;
            result = reading => {
                lease.take_back().await;
                result
            }
            fault = lease.keep(until) => Err(fault),
        }
    }
}

struct Taken<'a> {
    leases: &'a Leases,
    vm: &'a VmId,
    point: CycleNumber,
    purpose: &'a str,
    since: Timestamp,
    holder: u64,
    renewal: u32,
}

impl Taken<'_> {
    fn key(&self) -> String {
        layout::lease(self.vm, self.holder, self.renewal)
    }

    async fn put(&self) -> Result<Timestamp, Fault> {
        let until = self.leases.clock.now().checked_add(TERM).unwrap_or(Timestamp::MAX);
        let lease = Lease::new(self.purpose.to_owned(), self.point, self.since, until);
        self.leases.log.create(Role::Lease, &self.key(), &lease.encode()).await?;
        Ok(until)
    }

    /// Renews it again and again. Comes back when it ended.
    async fn keep(&mut self, mut until: Timestamp) -> Fault {
        let (vm, point, clock) = (self.vm, self.point, &self.leases.clock);
        loop {
            clock.sleep(RENEW_AFTER).await;
            match self.renew().await {
                Ok(renewed) => until = renewed,
                Err(fault) if clock.now() >= until => {
                    return Fault::unavailable(format!(
                        "what was read of recovery point {point} of {vm} may be deleted by now, because the lease on it could not be renewed: {}. \
                         Nothing in the store was changed; begin again",
                        fault.message
                    ));
                }
                Err(fault) => tracing::warn!(%vm, %point, message = %fault.message, "a lease is not renewed yet"),
            }
        }
    }

    async fn renew(&mut self) -> Result<Timestamp, Fault> {
        let old = self.key();
        self.renewal += 1;
        let until = self.put().await?;
        self.delete(vec![old]).await;
        Ok(until)
    }

    /// A renewal that was cut short left the object before it as well.
    async fn take_back(&self) {
        let before = self.renewal.checked_sub(1).map(|before| layout::lease(self.vm, self.holder, before));
        self.delete(std::iter::once(self.key()).chain(before).collect()).await;
    }

    /// Who may not delete, or cannot just now, leaves it to time and to the owner.
    async fn delete(&self, keys: Vec<String>) {
        let result = self.leases.log.sink().delete(&keys).await;
        if let Err(fault) = result.and_then(|results| results.into_iter().collect::<Result<Vec<()>, Fault>>()) {
            tracing::debug!(vm = %self.vm, message = %fault.message, "a lease is left to end by itself");
        }
    }
}
