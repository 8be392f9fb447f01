//! Export leases: HttpNfcLease.
//!
//! ```text
//!   ExportVm, ExportSnapshot ─▶ initializing ─▶ ready ──Complete──▶ done
//!                                    │          │ ▲ └──Progress, again and again
//!                                    │          ▼ └────────┘
//!                                    └───────▶ error ◀── Abort, or too long without Progress
//! ```
//!
//! A lease is a task of the VM that the client keeps alive, so the VM has no other task meanwhile. Its addresses (see `nfc`) are good while
//! it is ready and not a moment longer.

use super::inventory::{Power, State, Vm};
use super::{Datacentre, digests, machines, task};
use crate::disk::Chain;
use crate::soap::{Arguments, Fault, Moref, Object, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Lease {
    id: String,
    /// Who knows it may read: the addresses ask for no session.
    ticket: String,
    /// The snapshot or the VM that is exported.
    exported: Moref,
    vm: String,
    task: String,
    disks: Vec<LeasedDisk>,
    timeout: Duration,
    transferred_percent: i32,
    phase: Phase,
}

struct LeasedDisk {
    key: i32,
    unit: i32,
    name: String,
    capacity: u64,
}

enum Phase {
    Initializing,
    Ready { until: Instant },
    Done,
    Error(Fault),
}

/// Leases that have ended are remembered, so that their state can be read; this many.
const KEPT_MAX: usize = 100;

/// Opens a lease on a VM that is off, or on a snapshot.
pub(super) fn export(
    centre: &Arc<Datacentre>,
    method: &'static str,
    exported: Moref,
    arguments: Arguments,
) -> Result<Option<Value>, Fault> {
    arguments.finish()?;
    let (vm_id, disks) = what_it_covers(&centre.state(), &exported)?;
    let (timeout, delay, planned_fault) = centre.with_knobs(|knobs| {
        (Duration::from_millis(knobs.lease_timeout_milliseconds), knobs.task_milliseconds, knobs.next_task_fault(method))
    });
    let task = task::begin(centre, &vm_id, method, "VirtualMachine.exportVm")?;
    let id = {
        let mut state = centre.state();
        let (session, own, ticket) = (state.uuid(), state.uuid(), state.uuid());
        let id = format!("session[{session}]{own}");
        let phase = Phase::Initializing;
        let lease = Lease { id: id.clone(), ticket, exported, vm: vm_id, task, disks, timeout, transferred_percent: 0, phase };
        remember(&mut state, lease);
        id
    };
    let (centre, own_id) = (centre.clone(), id.clone());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(delay)).await;
        match planned_fault {
            Some(fault) => end(&centre, &own_id, Phase::Error(task::named_fault(&fault))),
            None => watch(&centre, &own_id).await,
        }
    });
    Ok(Some(Moref::new("HttpNfcLease", &id).into()))
}

/// The VM, and the disks as the snapshot froze them or, without a snapshot, as they are: then the VM must be off.
fn what_it_covers(state: &State, exported: &Moref) -> Result<(String, Vec<LeasedDisk>), Fault> {
    let (vm, disks): (&Vm, Vec<(i32, i32, u64)>) = match (state.snapshot(&exported.id), state.vms.get(&exported.id)) {
        (Some((vm, snapshot)), _) => (vm, snapshot.disks.iter().map(|disk| (disk.key, disk.unit, disk.capacity)).collect()),
        (None, Some(vm)) if vm.power != Power::Off => return Err(machines::wrong_power(Power::Off, vm.power)),
        (None, Some(vm)) => (vm, vm.disks.iter().map(|disk| (disk.key, disk.unit, disk.chain.capacity)).collect()),
        (None, None) => return Err(Fault::not_found(&exported.id)),
    };
    let named = |(number, (key, unit, capacity))| LeasedDisk { key, unit, name: format!("disk-{number}.vmdk"), capacity };
    Ok((vm.id.clone(), disks.into_iter().enumerate().map(named).collect()))
}

fn remember(state: &mut State, lease: Lease) {
    if state.leases.len() >= KEPT_MAX {
        state.leases.retain(|_, lease| !matches!(lease.phase, Phase::Done | Phase::Error(_)));
    }
    state.leases.insert(lease.id.clone(), lease);
}

