//! What a runbook relies on in a plugin that moves names, addresses or traffic. Tried on a wave that the operator names: each step of its
//! plan is really done, and undone again.
//!
//! ```text
//!   each claim begins with the world as it was found:   step 1 ─▶ … ─▶ step n, one on the other, then back from n to 1
//! ```
//!
//! Somebody else, who changed what a step is about to touch, is the same plugin with another plan: the same wave, but towards addresses
//! that are nobody's. Time that a step asks to settle is not waited for.
//!
//! What was done is gone back from whatever happens, an interruption too, and what could not be is told: which step, and what was there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Judged, Tried, patiently, told};
use crate::cutover::{Context, Cutover, MovedVm, Step};
use crate::model::{Fault, FaultKind};
use crate::random::Random;

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

/// What a trial came to.
#[derive(Debug)]
pub struct Ended {
    pub judged: Vec<Judged>,
    /// What is not as it was found, and how it was. None: everything is.
    pub left: Option<Fault>,
}

/// Tries every claim on this wave, and tells each as it is judged. `other` is the same plugin once more, as after a restart. When
/// `interrupted` comes to its end, so does the trial.
///
/// Refused before anything is touched when there is no plan to try.
pub async fn judge(
    cutover: &dyn Cutover,
    other: &dyn Cutover,
    wave: Context,
    random: Random,
    mut interrupted: BoxFuture<'_, ()>,
    tell: &mut (dyn FnMut(&Judged) + Send),
) -> Result<Ended, Fault> {
    let steps = patiently!(cutover.plan(&wave)).map_err(|fault| fault.while_doing("planning this wave"))?;
    let rival = cutover.plan(&towards_nobody(&wave)).await.map_err(|fault| told("plan towards other addresses", &fault));
    let key = format!("transload-kit-{:016x}", random.number());
    let trial = Trial { cutover, other, key, keys: AtomicU64::new(0), steps, rival, wave, done: Mutex::default() };
    let found = trial.look().await.map_err(|why| Fault::unavailable(format!("what is there now is not known: {why}")))?;
    let mut judged = Vec::new();
    for (index, claim) in CLAIMS.iter().enumerate() {
        let (tried, stopped) = tokio::select! {
            biased;
            () = &mut interrupted => (Err("not tried to its end: the trial was interrupted".to_owned()), true),
            tried = (claim.tried)(&trial) => (tried, false),
        };
        let back = trial.go_back().await;
        let stranded = back.is_err();
        judged.push(super::judged(index + 1, claim.says, claim.because, tried.and_then(|note| back.map(|()| note))));
        tell(&judged[index]);
        // What comes next would begin in another world than the one that was found.
        if stopped || stranded {
            break;
        }
    }
    let left = trial.left(&found).await.err().map(Fault::corrupt);
    Ok(Ended { judged, left })
}

