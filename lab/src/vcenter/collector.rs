//! The PropertyCollector: filter specs, traversal, paging.

use super::inventory::State;
use super::properties::{self, is_a};
use crate::soap::{Arguments, Fault, Moref, Object, Value};
use std::collections::BTreeSet;

/// Objects that did not fit into the page, for the session that asked.
pub(super) struct Continuation {
    session: String,
    left: Vec<Object>,
    page_max: usize,
}

pub(super) struct Filter {
    properties: Vec<PropertySpec>,
    objects: Vec<ObjectSpec>,
}

struct PropertySpec {
    kind: String,
    /// `None`: all of them.
    paths: Option<Vec<String>>,
}

struct ObjectSpec {
    moref: Moref,
    skip: bool,
    selections: Vec<Selection>,
}

/// Where to go on from an object; a bare name refers to a traversal of that name.
enum Selection {
    Named(String),
    Traversal(Traversal),
}

struct Traversal {
    name: Option<String>,
    kind: String,
    path: String,
    skip: bool,
    selections: Vec<Selection>,
}

/// RetrievePropertiesEx: one page, and a token if there is more.
pub(super) fn retrieve_ex(state: &mut State, session: &str, mut arguments: Arguments, page_max: usize) -> Result<Option<Value>, Fault> {
    let filters = filters(&mut arguments)?;
    let mut options = arguments.object("options")?;
    let wanted: Option<usize> = options.number_optional("maxObjects")?;
    options.finish()?;
    arguments.finish()?;
    let contents = contents(state, session, &filters)?;
    if contents.is_empty() {
        return Ok(None);
    }
    let page_max = wanted.filter(|&count| count > 0).unwrap_or(page_max).min(page_max);
    Ok(Some(page(state, Continuation { session: session.to_owned(), left: contents, page_max })))
}

/// RetrieveProperties, the older call without pages.
pub(super) fn retrieve(state: &mut State, session: &str, mut arguments: Arguments) -> Result<Option<Value>, Fault> {
    let filters = filters(&mut arguments)?;
    arguments.finish()?;
    let contents = contents(state, session, &filters)?;
    Ok(Some(Value::list("ObjectContent", contents)))
}

pub(super) fn go_on(state: &mut State, session: &str, mut arguments: Arguments) -> Result<Option<Value>, Fault> {
    let continuation = take(state, session, &mut arguments)?;
    arguments.finish()?;
    Ok(Some(page(state, continuation)))
}

pub(super) fn cancel(state: &mut State, session: &str, mut arguments: Arguments) -> Result<Option<Value>, Fault> {
    take(state, session, &mut arguments)?;
    arguments.finish()?;
    Ok(None)
}

/// A token serves once and for its own session only.
fn take(state: &mut State, session: &str, arguments: &mut Arguments) -> Result<Continuation, Fault> {
    let token = arguments.text("token")?;
    match state.continuations.get(&token) {
        Some(continuation) if continuation.session == session => Ok(state.continuations.remove(&token).expect("just seen")),
        _ => Err(Fault::invalid_argument("token")),
    }
}

fn page(state: &mut State, mut continuation: Continuation) -> Value {
    let rest = continuation.left.split_off(continuation.left.len().min(continuation.page_max));
    let contents = std::mem::replace(&mut continuation.left, rest);
    let token = (!continuation.left.is_empty()).then(|| {
        let token = state.next_number().to_string();
        state.continuations.insert(token.clone(), continuation);
        token
    });
    let result = Object::new("RetrieveResult").with("token", token).with("objects", Value::list("ObjectContent", contents));
    Value::Object(result)
}

fn contents(state: &mut State, session: &str, filters: &[Filter]) -> Result<Vec<Object>, Fault> {
    let mut contents = Vec::new();
    for filter in filters {
        for (moref, properties) in look(state, session, filter)? {
            let properties = properties
                .into_iter()
                .map(|(path, value)| Object::new("DynamicProperty").with("name", path).with("val", Value::any(value)));
            contents.push(Object::new("ObjectContent").with("obj", moref).with("propSet", Value::list("DynamicProperty", properties)));
        }
    }
    Ok(contents)
}

/// The properties of one object that were asked for and that it has, by path.
type Properties = Vec<(String, Value)>;

/// What a filter sees now: the objects it selects, each with the asked properties that it has.
pub(super) fn look(state: &mut State, session: &str, filter: &Filter) -> Result<Vec<(Moref, Properties)>, Fault> {
    let mut selected = Vec::new();
    let mut seen = BTreeSet::new();
    for spec in &filter.objects {
        select(state, session, spec, &mut selected, &mut seen)?;
    }
    let mut found = Vec::new();
    for moref in selected {
        if let Some(properties) = properties_of(state, session, &filter.properties, &moref)? {
            found.push((moref, properties));
        }
    }
    Ok(found)
}

