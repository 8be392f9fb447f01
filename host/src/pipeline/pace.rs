//! How fast a copy goes, and whether it goes on: the one hook by which the rest of the agent holds a copy back.
//!
//! ```text
//!   Reins ─ order: the strictest of all holders ─▶ copy          go    reads on
//!     ▲                                             │            hold  stores and publishes what it read, then waits where it is
//!     └ a final cycle, a window, a pause, a stop    │            end   the same, and then it ends: the next attempt goes on from there
//!                                                   │
//!   Meter ◀─ pass(read, bytes): before each unit ───┤            answers when so many bytes may go
//!         ◀─ pass(send, bytes): as a segment leaves ┘
//! ```
//!
//! Promised: nothing that was read is thrown away, so a copy that is held has all of it in the store, and a death while it waits costs
//! nothing. Where nobody holds, a copy takes no lock to know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

pub use crate::log::meter::{Meter, Way};

/// Nothing is metered.
struct Open;

#[async_trait]
impl Meter for Open {
    fn grain(&self, _way: Way) -> Option<u64> {
        None
    }

    fn rate(&self, _way: Way) -> Option<u64> {
        None
    }

    fn is_on(&self, _host: &str) {}

    async fn pass(&self, _way: Way, _bytes: u64) {}
}

/// What a copy is told. The later ones are stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Order {
    #[default]
    Go,
    /// Begin nothing new, bring what was read into the store, and wait in place: the snapshot stays open.
    Hold,
    /// The same, and then end.
    End,
}

/// Who may hold copies back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A final cycle of another VM, which has the line.
    Final,
    /// A window of the calendar.
    Blackout,
    /// A command of the operator.
    Pause,
    /// The agent is about to end.
    Stop,
}

/// Holds back the copies of one VM. Clones are the same reins.
#[derive(Debug, Clone)]
pub struct Reins(Arc<watch::Sender<BTreeMap<Holder, Order>>>);

impl Default for Reins {
    fn default() -> Reins {
        Reins(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

impl Reins {
    /// What this holder wants from now on. Others may want something stricter.
    pub fn tell(&self, holder: Holder, order: Order) {
        self.0.send_if_modified(|orders| match order {
            Order::Go => orders.remove(&holder).is_some(),
            _ => orders.insert(holder, order) != Some(order),
        });
    }

    pub fn order(&self) -> Order {
        strictest(&self.0.borrow())
    }

    /// Everybody who holds, for people who ask why nothing moves.
    pub fn holders(&self) -> Vec<Holder> {
        self.0.borrow().keys().copied().collect()
    }

    pub fn told(&self) -> Told {
        let receiver = self.0.subscribe();
        let order = strictest(&receiver.borrow());
        Told { receiver, order, _reins: self.clone() }
    }
}

fn strictest(orders: &BTreeMap<Holder, Order>) -> Order {
    orders.values().max().copied().unwrap_or_default()
}

/// One listener's end of reins. While it listens they cannot go away.
pub struct Told {
    receiver: watch::Receiver<BTreeMap<Holder, Order>>,
    order: Order,
    _reins: Reins,
}

impl Told {
    /// The order now: a lock only when it changed.
    pub fn order(&mut self) -> Order {
        if self.receiver.has_changed().unwrap_or(false) {
            self.order = strictest(&self.receiver.borrow_and_update());
        }
        self.order
    }

    /// Answers when something changed since the last look.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_ok() {
            self.order = strictest(&self.receiver.borrow());
        }
    }

    /// Answers when nobody says hold any more.
    pub async fn released(&mut self) -> Order {
        while self.order() == Order::Hold {
            self.changed().await;
        }
        self.order
    }
}

/// What a copy is paced by.
#[derive(Clone)]
pub struct Pace {
    pub reins: Reins,
    pub meter: Arc<dyn Meter>,
}

impl Default for Pace {
    /// As fast as it goes, and nobody holds it.
    fn default() -> Pace {
        Pace { reins: Reins::default(), meter: Arc::new(Open) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_strictest_holder_decides_and_only_its_own_word_frees() {
        let reins = Reins::default();
        let mut told = reins.told();
        assert_eq!(told.order(), Order::Go);
        reins.tell(Holder::Final, Order::Hold);
        reins.tell(Holder::Stop, Order::End);
        assert_eq!((told.order(), reins.order()), (Order::End, Order::End));
        reins.tell(Holder::Stop, Order::Go);
        assert_eq!((told.order(), reins.holders()), (Order::Hold, vec![Holder::Final]));
        reins.tell(Holder::Blackout, Order::Go);
        assert_eq!(told.order(), Order::Hold, "who does not hold frees nobody");
        let freed = tokio::spawn(async move { told.released().await });
        tokio::task::yield_now().await;
        assert!(!freed.is_finished());
        reins.tell(Holder::Final, Order::Go);
        assert_eq!(freed.await.unwrap(), Order::Go);
    }
}
