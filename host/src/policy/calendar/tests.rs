//! Windows against known dates, and against a clock on the wall that is looked at every minute.

use jiff::ToSpan;
use jiff::civil::{Time, Weekday};
use proptest::prelude::*;

use super::*;
use crate::policy::throttle::Node;

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn time(text: &str) -> Time {
    azure::time(text).unwrap()
}

fn until(zone_name: &str, days: Days, from: &str, until: &str) -> Window {
    Window::new(days, time(from), Length::Until(time(until)), zone(zone_name).unwrap())
}

fn hours(zone_name: &str, days: Days, from: &str, hours: i64) -> Window {
    Window::new(days, time(from), Length::For(SignedDuration::from_hours(hours)), zone(zone_name).unwrap())
}

fn closed(windows: &[Window]) -> Calendar {
    let blackout = |window: &Window| Blackout { window: window.clone(), on_enter: OnEnter::Finish };
    Calendar { blackouts: windows.iter().map(blackout).collect(), limits: Vec::new() }
}

fn on(day: Weekday) -> Days {
    Days::NONE.with(day)
}

/// From which moment to which a window holds that holds or comes next after this one.
fn held(window: &Window, after: &str) -> (String, String) {
    let begins = window.edges(moment(after), moment(after) + 24.hours() * 8).find(|edge| window.holds_until(*edge).is_some()).unwrap();
    (begins.to_string(), window.holds_until(begins).unwrap().to_string())
}

#[test]
fn the_seed_systems_example_is_read() {
    let text = "Monday;7:00;7h | Tuesday;8:00;1d7h | Wednesday;16:00;1d | Thursday;18:00;5h | Friday;13:00;8m";
    let windows = azure_windows(text, &zone("Europe/Berlin").unwrap()).unwrap();
    let said: Vec<_> = windows.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "Monday 07:00 for 7 h",
            "Tuesday 08:00 for 1 d 7 h",
            "Wednesday 16:00 for 1 d",
            "Thursday 18:00 for 5 h",
            "Friday 13:00 for 8 min",
        ]
    );
    // The week of Monday, 2026-11-30, in winter time (UTC+1).
    let calendar = closed(&windows);
    for (at, opens) in [
        ("2026-11-30T05:59:59Z", None),
        ("2026-11-30T06:00:00Z", Some("2026-11-30T13:00:00Z")),
        ("2026-11-30T13:00:00Z", None),
        // Tuesday's ends on Wednesday at 15:00, Wednesday's begins at 16:00 and ends on Thursday at 16:00, Thursday's begins at 18:00.
        ("2026-12-02T13:59:00Z", Some("2026-12-02T14:00:00Z")),
        ("2026-12-02T14:30:00Z", None),
        ("2026-12-03T12:00:00Z", Some("2026-12-03T15:00:00Z")),
        ("2026-12-04T12:07:59Z", Some("2026-12-04T12:08:00Z")),
        ("2026-12-04T12:08:00Z", None),
    ] {
        let found = calendar.blackout(moment(at)).map(|closed| closed.until.unwrap());
        assert_eq!(found, opens.map(moment), "{at}");
    }
}

#[test]
fn what_is_wrong_in_the_string_is_said_window_by_window() {
    let wrong = |text: &str| azure_windows(text, &TimeZone::UTC).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    use jiff::tz::TimeZone;
    assert_eq!(
        wrong("Moonday;7:00;7h | Tuesday;25:00;1h | Wed;8:00;7x | Friday;13:00"),
        [
            "blackout \"Moonday;7:00;7h\": \"Moonday\" is no day of the week",
            "blackout \"Tuesday;25:00;1h\": \"25:00\" is no time such as 7:00 or 16:30",
            "blackout \"Wed;8:00;7x\": \"7x\" is no length such as 7h, 1d7h or 8m",
            "blackout \"Friday;13:00\": it must be a day, a time and a length, such as Monday;7:00;7h",
        ]
    );
    assert_eq!(wrong(" | "), ["blackout \" | \": there is no window in it"]);
    for text in ["Monday;7:00;0h", "Monday;7:00;8d", "Monday;7:00;", "Monday;7:00;h7", "Monday;7:00;7h1d", "Monday;700;7h"] {
        assert_eq!(wrong(text).len(), 1, "{text}");
    }
}