/// Makes the lease ready, and ends it when nobody has kept it alive.
async fn watch(centre: &Arc<Datacentre>, id: &str) {
    if let Some(lease) = centre.state().leases.get_mut(id)
        && matches!(lease.phase, Phase::Initializing)
    {
        lease.phase = Phase::Ready { until: Instant::now() + lease.timeout };
    }
    loop {
        let Some(until) = ready_until(&centre.state(), id) else { return };
        if until <= Instant::now() {
            return end(centre, id, Phase::Error(timed_out()));
        }
        tokio::time::sleep_until(until).await;
    }
}

fn ready_until(state: &State, id: &str) -> Option<Instant> {
    match state.leases.get(id)?.phase {
        Phase::Ready { until } => Some(until),
        _ => None,
    }
}

/// Every lease that is ready now has not been kept alive.
pub(super) fn expire_all(centre: &Datacentre) {
    let ids: Vec<String> = centre.state().leases.keys().cloned().collect();
    for id in ids {
        let ready = ready_until(&centre.state(), &id).is_some();
        if ready {
            end(centre, &id, Phase::Error(timed_out()));
        }
    }
}

/// The lease's task ends with it, and the VM is free again. A lease that has ended stays as it is.
fn end(centre: &Datacentre, id: &str, how: Phase) {
    let mut state = centre.state();
    let Some(lease) = state.leases.get_mut(id).filter(|lease| matches!(lease.phase, Phase::Initializing | Phase::Ready { .. })) else {
        return;
    };
    let outcome = match &how {
        Phase::Error(fault) => Err(fault.clone()),
        _ => Ok(None),
    };
    lease.phase = how;
    let (vm, task) = (lease.vm.clone(), lease.task.clone());
    task::end(&mut state, &vm, &task, outcome);
}

fn timed_out() -> Fault {
    Fault::new("Timedout", "The operation timed out: the lease was not kept alive.")
}

/// HttpNfcLeaseProgress: the client lives.
pub(super) fn progress(centre: &Datacentre, id: &str, mut arguments: Arguments) -> Result<Option<Value>, Fault> {
    let percent: i32 = arguments.number("percent")?;
    arguments.finish()?;
    if !(0..=100).contains(&percent) {
        return Err(Fault::invalid_argument("percent"));
    }
    let mut state = centre.state();
    let lease = ready(&mut state, id)?;
    lease.transferred_percent = percent;
    lease.phase = Phase::Ready { until: Instant::now() + lease.timeout };
    Ok(None)
}

/// HttpNfcLeaseComplete: the client has what it wanted.
pub(super) fn complete(centre: &Datacentre, id: &str, arguments: Arguments) -> Result<Option<Value>, Fault> {
    arguments.finish()?;
    ready(&mut centre.state(), id)?;
    end(centre, id, Phase::Done);
    Ok(None)
}

/// HttpNfcLeaseAbort: the client gives it up.
pub(super) fn abort(centre: &Datacentre, id: &str, mut arguments: Arguments) -> Result<Option<Value>, Fault> {
    if arguments.object_optional("fault")?.is_some() {
        return Err(Fault::unimplemented("HttpNfcLeaseAbort with a fault"));
    }
    arguments.finish()?;
    end(centre, id, Phase::Error(Fault::new("RequestCanceled", "The task was canceled by a user.")));
    Ok(None)
}

fn ready<'a>(state: &'a mut State, id: &str) -> Result<&'a mut Lease, Fault> {
    let lease = state.leases.get_mut(id).ok_or_else(|| Fault::not_found(id))?;
    match &lease.phase {
        Phase::Ready { until } if *until > Instant::now() => Ok(lease),
        Phase::Ready { .. } => Err(timed_out()),
        Phase::Error(fault) if fault.is("Timedout") => Err(fault.clone()),
        _ => Err(Fault::new("InvalidState", "The operation is not allowed in the current state of the lease.")),
    }
}

/// What an address of a lease that is ready leads to: the VM and the disk as it was leased.
pub(super) fn leased(state: &State, ticket: &str, name: &str) -> Option<(String, Chain)> {
    let lease = state.leases.values().find(|lease| lease.ticket == ticket)?;
    let Phase::Ready { until } = lease.phase else { return None };
    let disk = lease.disks.iter().find(|disk| disk.name == name).filter(|_| until > Instant::now())?;
    let chain = match state.snapshot(&lease.exported.id) {
        Some((vm, snapshot)) => digests::chain(vm, snapshot.disks.iter().find(|frozen| frozen.key == disk.key)?)?,
        None => state.vms.get(&lease.exported.id)?.disk(disk.key)?.chain.clone(),
    };
    Some((lease.vm.clone(), chain))
}

