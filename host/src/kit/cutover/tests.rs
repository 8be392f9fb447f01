//! A name server that does all of it right passes, and each that does one thing wrong fails at that claim.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::cutover::{CutoverDescription, Phase};
use crate::kit::Outcome;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Twist {
    None,
    NoProduct,
    EmptyPlan,
    PlanMoves,
    IgnoresTheTarget,
    CheckMoves,
    BelievesItself,
    NeverSure,
    AppliesAgain,
    ForgetsAtRestart,
    ForgetsTheTtl,
    UndoesOnce,
    UndoesWhatWasNever,
    OverwritesOthers,
    TouchesThenRefuses,
    TakesOthersBack,
    TakesAnyStep,
    WrongKind,
}

/// A record: how long resolvers keep it, and the addresses.
type Record = (u32, Vec<String>);

#[derive(Clone)]
struct Names {
    twist: Twist,
    later: bool,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    records: BTreeMap<String, Record>,
    asked: usize,
}

impl Names {
    fn new(twist: Twist) -> Names {
        let records = ["a", "b"].map(|name| (name.to_owned(), (3600, vec!["192.0.2.1".to_owned()])));
        Names { twist, later: false, shared: Arc::new(Mutex::new(Shared { records: records.into(), asked: 0 })) }
    }

    fn record(&self, step: &Step) -> Record {
        let name = step.id.split_once(':').unwrap().1;
        self.shared.lock().unwrap().records[name].clone()
    }

    fn set(&self, step: &Step, record: Record) {
        let name = step.id.split_once(':').unwrap().1;
        self.shared.lock().unwrap().records.insert(name.to_owned(), record);
    }

    /// What the step makes of a record; the detail is a TTL or addresses.
    fn done(step: &Step, (ttl, addresses): Record) -> Result<Record, Fault> {
        match step.phase {
            Phase::Prepare => Ok((step.detail.parse().map_err(|_| Fault::invalid("that is no TTL"))?, addresses)),
            Phase::Switch if step.detail.starts_with('\u{1}') => Err(Fault::invalid("those are no addresses")),
            Phase::Switch => Ok((ttl, step.detail.split(',').map(str::to_owned).collect())),
        }
    }
}

fn read(before: &str) -> Record {
    let (ttl, addresses) = before.split_once(' ').unwrap();
    (ttl.parse().unwrap(), addresses.split(',').map(str::to_owned).collect())
}

#[async_trait]
impl Cutover for Names {
    async fn describe(&self) -> Result<CutoverDescription, Fault> {
        Ok(CutoverDescription { product: if self.twist == Twist::NoProduct { " " } else { "a map of names" }.to_owned() })
    }

    async fn plan(&self, context: &Context) -> Result<Vec<Step>, Fault> {
        let moved = self.twist == Twist::PlanMoves && self.later;
        let step = |id: String, phase, detail: String, settle| Step {
            summary: format!("{id} becomes {detail}"),
            id,
            phase,
            detail,
            settle: Duration::from_secs(settle),
        };
        let targets = |vm: &MovedVm| match self.twist {
            Twist::IgnoresTheTarget => "198.51.100.1".to_owned(),
            _ => vm.target_addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(","),
        };
        let prepare =
            context.vms.iter().map(|vm| step(format!("ttl:{}", vm.name), Phase::Prepare, if moved { "30" } else { "60" }.into(), 3600));
        let switch = context.vms.iter().map(|vm| step(format!("switch:{}", vm.name), Phase::Switch, targets(vm), 60));
        let steps = prepare.chain(switch);
        Ok(if self.twist == Twist::EmptyPlan { Vec::new() } else { steps.collect() })
    }

    async fn check(&self, step: &Step) -> Result<String, Fault> {
        let (ttl, addresses) = self.record(step);
        let mut shared = self.shared.lock().unwrap();
        shared.asked += 1;
        let moved = if self.twist == Twist::CheckMoves { shared.asked as u32 } else { 0 };
        Ok(format!("{} {}", ttl + moved, addresses.join(",")))
    }