fn select(state: &mut State, session: &str, spec: &ObjectSpec, selected: &mut Vec<Moref>, seen: &mut BTreeSet<Moref>) -> Result<(), Fault> {
    if !spec.skip && seen.insert(spec.moref.clone()) {
        selected.push(spec.moref.clone());
    }
    let mut named = Vec::new();
    collect_named(&spec.selections, &mut named);
    // A traversal may lead back to itself by name; each pair of place and traversal is walked once.
    let mut walked = BTreeSet::new();
    let mut open: Vec<(Moref, &[Selection])> = vec![(spec.moref.clone(), &spec.selections)];
    while let Some((from, selections)) = open.pop() {
        for selection in selections {
            let traversal = match selection {
                Selection::Traversal(traversal) => traversal,
                Selection::Named(name) => named
                    .iter()
                    .find(|traversal| traversal.name.as_ref() == Some(name))
                    .copied()
                    .ok_or_else(|| Fault::invalid_argument(&format!("specSet.objectSet.selectSet.name ({name})")))?,
            };
            if !is_a(&from.kind, &traversal.kind) || !walked.insert((from.clone(), std::ptr::from_ref(traversal))) {
                continue;
            }
            for target in targets(state, session, &from, &traversal.path)? {
                if !traversal.skip && seen.insert(target.clone()) {
                    selected.push(target.clone());
                }
                open.push((target, &traversal.selections));
            }
        }
    }
    Ok(())
}

fn collect_named<'a>(selections: &'a [Selection], named: &mut Vec<&'a Traversal>) {
    for selection in selections {
        if let Selection::Traversal(traversal) = selection {
            named.push(traversal);
            collect_named(&traversal.selections, named);
        }
    }
}

fn targets(state: &mut State, session: &str, from: &Moref, path: &str) -> Result<Vec<Moref>, Fault> {
    let object = properties::of(state, session, from)?;
    match properties::walk(&object, path)? {
        None => Ok(Vec::new()),
        Some(Value::Moref(moref)) => Ok(vec![moref]),
        Some(Value::List(_, items)) => {
            Ok(items.into_iter().filter_map(|item| if let Value::Moref(moref) = item { Some(moref) } else { None }).collect())
        }
        Some(_) => Err(Fault::invalid_argument(&format!("path ({path} of {} is no reference)", from.kind))),
    }
}

/// The asked properties of one object; `None` for an object of a kind that nobody asked for.
fn properties_of(state: &mut State, session: &str, specs: &[PropertySpec], moref: &Moref) -> Result<Option<Properties>, Fault> {
    let mut asked: Vec<String> = Vec::new();
    let mut matched = false;
    let object = properties::of(state, session, moref)?;
    for spec in specs.iter().filter(|spec| is_a(&moref.kind, &spec.kind)) {
        matched = true;
        match &spec.paths {
            Some(paths) => asked.extend(paths.iter().cloned()),
            None => asked.extend(object.fields.iter().map(|(name, _)| (*name).to_owned())),
        }
    }
    let mut found = Vec::new();
    for path in asked {
        if let Some(value) = properties::walk(&object, &path)? {
            found.push((path, value));
        }
    }
    Ok(matched.then_some(found))
}

fn filters(arguments: &mut Arguments) -> Result<Vec<Filter>, Fault> {
    let filters = arguments.objects("specSet")?.into_iter().map(filter).collect::<Result<Vec<_>, _>>()?;
    if filters.is_empty() {
        return Err(Fault::request("expected <specSet> here, found none"));
    }
    Ok(filters)
}

pub(super) fn filter(mut spec: Arguments) -> Result<Filter, Fault> {
    let properties = spec.objects("propSet")?.into_iter().map(property_spec).collect::<Result<Vec<_>, _>>()?;
    let objects = spec.objects("objectSet")?.into_iter().map(object_spec).collect::<Result<Vec<_>, _>>()?;
    spec.boolean_optional("reportMissingObjectsInResults")?;
    spec.finish()?;
    if properties.is_empty() || objects.is_empty() {
        return Err(Fault::request("a PropertyFilterSpec needs at least one propSet and one objectSet"));
    }
    Ok(Filter { properties, objects })
}

fn property_spec(mut spec: Arguments) -> Result<PropertySpec, Fault> {
    let kind = spec.text("type")?;
    let all = spec.boolean_optional("all")?.unwrap_or(false);
    let paths = spec.texts("pathSet")?;
    spec.finish()?;
    Ok(PropertySpec { kind, paths: (!all).then_some(paths) })
}

fn object_spec(mut spec: Arguments) -> Result<ObjectSpec, Fault> {
    let moref = spec.moref("obj")?;
    let skip = spec.boolean_optional("skip")?.unwrap_or(false);
    let selections = selections(&mut spec)?;
    spec.finish()?;
    Ok(ObjectSpec { moref, skip, selections })
}

fn selections(owner: &mut Arguments) -> Result<Vec<Selection>, Fault> {
    owner.objects("selectSet")?.into_iter().map(selection).collect()
}

fn selection(mut spec: Arguments) -> Result<Selection, Fault> {
    match spec.kind() {
        Some("TraversalSpec") => {
            let name = spec.text_optional("name")?;
            let kind = spec.text("type")?;
            let path = spec.text("path")?;
            let skip = spec.boolean_optional("skip")?.unwrap_or(false);
            let selections = selections(&mut spec)?;
            spec.finish()?;
            Ok(Selection::Traversal(Traversal { name, kind, path, skip, selections }))
        }
        None | Some("SelectionSpec") => {
            let name = spec.text("name")?;
            spec.finish()?;
            Ok(Selection::Named(name))
        }
        Some(other) => Err(Fault::request(format!("selectSet: {other} is no SelectionSpec"))),
    }
}
