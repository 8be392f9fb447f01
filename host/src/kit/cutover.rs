//! What a runbook relies on in a plugin that moves names, addresses or traffic. Tried on a wave that the operator names: each step of its
//! plan is really done, and undone again.
//!
//! ```text
//!   each claim begins with the world as it was found:   step 1 ─▶ … ─▶ step n, one on the other, then back from n to 1
//! ```
//!
//! Somebody else, who changed what a step is about to touch, is the same plugin with another plan: the same wave, but towards addresses
//! that are nobody's. Time that a step asks to settle is not waited for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Judged, Tried, judged, patiently, told};
use crate::cutover::{Context, Cutover, MovedVm, Step};
use crate::model::{Fault, FaultKind};
use crate::random::Random;

/// Addresses of nobody, kept for examples (RFC 5737, RFC 3849).
const NOBODY_4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
const NOBODY_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x77);
/// No plugin writes this as the detail of a step.
const FOREIGN: &str = "\u{1}this is the detail of no step\u{1}";

type Try = for<'a> fn(&'a Trial<'a>) -> BoxFuture<'a, Tried>;

struct Claim {
    says: &'static str,
    because: &'static str,
    tried: Try,
}

const CLAIMS: &[Claim] = &[
    Claim {
        says: "describe says who answers, and says it again",
        because: "the operator sees by it that this is the right place",
        tried: |trial| trial.describes().boxed(),
    },
    Claim {
        says: "plan reaches nothing, has steps, and is the same again and by another instance",
        because: "what is carried out must be what was shown, after a restart as well",
        tried: |trial| trial.plans().boxed(),
    },
    Claim {
        says: "another target is another plan, with the same steps by their ids",
        because: "a plan that does not follow its arguments moves the traffic to where nobody asked for",
        tried: |trial| trial.follows_the_wave().boxed(),
    },
    Claim {
        says: "check touches nothing, and answers the same again and by another instance",
        because: "its answer is the only memory of what was there before",
        tried: |trial| trial.checks().boxed(),
    },
    Claim {
        says: "verify denies a step that is not done, and sees it when it is",
        because: "the traffic of a whole wave follows its word",
        tried: |trial| trial.verifies().boxed(),
    },
    Claim {
        says: "a step that is applied twice, the second time by another instance, is done once",
        because: "a reply that was lost is asked for again, by an agent that was killed in between",
        tried: |trial| trial.applies_once().boxed(),
    },
    Claim {
        says: "undo restores what check saw, step by step, and verify denies the step again",
        because: "going back by one command is what makes the switch safe to try",
        tried: |trial| trial.restores().boxed(),
    },
    Claim {
        says: "undoing twice is undoing once, and undoing what was never applied touches nothing",
        because: "a rollback that was interrupted is begun again from its end",
        tried: |trial| trial.restores_once().boxed(),
    },
    Claim {
        says: "apply refuses what somebody else changed as a conflict, and leaves it as it is",
        because: "the wrong record is never touched",
        tried: |trial| trial.leaves_foreign_changes(Way::There).boxed(),
    },
    Claim {
        says: "undo refuses what somebody else changed as a conflict, and leaves it as it is",
        because: "going back must not take away what others did since",
        tried: |trial| trial.leaves_foreign_changes(Way::Back).boxed(),
    },
    Claim {
        says: "a step that the plugin never planned is refused, and touches nothing",
        because: "a plan outlives the version of the plugin that made it",
        tried: |trial| trial.knows_its_steps().boxed(),
    },
];

