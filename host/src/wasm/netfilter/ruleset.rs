//! Whether each command of a ruleset stays inside one table. What this host does not know to stay inside is denied, with the command named.
//!
//! What was judged is what `nft` is given: the commands are written anew from what was read, and a key that nobody here knows is refused.

use serde_json::{Value, json};

use super::FAMILY;
use super::expression::{Judged, elements, entry, identifier, named, number, statements, text, word_of};
use super::passage;
use crate::model::Fault;

const RULESET_BYTES_MAX: usize = 1 << 20;
const COMMANDS_MAX: usize = 16_384;

const SETS_MAX: usize = 64;
const SIZE_MAX: u64 = 65_536;

/// In an order in which each comes after what it may name.
const KINDS: &[&str] = &["table", "chain", "counter", "set", "map", "element", "rule"];
const CHAIN_TYPES: &[&str] = &["filter", "nat", "route"];
/// Not ingress and egress: they belong to one device, and see what is not for this machine at all.
const HOOKS: &[&str] = &["prerouting", "input", "forward", "output", "postrouting"];
const POLICIES: &[&str] = &["accept", "drop"];
/// Values that nothing is looked up for.
const ELEMENT_TYPES: &[&str] = &["ipv4_addr", "ipv6_addr", "inet_service", "inet_proto"];
/// Without `dynamic`: a set that packets fill grows by the will of strangers.
const SET_FLAGS: &[&str] = &["constant", "interval", "timeout"];

/// The commands, if all of them stay inside the table.
pub fn judge(ruleset: &str, table: &str) -> Result<Vec<Value>, Fault> {
    if ruleset.len() > RULESET_BYTES_MAX {
        return Err(Fault::invalid(format!("a ruleset is at most {RULESET_BYTES_MAX} bytes; this one is {}", ruleset.len())));
    }
    let form = || Fault::invalid("a ruleset is an object with one list of commands, \"nftables\", and nothing else");
    let read: Value = serde_json::from_str(ruleset).map_err(|error| Fault::invalid(format!("the ruleset is no JSON: {error}")))?;
    let Value::Object(mut whole) = read else { return Err(form()) };
    let Some(Value::Array(commands)) = whole.remove("nftables").filter(|_| whole.is_empty()) else { return Err(form()) };
    if commands.len() > COMMANDS_MAX {
        return Err(Fault::invalid(format!("a ruleset is at most {COMMANDS_MAX} commands; this one is {}", commands.len())));
    }
    let (mut listed, mut inside) = (Vec::new(), Vec::new());
    for (index, value) in commands.into_iter().enumerate() {
        let denied =
            |name: &str, why: String| Fault::denied(format!("command {} of the ruleset ({name}) is not granted: {why}", index + 1));
        let (verb, kind, object) = match entry(&value) {
            None => return Err(denied("no command", "it must be one verb with what it is done to".to_owned())),
            // What nft writes on top of its listings. It says nothing that is acted upon.
            Some(("metainfo", _)) => continue,
            // As in a listing, so that what was read once can be brought back.
            Some((kind, object)) if KINDS.contains(&kind) => (None, kind, unnumbered(object)),
            Some((verb, what)) => match entry(what) {
                Some((kind, object)) => (Some(verb), kind, object.clone()),
                None => return Err(denied(&brief(verb), "it must be done to one object".to_owned())),
            },
        };
        let done = verb.unwrap_or("add");
        command(done, kind, &object, table).map_err(|why| denied(&format!("{} {}", brief(done), brief(kind)), why))?;
        let judged = json!({done: {kind: object}});
        match verb {
            Some(_) => inside.push(judged),
            None => listed.push((KINDS.iter().position(|known| *known == kind), judged)),
        }
    }
    let sets = listed.iter().map(|(_, judged)| judged).chain(&inside).filter(|judged| {
        let done_to = entry(judged).and_then(|(_, what)| entry(what));
        done_to.is_some_and(|(kind, _)| ["set", "map"].contains(&kind))
    });
    if sets.count() > SETS_MAX {
        return Err(Fault::denied(format!("a ruleset has at most {SETS_MAX} commands about sets and maps")));
    }
    // A listing names the elements of a map before the chains that they lead to.
    listed.sort_by_key(|(rank, _)| *rank);
    let commands: Vec<Value> = listed.into_iter().map(|(_, judged)| judged).chain(inside).collect();
    passage::check(&commands).map_err(Fault::denied)?;
    Ok(commands)
}

