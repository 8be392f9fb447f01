//! Token buckets in a tree: how many bytes may go now, and whose.
//!
//! ```text
//!   appliance ──┬── sink "store" ──┬── host esx-01 ──┬── vm db01     a request waits at a leaf; each of its bytes is taken
//!    100 Mbit/s │                  │                 └── vm web01    out of every bucket between the leaf and the root
//!               └── sink "cheap"   └── host esx-02 ──── vm mail
//!                     40 Mbit/s
//! ```
//!
//! Where there is no rate there is no bucket. Of several children that want, the one that had least goes next, so they have equal parts;
//! what one cannot take, because it does not want or because of a bucket of its own, is its siblings'. Who comes back after a rest is put
//! where the others stand: it neither catches up on what it left, nor waits for what it had. So parts are equal among those who always wait
//! for something; of a burst, who has more requests waiting may have more.
//!
//! Requests are served in instalments, and a bucket is never overdrawn. So in no span of time does more go through a node than its rate and
//! a `BURST` of it. A bucket that holds a burst is full: whoever serves must come again when it was told to, and loses nothing if it
//! is late by less than a burst.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How much of a rate may come at once.
pub const BURST: Duration = Duration::from_millis(50);
/// A burst in so many instalments: whoever serves may be late by the others.
const INSTALMENTS: u64 = 5;
/// An instalment goes out in at most so many pieces, one for each request that waits for it. If each had a whole one, a turn among many
/// would take longer than the burst of somebody who is slower than the others, and he would lose what his bucket cannot hold.
const PIECES_MAX: usize = 64;
const NANOSECONDS: u128 = 1_000_000_000;

/// Bytes in a second; never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    pub const fn bytes(bytes: u64) -> Option<Rate> {
        match bytes {
            0 => None,
            bytes => Some(Rate(bytes)),
        }
    }

    pub fn bytes_per_second(self) -> u64 {
        self.0
    }

    /// What may come at once.
    pub fn burst_bytes(self) -> u64 {
        ((u128::from(self.0) * BURST.as_nanos() / NANOSECONDS) as u64).max(1)
    }

    fn instalment(self) -> u64 {
        (self.burst_bytes() / INSTALMENTS).max(1)
    }
}

/// One place in the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Appliance,
    Sink(String),
    Host(String),
    Vm(String),
}

/// The rates in force. Nodes that are not named, and whose kind is not either, are open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rates {
    pub named: BTreeMap<Node, Rate>,
    pub each_sink: Option<Rate>,
    pub each_host: Option<Rate>,
    pub each_vm: Option<Rate>,
}

impl Rates {
    /// Of a node's own rate and that of its kind, the lower one.
    pub fn of(&self, node: &Node) -> Option<Rate> {
        let kind = match node {
            Node::Appliance => None,
            Node::Sink(_) => self.each_sink,
            Node::Host(_) => self.each_host,
            Node::Vm(_) => self.each_vm,
        };
        self.named.get(node).copied().into_iter().chain(kind).min()
    }

    /// Whether nothing is held back anywhere.
    pub fn are_open(&self) -> bool {
        self.lowest().is_none()
    }

    pub fn lowest(&self) -> Option<Rate> {
        let kinds = [self.each_sink, self.each_host, self.each_vm].into_iter().flatten();
        self.named.values().copied().chain(kinds).min()
    }
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// An instalment that went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub ticket: Ticket,
    pub bytes: u64,
    /// Nothing is left of the request.
    pub done: bool,
}

/// What could go at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Served {
    pub grants: Vec<Grant>,
    /// When more can go; none: nobody waits.
    pub again: Option<Duration>,
}

#[derive(Debug, Default)]
pub struct Throttle {
    root: Branch,
    rates: Rates,
    tickets: u64,
}