/// The same wave towards addresses of nobody, kept for examples (RFC 5737, RFC 3849): each a different one, and none of the wave's own.
fn towards_nobody(wave: &Context) -> Context {
    let own: BTreeSet<IpAddr> = wave.vms.iter().flat_map(|vm| vm.source_addresses.iter().chain(&vm.target_addresses)).copied().collect();
    let mut four = (1..=254).map(|last| IpAddr::V4(Ipv4Addr::new(203, 0, 113, last))).filter(|address| !own.contains(address));
    let six = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, last));
    let mut six = (1..=u16::MAX).map(six).filter(|address| !own.contains(address));
    let mut nobody = |address: &IpAddr| match address {
        IpAddr::V4(_) => four.next().unwrap_or(*address),
        IpAddr::V6(_) => six.next().unwrap_or(*address),
    };
    let mut elsewhere = |vm: &MovedVm| MovedVm { target_addresses: vm.target_addresses.iter().map(&mut nobody).collect(), ..vm.clone() };
    Context { vms: wave.vms.iter().map(&mut elsewhere).collect(), ..wave.clone() }
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
    /// The plan of somebody else.
    rival: Result<Vec<Step>, String>,
    /// Of which the idempotency keys are made, a new one for each thing that is done.
    key: String,
    keys: AtomicU64,
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
        let rival = self.rival.clone()?;
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
            let (before, key) = self.apply(step).await?;
            let once = self.check(step).await?;
            let again = patiently!(self.other.apply(step, &before, &key));
            again.map_err(|fault| told(&format!("{} applied again", step.id), &fault))?;
            if self.check(step).await? != once {
                return Err(format!("{} applied twice is not what it is applied once", step.id));
            }
        }
        Ok(None)
    }

    async fn restores(&self) -> Tried {
        self.all_there().await?;
        while let Some((step, before)) = self.last() {
            self.undo(&step, &before).await?;
            if self.check(&step).await? != before {
                return Err(format!("{} was undone, and check sees something else than before it", step.id));
            }
            if self.verify(&step).await? {
                return Err(format!("{} was undone, and verify says that it is done", step.id));
            }
            self.forget_last();
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
        while let Some((step, before)) = self.last() {
            self.undo(&step, &before).await?;
            let again = patiently!(self.other.undo(&step, &before));
            again.map_err(|fault| told(&format!("{} undone again", step.id), &fault))?;
            if self.check(&step).await? != before {
                return Err(format!("{} undone twice is not what was there before", step.id));
            }
            self.forget_last();
        }
        Ok(None)
    }

    /// The rival's step is done where ours is expected. One that is the same for both, or changes another place, is in nobody's way.
    async fn leaves_foreign_changes(&self, way: Way) -> Tried {
        let rival = self.rival.clone()?;
        let mut met = 0;
        for step in &self.steps {
            if let Some(theirs) = rival.iter().find(|theirs| theirs.id == step.id && theirs.detail != step.detail) {
                let before = self.check(step).await?;
                self.apply(theirs).await?;
                let there = self.check(step).await?;
                if there != before {
                    met += 1;
                    let came = match way {
                        Way::There => patiently!(self.cutover.apply(step, &before, &self.new_key(step))),
                        Way::Back => patiently!(self.cutover.undo(step, &before)),
                    };
                    if self.check(step).await? != there {
                        return Err(format!("{} was changed by somebody else, and is not any more what that made of it", step.id));
                    }
                    is_refused(step, came, &[FaultKind::Conflict])?;
                }
                self.undo_last().await?;
            }
            self.apply(step).await?;
        }
        Ok((met == 0).then(|| "not tried: towards other addresses no step changes the same place".to_owned()))
    }

    async fn knows_its_steps(&self) -> Tried {
        for step in &self.steps {
            let before = self.check(step).await?;
            let foreign = Step { detail: FOREIGN.to_owned(), ..step.clone() };
            let refusals = &[FaultKind::Invalid, FaultKind::Unsupported];
            is_refused(step, patiently!(self.cutover.apply(&foreign, &before, &self.new_key(step))), refusals)?;
            is_refused(step, patiently!(self.cutover.undo(&foreign, &before)), refusals)?;
            if self.check(step).await? != before {
                return Err(format!("{} was refused, and changed what is there all the same", step.id));
            }
        }
        Ok(None)
    }

    // ---- what claims stand on ----

    fn new_key(&self, step: &Step) -> String {
        format!("{}-{}-{}", self.key, self.keys.fetch_add(1, Ordering::Relaxed), step.id)
    }

    async fn check(&self, step: &Step) -> Result<String, String> {
        patiently!(self.cutover.check(step)).map_err(|fault| told(&format!("check of {}", step.id), &fault))
    }

    async fn verify(&self, step: &Step) -> Result<bool, String> {
        patiently!(self.cutover.verify(step)).map_err(|fault| told(&format!("verify of {}", step.id), &fault))
    }

    /// Does a step on top of those that are done. Answers what was there before, and the key that it was done with.
    async fn apply(&self, step: &Step) -> Result<(String, String), String> {
        let (before, key) = (self.check(step).await?, self.new_key(step));
        // Noted first: what fails half-way is gone back from as well.
        self.done.lock().expect("nothing panics while it holds this").push((step.clone(), before.clone()));
        let applied = patiently!(self.cutover.apply(step, &before, &key));
        applied.map_err(|fault| told(&format!("apply of {}", step.id), &fault))?;
        Ok((before, key))
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

    fn last(&self) -> Option<(Step, String)> {
        self.done.lock().expect("nothing panics while it holds this").last().cloned()
    }

    /// Only when it is seen to be undone.
    fn forget_last(&self) {
        self.done.lock().expect("nothing panics while it holds this").pop();
    }

    async fn undo_last(&self) -> Result<(), String> {
        let Some((step, before)) = self.last() else { return Ok(()) };
        self.undo(&step, &before).await.map_err(|why| format!("going back after it failed: {why}"))?;
        if self.check(&step).await? != before {
            return Err(format!("going back after it: {} was undone, and check sees something else than before it", step.id));
        }
        self.forget_last();
        Ok(())
    }

    /// All that is done is undone, from the last to the first. Where that fails, what is done stays known.
    async fn go_back(&self) -> Result<(), String> {
        while self.last().is_some() {
            self.undo_last().await?;
        }
        Ok(())
    }

    /// Whether everything is as it was found, after one more try to bring it there.
    async fn left(&self, found: &[String]) -> Result<(), String> {
        let _again = self.go_back().await;
        let now = self.look().await.map_err(|why| format!("whether everything is as it was found is not known: {why}"))?;
        let differs = self.touched().zip(found.iter().zip(&now)).filter(|(_, (found, now))| found != now);
        let told: Vec<String> = differs.map(|(step, (found, now))| format!("{} was {found:?} and is {now:?}", step.id)).collect();
        match told.is_empty() {
            true => Ok(()),
            false => Err(format!("what the trial touched is not as it was found; restore it by hand: {}", told.join("; "))),
        }
    }

    /// The steps of both plans.
    fn touched(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().chain(self.rival.iter().flatten())
    }

    async fn look(&self) -> Result<Vec<String>, String> {
        let mut seen = Vec::new();
        for step in self.touched() {
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
