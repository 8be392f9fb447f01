//! The snapshot governor: whether snapshots may be opened on a datastore, and when those that are open must go before it is full.
//!
//! ```text
//!            free space shrinks, or fills faster              reserve in sight, or too old
//!   roomy ──────────────────────────────▶ tight: one VM at a time ──────────────────────▶ full: close now, open nothing
//!     ▲                                        │  ▲                                            │
//!     └────────────────────────────────────────┘  └──────── twice the reserve is free again ───┘
//! ```
//!
//! A snapshot grows with everything that is written while it is open, and merging it writes that once more. A datastore that is full
//! suspends every VM on it. So a reserve is never touched, and a snapshot is closed as soon as the forecast says that the reserve would be
//! reached before a merge is done. What is forecast from is what the source said over the last while, whoever filled it.
//!
//! It judges what it is told of snapshots that are ours, by VM. Of others it knows the space that they take, and nothing else.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::admission::{Gate, VmNo};
use super::set_back::was_set_back;

/// Observations that a forecast is made of.
const WINDOW: Duration = Duration::from_secs(30 * 60);
const WINDOW_OBSERVATIONS: usize = 64;
/// A forecast from less is none.
const WINDOW_SHORTEST: Duration = Duration::from_secs(60);
/// How long a merge may take, during which a snapshot still grows.
const MERGE: Duration = Duration::from_secs(15 * 60);
/// With less time than this until the reserve is reached, VMs go one by one.
const TIGHT: Duration = Duration::from_secs(2 * 3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Of a datastore's capacity; what nobody of ours may use.
    pub reserve_percent: u8,
    /// How long a snapshot of ours may be open.
    pub age_max: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { reserve_percent: 5, age_max: Duration::from_secs(72 * 3600) }
    }
}

/// What a source says of a datastore. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub free: u64,
    pub capacity: u64,
}

/// Why a datastore takes no snapshot just now, or one VM at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Tight {
    /// No more than the reserve is free, or not much more. Bytes.
    Space { free: u64, reserve: u64 },
    /// At its pace the datastore reaches its reserve so soon.
    Filling { free: u64, reserve: u64, seconds: u64 },
    /// Snapshots of so many VMs could not be closed or merged so far.
    Unmerged { vms: u32 },
}

/// Why a snapshot has to be closed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseNow {
    Datastore(Tight),
    Age { hours: u64 },
}