/// Numbers are given anew with the table, so those of a listing that comes back mean nothing any more.
fn unnumbered(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(object) = object.as_object_mut() {
        object.remove("handle");
    }
    object
}

fn command(verb: &str, kind: &str, object: &Value, table: &str) -> Judged {
    let known: &[&str] = match kind {
        "table" | "chain" | "set" | "map" => &["add", "create", "delete", "flush"],
        "rule" => &["add", "insert", "replace", "delete"],
        "element" => &["add", "create", "delete"],
        "counter" => &["add", "create", "delete"],
        "ruleset" => return Err("it is about all tables of this machine".to_owned()),
        _ => return Err("of objects, only chains, rules, sets, maps, elements and counters of the own table are".to_owned()),
    };
    if !known.contains(&verb) {
        return Err(format!("only {} is", known.join(", ")));
    }
    let object = object.as_object().ok_or("it must say which one")?;
    let own = if kind == "table" { "name" } else { "table" };
    if text(object, "family")? != FAMILY || text(object, own)? != table {
        return Err(format!("it is not about the own table, {FAMILY} {table}"));
    }
    object.iter().filter(|(key, _)| !["family", own].contains(&key.as_str())).try_for_each(|(key, value)| match kind {
        "table" => Err(unknown(key)),
        "chain" => chain(key, value),
        "rule" => rule(key, value),
        "set" | "map" => set(kind, key, value),
        "element" => element(key, value),
        _ => counter(key, value),
    })
}

fn chain(key: &str, value: &Value) -> Judged {
    match key {
        "name" => identifier(value),
        "handle" | "prio" => number(value),
        "type" => word_of(value, CHAIN_TYPES),
        "hook" => word_of(value, HOOKS),
        "policy" => word_of(value, POLICIES),
        "comment" => comment(value),
        _ => Err(unknown(key)),
    }
}

fn rule(key: &str, value: &Value) -> Judged {
    match key {
        "chain" => identifier(value),
        "handle" | "index" => number(value),
        "comment" => comment(value),
        "expr" => statements(value),
        _ => Err(unknown(key)),
    }
}

fn set(kind: &str, key: &str, value: &Value) -> Judged {
    match key {
        "name" => identifier(value),
        "type" => types(value),
        "map" if kind == "map" => types(value).or_else(|_| word_of(value, &["verdict"])),
        "flags" => match value {
            Value::Array(flags) => flags.iter().try_for_each(|flag| word_of(flag, SET_FLAGS)),
            one => word_of(one, SET_FLAGS),
        },
        "policy" => word_of(value, &["performance", "memory"]),
        "handle" | "timeout" | "gc-interval" => number(value),
        // The kernel sets memory aside for as many as this says.
        "size" => match value.as_u64().is_some_and(|size| size <= SIZE_MAX) {
            true => Ok(()),
            false => Err(format!("a set is made for at most {SIZE_MAX} elements")),
        },
        "auto-merge" if value.is_boolean() => Ok(()),
        "comment" => comment(value),
        "elem" => elements(value),
        _ => Err(unknown(key)),
    }
}

fn element(key: &str, value: &Value) -> Judged {
    match key {
        "name" => identifier(value),
        "elem" => elements(value),
        _ => Err(unknown(key)),
    }
}

fn counter(key: &str, value: &Value) -> Judged {
    match key {
        "name" => identifier(value),
        "handle" | "packets" | "bytes" => number(value),
        "comment" => comment(value),
        _ => Err(unknown(key)),
    }
}

fn types(value: &Value) -> Judged {
    match value {
        Value::Array(parts) => parts.iter().try_for_each(|part| word_of(part, ELEMENT_TYPES)),
        one => word_of(one, ELEMENT_TYPES),
    }
}

/// Text for people: short, and without what obeys no eye.
fn comment(value: &Value) -> Judged {
    match value.as_str().is_some_and(|text| text.len() <= 120 && !text.contains(char::is_control)) {
        true => Ok(()),
        false => Err("a comment is at most 120 bytes of plain text".to_owned()),
    }
}

fn unknown(key: &str) -> String {
    format!("this host does not know its key {}", named(key))
}

/// A word that a guest wrote, as it may stand in a sentence.
fn brief(word: &str) -> String {
    match word.len() <= 30 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' ') {
        true => word.to_owned(),
        false => named(word),
    }
}

#[cfg(test)]
pub(super) mod tests;
