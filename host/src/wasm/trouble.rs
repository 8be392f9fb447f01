//! Mishaps on the way, for a trial: what networks and servers do anyway, only often and now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::stream;
use reqwest::{Body, Response};

use crate::random::Random;

const ONE_IN: u64 = 12;
/// Exchanges that are left alone after a mishap, so that a call of so many comes through when it is tried again.
const QUIET: usize = 20;

#[derive(Clone)]
pub struct Trouble {
    random: Random,
    quiet: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// 503, and nothing is done.
    Busy,
    /// The request never arrives.
    Lost,
    /// What was asked is done, and the reply never arrives.
    Unanswered,
    /// The reply breaks off in its body.
    Cut,
}

impl Trouble {
    pub fn new(random: Random) -> Trouble {
        Trouble { random, quiet: Arc::default() }
    }

    /// What happens to the next exchange; mostly nothing.
    pub fn next(&self) -> Option<Mishap> {
        let one_less = |quiet: usize| quiet.checked_sub(1);
        if self.quiet.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return None;
        }
        let drawn = self.random.number();
        let mishap = match drawn / ONE_IN % 4 {
            0 => Mishap::Busy,
            1 => Mishap::Lost,
            2 => Mishap::Unanswered,
            _ => Mishap::Cut,
        };
        let happens = drawn.is_multiple_of(ONE_IN);
        self.quiet.store(if happens { QUIET } else { 0 }, Ordering::Relaxed);
        happens.then_some(mishap)
    }
}

pub fn busy() -> Response {
    let mut response = http::Response::new(Body::from(Bytes::new()));
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    response.into()
}

/// The same response up to the middle of its first part.
pub async fn cut(mut response: Response) -> Response {
    let first = response.chunk().await.ok().flatten().unwrap_or_default();
    let half = first.slice(..first.len() / 2);
    let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut off for this trial");
    let mut shorter = http::Response::new(Body::wrap_stream(stream::iter([Ok(half), Err(broken)])));
    *shorter.status_mut() = response.status();
    *shorter.headers_mut() = response.headers().clone();
    shorter.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_mishap_happens_and_most_exchanges_are_left_alone() {
        let trouble = Trouble::new(Random::from_seed(3));
        let mut seen: BTreeMap<Option<Mishap>, usize> = BTreeMap::new();
        (0..12_000).for_each(|_| *seen.entry(trouble.next()).or_default() += 1);
        assert_eq!(seen.len(), 5);
        assert!((11_400..11_800).contains(&seen[&None]), "{seen:?}");
    }

    #[test]
    fn a_call_of_many_requests_comes_through_when_it_is_tried_again() {
        let trouble = Trouble::new(Random::from_seed(5));
        for _ in 0..1000 {
            let call = || (0..QUIET).all(|_| trouble.next().is_none());
            assert!(call() || call());
        }
    }

    #[tokio::test]
    async fn a_response_that_is_cut_keeps_its_head_and_breaks_in_its_body() {
        let mut whole = http::Response::new(Body::from("0123456789"));
        whole.headers_mut().insert("content-length", "10".parse().unwrap());
        let mut shorter = cut(whole.into()).await;
        assert_eq!(shorter.headers()["content-length"], "10");
        assert_eq!(shorter.chunk().await.unwrap().unwrap(), "01234");
        assert!(shorter.chunk().await.is_err());
        assert_eq!(busy().status(), 503);
    }
}
