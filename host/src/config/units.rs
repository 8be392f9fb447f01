//! Sizes and spans of time as people write them: a number and its unit. A bare number is refused, because its unit would be a guess.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A number of bytes, written "64 MiB".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A span of time, written "2 s" or "12 h".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A rate in bytes, written "100 Mbit/s" as lines are, or "12 MiB/s".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerSecond(pub u64);

const BYTES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
const PER_SECOND: &[(&str, u64)] =
    &[("kbit/s", 125), ("KiB/s", 1 << 10), ("Mbit/s", 125_000), ("MiB/s", 1 << 20), ("Gbit/s", 125_000_000), ("GiB/s", 1 << 30)];
const MILLISECONDS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Bytes {
    pub const fn mib(count: u64) -> Bytes {
        Bytes(count << 20)
    }

    pub fn parse(text: &str) -> Result<Bytes, String> {
        measured(text, BYTES, "64 MiB").map(Bytes)
    }
}

impl Span {
    pub const fn seconds(count: u64) -> Span {
        Span(Duration::from_secs(count))
    }

    pub fn parse(text: &str) -> Result<Span, String> {
        measured(text, MILLISECONDS, "2 s").map(|milliseconds| Span(Duration::from_millis(milliseconds)))
    }
}

impl PerSecond {
    pub fn parse(text: &str) -> Result<PerSecond, String> {
        measured(text, PER_SECOND, "100 Mbit/s").map(PerSecond)
    }
}

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(self.0, PER_SECOND, f)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(self.0, BYTES, f)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(self.0.as_millis() as u64, MILLISECONDS, f)
    }
}

/// In the largest unit that says it exactly.
fn written(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    let (unit, factor) = units.iter().rfind(fits).unwrap_or(&units[0]);
    write!(f, "{} {unit}", value / factor)
}

fn measured(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let known = units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join(", ");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim());
    let number: u64 = number.parse().map_err(|_| format!("{text:?} must be a whole number and a unit, such as {example:?}"))?;
    if unit.is_empty() {
        return Err(format!("{text:?} has no unit: write one of {known}, such as {example:?}"));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("{text:?} has the unit {unit:?}, which is none of {known}"));
    };
    number.checked_mul(*factor).ok_or_else(|| format!("{text:?} is too much"))
}

struct Measured<T> {
    parse: fn(&str) -> Result<T, String>,
    example: &'static str,
}

impl<T> Visitor<'_> for Measured<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number and its unit, such as {:?}", self.example)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Err(E::custom(format!("{number} has no unit: write it as text, such as {:?}", self.example)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(E::custom(format!("{number} has no unit: write it as text, such as {:?}", self.example)))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_any(Measured { parse: Bytes::parse, example: "64 MiB" })
    }
}

impl<'de> Deserialize<'de> for PerSecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PerSecond, D::Error> {
        deserializer.deserialize_any(Measured { parse: PerSecond::parse, example: "100 Mbit/s" })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_any(Measured { parse: Span::parse, example: "2 s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_unit_are_read_with_or_without_a_space() {
        assert_eq!(Bytes::parse("64 MiB"), Ok(Bytes::mib(64)));
        assert_eq!(Bytes::parse("64MiB"), Ok(Bytes::mib(64)));
        assert_eq!(Bytes::parse("2 TiB"), Ok(Bytes(2 << 40)));
        assert_eq!(Span::parse("1500 ms"), Ok(Span(Duration::from_millis(1500))));
        assert_eq!(Span::parse("12 h"), Ok(Span::seconds(12 * 3600)));
    }

    #[test]
    fn they_are_written_as_they_are_read() {
        for text in ["0 B", "7 B", "64 MiB", "1025 KiB", "2 TiB"] {
            assert_eq!(Bytes::parse(text).unwrap().to_string(), text);
        }
        for text in ["125 kbit/s", "100 Mbit/s", "3 MiB/s", "10 Gbit/s"] {
            assert_eq!(PerSecond::parse(text).unwrap().to_string(), text);
        }
        for text in ["0 ms", "1500 ms", "90 s", "12 h", "3 d"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_has_no_unit_or_a_wrong_one_is_refused() {
        for (text, said) in [
            ("64", "\"64\" has no unit: write one of B, KiB, MiB, GiB, TiB, such as \"64 MiB\""),
            ("64 MB", "\"64 MB\" has the unit \"MB\", which is none of B, KiB, MiB, GiB, TiB"),
            ("much", "\"much\" must be a whole number and a unit, such as \"64 MiB\""),
            ("-1 MiB", "\"-1 MiB\" must be a whole number and a unit, such as \"64 MiB\""),
            ("1.5 GiB", "\"1.5 GiB\" has the unit \".5 GiB\", which is none of B, KiB, MiB, GiB, TiB"),
            ("99999999 TiB", "\"99999999 TiB\" is too much"),
        ] {
            assert_eq!(Bytes::parse(text).unwrap_err(), said);
        }
        assert_eq!(Span::parse("5 m").unwrap_err(), "\"5 m\" has the unit \"m\", which is none of ms, s, min, h, d");
    }
}
