//! Plans, and what a cutover plugin keeps of the world before a step.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{name, text};
use crate::cutover::{Context, CutoverDescription, Phase, Step};
use crate::model::Fault;
use crate::wasm::bindings::cutover::exports::transload::plugin::cutover as guest;

const STEPS_MAX: usize = 1000;
const ID_BYTES_MAX: usize = 200;
/// The longest TTL that resolvers keep (RFC 8767).
const SETTLE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

pub fn description(given: guest::Description) -> Result<CutoverDescription, Fault> {
    Ok(CutoverDescription { product: text(given.product, "product")? })
}

pub fn context(context: &Context) -> guest::Context {
    let words = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect();
    let vms = context.vms.iter().map(|vm| guest::MovedVm {
        name: vm.name.clone(),
        source_addresses: words(&vm.source_addresses),
        target_addresses: words(&vm.target_addresses),
    });
    guest::Context { wave: context.wave.clone(), vms: vms.collect(), settings: context.settings.clone() }
}

pub fn step(step: &Step) -> guest::Step {
    guest::Step {
        id: step.id.clone(),
        phase: match step.phase {
            Phase::Prepare => guest::Phase::Prepare,
            Phase::Switch => guest::Phase::Switch,
        },
        summary: step.summary.clone(),
        detail: step.detail.clone(),
        settle_seconds: u32::try_from(step.settle.as_secs()).unwrap_or(u32::MAX),
    }
}

/// A plan that can be shown, kept and gone through in its order.
pub fn steps(given: Vec<guest::Step>) -> Result<Vec<Step>, Fault> {
    if given.len() > STEPS_MAX {
        return Err(Fault::corrupt(format!("the plugin planned {} steps; at most {STEPS_MAX} are allowed", given.len())));
    }
    let (mut ids, mut reached) = (BTreeSet::new(), Phase::Prepare);
    given.into_iter().map(|given| planned(given, &mut ids, &mut reached)).collect()
}

fn planned(given: guest::Step, ids: &mut BTreeSet<String>, reached: &mut Phase) -> Result<Step, Fault> {
    let (id, phase) = (given.id, phase(given.phase));
    if !is_id(&id) {
        let beginning: String = id.chars().take(40).collect();
        return Err(Fault::corrupt(format!("the plugin gave {beginning:?} as the id of a step")));
    }
    if !ids.insert(id.clone()) {
        return Err(Fault::corrupt(format!("the plugin planned step {id} twice")));
    }
    if phase < *reached {
        return Err(Fault::corrupt(format!("the plugin planned step {id}, which prepares, behind one that switches")));
    }
    *reached = phase;
    let settle = Duration::from_secs(given.settle_seconds.into());
    if settle > SETTLE_MAX {
        return Err(Fault::corrupt(format!("step {id} would be waited for {} s; at most a week is allowed", given.settle_seconds)));
    }
    Ok(Step { phase, summary: name(given.summary, "summary of a step")?, detail: text(given.detail, "detail of a step")?, settle, id })
}

fn phase(given: guest::Phase) -> Phase {
    match given {
        guest::Phase::Prepare => Phase::Prepare,
        guest::Phase::Switch => Phase::Switch,
    }
}

/// It names a fact in the journal and a line in a report.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.:/".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// What `undo` will be given again, byte for byte.
pub fn before(given: String) -> Result<String, Fault> {
    text(given, "state before a step")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str, phase: guest::Phase) -> guest::Step {
        guest::Step { id: id.to_owned(), phase, summary: "it moves".to_owned(), detail: String::new(), settle_seconds: 60 }
    }

    #[test]
    fn a_plan_that_cannot_be_gone_through_in_its_order_is_corrupt() {
        use guest::Phase::{Prepare, Switch};
        let said = |plan: Vec<guest::Step>| steps(plan).unwrap_err().message;
        assert_eq!(said(vec![given("a", Switch), given("a", Switch)]), "the plugin planned step a twice");
        assert_eq!(
            said(vec![given("a", Switch), given("b", Prepare)]),
            "the plugin planned step b, which prepares, behind one that switches"
        );
        assert_eq!(said(vec![given("a b", Switch)]), "the plugin gave \"a b\" as the id of a step");
        assert_eq!(said(vec![guest::Step { summary: String::new(), ..given("a", Switch) }]), "the plugin gave an empty summary of a step");
        assert_eq!(
            said(vec![guest::Step { settle_seconds: 604_801, ..given("a", Switch) }]),
            "step a would be waited for 604801 s; at most a week is allowed"
        );
        let many = (0..1001).map(|number| given(&number.to_string(), Switch)).collect();
        assert_eq!(said(many), "the plugin planned 1001 steps; at most 1000 are allowed");
    }

    #[test]
    fn a_step_comes_back_to_the_plugin_as_it_was_planned() {
        let plan = [given("ttl:www.example.test", guest::Phase::Prepare), given("switch:www.example.test", guest::Phase::Switch)];
        let planned = steps(plan.to_vec()).unwrap();
        assert_eq!(planned.iter().map(step).map(|step| format!("{step:?}")).collect::<Vec<_>>(), plan.map(|step| format!("{step:?}")));
    }
}
