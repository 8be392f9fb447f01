use super::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn at_hour(hour: i64) -> Timestamp {
    Timestamp::from_second(hour * 3600).unwrap()
}

/// VMs by name, on hosts and datastores by name.
struct Site {
    admission: Admission,
}

impl Site {
    fn new(limits: Limits) -> Site {
        Site { admission: Admission::new(limits) }
    }

    fn host(&mut self, name: &str) -> LimitNo {
        self.admission.limit(Limit::Host { source: "vc".into(), name: name.into() }, Some(8))
    }

    fn datastore(&mut self, name: &str) -> LimitNo {
        self.admission.limit(Limit::Datastore { source: "vc".into(), id: name.into(), name: name.into() }, None)
    }

    fn vm(&mut self, name: &str) -> VmNo {
        self.admission.vm(name, name)
    }

    #[allow(clippy::too_many_arguments, reason = "the columns of a table")]
    fn ask(&mut self, name: &str, kind: Kind, standing: Standing, since: Timestamp, disks: u32, host: &str, datastore: &str) {
        let (host, datastore) = (self.host(host), self.datastore(datastore));
        let place = Place { disks, host: Some(host), datastores: vec![(datastore, disks)], sinks: Vec::new() };
        let vm = self.vm(name);
        self.admission.ask(vm, Ask { kind, standing, since, disks, place: Arc::new(place) }, since.max(START));
    }

    fn replicating(&mut self, name: &str, kind: Kind, since: i64, disks: u32, host: &str, datastore: &str) {
        self.ask(name, kind, Standing::Replicating, at_hour(since), disks, host, datastore);
    }

    fn ends(&mut self, name: &str) -> Vec<String> {
        let vm = self.vm(name);
        self.admission.leave(vm, START);
        self.entered()
    }

    fn entered(&mut self) -> Vec<String> {
        self.admission.entered().into_iter().map(|vm| self.admission.vms[vm.0 as usize].name.clone()).collect()
    }