    async fn apply(&self, step: &Step, before: &str, _key: &str) -> Result<(), Fault> {
        if self.twist == Twist::ForgetsAtRestart && self.later {
            return Err(Fault::not_found("no such step is known here"));
        }
        let foreign = step.detail.starts_with('\u{1}');
        match self.twist {
            Twist::TakesAnyStep if foreign => return Ok(()),
            Twist::WrongKind if foreign => return Err(Fault::internal("what is that?")),
            _ => {}
        }
        let (now, before) = (self.record(step), read(before));
        let done = Names::done(step, before.clone())?;
        match self.twist {
            Twist::AppliesAgain if step.phase == Phase::Switch => {
                let mut more = now.clone();
                more.1.push(step.detail.clone());
                self.set(step, if now == before { done } else { more });
            }
            _ if now == done => {}
            Twist::OverwritesOthers => self.set(step, done),
            _ if now == before => self.set(step, done),
            Twist::TouchesThenRefuses => {
                self.set(step, (1, now.1));
                return Err(Fault::conflict("somebody else changed it"));
            }
            _ => return Err(Fault::conflict("somebody else changed it")),
        }
        Ok(())
    }

    async fn verify(&self, step: &Step) -> Result<bool, Fault> {
        let now = self.record(step);
        match self.twist {
            Twist::BelievesItself => Ok(true),
            Twist::NeverSure => Ok(false),
            _ => Ok(Names::done(step, now.clone())? == now),
        }
    }

