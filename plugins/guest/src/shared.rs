//! Values in the volatile store, which all instances of a plugin change together.
//!
//! ```text
//!   read ─▶ what becomes of it? ─▶ leave it ─▶ done
//!    ▲              └─▶ write ─▶ took ─▶ done
//!    └──────────────────── another instance was faster, at most 8 times
//! ```
//!
//! What stands there is lost when the agent starts anew, so a plugin must be able to do without it.

use crate::fault::{Fault, FaultKind};
use crate::ports::{Entry, Sessions};

/// How often a race with other instances is run again.
const TRIES: usize = 8;

/// What becomes of a value, and what is answered when that took.
pub enum Change<T> {
    Leave(T),
    /// Nothing at all forgets the value.
    Write(Vec<u8>, T),
}

/// Compares and sets until it took. `change` is asked anew, with what stands there then, whenever another instance was faster;
/// `unavailable` when one always was.
///
/// ```
/// use transload_guest::fault::Fault;
/// use transload_guest::ports::Sessions;
/// use transload_guest::shared::{Change, change};
///
/// /// Counts what all instances have done.
/// fn count(sessions: &dyn Sessions) -> Result<u8, Fault> {
///     change(sessions, "count", |now| {
///         let next = now.map_or(0, |value| value[0]).saturating_add(1);
///         Change::Write(vec![next], next)
///     })
/// }
/// ```
pub fn change<T>(sessions: &dyn Sessions, name: &str, mut change: impl FnMut(Option<&[u8]>) -> Change<T>) -> Result<T, Fault> {
    for _ in 0..TRIES {
        let found: Option<Entry> = sessions.get(name);
        let (value, answer) = match change(found.as_ref().map(|entry| entry.value.as_slice())) {
            Change::Leave(answer) => return Ok(answer),
            Change::Write(value, answer) => (value, answer),
        };
        match sessions.compare_and_set(name, found.map(|entry| entry.version), &value) {
            Ok(_) => return Ok(answer),
            Err(fault) if fault.kind == FaultKind::Conflict => {}
            Err(fault) => return Err(fault),
        }
    }
    Err(Fault::unavailable(format!("Other instances changed {name} {TRIES} times while this one tried to.")))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// One entry, which a rival changes right before so many of our writes.
    struct Contested {
        entry: RefCell<Option<Entry>>,
        rivals: Cell<usize>,
    }

    impl Contested {
        fn with(rivals: usize) -> Contested {
            Contested { entry: RefCell::new(None), rivals: Cell::new(rivals) }
        }

        fn write(&self, value: &[u8]) -> u64 {
            let version = self.entry.borrow().as_ref().map_or(0, |entry| entry.version) + 1;
            self.entry.replace(Some(Entry { version, value: value.to_vec() }));
            version
        }
    }

    impl Sessions for Contested {
        fn get(&self, _: &str) -> Option<Entry> {
            self.entry.borrow().clone()
        }

        fn compare_and_set(&self, _: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
            if let Some(left) = self.rivals.get().checked_sub(1) {
                self.rivals.set(left);
                self.write(b"theirs");
            }
            match self.get("").map(|entry| entry.version) == expected {
                true => Ok(self.write(value)),
                false => Err(Fault::conflict("another instance was faster")),
            }
        }
    }

    fn append(sessions: &Contested) -> Result<usize, Fault> {
        change(sessions, "log", |now| {
            let value = [now.unwrap_or_default(), b"+"].concat();
            let length = value.len();
            Change::Write(value, length)
        })
    }

    #[test]
    fn a_race_that_was_lost_is_run_again_with_what_the_winner_wrote() {
        let sessions = Contested::with(2);
        assert_eq!(append(&sessions), Ok(7));
        assert_eq!(sessions.get("log").unwrap().value, b"theirs+");
    }

    #[test]
    fn races_have_an_end() {
        let sessions = Contested::with(TRIES);
        assert_eq!(append(&sessions).unwrap_err().kind, FaultKind::Unavailable);
        assert_eq!(sessions.get("log").unwrap().value, b"theirs");
    }

    #[test]
    fn what_is_left_as_it_is_is_not_written() {
        let sessions = Contested::with(1);
        assert_eq!(change(&sessions, "log", |now| Change::Leave(now.is_none())), Ok(true));
        assert_eq!(sessions.get("log"), None);
    }
}
