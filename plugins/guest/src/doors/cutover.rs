//! The door of a cutover.

use super::{Answer, with};
use crate::bindings::cutover::exports::transload::plugin::cutover as wit;
use crate::cutover::{Context, Cutover, MovedVm, Phase, Step};

impl<C: Cutover> wit::Guest for C {
    fn describe() -> Answer<wit::Description> {
        with(C::open, |cutover| cutover.describe().map(|description| wit::Description { product: description.product }))
    }

    fn plan(wave: wit::Context) -> Answer<Vec<wit::Step>> {
        let steps = with(C::open, |cutover| cutover.plan(&context(wave)))?;
        Ok(steps.into_iter().map(to_step).collect())
    }

    fn check(planned: wit::Step) -> Answer<String> {
        with(C::open, |cutover| cutover.check(&step(planned)))
    }

    fn apply(planned: wit::Step, before: String, idempotency_key: String) -> Answer<()> {
        with(C::open, |cutover| cutover.apply(&step(planned), &before, &idempotency_key))
    }

    fn verify(planned: wit::Step) -> Answer<bool> {
        with(C::open, |cutover| cutover.verify(&step(planned)))
    }

    fn undo(planned: wit::Step, before: String) -> Answer<()> {
        with(C::open, |cutover| cutover.undo(&step(planned), &before))
    }
}

fn context(wave: wit::Context) -> Context {
    let vm = |vm: wit::MovedVm| MovedVm { name: vm.name, source_addresses: vm.source_addresses, target_addresses: vm.target_addresses };
    Context { wave: wave.wave, vms: wave.vms.into_iter().map(vm).collect(), settings: wave.settings }
}

fn step(step: wit::Step) -> Step {
    let phase = match step.phase {
        wit::Phase::Prepare => Phase::Prepare,
        wit::Phase::Switch => Phase::Switch,
    };
    Step { id: step.id, phase, summary: step.summary, detail: step.detail, settle_seconds: step.settle_seconds }
}

fn to_step(step: Step) -> wit::Step {
    let phase = match step.phase {
        Phase::Prepare => wit::Phase::Prepare,
        Phase::Switch => wit::Phase::Switch,
    };
    wit::Step { id: step.id, phase, summary: step.summary, detail: step.detail, settle_seconds: step.settle_seconds }
}
