//! Admission: which VMs may begin a cycle now, over the whole fleet, so that no limit is exceeded and nobody starves.
//!
//! ```text
//!   ask ─▶ returning ─▶ VMs ─▶ datastores ─▶ host ─▶ sinks ─▶ disks of the appliance ─▶ seat ─▶ given back bit by bit
//!              each limit has a queue; a VM stands in that of the first limit that has no room for it, and nowhere else
//! ```
//!
//! A **seat** is for a whole cycle: the snapshots of its disks count against the datastores, and it holds so many disk places as the VM has
//! disks, at most what host and appliance allow. Places come back one by one as disks finish, the rest when the snapshot is closed. So a VM
//! never holds an open snapshot while it waits for a place.
//!
//! The rules, each of which has a table or a property in the tests:
//! - Order: an open snapshot, then final, initial, delta; those that replicate already before new ones; then who waits longest.
//! - A delta that is twelve hours late ranks as initial, and a new VM that waits for twelve hours ranks as one that replicates.
//! - Where somebody stronger waits, nobody weaker passes: what becomes free is for the strongest. At other limits the weaker go on, so that
//!   nothing stands idle that only they can use.
//! - For the strongest of all that wait, room at its host and its datastores is kept while it waits at another of them. Without that two
//!   limits that become free in turns could pass it by for ever. Everybody needs the appliance's disks, so there its place in the queue is
//!   enough.
//! - A datastore takes one VM that has more disks than its limit, when that VM is alone on it.
//! - While a final cycle runs, or waits for a place, copies stand still, for the line is that one's. What holds a place that it waits for
//!   goes on, because nothing else makes that place free. A final cycle that waits for longer than an hour holds nobody any more: what is
//!   ahead of it may take days, and the others' snapshots grow meanwhile.
//!
//! Nothing is scanned: what becomes free is offered to its own queue, so a decision costs the logarithm of those who wait.

mod place;
mod pool;
mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::set_back::was_set_back;
use super::waiting::{Limit, Shortage, Waiting};

pub use place::Place;
use place::{amount_at, disk_pools};
pub use pool::Gate;
use pool::{Key, Pool, Rank};
pub use wish::{Ask, Kind, OVERDUE, Standing};

/// For so long others stand still for a final cycle that waits. One that has a seat holds them for as long as it has it: its source is off.
pub const HELD_FOR_WAITING: SignedDuration = SignedDuration::from_hours(1);

