//! Volatile logins, shared by all instances of one configured plugin. Kept in memory only, wiped when replaced, never printed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use zeroize::Zeroizing;

use super::bindings::sessions;
use super::state::{InstanceState, Refusal};
use crate::model::Fault;

const VALUE_BYTES_MAX: usize = 16 * 1024;
const NAME_BYTES_MAX: usize = 256;
/// A plugin keeps a login per peer; more names than this are a leak.
const ENTRIES_MAX: usize = 256;

#[derive(Default)]
pub struct Sessions(Mutex<Stored>);

#[derive(Default)]
struct Stored {
    /// Counts all writes, so that a version never comes back after an entry was forgotten.
    writes: u64,
    entries: BTreeMap<String, (u64, Zeroizing<Vec<u8>>)>,
}

impl Sessions {
    fn get(&self, name: &str) -> Option<(u64, Vec<u8>)> {
        let stored = self.0.lock().expect("no holder of this lock panics");
        stored.entries.get(name).map(|(version, value)| (*version, value.to_vec()))
    }

    fn compare_and_set(&self, name: String, expected: Option<u64>, value: Vec<u8>) -> Result<u64, Fault> {
        let value = Zeroizing::new(value);
        if value.len() > VALUE_BYTES_MAX || name.len() > NAME_BYTES_MAX || name.is_empty() {
            return Err(Fault::invalid("a session's name has 1 to 256 bytes and its value at most 16 KiB"));
        }
        let mut stored = self.0.lock().expect("no holder of this lock panics");
        let version = stored.entries.get(&name).map(|(version, _)| *version);
        if version != expected {
            return Err(Fault::conflict("another instance changed this session"));
        }
        if version.is_none() && !value.is_empty() && stored.entries.len() == ENTRIES_MAX {
            return Err(Fault::full(format!("a plugin keeps at most {ENTRIES_MAX} sessions")));
        }
        stored.writes += 1;
        let written = stored.writes;
        match value.is_empty() {
            true => stored.entries.remove(&name),
            false => stored.entries.insert(name, (written, value)),
        };
        Ok(written)
    }
}

impl sessions::Host for InstanceState {
    async fn get(&mut self, name: String) -> wasmtime::Result<Option<sessions::Entry>> {
        // What a login left there is no argument of a plan.
        if self.may_reach().is_err() {
            return Ok(None);
        }
        Ok(self.plugin.sessions().get(&name).map(|(version, value)| sessions::Entry { version, value }))
    }

    async fn compare_and_set(&mut self, name: String, expected: Option<u64>, value: Vec<u8>) -> Result<u64, Refusal> {
        self.may_reach()?;
        Ok(self.plugin.sessions().compare_and_set(name, expected, value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FaultKind;

    #[test]
    fn the_slower_of_two_instances_learns_that_it_was_slower() {
        let sessions = Sessions::default();
        let first = sessions.compare_and_set("vc".into(), None, b"cookie 1".to_vec()).unwrap();
        assert_eq!(sessions.compare_and_set("vc".into(), None, b"cookie 2".to_vec()).unwrap_err().kind, FaultKind::Conflict);
        assert_eq!(sessions.get("vc"), Some((first, b"cookie 1".to_vec())));
        let second = sessions.compare_and_set("vc".into(), Some(first), b"cookie 3".to_vec()).unwrap();
        assert!(second > first);
    }

    #[test]
    fn a_forgotten_entry_never_gets_its_old_version_back() {
        let sessions = Sessions::default();
        let first = sessions.compare_and_set("vc".into(), None, b"cookie".to_vec()).unwrap();
        sessions.compare_and_set("vc".into(), Some(first), Vec::new()).unwrap();
        assert_eq!(sessions.get("vc"), None);
        assert!(sessions.compare_and_set("vc".into(), Some(first), b"late".to_vec()).is_err());
        assert_ne!(sessions.compare_and_set("vc".into(), None, b"new".to_vec()).unwrap(), first);
    }

    #[test]
    fn sizes_are_bounded() {
        let sessions = Sessions::default();
        assert!(sessions.compare_and_set("vc".into(), None, vec![1; VALUE_BYTES_MAX + 1]).is_err());
        for entry in 0..ENTRIES_MAX {
            sessions.compare_and_set(format!("{entry}"), None, vec![1]).unwrap();
        }
        assert_eq!(sessions.compare_and_set("more".into(), None, vec![1]).unwrap_err().kind, FaultKind::Full);
    }
}
