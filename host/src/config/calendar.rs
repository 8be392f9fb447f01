//! `[calendar]`, `[[blackout]]`, `[[throttle]]`: when nothing may begin, and how fast bytes may go. They take effect while the agent runs.

use jiff::SignedDuration;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::policy::calendar::{self, Blackout, Calendar, Days, Direction, LENGTH_MAX, Length, Limit, OnEnter, Whose, Window};
use crate::policy::throttle::{Node, Rate};

use super::units::{PerSecond, Span};

/// What holds for all windows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct CalendarText {
    /// The clock that windows are read by. There is no default: an appliance's own zone is mostly nobody's decision.
    zone: Option<String>,
    /// Windows in the form of Azure Migrate's appliance.
    blackout: Option<String>,
    /// Finish is what the seed system does.
    on_enter: OnEnter,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BlackoutText {
    days: Option<Vec<String>>,
    from: Option<String>,
    r#for: Option<Span>,
    until: Option<String>,
    zone: Option<String>,
    on_enter: Option<OnEnter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ThrottleText {
    days: Option<Vec<String>>,
    from: Option<String>,
    r#for: Option<Span>,
    until: Option<String>,
    zone: Option<String>,
    /// Into the stores.
    send: Option<PerSecond>,
    /// Out of the sources.
    read: Option<PerSecond>,
    /// Whose bytes: of one sink, host or VM, or "*" for each of them; none: all together.
    sink: Option<String>,
    host: Option<String>,
    vm: Option<String>,
}

/// When it holds: these days of the week, from then on, for so long or until then. Its keys stand in the tables themselves: serde would
/// not tell of unknown keys beside a part that is flattened.
#[derive(PartialEq, Eq, Default)]
struct When {
    days: Option<Vec<String>>,
    from: Option<String>,
    r#for: Option<Span>,
    until: Option<String>,
    zone: Option<String>,
}

/// Slower than this, one object takes minutes and requests run into their time limits.
const RATE_MIN: PerSecond = PerSecond(125_000);

/// Reads all of it; says everything that is wrong.
pub(crate) fn calendar(all: CalendarText, blackouts: Vec<BlackoutText>, throttles: Vec<ThrottleText>, wrong: &mut Vec<String>) -> Calendar {
    let mut found = Calendar::default();
    if let Some(text) = &all.blackout {
        match known_zone(all.zone.as_deref()).map(|zone| calendar::azure_windows(text, &zone)) {
            Err(why) => wrong.push(format!("[calendar] {why}")),
            Ok(Err(errors)) => wrong.extend(errors.into_iter().map(|error| format!("[calendar] {error}"))),
            Ok(Ok(windows)) => found.blackouts.extend(windows.into_iter().map(|window| Blackout { window, on_enter: all.on_enter })),
        }
    }
    for (text, number) in blackouts.into_iter().zip(1..) {
        match text.when().window(&all) {
            Err(why) => wrong.push(format!("[[blackout]] {number}: {why}")),
            Ok(None) => wrong.push(format!("[[blackout]] {number}: say from which time on it holds: from = \"07:00\"")),
            Ok(Some(window)) => found.blackouts.push(Blackout { window, on_enter: text.on_enter.unwrap_or(all.on_enter) }),
        }
    }
    for (text, number) in throttles.into_iter().zip(1..) {
        match text.limits(&all) {
            Err(why) => wrong.push(format!("[[throttle]] {number}: {why}")),
            Ok(limits) => found.limits.extend(limits),
        }
    }
    if let (Some(zone), true) = (&all.zone, calendar::zone(all.zone.as_deref().unwrap_or_default()).is_none()) {
        wrong.push(format!("[calendar] {zone:?} is no time zone such as \"Europe/Berlin\""));
    }
    found
}

impl BlackoutText {
    fn when(&self) -> When {
        let (days, from, until, zone) = (self.days.clone(), self.from.clone(), self.until.clone(), self.zone.clone());
        When { days, from, r#for: self.r#for, until, zone }
    }
}

impl ThrottleText {
    fn when(&self) -> When {
        let (days, from, until, zone) = (self.days.clone(), self.from.clone(), self.until.clone(), self.zone.clone());
        When { days, from, r#for: self.r#for, until, zone }
    }

    fn limits(self, all: &CalendarText) -> Result<Vec<Limit>, String> {
        let whose = self.whose()?;
        let window = self.when().window(all)?;
        let rows = [(Direction::Send, self.send), (Direction::Read, self.read)];
        let mut limits = Vec::new();
        for (direction, rate) in rows.into_iter().filter_map(|(direction, rate)| Some((direction, rate?))) {
            if rate < RATE_MIN {
                return Err(format!("{rate} is slower than {RATE_MIN}, at which one request takes minutes"));
            }
            if direction == Direction::Read && matches!(whose, Whose::EachSink | Whose::Node(Node::Sink(_))) {
                return Err("nothing is read from a sink: a rate of a sink is send = \"…\"".to_owned());
            }
            limits.extend(Rate::bytes(rate.0).map(|rate| Limit { window: window.clone(), direction, whose: whose.clone(), rate }));
        }
        match limits.is_empty() {
            true => Err("say how fast: send = \"100 Mbit/s\", or read = \"…\"".to_owned()),
            false => Ok(limits),
        }
    }

    fn whose(&self) -> Result<Whose, String> {
        let named = |name: &Option<String>, each: Whose, one: fn(String) -> Node| {
            name.as_ref().map(|name| if name == "*" { each } else { Whose::Node(one(name.clone())) })
        };
        let of = [
            named(&self.sink, Whose::EachSink, Node::Sink),
            named(&self.host, Whose::EachHost, Node::Host),
            named(&self.vm, Whose::EachVm, Node::Vm),
        ];
        let mut of = of.into_iter().flatten();
        match (of.next(), of.next()) {
            (None, _) => Ok(Whose::Node(Node::Appliance)),
            (Some(whose), None) => Ok(whose),
            (Some(_), Some(_)) => Err("a rate is that of a sink, of a host or of a VM; make a row for each".to_owned()),
        }
    }
}

impl When {
    /// None: it says nothing of a time, so it holds always.
    fn window(&self, all: &CalendarText) -> Result<Option<Window>, String> {
        let Some(from) = &self.from else {
            return match self == &When::default() {
                true => Ok(None),
                false => Err("say from which time on it holds: from = \"07:00\"".to_owned()),
            };
        };
        let zone = known_zone(self.zone.as_deref().or(all.zone.as_deref()))?;
        let length = match (&self.r#for, &self.until) {
            (Some(length), None) => Length::For(lasting(*length)?),
            (None, Some(until)) => Length::Until(time(until)?),
            _ => return Err("say how long it holds: for = \"7 h\", or until = \"14:00\"".to_owned()),
        };
        let days = self.days.as_ref().map_or(Ok(Days::ALL), |days| days.iter().try_fold(Days::NONE, |found, text| with(found, text)))?;
        if days == Days::NONE {
            return Err("days = [] is never; leave it out for every day".to_owned());
        }
        Ok(Some(Window::new(days, time(from)?, length, zone)))
    }
}

fn known_zone(name: Option<&str>) -> Result<TimeZone, String> {
    let name = name.ok_or("a window is read by a clock: say which under [calendar], zone = \"Europe/Berlin\"")?;
    calendar::zone(name).ok_or_else(|| format!("{name:?} is no time zone such as \"Europe/Berlin\""))
}

fn lasting(length: Span) -> Result<SignedDuration, String> {
    let minutes = length.0.as_secs() / 60;
    match SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(i64::MAX / 60)) {
        SignedDuration::ZERO => Err(format!("{length} is no time at all: windows are counted in minutes")),
        found if found > LENGTH_MAX => Err(format!("{length} is longer than the week after which it comes back")),
        found => Ok(found),
    }
}

fn time(text: &str) -> Result<Time, String> {
    calendar::time(text).ok_or_else(|| format!("{text:?} is no time such as \"07:00\""))
}

/// "Monday", or "Monday-Friday".
fn with(days: Days, text: &str) -> Result<Days, String> {
    let day = |text: &str| -> Result<Weekday, String> {
        calendar::weekday(text.trim()).ok_or_else(|| format!("{text:?} is no day of the week, and no range such as \"Monday-Friday\""))
    };
    match text.split_once('-') {
        Some((from, to)) => Ok(days.with_range(day(from)?, day(to)?)),
        None => Ok(days.with(day(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::strict;

    #[derive(Deserialize)]
    struct Texts {
        #[serde(default)]
        calendar: CalendarText,
        #[serde(default)]
        blackout: Vec<BlackoutText>,
        #[serde(default)]
        throttle: Vec<ThrottleText>,
    }

    fn read(text: &str) -> Result<Calendar, Vec<String>> {
        let texts: Texts = strict::parse(text)?;
        let mut wrong = Vec::new();
        let found = calendar(texts.calendar, texts.blackout, texts.throttle, &mut wrong);
        if wrong.is_empty() { Ok(found) } else { Err(wrong) }
    }

    #[test]
    fn both_forms_of_a_window_are_read() {
        let found = read(
            r#"
            [calendar]
            zone = "Europe/Berlin"
            blackout = "Monday;7:00;7h | Tuesday;8:00;1d7h"
            on-enter = "park"
            [[blackout]]
            days = ["Friday-Monday", "wed"]
            from = "22:00"
            until = "06:00"
            zone = "Asia/Shanghai"
            on-enter = "finish"
            [[blackout]]
            from = "12:00"
            for = "1 h"
            [[throttle]]
            send = "100 Mbit/s"
            days = ["Monday-Friday"]
            from = "07:00"
            for = "12 h"
            [[throttle]]
            host = "*"
            read = "400 Mbit/s"
            "#,
        )
        .unwrap();
        let said: Vec<_> =
            found.blackouts.iter().map(|row| format!("{} {} {:?}", row.window, row.window.zone_name(), row.on_enter)).collect();
        assert_eq!(
            said,
            [
                "Monday 07:00 for 7 h Europe/Berlin Park",
                "Tuesday 08:00 for 1 d 7 h Europe/Berlin Park",
                "Monday, Wednesday, Friday, Saturday, Sunday 22:00 until 06:00 Asia/Shanghai Finish",
                "every day 12:00 for 1 h Europe/Berlin Park",
            ]
        );
        let [day, host] = &found.limits[..] else { panic!("{:?}", found.limits) };
        assert_eq!(
            (day.whose.clone(), day.direction, day.rate.bytes_per_second()),
            (Whose::Node(Node::Appliance), Direction::Send, 12_500_000)
        );
        assert_eq!(day.window.as_ref().unwrap().to_string(), "Monday, Tuesday, Wednesday, Thursday, Friday 07:00 for 12 h");
        assert_eq!((host.whose.clone(), host.direction, host.window.clone()), (Whose::EachHost, Direction::Read, None));
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_row() {
        let wrong = read(
            r#"
            [calendar]
            blackout = "Monday;7:00;7h"
            [[blackout]]
            zone = "Europe/Berlin"
            days = ["Mon-Foo"]
            from = "07:00"
            for = "7 h"
            [[blackout]]
            from = "07:00"
            until = "7 Uhr"
            zone = "Europe/Berlin"
            [[blackout]]
            from = "07:00"
            zone = "Europe/Berlin"
            [[blackout]]
            zone = "Europe/Berlin"
            [[blackout]]
            from = "07:00"
            for = "30 s"
            zone = "Mars/Base"
            [[throttle]]
            [[throttle]]
            send = "10 kbit/s"
            [[throttle]]
            read = "10 Mbit/s"
            sink = "store"
            [[throttle]]
            send = "10 Mbit/s"
            host = "a"
            vm = "b"
            [[throttle]]
            send = "10 Mbit/s"
            until = "08:00"
            "#,
        );
        assert_eq!(
            wrong.unwrap_err(),
            [
                "[calendar] a window is read by a clock: say which under [calendar], zone = \"Europe/Berlin\"",
                "[[blackout]] 1: \"Foo\" is no day of the week, and no range such as \"Monday-Friday\"",
                "[[blackout]] 2: \"7 Uhr\" is no time such as \"07:00\"",
                "[[blackout]] 3: say how long it holds: for = \"7 h\", or until = \"14:00\"",
                "[[blackout]] 4: say from which time on it holds: from = \"07:00\"",
                "[[blackout]] 5: \"Mars/Base\" is no time zone such as \"Europe/Berlin\"",
                "[[throttle]] 1: say how fast: send = \"100 Mbit/s\", or read = \"…\"",
                "[[throttle]] 2: 10 kbit/s is slower than 1 Mbit/s, at which one request takes minutes",
                "[[throttle]] 3: nothing is read from a sink: a rate of a sink is send = \"…\"",
                "[[throttle]] 4: a rate is that of a sink, of a host or of a VM; make a row for each",
                "[[throttle]] 5: say from which time on it holds: from = \"07:00\"",
            ]
        );
        assert_eq!(read("[[blackout]]\nfrm = \"07:00\"").unwrap_err(), ["unknown key \"blackout.0.frm\""]);
    }
}
