//! Who is logged in.

use super::knobs::Knobs;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Default)]
pub(super) struct Sessions {
    by_cookie: BTreeMap<String, Session>,
}

#[derive(Clone)]
pub(super) struct Session {
    pub key: String,
    pub user: String,
    pub login_time: jiff::Timestamp,
    last_active: Instant,
    calls: u64,
}

impl Sessions {
    pub fn open(&mut self, cookie: String, key: String, user: &str) {
        let session = Session { key, user: user.to_owned(), login_time: jiff::Timestamp::now(), last_active: Instant::now(), calls: 0 };
        self.by_cookie.insert(cookie, session);
    }

    /// The session of a cookie, if it still lives; the call counts as activity.
    pub fn touch(&mut self, cookie: &str, knobs: &Knobs) -> Option<Session> {
        self.drop_idle(knobs);
        let session = self.by_cookie.get_mut(cookie)?;
        if knobs.session_calls_max.is_some_and(|limit| session.calls >= limit) {
            self.by_cookie.remove(cookie);
            return None;
        }
        session.calls += 1;
        session.last_active = Instant::now();
        Some(session.clone())
    }

    pub fn by_key(&self, key: &str) -> Option<Session> {
        self.by_cookie.values().find(|session| session.key == key).cloned()
    }

    pub fn close(&mut self, cookie: &str) {
        self.by_cookie.remove(cookie);
    }

    pub fn close_all(&mut self) {
        self.by_cookie.clear();
    }

    pub fn live(&self) -> usize {
        self.by_cookie.len()
    }

    fn drop_idle(&mut self, knobs: &Knobs) {
        let limit = Duration::from_millis(knobs.session_idle_milliseconds);
        self.by_cookie.retain(|_, session| session.last_active.elapsed() < limit);
    }
}

/// The session cookie of a request. vCenter sends its value in quotes; both ways of returning it are accepted.
pub(super) fn cookie(headers: &http::HeaderMap) -> Option<String> {
    headers
        .get_all(http::header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == "vmware_soap_session")
        .map(|(_, value)| value.trim_matches('"').to_owned())
}