    async fn undo(&self, step: &Step, before: &str) -> Result<(), Fault> {
        let (now, before) = (self.record(step), read(before));
        if self.twist == Twist::TakesAnyStep && step.detail.starts_with('\u{1}') {
            return Ok(());
        }
        let done = match (Names::done(step, before.clone()), self.twist) {
            (Err(_), Twist::WrongKind) => return Err(Fault::internal("what is that?")),
            (done, _) => done?,
        };
        if now == before {
            return match self.twist {
                Twist::UndoesOnce if self.later => Err(Fault::not_found("it is undone")),
                Twist::UndoesWhatWasNever if step.phase == Phase::Switch => {
                    self.set(step, (now.0, Vec::new()));
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        match self.twist {
            Twist::TakesOthersBack => self.set(step, before),
            _ if now != done => return Err(Fault::conflict("somebody else changed it")),
            Twist::ForgetsTheTtl if step.phase == Phase::Prepare => self.set(step, (300, before.1)),
            _ => self.set(step, before),
        }
        Ok(())
    }
}

fn wave() -> Context {
    let vm = |name: &str| MovedVm {
        name: name.to_owned(),
        source_addresses: vec!["192.0.2.1".parse().unwrap()],
        target_addresses: vec!["198.51.100.1".parse().unwrap()],
    };
    Context { wave: "trial".to_owned(), vms: vec![vm("a"), vm("b")], settings: "{}".to_owned() }
}

async fn judged_with(twist: Twist) -> (Ended, Names) {
    let names = Names::new(twist);
    let other = Names { later: true, ..names.clone() };
    let mut told = Vec::new();
    let never = std::future::pending().boxed();
    let ended = judge(&names, &other, wave(), Random::from_seed(1), never, &mut |judged| told.push(judged.clone())).await.unwrap();
    assert_eq!(told, ended.judged, "each is told as it is judged");
    (ended, names)
}

/// The first claim that fails, and why.
async fn first_failure(twist: Twist) -> Option<(usize, String)> {
    let all = judged_with(twist).await.0.judged;
    all.into_iter().find_map(|judged| match judged.outcome {
        Outcome::Fails(why) => Some((judged.number, why)),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn one_that_does_all_of_it_right_passes_and_leaves_the_world_as_it_was() {
    let (Ended { judged, left }, names) = judged_with(Twist::None).await;
    assert_eq!(left, None);
    assert_eq!(judged.len(), CLAIMS.len());
    assert!(judged.iter().all(|judged| judged.outcome == Outcome::Holds), "{judged:?}");
    assert_eq!(names.shared.lock().unwrap().records, Names::new(Twist::None).shared.lock().unwrap().records);
}

#[tokio::test(start_paused = true)]
async fn each_that_does_one_thing_wrong_fails_at_that_claim() {
    for (twist, number, why) in [
        (Twist::NoProduct, 1, "it says no product"),
        (Twist::EmptyPlan, 2, "this wave has no step in its plan"),
        (Twist::PlanMoves, 2, "the plan differs when it is made by another instance"),
        (Twist::IgnoresTheTarget, 3, "the plan towards other addresses is the same"),
        (Twist::CheckMoves, 4, "check of ttl:a answers differently, and nothing happened in between"),
        (Twist::BelievesItself, 5, "ttl:a is not done, and verify says that it is; is the wave moved already?"),
        (Twist::NeverSure, 5, "ttl:a is done, and verify says that it is not"),
        (Twist::AppliesAgain, 6, "switch:a applied twice is not what it is applied once"),
        (Twist::ForgetsAtRestart, 6, "ttl:a applied again: no such step is known here (not-found)"),
        (Twist::UndoesOnce, 8, "switch:b undone again: it is undone (not-found)"),
        (Twist::UndoesWhatWasNever, 8, "switch:a was never applied, and undoing it changed what is there"),
        (Twist::OverwritesOthers, 9, "switch:a was changed by somebody else, and is not any more what that made of it"),
        (Twist::TouchesThenRefuses, 9, "switch:a was changed by somebody else, and is not any more what that made of it"),
        (Twist::TakesOthersBack, 10, "switch:a was changed by somebody else, and is not any more what that made of it"),
        (Twist::TakesAnyStep, 11, "ttl:a is not refused"),
        (Twist::WrongKind, 11, "ttl:a is refused, but not as invalid or unsupported: what is that? (internal)"),
    ] {
        assert_eq!(first_failure(twist).await, Some((number, why.to_owned())), "{twist:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_restores_almost_everything_ends_the_trial_and_what_is_left_is_named_with_what_it_was() {
    let (Ended { judged, left }, _) = judged_with(Twist::ForgetsTheTtl).await;
    let why = "going back after it: ttl:b was undone, and check sees something else than before it";
    let last = judged.last().unwrap();
    assert_eq!((last.number, &last.outcome), (5, &Outcome::Fails(why.to_owned())));
    let left = left.unwrap().message;
    assert!(left.starts_with("what the trial touched is not as it was found; restore it by hand: ttl:"), "{left}");
    assert!(left.contains("ttl:b was \"3600 192.0.2.1\" and is \"300 192.0.2.1\""), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_interrupted_goes_back_first() {
    let names = Names::new(Twist::None);
    // In the middle of a claim: when something is done.
    let watched = names.clone();
    let interrupted = async move {
        while watched.shared.lock().unwrap().records == Names::new(Twist::None).shared.lock().unwrap().records {
            tokio::task::yield_now().await;
        }
    };
    let slow = Slow(names.clone());
    let ended = judge(&slow, &slow, wave(), Random::from_seed(1), interrupted.boxed(), &mut |_| {}).await.unwrap();
    assert_eq!(ended.left, None);
    assert_eq!(ended.judged.len(), 5);
    assert_eq!(ended.judged[4].outcome, Outcome::Fails("not tried to its end: the trial was interrupted".to_owned()));
    assert_eq!(names.shared.lock().unwrap().records, Names::new(Twist::None).shared.lock().unwrap().records);
}

/// Lets others have their turn in each call.
struct Slow(Names);

#[async_trait]
impl Cutover for Slow {
    async fn describe(&self) -> Result<CutoverDescription, Fault> {
        self.0.describe().await
    }

    async fn plan(&self, context: &Context) -> Result<Vec<Step>, Fault> {
        self.0.plan(context).await
    }

    async fn check(&self, step: &Step) -> Result<String, Fault> {
        tokio::task::yield_now().await;
        self.0.check(step).await
    }

    async fn apply(&self, step: &Step, before: &str, key: &str) -> Result<(), Fault> {
        self.0.apply(step, before, key).await?;
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn verify(&self, step: &Step) -> Result<bool, Fault> {
        tokio::task::yield_now().await;
        self.0.verify(step).await
    }

    async fn undo(&self, step: &Step, before: &str) -> Result<(), Fault> {
        self.0.undo(step, before).await
    }
}

#[test]
fn nobodys_addresses_are_all_different_and_none_of_the_waves() {
    let mut wave = wave();
    wave.vms[0].target_addresses = vec!["203.0.113.1".parse().unwrap(), "192.0.2.9".parse().unwrap(), "2001:db8::9".parse().unwrap()];
    let elsewhere: Vec<String> = towards_nobody(&wave).vms.iter().flat_map(|vm| &vm.target_addresses).map(ToString::to_string).collect();
    assert_eq!(elsewhere, ["203.0.113.2", "203.0.113.3", "2001:db8:77::1", "203.0.113.4"]);
}