/// What one appliance does at one time. The reasons stand beside the defaults in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub vms: u32,
    pub disks: u32,
    pub datastore_snapshots: u32,
    /// Beside what the source says of its hosts; the smaller one counts.
    pub host_disks: Option<u32>,
    pub sink_disks: Option<u32>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { vms: 300, disks: 52, datastore_snapshots: 15, host_disks: None, sink_disks: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmNo(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LimitNo(u32);

const RETURNING: LimitNo = LimitNo(0);
const VMS: LimitNo = LimitNo(1);
const DISKS: LimitNo = LimitNo(2);

#[derive(Debug)]
struct Vm {
    name: String,
    /// Counts among the VMs that the appliance replicates.
    replicates: bool,
    /// Where its open snapshots count.
    snapshots: Option<Arc<Place>>,
    seat: Option<Seat>,
    wait: Option<Wait>,
}

#[derive(Debug)]
struct Seat {
    kind: Kind,
    place: Arc<Place>,
    disks: u32,
}

#[derive(Debug)]
struct Wait {
    ask: Ask,
    /// Since when it wishes for a cycle of this kind. The ask may be older, from when it was a delta that was due.
    wished_at: Timestamp,
    key: Key,
    at: LimitNo,
}

#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    pools: Vec<Pool>,
    numbers: BTreeMap<String, LimitNo>,
    vms: Vec<Vm>,
    vm_numbers: BTreeMap<String, VmNo>,
    /// VMs that are expected back with an open snapshot.
    returning: BTreeSet<VmNo>,
    /// Not all VMs are known yet that may be expected.
    assembling: bool,
    /// All that wait for something that becomes free by itself: not for a place among the VMs, nor at a gate that is shut.
    contending: BTreeSet<Key>,
    /// The strongest of them, for which room was kept when we last looked.
    strongest: Option<(Key, Arc<Place>)>,
    /// When the wish of a waiting VM moves up.
    late: BTreeSet<(Timestamp, VmNo)>,
    finals: u32,
    entered: Vec<VmNo>,
}

impl Admission {
    pub fn new(limits: Limits) -> Admission {
        let mut pools = vec![Pool::new(None), Pool::new(Some(Limit::Vms)), Pool::new(Some(Limit::Disks))];
        pools.iter_mut().for_each(|pool| pool.max = pool.max_under(&limits));
        Admission {
            limits,
            pools,
            numbers: BTreeMap::new(),
            vms: Vec::new(),
            vm_numbers: BTreeMap::new(),
            returning: BTreeSet::new(),
            assembling: false,
            contending: BTreeSet::new(),
            strongest: None,
            late: BTreeSet::new(),
            finals: 0,
            entered: Vec::new(),
        }
    }

    // ---- who and what there is ----

    /// The VM of this id; it takes part from here on. `name`: what people call it.
    pub fn vm(&mut self, id: &str, name: &str) -> VmNo {
        if let Some(known) = self.vm_numbers.get(id) {
            return *known;
        }
        let no = VmNo(self.vms.len() as u32);
        self.vms.push(Vm { name: name.to_owned(), replicates: false, snapshots: None, seat: None, wait: None });
        self.vm_numbers.insert(id.to_owned(), no);
        no
    }

    /// A host, a sink or a datastore. `declared`: what it takes at one time by its own word.
    pub fn limit(&mut self, limit: Limit, declared: Option<u32>) -> LimitNo {
        let next = LimitNo(self.pools.len() as u32);
        let no = *self.numbers.entry(pool::identity(&limit)).or_insert(next);
        if no == next {
            self.pools.push(Pool::new(Some(limit)));
        }
        self.pool_mut(no).declared = declared;
        self.set_max(no);
        no
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        (0..self.pools.len() as u32).for_each(|no| self.set_max(LimitNo(no)));
    }

    fn set_max(&mut self, no: LimitNo) {
        let max = self.pool(no).max_under(&self.limits);
        if std::mem::replace(&mut self.pool_mut(no).max, max) != max {
            self.settle(no);
            self.keep_for_strongest();
        }
    }

    /// Whether a limit lets anybody through at all.
    pub fn set_gate(&mut self, no: LimitNo, gate: Gate) {
        if self.pool(no).gate == gate {
            return;
        }
        self.pool_mut(no).gate = gate;
        for key in self.pool(no).queue.clone() {
            match gate {
                Gate::Shut => self.contending.remove(&key),
                _ => self.contending.insert(key),
            };
        }
        self.settle(no);
        self.keep_for_strongest();
    }

    /// This VM counts among those that are replicated, whatever the limit says: it is so already.
    pub fn replicates(&mut self, vm: VmNo) {
        if !self.vms[vm.0 as usize].replicates {
            self.vms[vm.0 as usize].replicates = true;
            self.pool_mut(VMS).used += 1;
        }
    }

    /// Until all VMs are known, only those enter whose snapshot is open.
    pub fn assemble(&mut self) {
        self.assembling = true;
        self.set_gate(RETURNING, Gate::Shut);
    }

    pub fn assembled(&mut self) {
        self.assembling = false;
        self.open_unless_expected();
    }

    /// This VM's snapshot is open: until it has asked, only its like enter.
    pub fn expect(&mut self, vm: VmNo) {
        self.replicates(vm);
        self.returning.insert(vm);
        self.set_gate(RETURNING, Gate::Shut);
    }

    /// Its snapshots are open there since before it could ask: they count, whatever room there is.
    pub fn holds(&mut self, vm: VmNo, place: Arc<Place>, now: Timestamp) {
        self.promote(now);
        self.set_snapshots(vm, Some(place));
        self.keep_for_strongest();
    }

    /// Nobody waits for its return any longer.
    pub fn returned(&mut self, vm: VmNo) {
        self.returning.remove(&vm);
        self.open_unless_expected();
    }

    fn open_unless_expected(&mut self) {
        if !self.assembling && self.returning.is_empty() {
            self.set_gate(RETURNING, Gate::Open);
        }
    }

    // ---- wishes ----

    /// Wishes for a seat, or wishes otherwise than before. Somebody who waits keeps the moment since when.
    pub fn ask(&mut self, vm: VmNo, ask: Ask, now: Timestamp) {
        self.promote(now);
        if self.vms[vm.0 as usize].seat.is_some() {
            return;
        }
        let before = self.unqueue(vm);
        let since = before.as_ref().map_or(ask.since, |wait| wait.ask.since.min(ask.since));
        let ask = Ask { since, ..ask };
        let wished_at = before.as_ref().filter(|wait| wait.ask.kind == ask.kind).map_or(now, |wait| wait.wished_at);
        if ask.standing != Standing::New {
            self.replicates(vm);
        }
        let open = (ask.standing == Standing::SnapshotOpen).then(|| ask.place.clone());
        self.set_snapshots(vm, open);
        self.wait(vm, ask, wished_at, now);
        if let Some(wait) = before {
            self.settle(wait.at);
        }
        self.returned(vm);
        self.keep_for_strongest();
    }

    /// So many of the seat's disks are not copied yet.
    pub fn disks_left(&mut self, vm: VmNo, left: u32, now: Timestamp) {
        self.promote(now);
        self.give_disks_back(vm, left);
        if left == 0 {
            self.need_not_be_awaited(vm);
        }
        self.keep_for_strongest();
    }

    /// The copies have ended, but the snapshots are still there.
    pub fn only_snapshots(&mut self, vm: VmNo, now: Timestamp) {
        self.promote(now);
        self.stop_waiting(vm);
        self.give_disks_back(vm, 0);
        self.stand_up(vm);
        self.need_not_be_awaited(vm);
        self.keep_for_strongest();
    }

    /// It asks for nothing more. Where its snapshots count has to be known before others enter.
    fn need_not_be_awaited(&mut self, vm: VmNo) {
        if self.vms[vm.0 as usize].snapshots.is_some() {
            self.returned(vm);
        }
    }

    /// The VM wants nothing, and has no snapshot.
    pub fn leave(&mut self, vm: VmNo, now: Timestamp) {
        self.promote(now);
        self.stop_waiting(vm);
        self.give_disks_back(vm, 0);
        self.stand_up(vm);
        self.set_snapshots(vm, None);
        self.returned(vm);
        self.keep_for_strongest();
    }

    /// The VM is not replicated any longer: its place among the VMs is free.
    pub fn forget(&mut self, vm: VmNo, now: Timestamp) {
        self.leave(vm, now);
        if std::mem::take(&mut self.vms[vm.0 as usize].replicates) {
            self.pool_mut(VMS).used -= 1;
            self.settle(VMS);
            self.keep_for_strongest();
        }
    }

    // ---- answers ----

    /// Who got a seat since this was asked last.
    pub fn entered(&mut self) -> Vec<VmNo> {
        std::mem::take(&mut self.entered)
    }

    /// The disk places that a VM holds, if it has a seat.
    pub fn seat(&self, vm: VmNo) -> Option<u32> {
        self.vms[vm.0 as usize].seat.as_ref().map(|seat| seat.disks)
    }

    pub fn waits(&self, vm: VmNo) -> bool {
        self.vms[vm.0 as usize].wait.is_some()
    }

    /// The snapshots that a VM has at a datastore.
    pub fn snapshots_at(&self, vm: VmNo, datastore: LimitNo) -> u32 {
        self.vms[vm.0 as usize].snapshots.as_ref().map_or(0, |place| amount_at(place, datastore, 0))
    }

    /// What a VM that waits, waits for.
    pub fn why(&self, vm: VmNo) -> Option<Waiting> {
        let wait = self.vms[vm.0 as usize].wait.as_ref()?;
        let pool = self.pool(wait.at);
        let Some(limit) = &pool.limit else { return Some(Waiting::Returning { vms: self.returning.len() as u32 }) };
        let first_here = pool.queue.first().filter(|key| **key < wait.key);
        let behind = first_here.or_else(|| self.contending.first().filter(|_| self.kept(wait.at, &wait.key) > 0));
        Some(Waiting::Limit(Shortage {
            limit: limit.clone(),
            in_use: pool.used,
            max: pool.max,
            wanted: self.amount(vm, wait.at),
            behind: behind.map(|key| self.vms[key.vm.0 as usize].name.clone()),
        }))
    }

    /// The limit at which a VM waits.
    pub fn waits_at(&self, vm: VmNo) -> Option<LimitNo> {
        self.vms[vm.0 as usize].wait.as_ref().map(|wait| wait.at)
    }

    /// Whose copies stand still just now: of all that have a seat, those that a final cycle, running or waiting, does not need to go on.
    pub fn standing_still(&self, now: Timestamp) -> BTreeSet<VmNo> {
        let awaited: BTreeSet<LimitNo> = self.waiting_finals(now).collect();
        if self.finals == 0 && awaited.is_empty() {
            return BTreeSet::new();
        }
        let goes_on = |seat: &Seat| {
            let holds = |at: &LimitNo| *at == DISKS || amount_at(&seat.place, *at, 1) > 0;
            seat.kind == Kind::Final || awaited.iter().any(holds)
        };
        let seats = (0..).zip(&self.vms).filter_map(|(no, vm)| Some((VmNo(no), vm.seat.as_ref()?)));
        seats.filter(|(_, seat)| !goes_on(seat)).map(|(vm, _)| vm).collect()
    }

    /// The VM whose final cycle has the line, or is about to have it.
    pub fn final_ahead(&self) -> Option<&str> {
        let running = self.vms.iter().find(|vm| vm.seat.as_ref().is_some_and(|seat| seat.kind == Kind::Final));
        let waiting = || self.vms.iter().find(|vm| vm.wait.as_ref().is_some_and(|wait| wait.ask.kind == Kind::Final));
        running.or_else(waiting).map(|vm| vm.name.as_str())
    }

    /// The limits at which final cycles wait that hold others back.
    fn waiting_finals(&self, now: Timestamp) -> impl Iterator<Item = LimitNo> {
        let finals = self.contending.iter().skip_while(|key| key.rank < Rank::Final).take_while(|key| key.rank == Rank::Final);
        let waits = finals.filter_map(|key| self.vms[key.vm.0 as usize].wait.as_ref());
        waits
            .filter(move |wait| !was_set_back(wait.wished_at, now) && now.duration_since(wait.wished_at) < HELD_FOR_WAITING)
            .map(|wait| wait.at)
    }

    // ---- queues ----

    fn pool(&self, no: LimitNo) -> &Pool {
        &self.pools[no.0 as usize]
    }

    fn pool_mut(&mut self, no: LimitNo) -> &mut Pool {
        &mut self.pools[no.0 as usize]
    }

    fn wait(&mut self, vm: VmNo, ask: Ask, wished_at: Timestamp, now: Timestamp) {
        let late = ask.late_at() <= now;
        let rank = match (ask.standing, ask.kind) {
            (Standing::SnapshotOpen, _) => Rank::Open,
            (_, Kind::Final) => Rank::Final,
            (_, Kind::Delta) if !late => Rank::Delta,
            (_, Kind::Initial | Kind::Delta) => Rank::Initial,
        };
        let new = ask.standing == Standing::New && !late;
        let key = Key { rank, new, since: ask.since, vm };
        self.vms[vm.0 as usize].wait = Some(Wait { ask, wished_at, key, at: RETURNING });
        self.advance(vm);
    }

    /// Moves up whose time has come.
    fn promote(&mut self, now: Timestamp) {
        while let Some((at, vm)) = self.late.first().copied().filter(|(at, _)| *at <= now) {
            self.late.remove(&(at, vm));
            if let Some(wait) = self.unqueue(vm) {
                self.wait(vm, wait.ask, wait.wished_at, now);
                self.settle(wait.at);
            }
        }
    }

    /// A VM that stands in no queue goes as far as it gets: to the first limit without room, or to a seat.
    fn advance(&mut self, vm: VmNo) {
        if let Some(at) = self.lacking(vm) {
            let slot = self.vms[vm.0 as usize].wait.as_mut().expect("only who waits advances");
            slot.at = at;
            let (key, late_at) = (slot.key, slot.ask.late_at());
            if key.new || key.rank == Rank::Delta {
                self.late.insert((late_at, vm));
            }
            self.pool_mut(at).queue.insert(key);
            if at != VMS && self.pool(at).gate != Gate::Shut {
                self.contending.insert(key);
            }
            return;
        }
        let Wait { ask, .. } = self.vms[vm.0 as usize].wait.take().expect("only who waits advances");
        self.late.remove(&(ask.late_at(), vm));
        let disks = self.places(&ask);
        for no in disk_pools(&ask.place) {
            self.pool_mut(no).used += disks;
        }
        if self.vms[vm.0 as usize].snapshots.is_none() {
            self.set_snapshots(vm, Some(ask.place.clone()));
        }
        self.finals += u32::from(ask.kind == Kind::Final);
        self.vms[vm.0 as usize].seat = Some(Seat { kind: ask.kind, place: ask.place, disks });
        self.entered.push(vm);
    }

    /// The first limit on a VM's way that has no room for it. Its place among the VMs is taken in passing, and stays.
    fn lacking(&mut self, vm: VmNo) -> Option<LimitNo> {
        let slot = &self.vms[vm.0 as usize];
        let wait = slot.wait.as_ref().expect("only who waits lacks something");
        let (key, place) = (wait.key, wait.ask.place.clone());
        if key.rank != Rank::Open && self.blocks(RETURNING, vm, &key) {
            return Some(RETURNING);
        }
        if !slot.replicates {
            if self.blocks(VMS, vm, &key) {
                return Some(VMS);
            }
            self.replicates(vm);
        }
        let datastores = place.datastores.iter().map(|(no, _)| *no);
        datastores.chain(disk_pools(&place)).find(|no| self.blocks(*no, vm, &key))
    }

    /// Whether a limit has no room for this VM, or somebody stronger waits there.
    fn blocks(&self, no: LimitNo, vm: VmNo, key: &Key) -> bool {
        let (pool, amount) = (self.pool(no), self.amount(vm, no));
        amount > 0 && (pool.queue.first().is_some_and(|first| first < key) || !pool.has_room(amount, self.kept(no, key)))
    }

    /// What is kept at a host or a datastore for the strongest of all that wait, if that is somebody else.
    fn kept(&self, no: LimitNo, key: &Key) -> u32 {
        match self.contending.first() {
            Some(strongest) if strongest < key && no > DISKS => self.amount(strongest.vm, no),
            _ => 0,
        }
    }

    /// What a VM that waits needs of a limit.
    fn amount(&self, vm: VmNo, no: LimitNo) -> u32 {
        let slot = &self.vms[vm.0 as usize];
        let Some(wait) = &slot.wait else { return 0 };
        match no {
            RETURNING | VMS => 1,
            DISKS => self.places(&wait.ask),
            _ => match wait.ask.place.datastores.iter().find(|(datastore, _)| *datastore == no) {
                // What is open counts already.
                Some(_) if slot.snapshots.is_some() => 0,
                Some((_, disks)) => *disks,
                None => amount_at(&wait.ask.place, no, self.places(&wait.ask)),
            },
        }
    }

    /// The disk places of a cycle: as many as disks, at most what each limit allows at all.
    fn places(&self, ask: &Ask) -> u32 {
        disk_pools(&ask.place).filter_map(|no| self.pool(no).max).fold(ask.disks, u32::min)
    }

    fn stop_waiting(&mut self, vm: VmNo) {
        if let Some(wait) = self.unqueue(vm) {
            // Who stood behind it may go on.
            self.settle(wait.at);
        }
    }

    fn unqueue(&mut self, vm: VmNo) -> Option<Wait> {
        let wait = self.vms[vm.0 as usize].wait.take()?;
        self.late.remove(&(wait.ask.late_at(), vm));
        self.pool_mut(wait.at).queue.remove(&wait.key);
        self.contending.remove(&wait.key);
        Some(wait)
    }

    /// Offers what is free at a limit to those who wait there, strongest first, until it does not suffice.
    fn settle(&mut self, no: LimitNo) {
        while let Some(key) = self.pool(no).queue.first().copied()
            && !self.blocks(no, key.vm, &key)
        {
            self.pool_mut(no).queue.remove(&key);
            self.contending.remove(&key);
            self.advance(key.vm);
        }
    }

    /// Room is kept for one VM at a time. When that is another one, what was kept before is free.
    fn keep_for_strongest(&mut self) {
        while self.contending.first() != self.strongest.as_ref().map(|(key, _)| key) {
            let before = self.strongest.take();
            self.strongest = self.contending.first().and_then(|key| {
                let wait = self.vms[key.vm.0 as usize].wait.as_ref()?;
                Some((*key, wait.ask.place.clone()))
            });
            let Some((_, place)) = before else { continue };
            for no in place.datastores.iter().map(|(no, _)| *no).chain(disk_pools(&place)) {
                self.settle(no);
            }
        }
    }

    // ---- what is in use ----

    /// Where a VM's snapshots count from now on.
    fn set_snapshots(&mut self, vm: VmNo, place: Option<Arc<Place>>) {
        for (no, disks) in place.iter().flat_map(|place| &place.datastores) {
            self.pool_mut(*no).used += disks;
        }
        let Some(before) = std::mem::replace(&mut self.vms[vm.0 as usize].snapshots, place) else { return };
        for (no, disks) in &before.datastores {
            self.pool_mut(*no).used -= disks;
        }
        before.datastores.iter().for_each(|(no, _)| self.settle(*no));
    }

    fn give_disks_back(&mut self, vm: VmNo, left: u32) {
        let Some(seat) = self.vms[vm.0 as usize].seat.as_mut() else { return };
        let back = seat.disks.saturating_sub(left);
        seat.disks -= back;
        let place = seat.place.clone();
        if back > 0 {
            for no in disk_pools(&place) {
                self.pool_mut(no).used -= back;
            }
            disk_pools(&place).for_each(|no| self.settle(no));
        }
    }

    fn stand_up(&mut self, vm: VmNo) {
        if let Some(seat) = self.vms[vm.0 as usize].seat.take() {
            self.finals -= u32::from(seat.kind == Kind::Final);
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
