use super::*;

const HEAD: &str = "begin = \"2026-12-01T00:00:00Z\"\nline = \"800 Mbit/s\"\n";

fn fleet(text: &str) -> Fleet {
    Fleet::parse(&format!("{HEAD}{text}"), |_| Err("no file".to_owned())).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

fn minutes_after_begin(outcome: &Outcome, at: Option<jiff::Timestamp>) -> i64 {
    at.expect("it is reached").duration_since(outcome.begin).as_mins()
}

/// One disk of 93 GiB, all of it in use, all of it stored as it is: 1,000 s on a line of 100 MB/s.
const ONE: &str = "[[wave]]\nname = \"w\"\ncutover = \"never\"\n[[vms]]\nwave = \"w\"\ndisks = [\"95368 MiB\"]\nused-percent = 100\nstored-percent = \
                   100\nchanged = \"0 B\"\n";

#[test]
fn one_vm_takes_what_its_bytes_take_on_the_line_and_what_a_cycle_costs_beside_them() {
    let outcome = run(&fleet(ONE));
    // 30 s to open, 1,000 s, 60 s to close; then a delta without a byte at once: 90 s.
    assert_eq!(outcome.waves[0].ready_at.unwrap().duration_since(outcome.begin).as_secs(), 30 + 1000 + 60 + 90);
    assert_eq!(outcome.bytes_on_the_line / 1_000_000, 100_000);
}

#[test]
fn deltas_come_by_the_agents_interval_so_a_calm_vm_is_an_hour_old_at_most() {
    let outcome = run(&fleet(ONE));
    let rpo = outcome.rpo.unwrap();
    // An hour between a delta's end and the next one's beginning, 30 s to open it and 60 s to close it.
    assert!((28..=33).contains(&rpo.p50_minutes) && rpo.p95_minutes <= 61, "{rpo:?}");
    let day = 24 * 60 / 61;
    assert!((30 * (day - 1)..=30 * (day + 1)).contains(&outcome.cycles), "{} cycles in thirty days", outcome.cycles);
}

#[test]
fn the_limit_that_binds_is_named_and_a_wider_one_helps() {
    let text = ONE.replace("disks =", "count = 40\ndisks =").replace("stored-percent = 100", "stored-percent = 1");
    let fleet = fleet(&format!("[[host]]\nname = \"esx-07\"\nread = \"8 Gbit/s\"\n{text}"));
    let (as_it_is, wider) = (run(&fleet), run(&Alternative::parse("disks-per-host=16").unwrap().of(&fleet)));
    assert_eq!(as_it_is.held[0].limit, "disks of host esx-07 (8)");
    let ready = |outcome: &Outcome| minutes_after_begin(outcome, outcome.waves[0].ready_at);
    assert!(ready(&wider) < ready(&as_it_is), "{} and {} minutes", ready(&wider), ready(&as_it_is));
}

#[test]
fn the_301st_vm_waits_for_a_place_among_the_vms_until_a_wave_has_moved() {
    let text = "[[wave]]\nname = \"first\"\n[[wave]]\nname = \"second\"\n[[vms]]\nwave = \"first\"\ncount = 300\ndisks = [\"1 GiB\"]\nchanged = \"1 MiB\"\n\
                [[vms]]\nwave = \"second\"\ndisks = [\"1 GiB\"]\nchanged = \"1 MiB\"\n[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\n";
    let outcome = run(&fleet(text));
    let (first, second) = (&outcome.waves[0], &outcome.waves[1]);
    assert_eq!((first.moved, second.moved), (300, 1));
    assert!(second.ready_at > first.cutover_at, "{outcome:?}");
    let alone = run(&Alternative::parse("vms=301").unwrap().of(&fleet(text)));
    assert!(alone.waves[1].ready_at < second.ready_at, "with a place of its own it does not wait for that");
}

#[test]
fn nothing_begins_inside_a_blackout_window_and_a_cutover_waits_for_its_end() {
    let blackout = "[calendar]\nzone = \"UTC\"\nblackout = \"Tuesday;0:00;1d\"\n";
    let text = ONE.replace("cutover = \"never\"", "cutover = \"2026-12-01T06:00:00Z\"");
    // The first of December 2026 is a Tuesday.
    let outcome = run(&fleet(&format!("{blackout}{text}")));
    let wave = &outcome.waves[0];
    assert_eq!(minutes_after_begin(&outcome, wave.cutover_at), 24 * 60);
    // One that has no recovery point yet makes one first: 30 s to open, 1,000 s, 60 s to close. Then 120 s to shut down, and a cycle of no bytes.
    assert_eq!(wave.moved_at.unwrap().duration_since(outcome.begin).as_secs(), 24 * 3600 + 30 + 1000 + 60 + 120 + 90);
}

#[test]
fn a_throttle_by_day_makes_a_first_copy_longer() {
    let throttle = "[[throttle]]\nsend = \"100 Mbit/s\"\nfrom = \"00:00\"\nfor = \"12 h\"\nzone = \"UTC\"\n";
    let (open, slow) = (run(&fleet(ONE)), run(&fleet(&format!("{throttle}{ONE}"))));
    let ready = |outcome: &Outcome| outcome.waves[0].ready_at.unwrap().duration_since(outcome.begin).as_secs();
    assert_eq!(ready(&slow) - ready(&open), 7000, "an eighth of the line");
}

#[test]
fn a_final_cycle_is_not_held_up_by_what_else_runs() {
    let text = "[[wave]]\nname = \"w\"\ncutover = \"2026-12-03T00:00:00Z\"\n[[wave]]\nname = \"late\"\nbegin = \"2026-12-02T23:00:00Z\"\ncutover = \
                \"never\"\n[[vms]]\nwave = \"w\"\ndisks = [\"100 GiB\"]\nchanged = \"100 MiB\"\n[[vms]]\nwave = \"late\"\ncount = 6\ndisks = [\"4 TiB\"]\nchanged = \"1 GiB\"\n";
    let outcome = run(&fleet(text));
    let downtime = outcome.waves[0].downtime.unwrap();
    // Shut down 120 s, open 30 s, close 60 s, and at most two hours of 100 MiB, halved, on 100 MB/s.
    assert!(downtime.max_seconds <= 210 + 3, "{downtime:?}");
}

#[test]
fn the_same_fleet_gives_the_same_answer() {
    let text = ONE.replace("disks =", "count = 123\ndisks =").replace("changed = \"0 B\"", "changed = \"3 GiB\"");
    assert_eq!(run(&fleet(&text)), run(&fleet(&text)));
}

#[test]
fn everything_that_is_wrong_with_a_fleet_is_said_at_once() {
    let text = "begin = \"soon\"\nline = \"1 Gbit/s\"\n[[wave]]\nname = \"w\"\n[[vms]]\nwave = \"v\"\ndisks = [\"1 GiB\"]\nchanged = \"1 B\"\n[[vms]]\nwave = \
                \"w\"\nhosts = [\"esx\"]\ndisks = []\n";
    let wrong = Fleet::parse(text, |_| Err("no file".to_owned())).unwrap_err();
    assert_eq!(
        wrong,
        [
            "begin = \"soon\" is no moment: write \"2026-12-01T08:00[Europe/Berlin]\", or \"2026-12-01T07:00:00Z\"",
            "[[vms]] is of wave \"v\", but there is no such wave",
            "[[vms]] are on host \"esx\", but there is no such host",
            "[[vms]] \"w\" have no disks",
            "[[vms]] \"w\" have neither changed nor recorded: how much changes in an hour?",
        ]
    );
}
