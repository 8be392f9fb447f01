//! A body on its way out, at the pace of its meter.
//!
//! The meter is asked where bytes leave for the socket, so what it lets through is what the line carries: tries that failed count as well, and
//! no burst is longer than one grain.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::{self, Stream};
use reqwest::Body;

use crate::log::meter::{Meter, Way};
use crate::log::seal::Sealed;

pub struct Sent {
    pub bytes: u64,
    pub body: Body,
    pub held: Held,
}

/// Parts of a body that were held back and then let go. While they become more, nobody waits for the other side.
#[derive(Clone, Default)]
pub struct Held(Arc<AtomicU64>);

impl Held {
    pub fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<Bytes> for Sent {
    fn from(bytes: Bytes) -> Sent {
        Sent { bytes: bytes.len() as u64, body: bytes.into(), held: Held::default() }
    }
}

impl From<&Sealed> for Sent {
    fn from(sealed: &Sealed) -> Sent {
        let (parts, held) = (sealed.parts().to_vec(), Held::default());
        let body = match sealed.meter() {
            None => Body::wrap_stream(stream::iter(parts.into_iter().map(Ok::<_, Infallible>))),
            Some(meter) => Body::wrap_stream(metered(parts.into(), meter.clone(), held.clone())),
        };
        Sent { bytes: sealed.len() as u64, body, held }
    }
}

fn metered(parts: VecDeque<Bytes>, meter: Arc<dyn Meter>, held: Held) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((parts, meter, held), |(mut parts, meter, held)| async move {
        let mut next = parts.pop_front()?;
        let grain = meter.grain(Way::Send);
        if let Some(grain) = grain.and_then(|grain| usize::try_from(grain).ok()).filter(|grain| (1..next.len()).contains(grain)) {
            parts.push_front(next.split_off(grain));
        }
        meter.pass(Way::Send, next.len() as u64).await;
        held.0.fetch_add(u64::from(grain.is_some()), Ordering::Relaxed);
        Some((Ok(next), (parts, meter, held)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use futures::StreamExt;

    use super::*;

    struct Grains(Option<u64>, Mutex<Vec<u64>>);

    #[async_trait]
    impl Meter for Grains {
        fn grain(&self, _way: Way) -> Option<u64> {
            self.0
        }

        fn rate(&self, _way: Way) -> Option<u64> {
            None
        }

        fn is_on(&self, _host: &str) {}

        async fn pass(&self, _way: Way, bytes: u64) {
            self.1.lock().unwrap().push(bytes);
        }
    }

    async fn sent(grain: Option<u64>) -> (Vec<u64>, u64) {
        let parts = [Bytes::from(vec![1; 10]), Bytes::from(vec![2; 3])];
        let (meter, held) = (Arc::new(Grains(grain, Mutex::default())), Held::default());
        let chunks: Vec<_> = metered(VecDeque::from(parts), meter.clone(), held.clone()).map(Result::unwrap).collect().await;
        assert_eq!(chunks.concat(), [vec![1; 10], vec![2; 3]].concat());
        let asked = meter.1.lock().unwrap().clone();
        assert_eq!(asked, chunks.iter().map(|chunk| chunk.len() as u64).collect::<Vec<_>>());
        (asked, held.so_far())
    }

    #[tokio::test]
    async fn a_body_goes_in_grains_when_it_is_held_back_and_whole_when_not() {
        assert_eq!(sent(Some(4)).await, (vec![4, 4, 2, 3], 4));
        assert_eq!(sent(None).await, (vec![10, 3], 0));
    }
}
