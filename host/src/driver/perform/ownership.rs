//! Whose VM it is, and where it stands in the store.
//!
//! A VM belongs to the agent of its newest epoch. An epoch is created once, so of two agents that take a VM at the same time one wins; an
//! agent that lost its VM learns so before it begins a cycle and before it commits one, and touches nothing from there on. An agent that
//! starts again looks first whether the store holds the newest commit that its journal knows, and leaves any other store alone.
//!
//! Taking a VM also reads its past, for a journal that does not know: the recovery point to build on, a commit that nobody judged yet, and
//! a cycle number that no attempt has used.

use crate::log::layout;
use crate::log::owner::Claim;
use crate::log::registry::VmEntry;
use crate::log::seal::Role;
use crate::model::commit::{PointRef, Verdict};
use crate::model::{CycleNumber, Epoch, Fault, FaultKind};
use crate::policy::vm::{Fact, Point};

use super::commit::point_of;
use super::{Done, Performing};

impl Performing {
    pub(super) async fn take_ownership(&self) -> Result<Done, Fault> {
        let log = &self.gateway.log;
        self.register().await?;
        let epoch = Epoch(log.newest_owner(&self.id).await?.0 + 1);
        let mut proof = [0; 16];
        log.random().fill(&mut proof);
        let claim = Claim::new(proof, self.gateway.clock.now());
        match log.create(Role::Owner, &layout::owner(&self.id, epoch), &claim.encode()).await {
            Err(fault) if fault.kind == FaultKind::Conflict => {
                return Err(Fault::unavailable(format!("another agent took {} over a moment ago", self.vm.name)));
            }
            result => result?,
        }
        let Past { newest, point, next_cycle, unjudged } = self.past().await?;
        let owned = Fact::Owned { epoch, newest, point, next_cycle, unjudged };
        Ok(Done { facts: vec![owned], owner_checked: true, ..Done::default() })
    }

    /// Another agent's commit may have arrived after we took over: the receiver is at that point, and its markers are good.
    pub(super) async fn learn_past(&self) -> Result<Done, Fault> {
        self.check_owner().await?;
        let epoch = self.vm.epoch.ok_or_else(|| Fault::internal("the past of a VM is learned before it is ours"))?;
        let Past { newest, point, next_cycle, unjudged } = self.past().await?;
        Ok(Fact::Owned { epoch, newest, point, next_cycle, unjudged }.into())
    }

    /// Makes the VM known to receivers that meet us only in the store.
    async fn register(&self) -> Result<(), Fault> {
        let entry = VmEntry::new(self.id.clone(), self.vm.name.clone(), self.vm.source.clone());
        match self.gateway.log.create(Role::Vm, &layout::vm_entry(&self.id), &entry.encode()).await {
            // It was registered under another name; the commits carry the newest one.
            Err(fault) if fault.kind == FaultKind::Conflict => Ok(()),
            result => result,
        }
    }

    async fn past(&self) -> Result<Past, Fault> {
        let log = &self.gateway.log;
        let cycles = log.commits_after(&self.id, CycleNumber(0)).await?;
        let (mut newest, mut point, mut unjudged) = (None, None, None);
        for cycle in cycles.iter().rev() {
            let (commit, found) = match log.commit(&self.id, *cycle).await {
                Ok(found) => found,
                // Forged or damaged: its number is not ours to use, and it says nothing.
                Err(fault) if fault.kind == FaultKind::Corrupt => continue,
                Err(fault) => return Err(fault),
            };
            let receipt = log.receipt(&self.id, *cycle).await?;
            let verdict = receipt.map(|receipt| receipt.verdict);
            match (&newest, verdict) {
                (None, None) => unjudged = Some(point_of(&commit, found)),
                (_, Some(Verdict::Applied { .. })) => point = Some(point_of(&commit, found)),
                _ => {}
            }
            newest = newest.or(Some(found));
            if point.is_some() {
                break;
            }
        }
        let next_cycle = self.first_unused_cycle(newest, &cycles).await?;
        Ok(Past { newest, point, next_cycle, unjudged })
    }

    /// A cycle that another agent began and never committed has left objects under its number, and a commit that does not open uses one up:
    /// those numbers are left alone.
    async fn first_unused_cycle(&self, newest: Option<PointRef>, commits: &[CycleNumber]) -> Result<CycleNumber, Fault> {
        let mut next = newest.map_or(CycleNumber(1), |newest| newest.cycle.next());
        while commits.contains(&next) || self.gateway.log.holds_any(&layout::attempts(&self.id, next)).await? {
            next = next.next();
        }
        Ok(next)
    }

    pub(super) async fn check_owner(&self) -> Result<(), Fault> {
        let newest = self.gateway.log.newest_owner(&self.id).await?;
        if Some(newest) == self.vm.epoch {
            return Ok(());
        }
        let ours = self.vm.epoch.map_or(0, |epoch| epoch.0);
        Err(Fault::conflict(format!(
            "{} is owned by another agent (epoch {newest}, ours is {ours}); nothing was touched, and this agent leaves the VM alone",
            self.vm.name
        )))
    }

    /// The store must still hold the newest commit that the journal knows: an older or another store is never written to.
    /// A newest commit that was damaged is refused by the receiver, and the next one follows it; but the point that we build on must open.
    pub(super) async fn check_newest(&self) -> Result<(), Fault> {
        let Some(newest) = self.vm.newest else { return Ok(()) };
        let point = self.vm.point.as_ref().map(|point| point.commit);
        match self.check_known(newest).await {
            Err(fault) if fault.kind == FaultKind::Corrupt && point != Some(newest) => match point {
                Some(point) => self.check_known(point).await.map_err(lost_point),
                None => Ok(()),
            },
            result => result.map_err(lost_point),
        }
    }

    async fn check_known(&self, newest: PointRef) -> Result<(), Fault> {
        let older = || {
            Fault::conflict(format!(
                "the store does not hold the commit of cycle {} that this agent's journal knows: it is older than the journal, or another \
                 store. Nothing was written",
                newest.cycle
            ))
        };
        match self.gateway.log.commit(&self.id, newest.cycle).await {
            Ok((_, found)) if found == newest => Ok(()),
            Ok(_) => Err(older()),
            Err(fault) if fault.kind == FaultKind::NotFound => Err(older()),
            Err(fault) => Err(fault),
        }
    }
}

/// What the store knows of a VM: the newest commit, the newest recovery point, and a commit that nobody judged yet.
struct Past {
    newest: Option<PointRef>,
    point: Option<Point>,
    next_cycle: CycleNumber,
    unjudged: Option<Point>,
}

/// Nothing can build on a recovery point that does not open, and beginning anew by ourselves would hide that.
fn lost_point(fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::Corrupt => Fault::conflict(format!("{}; nothing can build on it. Put the object back as it was", fault.message)),
        _ => fault,
    }
}
