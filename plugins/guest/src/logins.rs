//! One login for all instances of a plugin, kept in the host's volatile store.
//!
//! ```text
//!   stored? ─yes─▶ use it ──ended──▶ stored one newer? ─yes─▶ use that
//!      │ no                             │ no
//!      └──▶ log in ◀────────────────────┘
//!              └─▶ compare-and-set; lost the race ─▶ log out again, use the winner's
//!                                   not stored ─▶ log out again, fail
//! ```
//!
//! Servers count sessions, so no instance keeps one of its own. Work is made again once when its login has ended, and no more: what is
//! still refused then is a fault, and the host decides when to come again.

use std::fmt;

use crate::fault::{Fault, FaultKind};
use crate::ports::{Entry, Sessions};

/// How a plugin logs in.
pub trait Account {
    /// What a login leaves: a cookie or a token, and what the server told about itself.
    type Login;
    /// What keeps a call from its answer. A plugin may know more of it than a fault tells.
    type Refusal: From<Fault>;

    fn log_in(&self) -> Result<Self::Login, Self::Refusal>;

    /// Ends a login that lost a race or could not be stored: nobody would find it. That it could not be ended is no reason to fail.
    fn log_out(&self, login: &Self::Login);

    /// Whether the other side says that the login is none any more, and that nothing was done.
    fn has_ended(&self, refusal: &Self::Refusal) -> bool;

    fn write(login: &Self::Login) -> Result<Vec<u8>, Fault>;

    /// None when these bytes are no login, such as one of another version.
    fn read(value: &[u8]) -> Option<Self::Login>;
}

/// A login with the version under which it is stored, so that a stale one is told from a renewed one.
#[derive(Clone, PartialEq, Eq)]
pub struct Held<L> {
    pub login: L,
    pub stored: u64,
}

/// Without the login, which is a secret.
impl<L> fmt::Debug for Held<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("stored", &self.stored).finish_non_exhaustive()
    }
}

/// The logins of an account, under a name in the store.
///
/// ```
/// use transload_guest::fault::{Fault, FaultKind};
/// use transload_guest::http::{Method, Request, Response};
/// use transload_guest::logins::{Account, Logins};
/// use transload_guest::ports::{Http, Sessions};
///
/// struct Server<'a> {
///     http: &'a dyn Http,
///     sessions: &'a dyn Sessions,
/// }
///
/// impl Account for Server<'_> {
///     type Login = String;
///     type Refusal = Fault;
///
///     fn log_in(&self) -> Result<String, Fault> {
///         let response = self.http.send(&Request::new(Method::Post, "https://server.test/login"), &[])?;
///         let token = response.header("x-token").map(str::to_owned);
///         token.ok_or_else(|| Fault::auth("The server does not let this user in."))
///     }
///
///     fn log_out(&self, token: &String) {
///         let request = Request::new(Method::Delete, "https://server.test/login").header("x-token", token);
///         let _ = self.http.send(&request, &[]);
///     }
///
///     fn has_ended(&self, refusal: &Fault) -> bool {
///         refusal.kind == FaultKind::Auth
///     }
///
///     fn write(token: &String) -> Result<Vec<u8>, Fault> {
///         Ok(token.clone().into_bytes())
///     }
///
///     fn read(value: &[u8]) -> Option<String> {
///         String::from_utf8(value.to_vec()).ok()
///     }
/// }
///
/// impl Server<'_> {
///     fn name(&self) -> Result<Response, Fault> {
///         let logins = Logins { account: self, sessions: self.sessions, name: "login" };
///         logins.in_session(|held| {
///             let request = Request::new(Method::Get, "https://server.test/name").header("x-token", &held.login);
///             let response = self.http.send(&request, &[])?;
///             match response.status {
///                 401 => Err(Fault::auth("The session has ended.")),
///                 _ => Ok(response),
///             }
///         })
///     }
/// }
/// ```
pub struct Logins<'a, A> {
    pub account: &'a A,
    pub sessions: &'a dyn Sessions,
    pub name: &'a str,
}

