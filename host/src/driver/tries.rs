//! How often each step has failed in a row, and for how long. A process counts anew: what is kept here is patience, and nothing is lost with it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::policy::reaction::{Failing, PAUSE_LONGEST};
use crate::policy::set_back::is_waited_for;
use crate::policy::vm::Step;

#[derive(Default)]
pub struct Tries(BTreeMap<Step, Trying>);

struct Trying {
    failed: u32,
    since: Timestamp,
    not_before: Timestamp,
    /// How far the step had come, in bytes.
    reached: u64,
}

impl Tries {
    /// Counts one more failure. A step that came further than ever since it began to fail is not one that cannot go on: for it the count
    /// begins anew, or a long copy over a bad line would use up its patience while it moves.
    pub fn failed(&mut self, step: &Step, reached: u64, now: Timestamp) -> Failing {
        let first = Trying { failed: 0, since: now, not_before: now, reached };
        let trying = self.0.entry(step.clone()).or_insert(first);
        if reached > trying.reached {
            *trying = Trying { failed: 0, since: now, not_before: now, reached };
        }
        trying.failed += 1;
        Failing { tries: trying.failed, lasting: Duration::try_from(now.duration_since(trying.since)).unwrap_or_default() }
    }

    pub fn wait(&mut self, step: &Step, until: Timestamp) {
        if let Some(trying) = self.0.get_mut(step) {
            trying.not_before = until;
        }
    }

    /// When the step is tried again, if that is not now.
    pub fn not_before(&self, step: &Step, now: Timestamp) -> Option<Timestamp> {
        self.waiting(now).find(|(waiting, _)| *waiting == step).map(|(_, until)| until)
    }

    /// Each step that is to wait after it failed, and until when.
    pub fn waiting(&self, now: Timestamp) -> impl Iterator<Item = (&Step, Timestamp)> {
        let waits = move |(_, until): &(&Step, Timestamp)| is_waited_for(*until, now, PAUSE_LONGEST);
        self.0.iter().map(|(step, trying)| (step, trying.not_before)).filter(waits)
    }

    pub fn succeeded(&mut self, step: &Step) {
        self.0.remove(step);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_comes_further_keeps_its_patience() {
        let step = Step::CopyDisk { disk: "d".into() };
        let mut tries = Tries::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let failing = |tries, seconds| Failing { tries, lasting: Duration::from_secs(seconds) };
        assert_eq!(tries.failed(&step, 0, at(0)), failing(1, 0));
        assert_eq!(tries.failed(&step, 0, at(50)), failing(2, 50));
        assert_eq!(tries.failed(&step, 700, at(60)), failing(1, 0), "it moves");
        // A try that fails before it looked how far the copy had come is no step back.
        assert_eq!(tries.failed(&step, 0, at(70)), failing(2, 10));
        assert_eq!(tries.failed(&step, 700, at(80)), failing(3, 20));
        tries.wait(&step, at(90));
        assert_eq!((tries.not_before(&step, at(80)), tries.not_before(&step, at(90))), (Some(at(90)), None));
        // The clock was set back: by it the step would wait for longer than anything waits.
        assert_eq!(tries.not_before(&step, at(-3600)), None);
        tries.succeeded(&step);
        assert_eq!((tries.not_before(&step, at(80)), tries.failed(&step, 700, at(100))), (None, failing(1, 0)));
    }
}