/// Tries every claim on this wave, and tells each as it is judged. `other` is the same plugin once more, as after a restart.
///
/// Refused before anything is touched when there is no plan to try. A fault at the end says that the world is not as it was found.
pub async fn judge(
    cutover: &dyn Cutover,
    other: &dyn Cutover,
    wave: Context,
    random: Random,
    tell: &mut (dyn FnMut(&Judged) + Send),
) -> Result<Vec<Judged>, Fault> {
    let steps = patiently!(cutover.plan(&wave)).map_err(|fault| fault.while_doing("planning this wave"))?;
    let trial = Trial { cutover, other, key: format!("transload-kit-{:016x}", random.number()), steps, wave, done: Mutex::default() };
    let found = trial.look().await.map_err(|why| Fault::unavailable(format!("what is there now is not known: {why}")))?;
    let mut all = Vec::new();
    for (index, claim) in CLAIMS.iter().enumerate() {
        let tried = (claim.tried)(&trial).await;
        let back = trial.go_back().await;
        let judged = judged(index + 1, claim.says, claim.because, tried.and_then(|note| back.map(|()| note)));
        tell(&judged);
        all.push(judged);
    }
    match trial.look().await {
        Ok(now) if now == found => Ok(all),
        Ok(_) => Err(Fault::corrupt("the trial is over, and what it touched is not as it was found: restore it by hand")),
        Err(why) => Err(Fault::corrupt(format!("the trial is over, and whether everything is as it was found is not known: {why}"))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

struct Trial<'a> {
    cutover: &'a dyn Cutover,
    other: &'a dyn Cutover,
    wave: Context,
    steps: Vec<Step>,
    /// The idempotency key of every step, made different by its id.
    key: String,
    /// What a claim did and did not undo yet, with what was there before.
    done: Mutex<Vec<(Step, String)>>,
}

impl Trial<'_> {
    async fn describes(&self) -> Tried {
        let first = patiently!(self.cutover.describe()).map_err(|fault| told("describe", &fault))?;
        let again = patiently!(self.cutover.describe()).map_err(|fault| told("describe, again", &fault))?;
        match (first.product.trim().is_empty(), first.product == again.product) {
            (true, _) => Err("it says no product".to_owned()),
            (_, false) => Err(format!("it is {:?} first and {:?} then", first.product, again.product)),
            _ => Ok(None),
        }
    }

    async fn plans(&self) -> Tried {
        if self.steps.is_empty() {
            return Err("this wave has no step in its plan".to_owned());
        }
        // Without patience: what passes comes from outside, and nothing outside may be asked.
        for (plugin, whose) in [(self.cutover, "again"), (self.other, "by another instance")] {
            let again = plugin.plan(&self.wave).await.map_err(|fault| told(&format!("plan, {whose}"), &fault))?;
            if again != self.steps {
                return Err(format!("the plan differs when it is made {whose}"));
            }
        }
        Ok(None)
    }

    async fn follows_the_wave(&self) -> Tried {
        let rival = self.rival_plan().await?;
        let ids = |steps: &[Step]| steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>();
        if ids(&rival) != ids(&self.steps) {
            return Err(format!("towards other addresses the steps are {:?}, and here {:?}", ids(&rival), ids(&self.steps)));
        }
        if rival == self.steps { Err("the plan towards other addresses is the same".to_owned()) } else { Ok(None) }
    }

    async fn checks(&self) -> Tried {
        for step in &self.steps {
            let first = self.check(step).await?;
            let by_other = patiently!(self.other.check(step)).map_err(|fault| told(&format!("check of {}", step.id), &fault))?;
            if first != self.check(step).await? || first != by_other {
                return Err(format!("check of {} answers differently, and nothing happened in between", step.id));
            }
        }
        Ok(None)
    }

    async fn verifies(&self) -> Tried {
        for step in &self.steps {
            if self.verify(step).await? {
                return Err(format!("{} is not done, and verify says that it is; is the wave moved already?", step.id));
            }
            self.apply(step).await?;
            if !self.verify(step).await? {
                return Err(format!("{} is done, and verify says that it is not", step.id));
            }
        }
        Ok(None)
    }

    async fn applies_once(&self) -> Tried {
        for step in &self.steps {
            let before = self.apply(step).await?;
            let once = self.check(step).await?;
            let again = patiently!(self.other.apply(step, &before, &self.key_of(step)));
            again.map_err(|fault| told(&format!("{} applied again", step.id), &fault))?;
            if self.check(step).await? != once {
                return Err(format!("{} applied twice is not what it is applied once", step.id));
            }
        }
        Ok(None)
    }

    async fn restores(&self) -> Tried {
        self.all_there().await?;
        while let Some((step, before)) = self.take_last() {
            self.undo(&step, &before).await?;
            if self.check(&step).await? != before {
                return Err(format!("{} was undone, and check sees something else than before it", step.id));
            }
            if self.verify(&step).await? {
                return Err(format!("{} was undone, and verify says that it is done", step.id));
            }
        }
        Ok(None)
    }

    async fn restores_once(&self) -> Tried {
        for step in &self.steps {
            let before = self.check(step).await?;
            self.undo(step, &before).await.map_err(|why| format!("never applied: {why}"))?;
            if self.check(step).await? != before {
                return Err(format!("{} was never applied, and undoing it changed what is there", step.id));
            }
        }
        self.all_there().await?;
        while let Some((step, before)) = self.take_last() {
            self.undo(&step, &before).await?;
            let again = patiently!(self.other.undo(&step, &before));
            again.map_err(|fault| told(&format!("{} undone again", step.id), &fault))?;
            if self.check(&step).await? != before {
                return Err(format!("{} undone twice is not what was there before", step.id));
            }
        }
        Ok(None)
    }

    /// The rival's step is done where ours is expected. A step that is the same for both is no rival to itself.
    async fn leaves_foreign_changes(&self, way: Way) -> Tried {
        let rival = self.rival_plan().await?;
        let mut rivals = 0;
        for step in &self.steps {
            if let Some(theirs) = rival.iter().find(|theirs| theirs.id == step.id && theirs.detail != step.detail) {
                rivals += 1;
                let before = self.check(step).await?;
                self.apply(theirs).await?;
                let there = self.check(step).await?;
                let came = match way {
                    Way::There => patiently!(self.cutover.apply(step, &before, &self.key_of(step))),
                    Way::Back => patiently!(self.cutover.undo(step, &before)),
                };
                let now = self.check(step).await?;
                if now != there {
                    return Err(format!("{} was changed by somebody else, and is not any more what that made of it", step.id));
                }
                is_refused(step, came, &[FaultKind::Conflict])?;
                self.undo_last().await?;
            }
            self.apply(step).await?;
        }
        match rivals {
            0 => Err("no step differs towards other addresses, so nobody could be in its way".to_owned()),
            _ => Ok(None),
        }
    }

    async fn knows_its_steps(&self) -> Tried {
        for step in &self.steps {
            let before = self.check(step).await?;
            let foreign = Step { detail: FOREIGN.to_owned(), ..step.clone() };
            let refusals = &[FaultKind::Invalid, FaultKind::Unsupported];
            is_refused(step, patiently!(self.cutover.apply(&foreign, &before, &self.key_of(step))), refusals)?;
            is_refused(step, patiently!(self.cutover.undo(&foreign, &before)), refusals)?;
            if self.check(step).await? != before {
                return Err(format!("{} was refused, and changed what is there all the same", step.id));
            }
        }
        Ok(None)
    }

    // ---- what claims stand on ----

    /// The same wave towards addresses of nobody.
    async fn rival_plan(&self) -> Result<Vec<Step>, String> {
        let nobody = |address: &IpAddr| match address {
            IpAddr::V4(_) => IpAddr::V4(NOBODY_4),
            IpAddr::V6(_) => IpAddr::V6(NOBODY_6),
        };
        let elsewhere = |vm: &MovedVm| MovedVm { target_addresses: vm.target_addresses.iter().map(nobody).collect(), ..vm.clone() };
        let wave = Context { vms: self.wave.vms.iter().map(elsewhere).collect(), ..self.wave.clone() };
        self.cutover.plan(&wave).await.map_err(|fault| told("plan towards other addresses", &fault))
    }

    fn key_of(&self, step: &Step) -> String {
        format!("{}-{}", self.key, step.id)
    }

    async fn check(&self, step: &Step) -> Result<String, String> {
        patiently!(self.cutover.check(step)).map_err(|fault| told(&format!("check of {}", step.id), &fault))
    }

    async fn verify(&self, step: &Step) -> Result<bool, String> {
        patiently!(self.cutover.verify(step)).map_err(|fault| told(&format!("verify of {}", step.id), &fault))
    }

    /// Does a step on top of those that are done, and answers what was there before.
    async fn apply(&self, step: &Step) -> Result<String, String> {
        let before = self.check(step).await?;
        // Noted first: what fails half-way is gone back from as well.
        self.done.lock().expect("nothing panics while it holds this").push((step.clone(), before.clone()));
        let applied = patiently!(self.cutover.apply(step, &before, &self.key_of(step)));
        applied.map_err(|fault| told(&format!("apply of {}", step.id), &fault))?;
        Ok(before)
    }

    async fn undo(&self, step: &Step, before: &str) -> Result<(), String> {
        patiently!(self.cutover.undo(step, before)).map_err(|fault| told(&format!("undo of {}", step.id), &fault))
    }

    async fn all_there(&self) -> Result<(), String> {
        for step in &self.steps {
            self.apply(step).await?;
        }
        Ok(())
    }

    fn take_last(&self) -> Option<(Step, String)> {
        self.done.lock().expect("nothing panics while it holds this").pop()
    }

    async fn undo_last(&self) -> Result<(), String> {
        match self.take_last() {
            Some((step, before)) => self.undo(&step, &before).await,
            None => Ok(()),
        }
    }

    /// All that is done is undone, from the last to the first; the first failure is told.
    async fn go_back(&self) -> Result<(), String> {
        let mut went = Ok(());
        while let Some((step, before)) = self.take_last() {
            went = went.and(self.went_back(&step, &before).await);
        }
        went
    }

    async fn went_back(&self, step: &Step, before: &str) -> Result<(), String> {
        self.undo(step, before).await.map_err(|why| format!("going back after it failed: {why}"))?;
        match self.check(step).await? == before {
            true => Ok(()),
            false => Err(format!("going back after it: {} was undone, and check sees something else than before it", step.id)),
        }
    }

    async fn look(&self) -> Result<Vec<String>, String> {
        let mut seen = Vec::new();
        for step in &self.steps {
            seen.push(self.check(step).await?);
        }
        Ok(seen)
    }
}

fn is_refused(step: &Step, came: Result<(), Fault>, kinds: &[FaultKind]) -> Result<(), String> {
    let wanted = || kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    match came {
        Err(fault) if kinds.contains(&fault.kind) => Ok(()),
        Err(fault) => Err(told(&format!("{} is refused, but not as {}", step.id, wanted()), &fault)),
        Ok(()) => Err(format!("{} is not refused", step.id)),
    }
}

#[cfg(test)]
mod tests;
