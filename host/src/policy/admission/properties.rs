//! Fleets by chance: no limit is ever exceeded, nothing stands idle without a reason, and nobody starves.

use proptest::prelude::*;

use super::*;

const HOSTS: usize = 3;
const DATASTORES: usize = 3;
const HOST_DISKS: u32 = 4;
const LIMITS: Limits = Limits { vms: 8, disks: 9, datastore_snapshots: 5, host_disks: None, sink_disks: None };
/// No cycle is longer, in minutes.
const CYCLE_MAX: i64 = 240;

#[derive(Debug, Clone)]
struct Machine {
    host: usize,
    /// On which datastore each of its disks lies.
    disks: Vec<usize>,
    arrives: i64,
    /// Of each of its cycles: how long it takes, and how long the VM is idle before the next one. The last one is final.
    cycles: Vec<(i64, i64)>,
}

fn machine() -> impl Strategy<Value = Machine> {
    // Now and then more disks than a host reads or a datastore takes.
    let disks = prop_oneof![9 => prop::collection::vec(0..DATASTORES, 1..4), 1 => prop::collection::vec(0..1usize, 6..8)];
    let cycles = prop::collection::vec((1..CYCLE_MAX, 0..90i64), 1..6);
    (0..HOSTS, disks, 0..600i64, cycles).prop_map(|(host, disks, arrives, cycles)| Machine { host, disks, arrives, cycles })
}

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap()
}

struct Running {
    vm: usize,
    ends: i64,
    /// Disks that are not finished; each takes its part of the cycle.
    left: u32,
    next_disk: i64,
    each: i64,
}

struct Play {
    admission: Admission,
    machines: Vec<Machine>,
    places: Vec<Arc<Place>>,
    numbers: Vec<VmNo>,
    done: Vec<usize>,
    /// When each VM asks next; none while it waits, runs or is through.
    asks_at: Vec<Option<i64>>,
    asked_at: Vec<i64>,
    running: Vec<Running>,
    longest_wait: i64,
}

impl Play {
    fn new(machines: Vec<Machine>) -> Play {
        let mut admission = Admission::new(LIMITS);
        let host = |no: usize| Limit::Host { source: "vc".into(), name: format!("esx-{no}") };
        let store = |no: usize| Limit::Datastore { source: "vc".into(), id: format!("ds-{no}"), name: format!("ds-{no}") };
        let hosts: Vec<LimitNo> = (0..HOSTS).map(|no| admission.limit(host(no), Some(HOST_DISKS))).collect();
        let stores: Vec<LimitNo> = (0..DATASTORES).map(|no| admission.limit(store(no), None)).collect();
        let place = |machine: &Machine| {
            let on = |store: usize| machine.disks.iter().filter(|at| **at == store).count() as u32;
            let datastores = (0..DATASTORES).filter(|no| on(*no) > 0).map(|no| (stores[no], on(no))).collect();
            Arc::new(Place { disks: machine.disks.len() as u32, host: Some(hosts[machine.host]), datastores, sinks: Vec::new() })
        };
        Play {
            places: machines.iter().map(place).collect(),
            numbers: (0..machines.len()).map(|no| admission.vm(&no.to_string(), &no.to_string())).collect(),
            done: vec![0; machines.len()],
            asks_at: machines.iter().map(|machine| Some(machine.arrives)).collect(),
            asked_at: vec![0; machines.len()],
            running: Vec::new(),
            longest_wait: 0,
            admission,
            machines,
        }
    }

    /// Minute by minute until every VM is through all its cycles.
    fn play(&mut self) {
        // Everybody in a row, each with a wait of its own: more than enough.
        let end = 600 + self.bound() * 6 * self.machines.len() as i64;
        let mut now = 0;
        while self.done.iter().zip(&self.machines).any(|(done, machine)| *done < machine.cycles.len()) {
            assert!(now < end, "somebody waits for ever: {:?}", self.waiting());
            self.minute(now);
            now += 1;
        }
    }

    fn minute(&mut self, now: i64) {
        for index in (0..self.running.len()).rev() {
            self.progress(index, now);
        }
        for vm in 0..self.machines.len() {
            if self.asks_at[vm].is_some_and(|at| at <= now) {
                self.asks_at[vm] = None;
                self.asked_at[vm] = now;
                self.ask(vm, now);
            }
        }
        self.enter(now);
        self.check();
    }

    fn progress(&mut self, index: usize, now: i64) {
        let run = &mut self.running[index];
        let no = self.numbers[run.vm];
        while run.left > 0 && run.next_disk <= now {
            run.left -= 1;
            run.next_disk += run.each;
            self.admission.disks_left(no, run.left, minute(now));
        }
        if run.ends > now {
            return;
        }
        let vm = self.running.swap_remove(index).vm;
        let idle = self.machines[vm].cycles[self.done[vm]].1;
        self.done[vm] += 1;
        match self.done[vm] < self.machines[vm].cycles.len() {
            true => {
                self.admission.leave(no, minute(now));
                self.asks_at[vm] = Some(now + idle);
            }
            false => self.admission.forget(no, minute(now)),
        }
    }

    fn ask(&mut self, vm: usize, now: i64) {
        let cycles = self.machines[vm].cycles.len();
        let (kind, standing) = match self.done[vm] {
            0 => (Kind::Initial, Standing::New),
            done if done + 1 == cycles => (Kind::Final, Standing::Replicating),
            _ => (Kind::Delta, Standing::Replicating),
        };
        let place = self.places[vm].clone();
        self.admission.ask(self.numbers[vm], Ask { kind, standing, since: minute(now), disks: place.disks, place }, minute(now));
    }

