//! The one broker of an agent: every VM's task asks it for a seat before it begins a cycle, and gives the seat back bit by bit.
//!
//! ```text
//!   task ─ join ─▶ Member ─ ask(wish) ─▶ admission ─▶ told ─▶ seat ─ keep(need) … keep(nothing)
//!                     └─ dropped: everything it had is free
//! ```
//!
//! What sources say of their datastores goes to the snapshot governor, whose verdicts are gates of admission. Whose copies stand still for a
//! final cycle is asked of admission after each change, and told by the reins of each VM.
//!
//! It knows nothing that outlives the process. A VM whose snapshot is open since before a restart joins as expected, and until it has asked
//! nobody else enters, so that its snapshots and its disks find their room.

mod holders;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::model::{Datastore, Fault, Placement, SnapshotToken, VmId};
use crate::pipeline::pace::{Holder, Order, Reins};
use crate::policy::admission::{Admission, Ask, Kind, LimitNo, Limits, Place, Standing, VmNo};
use crate::policy::governor::{CloseNow, Governed, Rules, Space, Unmerged, Verdict, too_old};
use crate::policy::set_back::was_set_back;
use crate::policy::vm::{Seat, SeatNeed, Vm};
use crate::policy::waiting::{Limit, Shortage, Takes, Waiting};

use holders::Holders;

pub struct Fleet(Mutex<State>);

struct State {
    admission: Admission,
    rules: Rules,
    datastores: BTreeMap<LimitNo, Governed>,
    /// None of a VM that is known from the journal, and no task of it runs.
    members: BTreeMap<VmNo, Joined>,
    /// Whose copies stand still for a final cycle.
    still: BTreeSet<VmNo>,
    numbers: BTreeMap<VmId, VmNo>,
    snapshots: Holders,
    /// The newest moment that anybody named, since the clock was set back the last time.
    now: Timestamp,
}

/// How a VM's task is reached.
struct Joined {
    /// It has a seat.
    told: Arc<Notify>,
    reins: Reins,
}

/// A VM's place at the broker. Whatever it holds is free when this is dropped.
pub struct Member {
    fleet: Arc<Fleet>,
    vm: VmNo,
    told: Arc<Notify>,
}

/// What a task wishes for.
#[derive(Debug, Clone)]
pub struct Wish {
    pub kind: Kind,
    pub standing: Standing,
    /// Since when its cycle is due.
    pub since: Timestamp,
    /// Disks that are not copied yet; none: all that the placement names.
    pub disks_left: Option<usize>,
}

/// Where a VM is, as its source said just now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Located {
    pub placement: Placement,
    pub host_disks_max: Option<u32>,
}

