//! What instances tell each other through the volatile store about a disk that is being read: where it lies, and which ranges were
//! handed out.
//!
//! A lazy range that ends as `auth` brings the host back for the same range. The contract does not say that it came back, so the ranges
//! handed out under one login are remembered: to be asked for one twice means that the login must be looked at.
//!
//! One entry per snapshot and disk, forgotten when the snapshot is closed: a host keeps a few hundred of them.

use serde::{Deserialize, Serialize};
use transload_guest::http::Extent;
use transload_guest::ports::Sessions;
use transload_guest::shared::{Change, change};

use crate::location::Location;
use crate::tokens::SnapshotToken;

/// More than any host pulls at once; the oldest are forgotten first.
const HANDED_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    First,
    /// Some of it was handed out before under this login, or it could not be noted.
    Again,
}

#[derive(Clone, Serialize, Deserialize)]
struct Known {
    location: Location,
    /// The login that the ranges were handed out under.
    login: u64,
    handed: Vec<(u64, u64)>,
}

/// The memory of one disk of one snapshot.
pub struct Recall<'a> {
    sessions: &'a dyn Sessions,
    name: String,
}

impl<'a> Recall<'a> {
    pub fn of(sessions: &'a dyn Sessions, token: &SnapshotToken, disk: &str) -> Recall<'a> {
        Recall { sessions, name: format!("reading:{}:{}:{disk}", token.vm, token.tag) }
    }

    pub fn location(&self) -> Option<Location> {
        self.sessions.get(&self.name).and_then(|entry| read(&entry.value)).map(|known| known.location)
    }

    /// Remembers it for the others. Losing a race is as good as winning it: both looked at the same file.
    pub fn found(&self, location: &Location) {
        let known = Known { location: location.clone(), login: 0, handed: Vec::new() };
        let expected = self.sessions.get(&self.name).map(|entry| entry.version);
        let _ = self.sessions.compare_and_set(&self.name, expected, &written(&known));
    }

    /// Notes that `range` is handed out under the login of that number.
    pub fn hand_out(&self, login: u64, range: Extent) -> Asked {
        let handed_out = change(self.sessions, &self.name, |now| {
            let Some(mut known) = now.and_then(read) else { return Change::Leave(Asked::Again) };
            if known.login != login {
                (known.login, known.handed) = (login, Vec::new());
            }
            if known.handed.iter().any(|(start, end)| *start < range.end() && range.offset < *end) {
                return Change::Leave(Asked::Again);
            }
            known.handed.push((range.offset, range.end()));
            let surplus = known.handed.len().saturating_sub(HANDED_MAX);
            known.handed.drain(..surplus);
            Change::Write(written(&known), Asked::First)
        });
        handed_out.unwrap_or(Asked::Again)
    }

    /// The login was found alive or was renewed: the ranges may be handed out once more.
    pub fn take_back(&self) {
        let _ = change(self.sessions, &self.name, |now| match now.and_then(read) {
            Some(known) => Change::Write(written(&Known { handed: Vec::new(), ..known }), ()),
            None => Change::Leave(()),
        });
    }

    pub fn forget(&self) {
        if let Some(entry) = self.sessions.get(&self.name) {
            let _ = self.sessions.compare_and_set(&self.name, Some(entry.version), &[]);
        }
    }
}

fn read(value: &[u8]) -> Option<Known> {
    serde_json::from_slice(value).ok()
}

fn written(known: &Known) -> Vec<u8> {
    serde_json::to_vec(known).expect("only text and numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Memory;

    fn token() -> SnapshotToken {
        SnapshotToken { vm: "vm-1".into(), uuid: "u".into(), tag: "t".into(), snapshot: "s".into() }
    }

    fn known(memory: &Memory) -> Recall<'_> {
        let recall = Recall::of(memory, &token(), "d");
        recall.found(&Location { url: "https://vc.test/folder/x".into(), size: 1 << 50 });
        recall
    }

    #[test]
    fn a_range_asked_for_twice_under_one_login_is_noticed() {
        let memory = Memory::default();
        let recall = known(&memory);
        assert_eq!(recall.hand_out(1, Extent::new(0, 100)), Asked::First);
        assert_eq!(recall.hand_out(1, Extent::new(100, 100)), Asked::First);
        assert_eq!(recall.hand_out(1, Extent::new(150, 10)), Asked::Again);
        assert_eq!(recall.hand_out(2, Extent::new(150, 10)), Asked::First, "a new login starts anew");
        recall.take_back();
        assert_eq!(recall.hand_out(2, Extent::new(150, 10)), Asked::First);
    }

    #[test]
    fn only_the_latest_ranges_are_kept_and_they_fit_into_the_store() {
        let memory = Memory::default();
        let recall = known(&memory);
        for n in 0..=HANDED_MAX as u64 {
            assert_eq!(recall.hand_out(1, Extent::new((1 << 45) + (n << 24), 16 << 20)), Asked::First);
        }
        assert_eq!(recall.hand_out(1, Extent::new(1 << 45, 1)), Asked::First, "the oldest was forgotten");
        assert!(memory.get(&recall.name).unwrap().value.len() <= 16 << 10, "the store takes 16 KiB");
    }

    #[test]
    fn what_cannot_be_noted_counts_as_asked_again() {
        let memory = Memory::default();
        let recall = known(&memory);
        recall.forget();
        assert_eq!(recall.location(), None);
        assert_eq!(recall.hand_out(1, Extent::new(0, 1)), Asked::Again);
    }
}