impl<A: Account> Logins<'_, A> {
    /// Work that needs a login. All of it is made again when the login ends in between, so several calls in it must only read.
    pub fn in_session<T>(&self, work: impl Fn(&Held<A::Login>) -> Result<T, A::Refusal>) -> Result<T, A::Refusal> {
        let held = self.held()?;
        match work(&held) {
            Err(refusal) if self.account.has_ended(&refusal) => work(&self.renewed(held.stored)?),
            other => other,
        }
    }

    /// The login that all instances use now.
    pub fn held(&self) -> Result<Held<A::Login>, A::Refusal> {
        let entry = self.sessions.get(self.name);
        match entry.as_ref().and_then(Self::readable) {
            Some(held) => Ok(held),
            None => self.log_in(entry.as_ref()),
        }
    }

    /// One that is not the stale one: another instance's, or else a new one.
    pub fn renewed(&self, stale: u64) -> Result<Held<A::Login>, A::Refusal> {
        let entry = self.sessions.get(self.name);
        match entry.as_ref().and_then(Self::readable) {
            Some(held) if held.stored != stale => Ok(held),
            _ => self.log_in(entry.as_ref()),
        }
    }

    fn readable(entry: &Entry) -> Option<Held<A::Login>> {
        A::read(&entry.value).map(|login| Held { login, stored: entry.version })
    }

    /// Replaces the very entry that was found not to serve, readable or not. What a rival has stored since then stays.
    fn log_in(&self, found: Option<&Entry>) -> Result<Held<A::Login>, A::Refusal> {
        let login = self.account.log_in()?;
        let stored = A::write(&login).and_then(|value| self.sessions.compare_and_set(self.name, found.map(|entry| entry.version), &value));
        let fault = match stored {
            Ok(stored) => return Ok(Held { login, stored }),
            Err(fault) => fault,
        };
        self.account.log_out(&login);
        match fault.kind {
            FaultKind::Conflict => {
                let winner = self.sessions.get(self.name).as_ref().and_then(Self::readable);
                winner.ok_or_else(|| Fault::unavailable("Another instance logged in and out again meanwhile.").into())
            }
            _ => Err(fault.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// The one login that cannot be written down.
    const UNWRITABLE: u8 = 200;

    /// A server whose logins are numbers, and the store. Logins up to `ended` are none any more. A rival stores its login once, right after
    /// a reading or right before a writing; a writing is refused once with `refusal`.
    #[derive(Default)]
    struct Server {
        logins: Cell<u8>,
        logouts: RefCell<Vec<u8>>,
        ended: Cell<u8>,
        entry: RefCell<Option<Entry>>,
        rival_after_get: Cell<Option<u8>>,
        rival_before_set: Cell<Option<u8>>,
        refusal: RefCell<Option<Fault>>,
    }

    impl Account for Server {
        type Login = u8;
        type Refusal = Fault;

        fn log_in(&self) -> Result<u8, Fault> {
            self.logins.set(self.logins.get() + 1);
            Ok(self.logins.get())
        }

        fn log_out(&self, login: &u8) {
            self.logouts.borrow_mut().push(*login);
        }

        fn has_ended(&self, refusal: &Fault) -> bool {
            refusal.kind == FaultKind::Auth
        }

        fn write(login: &u8) -> Result<Vec<u8>, Fault> {
            match *login {
                UNWRITABLE => Err(Fault::internal("this login cannot be written down")),
                login => Ok(vec![login]),
            }
        }

        fn read(value: &[u8]) -> Option<u8> {
            match value {
                [login] => Some(*login),
                _ => None,
            }
        }
    }

    impl Server {
        fn store(&self, value: &[u8]) -> u64 {
            let version = self.entry.borrow().as_ref().map_or(0, |entry| entry.version) + 1;
            self.entry.replace(Some(Entry { version, value: value.to_vec() }));
            version
        }

        fn logins(&self) -> Logins<'_, Server> {
            Logins { account: self, sessions: self, name: "login" }
        }

        /// Answers the login that it was done with.
        fn work(&self) -> Result<u8, Fault> {
            self.logins().in_session(|held| match held.login <= self.ended.get() {
                true => Err(Fault::auth("the session has ended")),
                false => Ok(held.login),
            })
        }
    }

    impl Sessions for Server {
        fn get(&self, _: &str) -> Option<Entry> {
            let found = self.entry.borrow().clone();
            if let Some(theirs) = self.rival_after_get.take() {
                self.store(&[theirs]);
            }
            found
        }

        fn compare_and_set(&self, _: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
            if let Some(theirs) = self.rival_before_set.take() {
                self.store(&[theirs]);
            }
            if let Some(refusal) = self.refusal.take() {
                return Err(refusal);
            }
            match self.get("").map(|entry| entry.version) == expected {
                true => Ok(self.store(value)),
                false => Err(Fault::conflict("another instance was faster")),
            }
        }
    }

    #[test]
    fn one_login_serves_until_it_ends_and_then_the_work_is_made_again_once() {
        let server = Server::default();
        assert_eq!((server.work(), server.work()), (Ok(1), Ok(1)));
        server.ended.set(1);
        assert_eq!((server.work(), server.work()), (Ok(2), Ok(2)));
        server.ended.set(u8::MAX);
        assert_eq!(server.work().unwrap_err().kind, FaultKind::Auth);
        assert_eq!(server.logins.get(), 3, "a server that refuses every login is no loop");
    }

    #[test]
    fn the_login_of_a_winner_is_used_and_the_own_one_ended() {
        let server = Server::default();
        server.rival_before_set.set(Some(77));
        assert_eq!(server.work(), Ok(77));
        assert_eq!(*server.logouts.borrow(), [1]);
    }

    /// The entry was once read a second time for its version, and a login that a rival had stored in between was overwritten.
    #[test]
    fn a_login_that_a_rival_stores_after_the_reading_is_not_overwritten() {
        for before in [None, Some(b"of another version")] {
            let server = Server::default();
            before.map(|value| server.store(value));
            server.rival_after_get.set(Some(77));
            assert_eq!(server.work(), Ok(77), "{before:?}");
            assert_eq!(*server.logouts.borrow(), [1], "{before:?}");
        }
        let server = Server::default();
        let stale = server.logins().held().unwrap();
        server.rival_after_get.set(Some(77));
        assert_eq!(server.logins().renewed(stale.stored).unwrap().login, 77);
        assert_eq!(*server.logouts.borrow(), [2]);
    }

    #[test]
    fn a_login_that_cannot_be_stored_is_ended() {
        for refusal in [Fault::full("256 entries are there"), Fault::invalid("the value is too long")] {
            let server = Server::default();
            server.refusal.replace(Some(refusal.clone()));
            assert_eq!(server.work(), Err(refusal));
            assert_eq!(*server.logouts.borrow(), [1]);
        }
        let server = Server::default();
        server.logins.set(UNWRITABLE - 1);
        assert_eq!(server.work().unwrap_err().kind, FaultKind::Internal);
        assert_eq!(*server.logouts.borrow(), [UNWRITABLE]);
    }

    #[test]
    fn what_is_printed_of_a_login_is_its_version_only() {
        let held = Held { login: "token", stored: 3 };
        let entry = Entry { version: 3, value: b"token".to_vec() };
        assert_eq!(format!("{held:?} {entry:?}"), "Held { stored: 3, .. } Entry { version: 3, .. }");
    }

    #[test]
    fn a_renewal_by_another_instance_needs_no_second_login() {
        let server = Server::default();
        let stale = server.logins().held().unwrap();
        let renewed = server.logins().renewed(stale.stored).unwrap();
        assert_eq!(server.logins().renewed(stale.stored), Ok(renewed));
        assert_eq!(server.logins.get(), 2);
    }

    #[test]
    fn what_is_no_login_is_written_over() {
        let server = Server::default();
        server.store(b"of another version");
        assert_eq!(server.work(), Ok(1));
    }
}