impl Fleet {
    pub fn new(limits: Limits, rules: Rules) -> Arc<Fleet> {
        Arc::new(Fleet(Mutex::new(State {
            admission: Admission::new(limits),
            rules,
            datastores: BTreeMap::new(),
            members: BTreeMap::new(),
            still: BTreeSet::new(),
            numbers: BTreeMap::new(),
            snapshots: Holders::default(),
            now: Timestamp::MIN,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds this")
    }

    /// Until `assembled`, only VMs enter whose snapshot is open: others of that kind may not have joined yet.
    pub fn assemble(&self) {
        self.state().admission.assemble();
    }

    pub fn assembled(&self) {
        self.change(Admission::assembled);
    }

    pub fn set_limits(&self, limits: Limits, rules: Rules) {
        let mut state = self.state();
        state.rules = rules;
        state.change(|admission| admission.set_limits(limits));
        let datastores: Vec<LimitNo> = state.datastores.keys().copied().collect();
        datastores.into_iter().for_each(|no| state.judge(no));
    }

    /// This VM is replicated, although no task of it runs yet: it keeps its place among the VMs.
    pub fn reserve(&self, id: &VmId, name: &str) {
        let vm = self.state().number(id, name);
        self.change(|admission| admission.replicates(vm));
    }

    /// It will not come: its place is free, if no task of it runs.
    pub fn give_up(&self, id: &VmId) {
        let mut state = self.state();
        let now = state.now;
        if let Some(vm) = state.numbers.get(id).copied().filter(|vm| !state.members.contains_key(vm)) {
            state.change(|admission| admission.forget(vm, now));
        }
    }

    /// `reins`: those of the VM's copies, to hold them while a final cycle of another VM has the line.
    pub fn join(self: &Arc<Fleet>, id: &VmId, name: &str, vm: &Vm, reins: Reins) -> Member {
        let mut state = self.state();
        let no = state.number(id, name);
        let told = Arc::new(Notify::new());
        state.members.insert(no, Joined { told: told.clone(), reins });
        match vm.standing() {
            Standing::SnapshotOpen => state.admission.expect(no),
            Standing::Replicating => state.admission.replicates(no),
            Standing::New => {}
        }
        Member { fleet: self.clone(), vm: no, told }
    }

    /// The snapshot is this VM's; `corrupt` when another VM of this agent has it open.
    pub fn claim(&self, source: &str, token: &SnapshotToken, vm: &VmId) -> Result<(), Fault> {
        self.state().snapshots.claim(source, token, vm)
    }

    /// It is closed.
    pub fn release(&self, source: &str, token: &SnapshotToken) {
        self.state().snapshots.release(source, token);
    }

    /// What a VM waits for, if it waits for a seat, or stands still with one.
    pub fn why(&self, id: &VmId) -> Option<Waiting> {
        let state = self.state();
        let vm = *state.numbers.get(id)?;
        if state.still.contains(&vm) {
            return Some(Waiting::FinalCycle { of: state.admission.final_ahead()?.to_owned() });
        }
        let waiting = state.admission.why(vm)?;
        let verdict = state.datastores.get(&state.admission.waits_at(vm)?).map(|governed| governed.verdict(&state.rules));
        Some(match (waiting, verdict) {
            (Waiting::Limit(Shortage { limit: Limit::Datastore { name, .. }, .. }), Some(Verdict::One(tight))) => {
                Waiting::Datastore { name, tight, takes: Takes::OneVm }
            }
            (Waiting::Limit(Shortage { limit: Limit::Datastore { name, .. }, .. }), Some(Verdict::Shut(tight))) => {
                Waiting::Datastore { name, tight, takes: Takes::None }
            }
            (waiting, _) => waiting,
        })
    }

    fn change(&self, change: impl FnOnce(&mut Admission)) {
        self.state().change(change);
    }
}

impl State {
    fn number(&mut self, id: &VmId, name: &str) -> VmNo {
        let vm = self.admission.vm(id.as_str(), name);
        self.numbers.insert(id.clone(), vm);
        vm
    }

    fn at(&mut self, now: Timestamp) -> Timestamp {
        self.now = if was_set_back(self.now, now) { now } else { self.now.max(now) };
        self.now
    }

    /// Changes something, and tells everybody who has a seat by it, and whoever stands still or goes on by it.
    fn change(&mut self, change: impl FnOnce(&mut Admission)) {
        change(&mut self.admission);
        for vm in self.admission.entered() {
            if let Some(member) = self.members.get(&vm) {
                member.told.notify_one();
            }
        }
        let still = self.admission.standing_still(self.now);
        for vm in self.still.symmetric_difference(&still) {
            if let Some(member) = self.members.get(vm) {
                member.reins.tell(Holder::Final, if still.contains(vm) { Order::Hold } else { Order::Go });
            }
        }
        self.still = still;
    }

    /// Lets through at a datastore whom the governor lets through.
    fn judge(&mut self, no: LimitNo) {
        let Some(governed) = self.datastores.get(&no) else { return };
        let gate = governed.gate(&self.rules, |vm| self.admission.snapshots_at(vm, no));
        self.change(|admission| admission.set_gate(no, gate));
    }

    /// The limits that count where a VM is.
    fn place(&mut self, source: &str, located: &Located) -> Place {
        let Located { placement, host_disks_max } = located;
        let host = (!placement.host.is_empty())
            .then(|| self.admission.limit(Limit::Host { source: source.to_owned(), name: placement.host.clone() }, *host_disks_max));
        let mut datastores: Vec<(LimitNo, u32)> = Vec::new();
        for (store, disks) in used_datastores(placement) {
            let limit = Limit::Datastore { source: source.to_owned(), id: store.id.clone(), name: store.name.clone() };
            datastores.push((self.admission.limit(limit, None), disks));
        }
        Place { disks: placement.disks.len().max(1) as u32, host, datastores, sinks: Vec::new() }
    }

    /// The same, and what is said of its datastores is taken in. `at`: when that was, by the wall clock, which may have been set since.
    fn look(&mut self, source: &str, located: &Located, at: Timestamp) -> Place {
        let place = self.place(source, located);
        for ((no, _), (store, _)) in place.datastores.iter().zip(used_datastores(&located.placement)) {
            let space = Space { free: store.free, capacity: store.capacity };
            self.datastores.entry(*no).or_default().observe(&self.rules, at, space);
            self.judge(*no);
        }
        place
    }
}

/// The datastores that disks of the VM lie on, with how many.
fn used_datastores(placement: &Placement) -> impl Iterator<Item = (&Datastore, u32)> {
    let disks_on = |store: &Datastore| placement.disks.iter().filter(|disk| disk.datastore.as_ref() == Some(&store.id)).count() as u32;
    placement.datastores.iter().map(move |store| (store, disks_on(store))).filter(|(_, disks)| *disks > 0)
}

impl Member {
    pub fn seat(&self) -> Seat {
        match self.fleet.state().admission.seat(self.vm) {
            Some(disks) => Seat::Held { disks: disks as usize },
            None => Seat::None,
        }
    }

    pub fn waits(&self) -> bool {
        self.fleet.state().admission.waits(self.vm)
    }

    /// Asks for a seat, or asks otherwise than before.
    pub fn ask(&self, source: &str, located: &Located, wish: Wish, now: Timestamp) {
        let mut state = self.fleet.state();
        let place = Arc::new(state.look(source, located, now));
        let now = state.at(now);
        let disks = wish.disks_left.map_or(place.disks, |left| left as u32);
        let ask = Ask { kind: wish.kind, standing: wish.standing, since: wish.since, disks, place };
        state.change(|admission| admission.ask(self.vm, ask, now));
    }

    /// Takes in where a VM with an open snapshot is now; answers why that has to be closed, if it has to be.
    pub fn look(&self, source: &str, located: &Located, opened_at: Timestamp, now: Timestamp) -> Option<CloseNow> {
        let mut state = self.fleet.state();
        let place = state.look(source, located, now);
        state.at(now);
        let rules = state.rules;
        let governed = place.datastores.iter().filter_map(|(no, _)| state.datastores.get(no));
        governed.filter_map(|governed| governed.close_now(&rules, opened_at, now)).next().or_else(|| too_old(&rules, opened_at, now))
    }

    /// The VM's snapshot could not be closed, or is closed at last: where it lay, others go one by one meanwhile.
    pub fn unmerged(&self, source: &str, located: &Located, unmerged: Unmerged) {
        let mut state = self.fleet.state();
        let place = state.place(source, located);
        for (no, _) in place.datastores {
            state.datastores.entry(no).or_default().unmerged(self.vm, unmerged);
            state.judge(no);
        }
    }

    /// Gives back what is not needed any longer.
    pub fn keep(&self, need: SeatNeed, now: Timestamp) {
        let mut state = self.fleet.state();
        let now = state.at(now);
        let vm = self.vm;
        state.change(|admission| match need {
            SeatNeed::Gone => admission.forget(vm, now),
            SeatNeed::Nothing => admission.leave(vm, now),
            SeatNeed::Snapshots => admission.only_snapshots(vm, now),
            SeatNeed::Seat { disks_left: Some(left) } => admission.disks_left(vm, left as u32, now),
            SeatNeed::Seat { disks_left: None } => {}
        });
    }

    /// Its snapshot is open since before it joined, and this is where. It counts from now on, whatever keeps the VM from asking for a seat.
    pub fn holds(&self, source: &str, located: &Located, now: Timestamp) {
        let mut state = self.fleet.state();
        let place = Arc::new(state.look(source, located, now));
        let now = state.at(now);
        state.change(|admission| admission.holds(self.vm, place, now));
    }

    /// Others need not wait any longer for this VM's return.
    pub fn returned(&self) {
        self.fleet.change(|admission| admission.returned(self.vm));
    }

    /// Ends when there is a seat that was not there before.
    pub async fn told(&self) {
        self.told.notified().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.fleet.state();
        let now = state.now;
        if let Some(member) = state.members.remove(&self.vm) {
            member.reins.tell(Holder::Final, Order::Go);
        }
        state.change(|admission| admission.leave(self.vm, now));
    }
}

#[cfg(test)]
mod tests;