impl Throttle {
    /// Other rates from this moment on. What waits goes on waiting, in its place.
    pub fn set_rates(&mut self, rates: Rates, now: Duration) {
        if self.rates != rates {
            self.rates = rates;
            self.root.set_rate(&Node::Appliance, &self.rates, now);
        }
    }

    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// `lane`: the nodes below the appliance, down to the leaf. All lanes that end at one leaf are the same.
    pub fn ask(&mut self, lane: &[Node], bytes: u64, now: Duration) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.root.rated(&Node::Appliance, &self.rates, now);
        let mut branch = &mut self.root;
        branch.waiting += 1;
        for node in lane {
            let turn = branch.turn;
            let child = branch.children.entry(node.clone()).or_default();
            child.rated(node, &self.rates, now);
            if child.waiting == 0 {
                child.served = child.served.max(turn);
            }
            child.waiting += 1;
            branch = child;
        }
        branch.requests.push_back(Request { ticket, left: bytes.max(1) });
        ticket
    }

    /// Forgets a request that nobody waits for any more. What it had of its bytes is gone.
    pub fn withdraw(&mut self, lane: &[Node], ticket: Ticket) {
        self.root.withdraw(lane, ticket);
    }

    /// Lets everything go that may go now.
    pub fn serve(&mut self, now: Duration) -> Served {
        let mut served = Served::default();
        let mut above = Vec::new();
        loop {
            match self.root.serve(0, &mut above, now) {
                Ok(grant) => served.grants.push(grant),
                Err(Stop::Idle) => return served,
                Err(Stop::Short { wait, .. }) => {
                    served.again = now.checked_add(wait);
                    return served;
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Request {
    ticket: Ticket,
    left: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    rate: Rate,
    /// In billionths of a byte, so that nothing is lost by rounding.
    level: u128,
    filled_at: Duration,
}

fn full(rate: Rate) -> u128 {
    u128::from(rate.burst_bytes()) * NANOSECONDS
}

impl Bucket {
    /// A bucket is forgotten when it is full and nobody wants anything from it, so a new one is full.
    fn new(rate: Rate, now: Duration) -> Bucket {
        Bucket { rate, level: full(rate), filled_at: now }
    }

    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.filled_at);
        self.level = (self.level + u128::from(self.rate.0) * elapsed.as_nanos()).min(full(self.rate));
        self.filled_at = self.filled_at.max(now);
    }

    /// How long until so many bytes are in it.
    fn wait(&self, bytes: u64) -> Option<Duration> {
        let lacking = (u128::from(bytes) * NANOSECONDS).checked_sub(self.level).filter(|lacking| *lacking > 0)?;
        let nanoseconds = lacking.div_ceil(u128::from(self.rate.0));
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }

    fn take(&mut self, bytes: u64) {
        self.level -= u128::from(bytes) * NANOSECONDS;
    }
}

/// A bucket between a leaf and the root.
#[derive(Clone, Copy)]
struct Above {
    depth: usize,
    bucket: Bucket,
    /// How many want something out of it.
    pieces: u64,
}

impl Above {
    fn piece(&self) -> u64 {
        (self.bucket.rate.instalment() / self.pieces).max(1)
    }
}

/// Why nothing goes through a branch just now.
enum Stop {
    Idle,
    /// Bytes are lacking for `wait`, the deepest of them in a bucket at this depth.
    Short {
        depth: usize,
        wait: Duration,
    },
}

#[derive(Debug, Default)]
struct Branch {
    bucket: Option<Bucket>,
    /// What went through, as a place among its siblings: who has the least is next.
    served: u64,
    /// Where the child stood that was served last.
    turn: u64,
    /// Requests here and below.
    waiting: usize,
    children: BTreeMap<Node, Branch>,
    /// Of a leaf.
    requests: VecDeque<Request>,
}

impl Branch {
    fn rated(&mut self, node: &Node, rates: &Rates, now: Duration) {
        match (&mut self.bucket, rates.of(node)) {
            (Some(bucket), Some(rate)) if bucket.rate == rate => {}
            (Some(bucket), Some(rate)) => {
                bucket.fill(now);
                bucket.rate = rate;
                bucket.level = bucket.level.min(full(rate));
            }
            (None, Some(rate)) => self.bucket = Some(Bucket::new(rate, now)),
            (_, None) => self.bucket = None,
        }
    }

    fn set_rate(&mut self, node: &Node, rates: &Rates, now: Duration) {
        self.rated(node, rates, now);
        self.children.iter_mut().for_each(|(node, child)| child.set_rate(node, rates, now));
    }

    fn withdraw(&mut self, lane: &[Node], ticket: Ticket) -> bool {
        let found = match lane.split_first() {
            None => {
                let before = self.requests.len();
                self.requests.retain(|request| request.ticket != ticket);
                self.requests.len() < before
            }
            Some((node, rest)) => self.children.get_mut(node).is_some_and(|child| child.withdraw(rest, ticket)),
        };
        self.waiting -= usize::from(found);
        found
    }

    /// One piece of an instalment. `above`: the buckets that it is taken from as well.
    fn serve(&mut self, depth: usize, above: &mut Vec<Above>, now: Duration) -> Result<Grant, Stop> {
        if self.waiting == 0 {
            return Err(Stop::Idle);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.fill(now);
            above.push(Above { depth, bucket: *bucket, pieces: self.waiting.min(PIECES_MAX) as u64 });
        }
        let result = match self.requests.is_empty() {
            true => self.serve_child(depth, above, now),
            false => self.serve_request(above),
        };
        if self.bucket.is_some() {
            above.pop();
        }
        let grant = result?;
        self.waiting -= usize::from(grant.done);
        if let Some(bucket) = &mut self.bucket {
            bucket.take(grant.bytes);
        }
        Ok(grant)
    }

    fn serve_request(&mut self, above: &[Above]) -> Result<Grant, Stop> {
        let Some(request) = self.requests.front_mut() else { return Err(Stop::Idle) };
        let bytes = above.iter().map(Above::piece).fold(request.left, u64::min);
        // Where a piece is lacking, whoever serves comes again for an instalment.
        let instalment = above.iter().map(|above| above.bucket.rate.instalment()).fold(request.left, u64::min);
        let lacking = above.iter().filter(|above| above.bucket.wait(bytes).is_some());
        let short = lacking.filter_map(|above| Some((above.depth, above.bucket.wait(instalment)?)));
        if let Some((depth, wait)) = short.reduce(|(_, one), (depth, other)| (depth, one.max(other))) {
            return Err(Stop::Short { depth, wait });
        }
        request.left -= bytes;
        let grant = Grant { ticket: request.ticket, bytes, done: request.left == 0 };
        if grant.done {
            self.requests.pop_front();
        }
        Ok(grant)
    }

    fn serve_child(&mut self, depth: usize, above: &mut Vec<Above>, now: Duration) -> Result<Grant, Stop> {
        let mut wanting: Vec<&mut Branch> = self.children.values_mut().filter(|child| child.waiting > 0).collect();
        wanting.sort_by_key(|child| child.served);
        let mut shortest: Option<Duration> = None;
        for child in wanting {
            match child.serve(depth + 1, above, now) {
                Ok(grant) => {
                    self.turn = self.turn.max(child.served);
                    child.served += grant.bytes;
                    if grant.done {
                        let turn = self.turn;
                        self.children.retain(|_, child| !child.is_spare(turn, now));
                    }
                    return Ok(grant);
                }
                // It waits for what its siblings share with it: if they took it first, it might wait for ever.
                Err(Stop::Short { depth: lacking, wait }) if lacking <= depth => return Err(Stop::Short { depth: lacking, wait }),
                // It cannot take its part. That must not become a claim to all that its siblings had meanwhile.
                Err(Stop::Short { wait, .. }) => {
                    child.served = child.served.max(self.turn);
                    shortest = Some(shortest.map_or(wait, |shortest| shortest.min(wait)));
                }
                Err(Stop::Idle) => {}
            }
        }
        shortest.map_or(Err(Stop::Idle), |wait| Err(Stop::Short { depth: depth + 1, wait }))
    }

    /// Whether it would be the same if it were made anew, among siblings whose turn is this.
    fn is_spare(&self, turn: u64, now: Duration) -> bool {
        let is_full = |mut bucket: Bucket| {
            bucket.fill(now);
            bucket.level == full(bucket.rate)
        };
        self.waiting == 0 && self.children.is_empty() && self.served <= turn && self.bucket.is_none_or(is_full)
    }
}

#[cfg(test)]
mod tests;
