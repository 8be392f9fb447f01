//! Work that ends in any order and is taken in the order in which it was begun.
//!
//! ```text
//!   push ─▶ running ─ ends ─▶ ended, out of turn ─▶ taken in its turn
//! ```
//!
//! Unlike `FuturesOrdered` it tells what still runs from what has ended and waits for its turn: one put that takes long must not keep the
//! connections of all others idle.

use std::collections::BTreeMap;
use std::future::Future;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

pub struct InTurn<'a, T> {
    running: FuturesUnordered<BoxFuture<'a, (u64, T)>>,
    ended: BTreeMap<u64, T>,
    begun: u64,
    taken: u64,
}

impl<T> Default for InTurn<'_, T> {
    fn default() -> Self {
        InTurn { running: FuturesUnordered::new(), ended: BTreeMap::new(), begun: 0, taken: 0 }
    }
}

impl<'a, T: Send + 'a> InTurn<'a, T> {
    pub fn push(&mut self, work: impl Future<Output = T> + Send + 'a) {
        let number = self.begun;
        self.begun += 1;
        self.running.push(Box::pin(async move { (number, work.await) }));
    }

    /// What has not ended.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// What has ended behind something that has not.
    pub fn waiting(&self) -> usize {
        self.ended.len()
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && self.ended.is_empty()
    }

    /// Comes back when any of it has ended, at once when nothing runs. Can be given up at any time.
    pub async fn one_ends(&mut self) {
        if let Some((number, result)) = self.running.next().await {
            self.ended.insert(number, result);
        }
    }

    /// The next one, if it has ended.
    pub fn take(&mut self) -> Option<T> {
        let next = self.ended.remove(&self.taken)?;
        self.taken += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_ends_early_waits_for_its_turn_and_holds_nothing() {
        let mut all = InTurn::default();
        let (end_first, first) = oneshot::channel();
        all.push(async { first.await.unwrap() });
        all.push(async { 2 });
        all.one_ends().await;
        assert_eq!((all.running(), all.waiting(), all.take()), (1, 1, None));
        end_first.send(1).unwrap();
        all.one_ends().await;
        assert_eq!((all.take(), all.take(), all.take(), all.is_empty()), (Some(1), Some(2), None, true));
    }
}