/// Each row: the window, a moment before, and from when to when it holds.
#[test]
fn windows_hold_across_midnight_the_weeks_end_and_changed_clocks() {
    let (saturday, sunday) = (on(Weekday::Saturday), on(Weekday::Sunday));
    for (window, after, begins, ends) in [
        // Across midnight, and from Sunday into Monday.
        (until("Asia/Shanghai", sunday, "22:00", "06:00"), "2026-11-28T00:00:00Z", "2026-11-29T14:00:00Z", "2026-11-29T22:00:00Z"),
        (hours("Asia/Shanghai", sunday, "22:00", 30), "2026-11-28T00:00:00Z", "2026-11-29T14:00:00Z", "2026-11-30T20:00:00Z"),
        (until("Asia/Shanghai", sunday, "08:00", "08:00"), "2026-03-28T00:00:00Z", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"),
        // Berlin, 2026-03-29: 01:59 is followed by 03:00, at 01:00 UTC. A beginning and an end that do not come are when the clocks jump.
        (until("Europe/Berlin", sunday, "02:30", "05:00"), "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z"),
        (until("Europe/Berlin", sunday, "01:00", "02:30"), "2026-03-28T12:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        (hours("Europe/Berlin", sunday, "02:30", 2), "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z"),
        // "until" is the clock on the wall, "for" is time that passes: a night that is an hour shorter.
        (until("Europe/Berlin", saturday, "22:00", "06:00"), "2026-03-28T12:00:00Z", "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"),
        (hours("Europe/Berlin", saturday, "22:00", 8), "2026-03-28T12:00:00Z", "2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"),
        // Berlin, 2026-10-25: 02:00 to 03:00 comes twice, from 00:00 to 02:00 UTC.
        (until("Europe/Berlin", sunday, "02:30", "04:00"), "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z"),
        (until("Europe/Berlin", sunday, "01:00", "02:30"), "2026-10-24T12:00:00Z", "2026-10-24T23:00:00Z", "2026-10-25T01:30:00Z"),
        (until("Europe/Berlin", sunday, "02:15", "02:45"), "2026-10-24T12:00:00Z", "2026-10-25T00:15:00Z", "2026-10-25T01:45:00Z"),
        (until("Europe/Berlin", saturday, "22:00", "06:00"), "2026-10-24T12:00:00Z", "2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"),
        (hours("Europe/Berlin", saturday, "22:00", 8), "2026-10-24T12:00:00Z", "2026-10-24T20:00:00Z", "2026-10-25T04:00:00Z"),
        // New York, 2026-03-08 at 07:00 UTC and 2026-11-01 from 05:00 to 07:00 UTC.
        (until("America/New_York", sunday, "02:30", "03:30"), "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"),
        (until("America/New_York", sunday, "01:30", "01:45"), "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z", "2026-11-01T06:45:00Z"),
        (until("America/New_York", saturday, "20:00", "02:00"), "2026-10-31T12:00:00Z", "2026-11-01T00:00:00Z", "2026-11-01T07:00:00Z"),
    ] {
        assert_eq!(held(&window, after), (begins.to_owned(), ends.to_owned()), "{window} in {}", window.zone_name());
    }
    // What lies wholly in the hour that does not come does not hold that day.
    let skipped = until("Europe/Berlin", sunday, "02:10", "02:50");
    assert_eq!(held(&skipped, "2026-03-28T12:00:00Z").0, "2026-04-05T00:10:00Z");
}

#[test]
fn a_blackout_ends_with_the_last_of_the_windows_that_hold_or_follow_without_a_gap() {
    let calendar = closed(&[
        hours("UTC", on(Weekday::Monday), "08:00", 4),
        hours("UTC", on(Weekday::Monday), "10:00", 6),
        until("UTC", on(Weekday::Monday), "16:00", "18:00"),
        until("UTC", on(Weekday::Monday), "18:01", "19:00"),
    ]);
    let found = calendar.blackout(moment("2026-11-30T10:30:00Z")).unwrap();
    assert_eq!((found.rule.as_str(), found.until), ("Monday 10:00 for 6 h", Some(moment("2026-11-30T18:00:00Z"))));
    assert_eq!(calendar.at(moment("2026-11-30T10:30:00Z")).next_change, Some(moment("2026-11-30T18:00:00Z")));
}

#[test]
fn a_calendar_that_is_always_shut_says_that_it_never_opens() {
    let always = closed(&[until("UTC", Days::ALL, "00:00", "00:00")]);
    let verdict = always.at(moment("2026-11-30T10:30:00Z"));
    assert_eq!((verdict.blackout.unwrap().until, verdict.next_change), (None, None));
    // A day of 24 hours leaves an hour open where the day has 25: that is found, months ahead.
    let nearly = closed(&[hours("Europe/Berlin", Days::ALL, "00:00", 24)]);
    let verdict = nearly.at(moment("2026-06-01T10:30:00Z"));
    assert_eq!(verdict.next_change, Some(moment("2026-10-25T22:00:00Z")));
    assert_eq!(verdict.blackout.unwrap().until, verdict.next_change);
}

#[test]
fn the_strictest_of_what_holds_counts() {
    let window = |from: &str, to: &str| until("Europe/Berlin", Days::NONE.with_range(Weekday::Monday, Weekday::Friday), from, to);
    let limit =
        |window, whose, megabits: u64| Limit { window, direction: Direction::Send, whose, rate: Rate::bytes(megabits * 125_000).unwrap() };
    let calendar = Calendar {
        blackouts: vec![
            Blackout { window: window("09:00", "10:00"), on_enter: OnEnter::Park },
            Blackout { window: window("09:00", "11:00"), on_enter: OnEnter::Finish },
        ],
        limits: vec![
            limit(None, Whose::Node(Node::Appliance), 500),
            limit(Some(window("07:00", "19:00")), Whose::Node(Node::Appliance), 100),
            limit(Some(window("08:00", "09:00")), Whose::EachHost, 20),
        ],
    };
    let at = |text: &str| calendar.at(moment(text));
    let appliance = |verdict: &Verdict| verdict.send.of(&Node::Appliance).map(|rate| rate.bytes_per_second() / 125_000);
    // 07:30, 08:30, 09:30, 10:30, 12:00 and 20:00 on a Monday in winter; Sunday.
    for (text, rate, host, on_enter, next) in [
        ("2026-11-30T06:30:00Z", 100, None, None, "2026-11-30T07:00:00Z"),
        ("2026-11-30T07:30:00Z", 100, Some(20), None, "2026-11-30T08:00:00Z"),
        ("2026-11-30T08:30:00Z", 100, None, Some(OnEnter::Park), "2026-11-30T09:00:00Z"),
        ("2026-11-30T09:30:00Z", 100, None, Some(OnEnter::Finish), "2026-11-30T10:00:00Z"),
        ("2026-11-30T11:00:00Z", 100, None, None, "2026-11-30T18:00:00Z"),
        ("2026-11-30T19:00:00Z", 500, None, None, "2026-12-01T06:00:00Z"),
        ("2026-11-29T12:00:00Z", 500, None, None, "2026-11-30T06:00:00Z"),
    ] {
        let verdict = at(text);
        assert_eq!(appliance(&verdict), Some(rate), "{text}");
        let of_host = verdict.send.of(&Node::Host("esx-07".to_owned())).map(|rate| rate.bytes_per_second() / 125_000);
        assert_eq!(of_host, host, "{text}");
        assert_eq!(verdict.blackout.as_ref().map(|closed| closed.on_enter), on_enter, "{text}");
        assert_eq!(verdict.next_change, Some(moment(next)), "{text}");
        assert!(verdict.read.are_open());
    }
}

fn any_zone() -> impl Strategy<Value = &'static str> {
    // Lord Howe's clocks change by half an hour, Apia's day ends a day after Pago Pago's.
    prop_oneof![
        Just("Europe/Berlin"),
        Just("America/New_York"),
        Just("Asia/Shanghai"),
        Just("Australia/Lord_Howe"),
        Just("Pacific/Apia"),
        Just("UTC"),
    ]
}

prop_compose! {
    fn any_window()(zone_name in any_zone(), days in 1u8..128, from in 0i8..96, length in prop_oneof![
        (0i8..96).prop_map(|quarter| Length::Until(quarters(quarter))),
        (1i64..7 * 96).prop_map(|quarters| Length::For(SignedDuration::from_mins(quarters * 15))),
    ]) -> Window {
        let days = (0..7).filter(|day| days & 1 << day != 0).map(|day| Weekday::from_monday_zero_offset(day).unwrap());
        Window::new(days.fold(Days::NONE, Days::with), quarters(from), length, zone(zone_name).unwrap())
    }
}

fn quarters(count: i8) -> Time {
    Time::new(count / 4, count % 4 * 15, 0, 0).unwrap()
}

/// Around the changes of the clocks, and any other time.
fn any_moment() -> impl Strategy<Value = Timestamp> {
    let near = prop_oneof![
        Just("2026-03-28T00:00:00Z"),
        Just("2026-10-24T00:00:00Z"),
        Just("2026-03-07T00:00:00Z"),
        Just("2026-10-31T00:00:00Z"),
        Just("2026-04-04T00:00:00Z"),
        Just("2026-07-01T00:00:00Z"),
    ];
    (near, 0i64..3 * 24 * 60).prop_map(|(day, minutes)| moment(day) + SignedDuration::from_mins(minutes))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn next_change_is_the_next_moment_at_which_the_answer_is_another_one(
        windows in proptest::collection::vec((any_window(), any::<bool>(), proptest::option::of(1u64..4)), 1..5),
        now in any_moment(),
    ) {
        let mut calendar = Calendar::default();
        for (window, parks, rate) in windows {
            match rate {
                Some(rate) => calendar.limits.push(Limit {
                    window: Some(window),
                    direction: if parks { Direction::Read } else { Direction::Send },
                    whose: if rate == 3 { Whose::EachVm } else { Whose::Node(Node::Appliance) },
                    rate: Rate::bytes(rate * 1_000_000).unwrap(),
                }),
                None => {
                    let on_enter = if parks { OnEnter::Park } else { OnEnter::Finish };
                    calendar.blackouts.push(Blackout { window, on_enter });
                }
            }
        }
        let verdict = calendar.at(now);
        let change = verdict.next_change;
        // Everything begins and ends with a minute.
        let looks = (1..4 * 24 * 60).map(|minutes| now + SignedDuration::from_mins(minutes));
        for look in looks.take_while(|look| change.is_none_or(|change| *look < change)) {
            prop_assert_eq!(calendar.says(look), calendar.says(now), "at {} already", look);
        }
        if let Some(change) = change {
            prop_assert!(change > now);
            prop_assert_ne!(calendar.says(change), calendar.says(now), "at {}", change);
        }
        if let Some(Closed { until: Some(until), .. }) = verdict.blackout {
            prop_assert!(until > now && calendar.blackout(until).is_none());
            prop_assert!(calendar.blackout(until - SignedDuration::from_mins(1)).is_some());
        }
    }

    #[test]
    fn a_window_holds_whenever_the_clock_on_the_wall_shows_a_time_inside(
        zone_name in any_zone(),
        day in 0i8..7,
        from in 0i8..96,
        end in 0i8..96,
        now in any_moment(),
    ) {
        let day = Weekday::from_monday_zero_offset(day).unwrap();
        let (from, end) = (quarters(from), quarters(end));
        let zone = zone(zone_name).unwrap();
        let window = Window::new(on(day), from, Length::Until(end), zone.clone());
        for minutes in 0..2 * 24 * 60 {
            let look = now + SignedDuration::from_mins(minutes);
            let wall = zone.to_datetime(look);
            let (today, time) = (wall.date().weekday(), wall.time());
            let inside = match from < end {
                true => today == day && from <= time && time < end,
                false => (today == day && from <= time) || (today == day.next() && time < end),
            };
            let holds = window.holds_until(look).is_some();
            prop_assert!(holds || !inside, "{} {}: open at {}", window, zone_name, wall);
            // Only what comes twice may be held although the clock shows another time.
            let twice = [-1i64, 0, 1].iter().any(|hours| {
                zone.to_ambiguous_timestamp(zone.to_datetime(look + SignedDuration::from_hours(*hours))).is_ambiguous()
            });
            prop_assert!(!holds || inside || twice, "{} {}: shut at {}", window, zone_name, wall);
        }
    }
}
