//! What instances tell each other through the volatile store: where a frozen disk lies, and which ranges were handed out.
//!
//! A lazy range that ends as `auth` brings the host back for the same range. The contract does not say that it came back, so the ranges
//! handed out under one login are remembered: to be asked for one twice means that the login must be looked at.

use serde::{Deserialize, Serialize};
use transload_guest::fault::FaultKind;
use transload_guest::http::Extent;
use transload_guest::ports::Sessions;

/// More than any host pulls at once; the oldest are forgotten first.
const HANDED_MAX: usize = 256;

/// How often a race with another instance is run again.
const TRIES: usize = 8;

/// A name in the store: at most 256 bytes, whatever the parts are.
pub fn name(what: &str, parts: [&str; 3]) -> Option<String> {
    let name = format!("{what}:{}:{}:{}", parts[0], parts[1], parts[2]);
    (name.len() <= 256).then_some(name)
}

pub fn recall<T: for<'a> Deserialize<'a>>(sessions: &dyn Sessions, name: &str) -> Option<T> {
    serde_json::from_slice(&sessions.get(name)?.value).ok()
}

/// Stores it for the others. Losing a race is as good as winning it: both looked at the same thing.
pub fn remember<T: Serialize>(sessions: &dyn Sessions, name: &str, value: &T) {
    let expected = sessions.get(name).map(|entry| entry.version);
    if let Ok(value) = serde_json::to_vec(value) {
        let _ = sessions.compare_and_set(name, expected, &value);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    First,
    /// Some of it was handed out before under this login, or it could not be noted.
    Again,
}

#[derive(Default, Serialize, Deserialize)]
struct Handed {
    login: u64,
    ranges: Vec<(u64, u64)>,
}

/// Notes that `range` is handed out under the login of that number.
pub fn note(sessions: &dyn Sessions, name: &str, login: u64, range: Extent) -> Asked {
    for _ in 0..TRIES {
        let entry = sessions.get(name);
        let stored = entry.as_ref().and_then(|entry| serde_json::from_slice::<Handed>(&entry.value).ok()).unwrap_or_default();
        let mut handed = if stored.login == login { stored } else { Handed { login, ranges: Vec::new() } };
        let again = handed.ranges.iter().any(|(start, end)| *start < range.end() && range.offset < *end);
        if again {
            return Asked::Again;
        }
        handed.ranges.push((range.offset, range.end()));
        let surplus = handed.ranges.len().saturating_sub(HANDED_MAX);
        handed.ranges.drain(..surplus);
        let Ok(value) = serde_json::to_vec(&handed) else { return Asked::Again };
        match sessions.compare_and_set(name, entry.map(|entry| entry.version), &value) {
            Ok(_) => return Asked::First,
            Err(fault) if fault.kind == FaultKind::Conflict => continue,
            Err(_) => return Asked::Again,
        }
    }
    Asked::Again
}

/// The login was found alive: the ranges may be handed out once more.
pub fn forget(sessions: &dyn Sessions, name: &str) {
    if let Some(entry) = sessions.get(name) {
        let _ = sessions.compare_and_set(name, Some(entry.version), &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Memory;

    #[test]
    fn a_range_asked_for_twice_under_one_login_is_noticed() {
        let memory = Memory::default();
        assert_eq!(note(&memory, "n", 1, Extent::new(0, 100)), Asked::First);
        assert_eq!(note(&memory, "n", 1, Extent::new(100, 100)), Asked::First);
        assert_eq!(note(&memory, "n", 1, Extent::new(150, 10)), Asked::Again);
        assert_eq!(note(&memory, "n", 2, Extent::new(150, 10)), Asked::First, "a new login starts anew");
        forget(&memory, "n");
        assert_eq!(note(&memory, "n", 2, Extent::new(150, 10)), Asked::First);
    }

    #[test]
    fn only_the_latest_ranges_are_kept() {
        let memory = Memory::default();
        for n in 0..=HANDED_MAX as u64 {
            assert_eq!(note(&memory, "n", 1, Extent::new(n << 40, 16 << 20)), Asked::First);
        }
        assert_eq!(note(&memory, "n", 1, Extent::new(0, 1)), Asked::First, "the oldest was forgotten");
        assert!(memory.get("n").unwrap().value.len() <= 16 << 10, "the store takes 16 KiB");
    }

    #[test]
    fn names_longer_than_the_store_takes_are_not_made() {
        assert!(name("located", ["vm-1", "tag", "disk"]).is_some());
        assert!(name("located", ["vm-1", &"t".repeat(256), "disk"]).is_none());
    }
}
