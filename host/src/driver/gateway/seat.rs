//! The VM's task and its seat: asks for one where the VM is, and keeps an eye on the datastores while a snapshot is open.
//!
//! Where a VM is, is asked anew before each cycle, and again while it waits or has a snapshot open, as VMs are moved and datastores fill. A
//! VM whose snapshot is open since before a restart asks at once: the snapshot has to count before others enter, whatever the VM does next.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::driver::fleet::{Located, Wish};
use crate::driver::perform::locate;
use crate::model::{Fault, FaultKind};
use crate::policy::admission::Standing;
use crate::policy::governor::{CloseNow, Unmerged};
use crate::policy::vm::{Stage, Step, Vm};

use super::VmTask;

/// How often the datastores of a VM are looked at while its snapshot is open. The governor closes fifteen minutes ahead.
const LOOK_WHILE_OPEN: Duration = Duration::from_secs(60);
/// How often while it waits: several hundred VMs may.
const LOOK_WHILE_WAITING: Duration = Duration::from_secs(300);

/// A snapshot that is open since before this process, and is not counted anywhere yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unplaced {
    NotAsked,
    /// The source did not say where it is.
    NotTold,
}

impl Unplaced {
    pub fn of(vm: &Vm) -> Option<Unplaced> {
        (vm.standing() == Standing::SnapshotOpen).then_some(Unplaced::NotAsked)
    }
}

/// The look that is under way, if there is one.
pub(super) async fn next(look: &mut Option<BoxFuture<'static, Result<Located, Fault>>>) -> Result<Located, Fault> {
    match look {
        Some(pending) => {
            let located = pending.await;
            *look = None;
            located
        }
        None => std::future::pending().await,
    }
}

impl VmTask {
    /// When something that a seat was taken for is tried again, and nothing of a cycle is under way.
    pub(super) fn begins_again_at(&self, now: Timestamp) -> Option<Timestamp> {
        let tried = self.tries.waiting(now).filter(|(step, _)| step.needs_seat() && self.ledger.state().cycle.is_none());
        tried.map(|(_, not_before)| not_before).max()
    }

    /// Asks for a seat where the VM is now.
    pub(super) fn wish(&mut self, located: Located, now: Timestamp) {
        let vm = self.ledger.state();
        let (kind, standing) = (vm.kind(), vm.standing());
        let wish = Wish { kind, standing, since: vm.due_since(self.gateway.settings.interval, now), disks_left: vm.disks_left() };
        self.member.ask(&vm.source, &located, wish, now);
        self.unplaced = None;
        self.gateway.pace.meter.is_on(&located.placement.host);
        self.located = Some(located);
        self.asked = Some((kind, standing));
    }

    /// While it waits, the operator may have asked for more.
    pub(super) fn wish_again(&mut self, now: Timestamp) {
        let vm = self.ledger.state();
        let wish = (vm.kind(), vm.standing());
        if let Some(located) = self.located.clone().filter(|_| self.asked != Some(wish)) {
            self.wish(located, now);
        }
    }

    pub(super) fn keep_looking(&mut self) {
        let every = match (self.unplaced, self.opened_at()) {
            (Some(Unplaced::NotAsked), _) => Duration::ZERO,
            (Some(Unplaced::NotTold), _) | (None, Some(_)) => LOOK_WHILE_OPEN,
            (None, None) if self.member.waits() => LOOK_WHILE_WAITING,
            (None, None) => return self.look = None,
        };
        let Some(vm) = self.ledger.state().identity.clone().filter(|_| self.look.is_none()) else { return };
        let (clock, source) = (self.gateway.clock.clone(), self.gateway.source.clone());
        self.look = Some(Box::pin(async move {
            clock.sleep(every).await;
            locate(&*source, &vm).await
        }));
    }

    pub(super) async fn looked(&mut self, located: Result<Located, Fault>) -> Result<(), Fault> {
        let located = match located {
            Ok(located) => located,
            Err(fault) => {
                tracing::debug!(vm = %self.id, kind = %fault.kind, message = %fault.message, "it is not known where the VM is now");
                if self.unplaced.is_some() {
                    self.unplaced = Some(Unplaced::NotTold);
                    self.member.returned();
                }
                return Ok(());
            }
        };
        let now = self.gateway.clock.now();
        if self.unplaced.take().is_some() {
            self.member.holds(&self.ledger.state().source, &located, now);
            if self.trouble.is_some() {
                self.member.returned();
            }
        }
        if self.member.waits() {
            self.wish(located, now);
            return Ok(());
        }
        let Some(opened_at) = self.opened_at() else { return Ok(()) };
        let source = &self.ledger.state().source;
        let why = self.member.look(source, &located, opened_at, now);
        self.gateway.pace.meter.is_on(&located.placement.host);
        self.located = Some(located);
        let Some(why) = why else { return Ok(()) };
        tracing::warn!(vm = %self.id, ?why, "a snapshot is closed before its disks are copied");
        self.give_attempt_up(fault(why), now).await
    }

    /// Since when a snapshot is open that is still copied. A complete copy is worth its closing, however long that takes.
    fn opened_at(&self) -> Option<Timestamp> {
        if self.ledger.state().halted.is_some() || self.ledger.state().disks_left() == Some(0) {
            return None;
        }
        match &self.ledger.state().cycle.as_ref()?.stage {
            Stage::Open { opened_at, .. } => Some(*opened_at),
            _ => None,
        }
    }

    /// A snapshot that cannot be closed or merged burdens its datastores for longer than anybody reckoned with.
    pub(super) fn not_closed(&mut self, step: &Step) {
        if let (Step::CloseSnapshot { .. } | Step::AbandonSnapshot { .. }, Some(located)) = (step, &self.located) {
            self.unmerged = true;
            self.member.unmerged(&self.ledger.state().source, located, Unmerged::Yes);
        }
    }

    pub(super) fn closed(&mut self, step: &Step) {
        if let (true, Step::CloseSnapshot { .. } | Step::AbandonSnapshot { .. }, Some(located)) = (self.unmerged, step, &self.located) {
            self.unmerged = false;
            self.member.unmerged(&self.ledger.state().source, located, Unmerged::No);
        }
    }
}

fn fault(why: CloseNow) -> Fault {
    match why {
        CloseNow::Datastore(tight) => {
            Fault::new(FaultKind::Full, format!("the snapshot was closed because its datastore {tight}; what was copied is kept"))
        }
        CloseNow::Age { hours } => {
            Fault::new(FaultKind::Cancelled, format!("the snapshot was {hours} h old and was closed; another one goes on from there"))
        }
    }
}