    fn enter(&mut self, now: i64) {
        for no in self.admission.entered() {
            let vm = no.0 as usize;
            let (takes, _) = self.machines[vm].cycles[self.done[vm]];
            let left = self.machines[vm].disks.len() as u32;
            let each = (takes / i64::from(left)).max(1);
            self.running.push(Running { vm, ends: now + takes, left, next_disk: now + each, each });
            let waited = now - self.asked_at[vm];
            self.longest_wait = self.longest_wait.max(waited);
        }
    }

    /// Of a VM that has a place among the VMs: twelve hours until nobody new is before it, then every other VM once, each of which waits at
    /// most for what runs at its own limits and then for what runs at all.
    fn bound(&self) -> i64 {
        OVERDUE.as_mins() + 2 * CYCLE_MAX * (2 * self.machines.len() as i64 + 1)
    }

    fn waiting(&self) -> Vec<(usize, Option<Waiting>)> {
        let waits = |vm: &usize| self.admission.waits(self.numbers[*vm]);
        (0..self.machines.len()).filter(waits).map(|vm| (vm, self.admission.why(self.numbers[vm]))).collect()
    }

    fn check(&self) {
        let admission = &self.admission;
        // What is in use, counted from the seats alone.
        let mut used: BTreeMap<LimitNo, u32> = BTreeMap::new();
        let mut alone: BTreeMap<LimitNo, u32> = BTreeMap::new();
        for vm in &admission.vms {
            if let Some(seat) = &vm.seat {
                disk_pools(&seat.place).for_each(|no| *used.entry(no).or_default() += seat.disks);
            }
            for (no, disks) in vm.snapshots.iter().flat_map(|place| &place.datastores) {
                *used.entry(*no).or_default() += disks;
                *alone.entry(*no).or_default() += 1;
            }
        }
        used.insert(VMS, admission.vms.iter().filter(|vm| vm.replicates).count() as u32);
        for (index, pool) in admission.pools.iter().enumerate() {
            let no = LimitNo(index as u32);
            let in_use = used.get(&no).copied().unwrap_or(0);
            assert_eq!(pool.used, in_use, "{:?}", pool.limit);
            let by_exception = matches!(pool.limit, Some(Limit::Datastore { .. })) && alone.get(&no) == Some(&1);
            assert!(by_exception || pool.max.is_none_or(|max| in_use <= max), "{:?}: {in_use} of {:?}", pool.limit, pool.max);
        }
        // Who waits, waits for something: it has no room, or somebody stronger waits for the same, or room is kept for the strongest.
        for (index, vm) in admission.vms.iter().enumerate() {
            let Some(wait) = &vm.wait else { continue };
            let no = VmNo(index as u32);
            assert!(admission.blocks(wait.at, no, &wait.key), "{} could enter: {:?}", vm.name, admission.why(no));
            assert!(admission.pool(wait.at).queue.contains(&wait.key));
        }
        let queued: usize = admission.pools.iter().map(|pool| pool.queue.len()).sum();
        assert_eq!(queued, admission.vms.iter().filter(|vm| vm.wait.is_some()).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_limit_is_exceeded_nothing_stands_idle_and_nobody_starves(machines in prop::collection::vec(machine(), 1..14)) {
        let mut play = Play::new(machines);
        // There is a place among the VMs for all but the last few, who wait until others are through.
        let enough_places = play.machines.len() <= LIMITS.vms as usize;
        play.play();
        if enough_places {
            prop_assert!(play.longest_wait <= play.bound(), "{} min, at most {} are right", play.longest_wait, play.bound());
        }
    }
}

/// Two limits become free in turns, and never at the same time: whoever needs both enters all the same.
#[test]
fn two_limits_that_free_up_in_turns_pass_nobody_by() {
    let mut admission = Admission::new(Limits { datastore_snapshots: 1, ..LIMITS });
    let host = admission.limit(Limit::Host { source: "vc".into(), name: "h".into() }, Some(1));
    let store = admission.limit(Limit::Datastore { source: "vc".into(), id: "d".into(), name: "d".into() }, None);
    let other_store = admission.limit(Limit::Datastore { source: "vc".into(), id: "e".into(), name: "e".into() }, None);
    let ask = |admission: &mut Admission, name: &str, host: Option<LimitNo>, store: LimitNo, now: i64| {
        let vm = admission.vm(name, name);
        let place = Arc::new(Place { disks: 1, host, datastores: vec![(store, 1)], sinks: Vec::new() });
        admission.ask(vm, Ask { kind: Kind::Delta, standing: Standing::Replicating, since: minute(now), disks: 1, place }, minute(now));
        vm
    };
    let mut on_host = ask(&mut admission, "host 0", Some(host), other_store, 0);
    let mut on_store = ask(&mut admission, "store 0", None, store, 0);
    let wants = ask(&mut admission, "wants", Some(host), store, 1);
    for turn in 1..20 {
        let now = turn * 10;
        let next = ask(&mut admission, &format!("host {turn}"), Some(host), other_store, now);
        admission.leave(on_host, minute(now));
        on_host = next;
        let next = ask(&mut admission, &format!("store {turn}"), None, store, now + 5);
        admission.leave(on_store, minute(now + 5));
        on_store = next;
        if admission.seat(wants).is_some() {
            assert_eq!(turn, 1);
            return;
        }
    }
    panic!("passed by: {:?}", admission.why(wants));
}