    fn why(&mut self, name: &str) -> Shortage {
        let vm = self.vm(name);
        match self.admission.why(vm) {
            Some(Waiting::Limit(shortage)) => shortage,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The limit's name, what is in use of it, and who goes first.
    fn waits(&mut self, name: &str) -> (String, u32, Option<u32>, Option<String>) {
        let Shortage { limit, in_use, max, behind, .. } = self.why(name);
        let limit = match limit {
            Limit::Vms => "vms".to_owned(),
            Limit::Disks => "disks".to_owned(),
            Limit::Host { name, .. } | Limit::Datastore { name, .. } | Limit::Sink { name } => name,
        };
        (limit, in_use, max, behind)
    }
}

fn wide() -> Limits {
    Limits { vms: 1000, disks: 1000, datastore_snapshots: 1000, host_disks: None, sink_disks: None }
}

#[test]
fn the_three_hundred_and_first_vm_waits_for_a_place_among_the_vms() {
    let mut site = Site::new(Limits { disks: 1000, datastore_snapshots: 1000, ..Limits::default() });
    for vm in 0..301 {
        site.ask(&format!("vm{vm}"), Kind::Initial, Standing::New, START, 1, &format!("esx{}", vm % 60), "ds");
    }
    assert_eq!(site.entered().len(), 300);
    assert_eq!(site.waits("vm300"), ("vms".into(), 300, Some(300), None));
    // A cycle that ends gives its seat back, and not its place among those that are replicated.
    assert_eq!(site.ends("vm7"), [""; 0]);
    let vm = site.vm("vm7");
    site.admission.forget(vm, START);
    assert_eq!(site.entered(), ["vm300"]);
}

#[test]
fn each_limit_stops_and_is_named() {
    let mut site = Site::new(Limits { disks: 10, datastore_snapshots: 15, ..wide() });
    site.replicating("a", Kind::Delta, 0, 8, "esx-1", "ds-1");
    site.replicating("b", Kind::Delta, 0, 1, "esx-1", "ds-2");
    assert_eq!(site.waits("b"), ("esx-1".into(), 8, Some(8), None));
    site.replicating("c", Kind::Delta, 0, 8, "esx-2", "ds-1");
    assert_eq!(site.waits("c"), ("ds-1".into(), 8, Some(15), None));
    site.replicating("d", Kind::Delta, 0, 3, "esx-3", "ds-3");
    assert_eq!((site.waits("d"), site.why("d").wanted), (("disks".into(), 8, Some(10), None), 3));
    assert_eq!(site.entered(), ["a"]);
}

#[test]
fn a_sink_has_a_limit_of_its_own() {
    let mut site = Site::new(Limits { sink_disks: Some(2), ..wide() });
    let sink = site.admission.limit(Limit::Sink { name: "store".into() }, None);
    for name in ["a", "b"] {
        let place = Place { disks: 2, sinks: vec![sink], ..Place::default() };
        let vm = site.vm(name);
        let ask = Ask { kind: Kind::Delta, standing: Standing::Replicating, since: START, disks: 2, place: Arc::new(place) };
        site.admission.ask(vm, ask, START);
    }
    assert_eq!(site.entered(), ["a"]);
    assert_eq!(site.waits("b"), ("store".into(), 2, Some(2), None));
}

#[test]
fn one_with_more_disks_than_a_datastore_takes_snapshots_goes_alone() {
    let mut site = Site::new(Limits { datastore_snapshots: 15, ..wide() });
    site.replicating("small", Kind::Delta, 0, 1, "esx-1", "ds");
    site.replicating("huge", Kind::Delta, 1, 20, "esx-2", "ds");
    site.replicating("late", Kind::Delta, 2, 1, "esx-3", "ds");
    assert_eq!(site.entered(), ["small"]);
    assert_eq!(site.waits("late"), ("ds".into(), 1, Some(15), Some("huge".into())));
    assert_eq!(site.ends("small"), ["huge"]);
    let huge = site.vm("huge");
    // Of its twenty disks eight are read at one time.
    assert_eq!(site.admission.seat(huge), Some(8));
    assert_eq!(site.waits("late"), ("ds".into(), 20, Some(15), None));
    assert_eq!(site.ends("huge"), ["late"]);
}

#[test]
fn places_come_back_disk_by_disk_and_snapshots_when_they_are_closed() {
    let mut site = Site::new(Limits { datastore_snapshots: 4, ..wide() });
    site.replicating("a", Kind::Delta, 0, 8, "esx", "ds-1");
    site.replicating("b", Kind::Delta, 0, 2, "esx", "ds-2");
    site.replicating("c", Kind::Delta, 0, 1, "esx-2", "ds-1");
    assert_eq!(site.entered(), ["a"]);
    let a = site.vm("a");
    site.admission.disks_left(a, 7, START);
    assert_eq!(site.entered(), [""; 0]);
    site.admission.disks_left(a, 6, START);
    assert_eq!(site.entered(), ["b"]);
    site.admission.only_snapshots(a, START);
    assert_eq!((site.entered(), site.waits("c")), (vec![], ("ds-1".into(), 8, Some(4), None)));
    assert_eq!(site.ends("a"), ["c"]);
}

#[test]
fn final_goes_before_initial_before_delta_and_those_that_replicate_before_new_ones() {
    let mut site = Site::new(Limits { disks: 1, ..wide() });
    site.replicating("runs", Kind::Delta, 0, 1, "esx", "ds");
    site.replicating("delta", Kind::Delta, 1, 1, "esx", "ds");
    site.ask("new", Kind::Initial, Standing::New, at_hour(2), 1, "esx", "ds");
    site.replicating("again", Kind::Initial, 3, 1, "esx", "ds");
    site.replicating("final", Kind::Final, 4, 1, "esx", "ds");
    site.ask("open", Kind::Delta, Standing::SnapshotOpen, at_hour(5), 1, "esx", "ds");
    assert_eq!(site.entered(), ["runs"]);
    for (ends, enters) in [("runs", "open"), ("open", "final"), ("final", "again"), ("again", "new"), ("new", "delta")] {
        assert_eq!(site.ends(ends), [enters]);
    }
}

#[test]
fn a_delta_that_is_twelve_hours_late_ranks_as_initial_and_a_new_vm_as_one_that_replicates() {
    for (late, first) in [(11, "initial"), (12, "delta")] {
        let mut site = Site::new(Limits { disks: 1, ..wide() });
        site.replicating("runs", Kind::Delta, 0, 1, "esx", "ds");
        site.replicating("delta", Kind::Delta, 0, 1, "esx", "ds");
        site.replicating("initial", Kind::Initial, 1, 1, "esx", "ds");
        let vm = site.vm("runs");
        site.admission.leave(vm, at_hour(late));
        assert_eq!(site.entered(), ["runs", first], "{late} h");
    }
    for (late, first) in [(11, "again"), (12, "new")] {
        let mut site = Site::new(Limits { disks: 1, ..wide() });
        site.replicating("runs", Kind::Delta, 0, 1, "esx", "ds");
        site.ask("new", Kind::Initial, Standing::New, START, 1, "esx", "ds");
        site.replicating("again", Kind::Initial, 1, 1, "esx", "ds");
        let vm = site.vm("runs");
        site.admission.leave(vm, at_hour(late));
        assert_eq!(site.entered(), ["runs", first], "{late} h");
    }
}

#[test]
fn a_wish_may_grow_while_it_waits_and_keeps_its_moment() {
    let mut site = Site::new(Limits { disks: 1, ..wide() });
    site.replicating("runs", Kind::Delta, 0, 1, "esx", "ds");
    site.replicating("first", Kind::Delta, 1, 1, "esx", "ds");
    site.replicating("second", Kind::Delta, 2, 1, "esx", "ds");
    site.replicating("second", Kind::Final, 3, 1, "esx", "ds");
    assert_eq!(site.waits("first"), ("disks".into(), 1, Some(1), Some("second".into())));
    assert_eq!(site.ends("runs"), ["runs", "second"]);
}

#[test]
fn nobody_weaker_takes_what_the_strongest_will_need_at_its_other_limit() {
    let mut site = Site::new(Limits { datastore_snapshots: 2, ..wide() });
    site.replicating("host", Kind::Delta, 0, 8, "esx-1", "ds-9");
    site.replicating("disk", Kind::Delta, 0, 2, "esx-9", "ds-1");
    // Both of its limits are full. The datastore becomes free first: it is kept.
    site.replicating("wants", Kind::Initial, 1, 2, "esx-1", "ds-1");
    assert_eq!(site.ends("disk"), ["host", "disk"]);
    assert_eq!(site.waits("wants").0, "esx-1");
    site.replicating("other", Kind::Delta, 2, 2, "esx-9", "ds-1");
    assert_eq!(site.waits("other"), ("ds-1".into(), 0, Some(2), Some("wants".into())));
    // Elsewhere everybody goes on.
    site.replicating("elsewhere", Kind::Delta, 2, 2, "esx-9", "ds-2");
    assert_eq!(site.entered(), ["elsewhere"]);
    assert_eq!(site.ends("host"), ["wants"]);
    assert_eq!(site.ends("wants"), ["other"]);
}

#[test]
fn after_a_restart_open_snapshots_count_at_once_and_enter_first() {
    let mut site = Site::new(Limits { disks: 2, datastore_snapshots: 4, ..wide() });
    site.admission.assemble();
    let (one, two) = (site.vm("one"), site.vm("two"));
    site.admission.expect(one);
    site.admission.expect(two);
    site.replicating("eager", Kind::Final, 0, 1, "esx", "ds");
    site.admission.assembled();
    assert_eq!(site.entered(), [""; 0]);
    let eager = site.vm("eager");
    assert_eq!(site.admission.why(eager), Some(Waiting::Returning { vms: 2 }));
    site.ask("one", Kind::Delta, Standing::SnapshotOpen, at_hour(1), 2, "esx", "ds");
    assert_eq!(site.entered(), ["one"]);
    // The other one cannot be asked where it is: nobody waits for it any longer.
    site.admission.returned(two);
    assert_eq!(site.waits("eager"), ("disks".into(), 2, Some(2), None));
    site.ask("two", Kind::Delta, Standing::SnapshotOpen, at_hour(1), 2, "esx", "ds");
    assert_eq!((site.waits("two").0, site.admission.pools[4].used), ("disks".into(), 4));
    assert_eq!(site.ends("one"), ["two"]);
    assert_eq!(site.ends("two"), ["eager"]);
}

#[test]
fn limits_may_change_while_vms_run_and_wait() {
    let mut site = Site::new(Limits { disks: 4, ..wide() });
    site.replicating("a", Kind::Delta, 0, 4, "esx-1", "ds");
    site.replicating("b", Kind::Delta, 1, 4, "esx-2", "ds");
    site.admission.set_limits(Limits { disks: 2, ..wide() });
    // Nothing is taken from who has it; who enters later gets what is allowed then.
    let (a, b) = (site.vm("a"), site.vm("b"));
    assert_eq!((site.admission.seat(a), site.waits("b")), (Some(4), ("disks".into(), 4, Some(2), None)));
    assert_eq!(site.ends("a"), ["a", "b"]);
    assert_eq!(site.admission.seat(b), Some(2));
    site.replicating("c", Kind::Delta, 2, 1, "esx-3", "ds");
    site.admission.set_limits(wide());
    assert_eq!(site.entered(), ["c"]);
}

#[test]
fn a_datastore_may_take_one_vm_at_a_time_or_none() {
    let mut site = Site::new(wide());
    let store = site.datastore("ds");
    site.admission.set_gate(store, Gate::One { beside: 0 });
    for name in ["a", "b"] {
        site.replicating(name, Kind::Delta, 0, 1, "esx", "ds");
    }
    assert_eq!(site.entered(), ["a"]);
    site.admission.set_gate(store, Gate::Shut);
    site.replicating("d", Kind::Delta, 0, 1, "esx", "ds");
    // What waits at a gate that is shut has room kept nowhere, for nobody knows how long.
    site.replicating("c", Kind::Delta, 1, 8, "esx", "ds-2");
    assert_eq!((site.ends("a"), site.waits("b").0), (vec!["c".to_owned()], "ds".into()));
    site.admission.set_gate(store, Gate::Open);
    assert_eq!(site.waits("b").0, "esx");
    assert_eq!(site.ends("c"), ["b", "d"]);
}

#[test]
fn while_a_final_cycle_runs_or_waits_everything_else_stands_still_but_what_it_waits_for() {
    let mut site = Site::new(wide());
    let [a, b, _] = ["a", "b", "final"].map(|name| site.vm(name));
    site.replicating("a", Kind::Delta, 0, 8, "esx-1", "ds");
    site.replicating("b", Kind::Initial, 0, 8, "esx-2", "ds");
    let still = |site: &Site, now| site.admission.standing_still(now).into_iter().collect::<Vec<_>>();
    assert_eq!(still(&site, START), []);
    site.replicating("final", Kind::Final, 0, 1, "esx-1", "ds");
    assert_eq!(site.waits("final").0, "esx-1");
    assert_eq!(still(&site, START), [b]);
    site.admission.disks_left(a, 7, START);
    assert_eq!(site.entered(), ["a", "b", "final"]);
    assert_eq!(still(&site, START), [a, b]);
    assert_eq!(still(&site, START + OVERDUE), [a, b], "its source is off");
    site.ends("final");
    assert_eq!(still(&site, START), []);
}

#[test]
fn a_final_cycle_that_waits_for_long_holds_nobody_any_more() {
    let mut site = Site::new(wide());
    let b = site.vm("b");
    site.replicating("a", Kind::Initial, 0, 8, "esx-1", "ds");
    site.replicating("b", Kind::Initial, 0, 8, "esx-2", "ds");
    // What it was before was due long ago.
    site.replicating("final", Kind::Delta, 0, 1, "esx-1", "ds");
    site.replicating("final", Kind::Final, 0, 1, "esx-1", "ds");
    let still = |site: &Site, minutes| site.admission.standing_still(START + SignedDuration::from_mins(minutes)).contains(&b);
    assert_eq!([0, 59, 60, 600].map(|minutes| still(&site, minutes)), [true, true, false, false]);
    // Asking again is not waiting anew.
    site.replicating("final", Kind::Final, 90, 1, "esx-1", "ds");
    assert!(!still(&site, 90));
    // The clock was set back since it was asked for: how long it waits is not known, and others are not held for as long as that was.
    assert!(!still(&site, -600));
}
