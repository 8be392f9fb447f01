//! A sink plugin as the log's `Sink`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use wasmtime::component::Resource;

use super::bindings::sink::SinkPlugin;
use super::bindings::types;
use super::bulk::SealedBody;
use super::convert;
use super::instances::call;
use super::paging::Followed;
use super::source::probe_all;
use super::version::{Current, Version};
use super::web::transfer_allowance;
use crate::log::seal::Sealed;
use crate::log::sink::{EntriesPage, Sink, SinkDescription};
use crate::model::{Extent, Fault};
use crate::net::ProbeStep;

const DELETED_AT_ONCE_MAX: usize = 1000;
/// Objects that are read whole: pages, commits, receipts. Few are larger.
const WHOLE_BYTES_USUAL: u64 = 4 << 20;

pub struct PluginSink {
    pub(super) current: Current<SinkPlugin>,
}

/// A call to the sink's control instances, from start to answer.
macro_rules! control {
    ($self:ident, $name:literal, $function:ident ( $($argument:expr),* )) => {{
        let now = $self.current.now()?;
        let (live, called) = call!(now.control, Duration::ZERO, transload_plugin_sink.$function($($argument),*));
        now.control.settle(live, $name, called)
    }};
}

impl PluginSink {
    pub(super) fn new(version: Version<SinkPlugin>) -> PluginSink {
        PluginSink { current: Current::new(version) }
    }

    /// Walks to every origin that the plugin may reach, for `transload check`.
    pub async fn probe(&self) -> Vec<ProbeStep> {
        match self.current.now() {
            Ok(now) => probe_all(&now.plugin).await,
            Err(_) => Vec::new(),
        }
    }
}

#[async_trait]
impl Sink for PluginSink {
    async fn describe(&self) -> Result<SinkDescription, Fault> {
        let described = convert::sink_description(control!(self, "describe", call_describe())?)?;
        Ok(SinkDescription { product: self.current.now()?.plugin.masks().hide(&described.product), ..described })
    }

    async fn put(&self, key: &str, body: Sealed) -> Result<(), Fault> {
        convert::check_key(key)?;
        let now = self.current.now()?;
        let mut live = now.data.take().await?;
        let handle = live.store.data_mut().table.push(SealedBody::new(body.clone()));
        let handle = handle.map_err(|error| Fault::internal(format!("no handle for a body: {error}")))?;
        let rep = handle.rep();
        let deadline = live.deadline(transfer_allowance(body.len() as u64));
        let guest = live.world.transload_plugin_sink();
        let called = deadline.before(guest.call_put(&mut live.store, key, handle)).await;
        // The guest only borrowed it. It is gone already when the guest's instance is.
        let _gone = live.store.data_mut().table.delete(Resource::<SealedBody>::new_own(rep));
        now.data.settle(live, "put", called)
    }

    async fn get(&self, key: &str, range: Option<Extent>) -> Result<Bytes, Fault> {
        convert::check_key(key)?;
        let asked = range.map(|range| types::Extent { offset: range.offset, length: range.length });
        // The guest waits for its turn among the transfers that run, and those may be slow.
        let turn = transfer_allowance(range.map_or(WHOLE_BYTES_USUAL, |range| range.length));
        let now = self.current.now()?;
        let (mut live, called) = call!(now.data, turn, transload_plugin_sink.call_get(key, asked));
        // The handle leaves the instance before the instance may serve another call.
        let taken = match &called {
            Ok(Ok(Ok(handle))) => live.store.data_mut().table.delete(Resource::new_own(handle.rep())).ok(),
            _ => None,
        };
        now.data.settle(live, "get", called)?;
        let incoming: super::incoming::Incoming =
            taken.ok_or_else(|| Fault::corrupt("the plugin answered with a response that is not there"))?;
        incoming.consume(range).await.map_err(|fault| fault.while_doing(format!("reading object {key}")))
    }

    async fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        convert::check_key(key)?;
        control!(self, "head", call_head(key))
    }

    async fn entries(&self, prefix: &str, cursor: Option<String>) -> Result<EntriesPage, Fault> {
        let list = Followed::to(cursor.as_deref())?;
        let page = control!(self, "entries", call_entries(prefix, list.cursor()))?;
        let EntriesPage { entries, next } = convert::entries_page(page, prefix, list.cursor())?;
        list.check_ascends(entries.first().map(|entry| entry.key.as_str()))?;
        let next = list.go_on("entries", entries.len(), entries.last().map(|entry| entry.key.as_str()), next)?;
        Ok(EntriesPage { entries, next })
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        if keys.len() > DELETED_AT_ONCE_MAX {
            return Err(Fault::invalid(format!("at most {DELETED_AT_ONCE_MAX} objects are deleted at once")));
        }
        keys.iter().try_for_each(|key| convert::check_key(key))?;
        let results = control!(self, "delete", call_delete(keys))?;
        if results.len() != keys.len() {
            return Err(Fault::corrupt(format!("the plugin answered {} deletions with {} results", keys.len(), results.len())));
        }
        let plugin = self.current.now()?.plugin.clone();
        let shown = |result: Result<(), types::Fault>| result.map_err(|fault| plugin.shown(convert::fault_from_guest(fault)));
        Ok(results.into_iter().map(shown).collect())
    }
}
