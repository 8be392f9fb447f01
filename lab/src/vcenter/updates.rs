//! The PropertyCollector's other half: filters that stay, and waiting for what changes in them.
//!
//! A client that has no version yet is told everything. After that it is told differences, and it must present the
//! version that it was given last: a guess is refused.

use super::Datacentre;
use super::collector::{self, Filter};
use super::inventory::State;
use crate::soap::{Arguments, Fault, Moref, Object, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A filter that stays, and what was last reported from it.
pub(super) struct Watch {
    session: String,
    filter: Filter,
    /// Object and path, with the value as it was written.
    reported: BTreeMap<(Moref, String), String>,
}

/// Without a limit of its own a wait ends after this long with no news, so that no request hangs for ever.
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) fn create_filter(state: &mut State, session: &str, mut arguments: Arguments) -> Result<Option<Value>, Fault> {
    let filter = collector::filter(arguments.object("spec")?)?;
    arguments.boolean("partialUpdates")?;
    arguments.finish()?;
    let id = format!("session[{}]{}", state.uuid(), state.uuid());
    state.watches.insert(id.clone(), Watch { session: session.to_owned(), filter, reported: BTreeMap::new() });
    Ok(Some(Moref::new("PropertyFilter", &id).into()))
}

/// WaitForUpdatesEx with its options, WaitForUpdates without.
pub(super) async fn wait(centre: &Arc<Datacentre>, session: &str, mut arguments: Arguments) -> Result<Option<Value>, Fault> {
    let version = arguments.text_optional("version")?.unwrap_or_default();
    let mut limit = WAIT_MAX;
    if let Some(mut options) = arguments.object_optional("options")? {
        if let Some(seconds) = options.number_optional::<u64>("maxWaitSeconds")? {
            limit = Duration::from_secs(seconds);
        }
        options.number_optional::<u32>("maxObjectUpdates")?;
        options.finish()?;
    }
    arguments.finish()?;
    present(&mut centre.state(), session, &version)?;
    let deadline = Instant::now() + limit;
    loop {
        let news = news(&mut centre.state(), session)?;
        if news.is_some() || Instant::now() >= deadline {
            return Ok(news);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn present(state: &mut State, session: &str, version: &str) -> Result<(), Fault> {
    if version.is_empty() {
        state.watches.values_mut().filter(|watch| watch.session == session).for_each(|watch| watch.reported.clear());
        return Ok(());
    }
    match state.update_versions.get(session) {
        Some(current) if current.to_string() == version => Ok(()),
        _ => Err(Fault::new("InvalidCollectorVersion", "The collector version is not the one that was given out last.")),
    }
}

fn news(state: &mut State, session: &str) -> Result<Option<Value>, Fault> {
    let ids: Vec<String> = state.watches.iter().filter(|(_, watch)| watch.session == session).map(|(id, _)| id.clone()).collect();
    let mut filters = Vec::new();
    for id in ids {
        // Taken out for the moment, because looking at the objects needs the whole state.
        let Some(mut watch) = state.watches.remove(&id) else { continue };
        let changed = changes(state, session, &mut watch);
        state.watches.insert(id.clone(), watch);
        let changed = changed?;
        if !changed.is_empty() {
            let update = Object::new("PropertyFilterUpdate").with("filter", Moref::new("PropertyFilter", &id));
            filters.push(update.with("objectSet", Value::list("ObjectUpdate", changed)));
        }
    }
    if filters.is_empty() {
        return Ok(None);
    }
    let version = state.update_versions.entry(session.to_owned()).or_default();
    *version += 1;
    let set = Object::new("UpdateSet").with("version", version.to_string()).with("filterSet", Value::list("PropertyFilterUpdate", filters));
    Ok(Some(set.into()))
}

fn changes(state: &mut State, session: &str, watch: &mut Watch) -> Result<Vec<Object>, Fault> {
    let mut updates = Vec::new();
    for (moref, properties) in collector::look(state, session, &watch.filter)? {
        let known = watch.reported.keys().any(|(reported, _)| *reported == moref);
        let mut changes = Vec::new();
        for (path, value) in properties {
            let written = value.to_xml();
            if watch.reported.insert((moref.clone(), path.clone()), written.clone()) != Some(written) {
                let op = Value::Enum("PropertyChangeOp", "assign".into());
                changes.push(Object::new("PropertyChange").with("name", path).with("op", op).with("val", Value::any(value)));
            }
        }
        if !changes.is_empty() {
            let kind = Value::Enum("ObjectUpdateKind", if known { "modify" } else { "enter" }.into());
            let update = Object::new("ObjectUpdate").with("kind", kind).with("obj", &moref);
            updates.push(update.with("changeSet", Value::list("PropertyChange", changes)));
        }
    }
    Ok(updates)
}