impl Lease {
    /// Its properties.
    pub fn object(&self) -> Object {
        let (state, error) = match &self.phase {
            Phase::Initializing => ("initializing", None),
            Phase::Ready { .. } => ("ready", None),
            Phase::Done => ("done", None),
            Phase::Error(fault) => ("error", Some(fault.localized())),
        };
        let initialized = if matches!(self.phase, Phase::Initializing) { 0 } else { 100 };
        Object::new("HttpNfcLease")
            .with("initializeProgress", initialized)
            .with("transferProgress", self.transferred_percent)
            .with("mode", "pushOrGet")
            .with("capabilities", Object::new("HttpNfcLeaseCapabilities").with("pullModeSupported", false).with("corsSupported", false))
            .with("info", matches!(self.phase, Phase::Ready { .. }).then(|| self.info()))
            .with("state", Value::Enum("HttpNfcLeaseState", state.to_owned()))
            .with("error", error)
    }

    fn info(&self) -> Object {
        let capacity: u64 = self.disks.iter().map(|disk| disk.capacity).sum();
        Object::new("HttpNfcLeaseInfo")
            .with("lease", Moref::new("HttpNfcLease", &self.id))
            // A snapshot is no managed entity, and the schema wants one here.
            .with("entity", Moref::new("VirtualMachine", &self.vm))
            .with("deviceUrl", Value::list("HttpNfcLeaseDeviceUrl", self.disks.iter().map(|disk| self.device_url(disk))))
            .with("totalDiskCapacityInKB", capacity / 1024)
            .with("leaseTimeout", self.timeout.as_millis().div_ceil(1000) as i32)
    }

    /// The star is the host that the client talks to already. How long the stream is nobody knows before it was made.
    fn device_url(&self, disk: &LeasedDisk) -> Object {
        let place = format!("ParaVirtualSCSIController0:{}", disk.unit);
        Object::new("HttpNfcLeaseDeviceUrl")
            .with("key", format!("/{}/{place}", self.exported.id))
            .with("importKey", format!("/{}/{place}", self.vm))
            .with("url", format!("https://*/nfc/{}/{}", self.ticket, disk.name))
            .with("sslThumbprint", "")
            .with("disk", true)
            .with("targetId", &disk.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DiskSpec, VCenterOptions, VmSpec, methods};
    use super::*;
    use crate::soap;

    async fn call(centre: &Arc<Datacentre>, method: &str, on: &Moref, arguments: &str) -> Result<Option<Value>, Fault> {
        let (_, session) = centre.open_session("somebody");
        let xml = format!(
            r#"<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><{method} xmlns="urn:vim25"><_this type="{}">{}</_this>{arguments}</{method}></e:Body></e:Envelope>"#,
            on.kind, on.id
        );
        methods::perform(centre, &session, soap::parse(xml.as_bytes()).unwrap()).await
    }

    #[tokio::test(start_paused = true)]
    async fn progress_keeps_a_lease_alive_and_silence_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let centre = Arc::new(Datacentre::new(folder.path(), VCenterOptions::default()).unwrap());
        let machine = VmSpec { powered_on: false, ..VmSpec::new("web", vec![DiskSpec::blank(1 << 20)]) };
        let vm = Moref::new("VirtualMachine", &machines::add(&centre, machine).await.unwrap());
        let Some(Value::Moref(lease)) = call(&centre, "ExportVm", &vm, "").await.unwrap() else { panic!("a lease") };
        let ticket = centre.state().leases[&lease.id].ticket.clone();
        let readable = || leased(&centre.state(), &ticket, "disk-0.vmdk").is_some();
        tokio::time::sleep(Duration::from_secs(1)).await;
        for _ in 0..4 {
            assert!(readable());
            tokio::time::sleep(Duration::from_secs(290)).await;
            call(&centre, "HttpNfcLeaseProgress", &lease, "<percent>5</percent>").await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(299)).await;
        assert!(readable());
        assert_eq!(call(&centre, "PowerOnVM_Task", &vm, "").await.unwrap_err().detail.unwrap().kind, "TaskInProgress");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!readable());
        assert!(call(&centre, "HttpNfcLeaseProgress", &lease, "<percent>5</percent>").await.unwrap_err().is("Timedout"));
        call(&centre, "PowerOnVM_Task", &vm, "").await.unwrap();
    }
}