impl fmt::Display for Tight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64);
        match self {
            Tight::Space { free, reserve } => write!(f, "has {} free, and its reserve is {}", gib(*free), gib(*reserve)),
            Tight::Filling { free, reserve, seconds } => {
                write!(f, "has {} free and comes down to its reserve of {} in {} min", gib(*free), gib(*reserve), seconds / 60)
            }
            Tight::Unmerged { vms } => write!(f, "has snapshots of {vms} VMs that are not merged yet"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Open,
    One(Tight),
    Shut(Tight),
}

/// One datastore, as it was seen over the last while.
#[derive(Debug, Clone, Default)]
pub struct Governed {
    seen: VecDeque<(Timestamp, Space)>,
    /// VMs whose snapshot is to be closed and is not closed yet, though it was tried.
    unmerged: BTreeSet<VmNo>,
    /// It was full, and has not recovered since.
    full: bool,
}

impl Governed {
    /// Takes in what a source says. Older than what is known already: left out; so much older that somebody has set the clock back: what was
    /// known is of times that tell nothing any more.
    pub fn observe(&mut self, rules: &Rules, at: Timestamp, space: Space) {
        match self.seen.back() {
            Some((newest, _)) if was_set_back(*newest, at) => self.seen.clear(),
            Some((newest, _)) if *newest >= at => return,
            _ => {}
        }
        // Another size, another datastore as far as a pace can be told.
        if self.seen.back().is_some_and(|(_, before)| before.capacity != space.capacity) {
            self.seen.clear();
        }
        self.seen.push_back((at, space));
        while self.seen.len() > WINDOW_OBSERVATIONS || self.seen.front().is_some_and(|(first, _)| elapsed(*first, at) > WINDOW) {
            self.seen.pop_front();
        }
        let reserve = reserve(rules, space);
        self.full = match self.full {
            true => space.free < reserve.saturating_mul(2),
            false => space.free <= reserve || self.fills_within(reserve).is_some_and(|left| left < MERGE),
        };
    }

    /// A snapshot of this VM could not be closed, or is closed at last.
    pub fn unmerged(&mut self, vm: VmNo, unmerged: Unmerged) {
        match unmerged {
            Unmerged::Yes => self.unmerged.insert(vm),
            Unmerged::No => self.unmerged.remove(&vm),
        };
    }

    /// Whom the datastore lets through. `held`: the snapshots that a VM has there. Those that cannot be closed count, but they are no VM
    /// whose turn it is: where they stand others still go one by one, for nobody knows when they go.
    pub fn gate(&self, rules: &Rules, held: impl Fn(VmNo) -> u32) -> Gate {
        match self.verdict(rules) {
            Verdict::Open => Gate::Open,
            Verdict::One(Tight::Unmerged { .. }) => Gate::One { beside: self.unmerged.iter().copied().map(held).sum() },
            Verdict::One(_) => Gate::One { beside: 0 },
            Verdict::Shut(_) => Gate::Shut,
        }
    }

    pub fn verdict(&self, rules: &Rules) -> Verdict {
        let Some((_, space)) = self.seen.back().copied() else { return self.debt().map_or(Verdict::Open, Verdict::One) };
        let reserve = reserve(rules, space);
        let left = self.fills_within(reserve);
        let filling = |left: Duration| Tight::Filling { free: space.free, reserve, seconds: left.as_secs() };
        let short = Tight::Space { free: space.free, reserve };
        match left {
            _ if self.full && space.free <= reserve => Verdict::Shut(short),
            Some(left) if self.full && left < MERGE => Verdict::Shut(filling(left)),
            _ if self.full => Verdict::Shut(short),
            _ if space.free <= reserve.saturating_mul(2) => Verdict::One(short),
            Some(left) if left < TIGHT => Verdict::One(filling(left)),
            _ => self.debt().map_or(Verdict::Open, Verdict::One),
        }
    }

    /// Whether a snapshot of ours that is open here since `opened_at` has to be closed now.
    pub fn close_now(&self, rules: &Rules, opened_at: Timestamp, now: Timestamp) -> Option<CloseNow> {
        match self.verdict(rules) {
            Verdict::Shut(tight) => Some(CloseNow::Datastore(tight)),
            _ => too_old(rules, opened_at, now),
        }
    }

    fn debt(&self) -> Option<Tight> {
        let vms = self.unmerged.len() as u32;
        (vms > 0).then_some(Tight::Unmerged { vms })
    }

    /// The time until no more than the reserve is free, at the fastest pace up to now that the window knows: what begins to fill a datastore
    /// is seen in the last minutes, and what fills it slowly in all of them. None: it does not fill, or nobody knows.
    fn fills_within(&self, reserve: u64) -> Option<Duration> {
        let (last_at, last) = *self.seen.back()?;
        let above = last.free.saturating_sub(reserve);
        let left = |(at, space): &(Timestamp, Space)| {
            let took = elapsed(*at, last_at);
            let lost = space.free.checked_sub(last.free).filter(|lost| *lost > 0 && took >= WINDOW_SHORTEST)?;
            Some(Duration::from_secs_f64(took.as_secs_f64() * above as f64 / lost as f64))
        };
        self.seen.iter().filter_map(left).min()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmerged {
    Yes,
    No,
}

/// A snapshot that nobody's datastore limits may still be too old.
pub fn too_old(rules: &Rules, opened_at: Timestamp, now: Timestamp) -> Option<CloseNow> {
    let age = elapsed(opened_at, now);
    (age > rules.age_max).then_some(CloseNow::Age { hours: age.as_secs() / 3600 })
}

fn reserve(rules: &Rules, space: Space) -> u64 {
    space.capacity / 100 * u64::from(rules.reserve_percent)
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::policy::admission::{Admission, Limits};

    use super::*;

    const GIB: u64 = 1 << 30;
    const RULES: Rules = Rules { reserve_percent: 5, age_max: Duration::from_secs(72 * 3600) };

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    /// 1000 GiB, of which so many are free at each minute.
    fn seen(free: &[(i64, u64)]) -> Governed {
        let mut governed = Governed::default();
        for (at, free) in free {
            governed.observe(&RULES, minute(*at), Space { free: free * GIB, capacity: 1000 * GIB });
        }
        governed
    }

    /// With two snapshots of each VM.
    fn gate_of(governed: &Governed) -> Gate {
        governed.gate(&RULES, |_| 2)
    }

    /// Nobody was told of anything for as long as the clock had been set back: a datastore filled unseen for hours.
    #[test]
    fn a_clock_that_is_set_back_makes_nobody_blind() {
        let mut governed = seen(&[(600, 500), (601, 499)]);
        for (at, free) in [(240, 498), (241, 497), (242, 49)] {
            governed.observe(&RULES, minute(at), Space { free: free * GIB, capacity: 1000 * GIB });
        }
        assert_eq!(gate_of(&governed), Gate::Shut);
        // Looks of two VMs that overtook each other.
        let mut governed = seen(&[(600, 500), (602, 40)]);
        governed.observe(&RULES, minute(602) - Duration::from_secs(2), Space { free: 500 * GIB, capacity: 1000 * GIB });
        assert_eq!(gate_of(&governed), Gate::Shut);
    }

    #[test]
    fn space_and_pace_decide() {
        let bytes = |gib: u64| gib * GIB;
        let space = |free| Tight::Space { free: bytes(free), reserve: bytes(50) };
        let filling = |free, minutes: u64| Tight::Filling { free: bytes(free), reserve: bytes(50), seconds: minutes * 60 };
        for (free, expected) in [
            (&[][..], Verdict::Open),
            (&[(0, 500)], Verdict::Open),
            (&[(0, 101)], Verdict::Open),
            // No more than twice the reserve.
            (&[(0, 100)], Verdict::One(space(100))),
            (&[(0, 50)], Verdict::Shut(space(50))),
            // A GiB a minute: 150 GiB above the reserve last for two and a half hours, 110 do not for two.
            (&[(0, 210), (10, 200)], Verdict::Open),
            (&[(0, 170), (10, 160)], Verdict::One(filling(160, 110))),
            // Ten a minute: the reserve is reached before a merge is done.
            (&[(0, 250), (10, 150)], Verdict::Shut(filling(150, 10))),
            // It became more.
            (&[(0, 150), (10, 250)], Verdict::Open),
            // Too short to tell a pace from.
            (&[(0, 900), (0, 800)], Verdict::Open),
        ] {
            assert_eq!(seen(free).verdict(&RULES), expected, "{free:?}");
        }
    }

    #[test]
    fn a_full_datastore_stays_shut_until_twice_the_reserve_is_free() {
        let mut governed = seen(&[(0, 40)]);
        for (at, free, gate) in
            [(1, 60, Gate::Shut), (2, 99, Gate::Shut), (3, 100, Gate::One { beside: 0 }), (4, 300, Gate::Open), (5, 60, Gate::Shut)]
        {
            governed.observe(&RULES, minute(at), Space { free: free * GIB, capacity: 1000 * GIB });
            assert_eq!(gate_of(&governed), gate, "{free} GiB");
        }
    }

    #[test]
    fn a_snapshot_is_closed_when_its_datastore_is_full_or_it_is_too_old() {
        let day = |days: i64| minute(days * 24 * 60);
        assert_eq!(seen(&[(0, 500)]).close_now(&RULES, day(0), day(3)), None);
        assert_eq!(seen(&[(0, 500)]).close_now(&RULES, day(0), day(4)), Some(CloseNow::Age { hours: 96 }));
        let full = Tight::Space { free: 20 * GIB, reserve: 50 * GIB };
        assert_eq!(seen(&[(0, 20)]).close_now(&RULES, day(0), day(0)), Some(CloseNow::Datastore(full)));
        // One VM at a time: those that are open may end.
        assert_eq!(seen(&[(0, 90)]).close_now(&RULES, day(0), day(0)), None);
    }

    #[test]
    fn where_a_snapshot_could_not_be_merged_one_vm_goes_at_a_time() {
        let mut governed = seen(&[(0, 500)]);
        let mut admission = Admission::new(Limits::default());
        let [a, b] = ["a", "b"].map(|name| admission.vm(name, name));
        governed.unmerged(a, Unmerged::Yes);
        governed.unmerged(a, Unmerged::Yes);
        governed.unmerged(b, Unmerged::Yes);
        assert_eq!(governed.verdict(&RULES), Verdict::One(Tight::Unmerged { vms: 2 }));
        assert_eq!(gate_of(&governed), Gate::One { beside: 4 });
        governed.unmerged(a, Unmerged::No);
        governed.unmerged(b, Unmerged::No);
        assert_eq!(governed.verdict(&RULES), Verdict::Open);
    }

    proptest! {
        /// A datastore that fills steadily is shut while there is still time for a merge, or from the very first look on.
        #[test]
        fn a_datastore_that_fills_steadily_is_shut_before_its_reserve_is_touched(start in 60u64..1000, pace in 1u64..3) {
            let mut governed = Governed::default();
            for at in 0.. {
                let Some(free) = start.checked_sub(pace * at).filter(|free| *free > 50) else { break };
                governed.observe(&RULES, minute(at as i64), Space { free: free * GIB, capacity: 1000 * GIB });
                let minutes_left = (free - 50) / pace;
                if minutes_left < 14 && at > 1 {
                    prop_assert_eq!(gate_of(&governed), Gate::Shut, "{} min left", minutes_left);
                }
                if minutes_left > 16 {
                    prop_assert!(gate_of(&governed) != Gate::Shut);
                }
            }
        }
    }
}
