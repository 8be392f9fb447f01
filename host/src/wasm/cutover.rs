//! A cutover plugin as the runbook's `Cutover`.

use std::time::Duration;

use async_trait::async_trait;

use super::bindings::cutover::CutoverPlugin;
use super::convert::cutover as convert;
use super::instances::call;
use super::plugin::PluginRefused;
use super::source::probe_all;
use super::version::{Current, Version};
use crate::cutover::{Context, Cutover, CutoverDescription, Step};
use crate::model::Fault;
use crate::net::ProbeStep;

pub struct PluginCutover {
    pub(super) current: Current<CutoverPlugin>,
}

/// A call to the plugin's control instances, from start to answer.
macro_rules! control {
    ($self:ident, $name:literal, $function:ident ( $($argument:expr),* )) => {{
        let now = $self.current.now()?;
        let (live, called) = call!(now.control, Duration::ZERO, transload_plugin_cutover.$function($($argument),*));
        now.control.settle(live, $name, called)
    }};
}

impl PluginCutover {
    pub(super) fn new(version: Version<CutoverPlugin>) -> PluginCutover {
        PluginCutover { current: Current::new(version) }
    }

    /// One whose plugin may not run yet: every call says why.
    pub(super) fn waiting(refused: &PluginRefused) -> PluginCutover {
        PluginCutover { current: Current::none(refused) }
    }

    /// Walks to every origin that the plugin may reach, for `transload check`.
    pub async fn probe(&self) -> Vec<ProbeStep> {
        match self.current.now() {
            Ok(now) => probe_all(&now.plugin).await,
            Err(_) => Vec::new(),
        }
    }

    /// Words for people: what a server repeats in its answers may hold a secret.
    fn hide(&self, words: &str) -> String {
        self.current.now().map_or_else(|_| words.to_owned(), |now| now.plugin.masks().hide(words))
    }
}

#[async_trait]
impl Cutover for PluginCutover {
    async fn describe(&self) -> Result<CutoverDescription, Fault> {
        let described = convert::description(control!(self, "describe", call_describe())?)?;
        Ok(CutoverDescription { product: self.hide(&described.product) })
    }

    async fn plan(&self, context: &Context) -> Result<Vec<Step>, Fault> {
        let now = self.current.now()?;
        let mut live = now.control.take_fresh().await?;
        live.store.data_mut().begin_plan();
        let deadline = live.deadline(Duration::ZERO);
        let (guest, context) = (live.world.transload_plugin_cutover(), convert::context(context));
        let called = deadline.before(guest.call_plan(&mut live.store, &context)).await;
        let steps = convert::steps(now.control.settle(live, "plan", called)?).map_err(|fault| now.plugin.shown(fault))?;
        Ok(steps.into_iter().map(|step| Step { summary: self.hide(&step.summary), ..step }).collect())
    }

    async fn check(&self, step: &Step) -> Result<String, Fault> {
        convert::before(control!(self, "check", call_check(&convert::step(step)))?)
    }

    async fn apply(&self, step: &Step, before: &str, idempotency_key: &str) -> Result<(), Fault> {
        control!(self, "apply", call_apply(&convert::step(step), before, idempotency_key))
    }

    async fn verify(&self, step: &Step) -> Result<bool, Fault> {
        control!(self, "verify", call_verify(&convert::step(step)))
    }

    async fn undo(&self, step: &Step, before: &str) -> Result<(), Fault> {
        control!(self, "undo", call_undo(&convert::step(step), before))
    }
}
