//! Statements and expressions of rules: those that act on packets by the table's own means, and no others.
//!
//! Not known here, and so denied: what hands packets to other programs or copies them elsewhere (`queue`, `dup`, `fwd`, `tproxy`,
//! `synproxy`, `flow`, `xt`), what speaks to other parts of the kernel (marks, `secmark`, `ct helper`, `notrack`, `log`), and sets that
//! packets fill. What a text may be is in `literal`.

use serde_json::{Map, Value};

use super::literal::{Place, literal, place, place_beside};

/// Why it is not known to stay inside.
pub type Judged = Result<(), String>;

const NAME_BYTES_MAX: usize = 63;
const OPERATORS: &[&str] = &["==", "!=", "<", ">", "<=", ">=", "in"];
pub const CALCULATIONS: &[&str] = &["&", "|", "^", "<<", ">>"];
const VERDICTS: &[&str] = &["accept", "drop", "continue", "return"];
const NAT_FLAGS: &[&str] = &["random", "fully-random", "persistent", "interval", "prefix", "concat"];
const REJECTIONS: &[&str] = &["tcp reset", "icmpx", "icmp", "icmpv6"];
const REJECTION_CODES: &[&str] = &[
    "port-unreachable",
    "host-unreachable",
    "net-unreachable",
    "prot-unreachable",
    "admin-prohibited",
    "no-route",
    "addr-unreachable",
    "net-prohibited",
    "host-prohibited",
];
/// The statements of a rule.
pub fn statements(value: &Value) -> Judged {
    let list = value.as_array().ok_or("what it does must be a list of statements")?;
    list.iter().try_for_each(|statement| {
        let (name, inner) = entry(statement).ok_or("a statement must be one action with its arguments")?;
        self::statement(name, inner).map_err(|why| format!("in its statement {}: {why}", named(name)))
    })
}

fn statement(name: &str, value: &Value) -> Judged {
    match name {
        _ if VERDICTS.contains(&name) => null(value),
        "jump" | "goto" => target(value),
        "match" => keys(value, &["op", "left", "right"], |key, value| match key {
            "op" => word_of(value, OPERATORS),
            "left" => selector(value),
            _ => Ok(()),
        })
        .and_then(|object| expression(object.get("right").ok_or("it compares with nothing")?, place(object.get("left")))),
        "counter" => match value {
            Value::Null => Ok(()),
            Value::String(_) => identifier(value),
            _ => keys(value, &["packets", "bytes"], |_, value| number(value)).map(drop),
        },
        "limit" => keys(value, &["rate", "burst", "per", "rate_unit", "burst_unit", "inv"], |key, value| match key {
            "rate" | "burst" => number(value),
            "per" => word_of(value, &["second", "minute", "hour", "day", "week"]),
            "inv" => boolean(value),
            _ => word_of(value, &["packets", "bytes", "kbytes", "mbytes"]),
        })
        .map(drop),
        "snat" | "dnat" => keys(value, &["addr", "family", "port", "flags", "type_flags"], |key, value| match key {
            "addr" | "port" => expression(value, Place::Address),
            "family" => word_of(value, &["ip", "ip6"]),
            _ => flags(value, NAT_FLAGS),
        })
        .map(drop),
        "masquerade" | "redirect" if value.is_null() => Ok(()),
        "masquerade" | "redirect" => keys(value, &["port", "flags"], |key, value| match key {
            "port" => expression(value, Place::Address),
            _ => flags(value, NAT_FLAGS),
        })
        .map(drop),
        "reject" if value.is_null() => Ok(()),
        "reject" => keys(value, &["type", "expr"], |key, value| match key {
            "type" => word_of(value, REJECTIONS),
            _ => number(value).or_else(|_| word_of(value, REJECTION_CODES)),
        })
        .map(drop),
        "mangle" => keys(value, &["key", "value"], |key, value| match key {
            // Of the packet alone: marks are read by routing and by the tables of others.
            "key" => match entry(value) {
                Some(("payload" | "tcp option", _)) => selector(value),
                _ => Err("only fields of the packet itself are changed".to_owned()),
            },
            _ => expression(value, Place::Address),
        })
        .map(drop),
        "vmap" => keys(value, &["key", "data"], |key, value| match key {
            "key" => selector(value),
            _ => Ok(()),
        })
        .and_then(|object| expression(object.get("data").ok_or("it leads nowhere")?, place(object.get("key")))),
        _ => Err("this host does not know it, or knows that it reaches beyond the table".to_owned()),
    }
}

/// Elements of a set or a map. Of which type they are stands elsewhere, so a text must be an address.
pub fn elements(value: &Value) -> Judged {
    value.as_array().ok_or("its elements must be a list")?;
    expression(value, Place::Address)
}

fn expression(value: &Value, place: Place) -> Judged {
    match value {
        Value::Number(_) => number(value),
        Value::String(text) => literal(text, place),
        Value::Array(parts) => parts.iter().try_for_each(|part| expression(part, place)),
        Value::Object(_) => {
            let (name, inner) = entry(value).ok_or("an expression must be one operation with its arguments")?;
            operation(name, inner, place)
        }
        Value::Null | Value::Bool(_) => Err("it compares with nothing".to_owned()),
    }
}

fn operation(name: &str, value: &Value, place: Place) -> Judged {
    match name {
        _ if VERDICTS.contains(&name) => null(value),
        "jump" | "goto" => target(value),
        "set" if value.is_array() => expression(value, place),
        // A name of an interface may be any text, so it stands where nothing else can be meant.
        _ if place == Place::Interface => Err("names of interfaces stand alone or in a set".to_owned()),
        "concat" | "range" if value.is_array() => expression(value, place),
        "prefix" => keys(value, &["addr", "len"], |key, value| match key {
            "addr" => expression(value, Place::Address),
            _ => number(value),
        })
        .map(drop),
        "elem" => keys(value, &["val", "timeout", "expires"], |key, value| match key {
            "val" => expression(value, place),
            _ => number(value),
        })
        .map(drop),
        "map" => keys(value, &["key", "data"], |key, value| match key {
            "key" => selector(value),
            // Keys and values stand side by side in it, and the values may be addresses.
            _ => expression(value, Place::Address),
        })
        .map(drop),
        _ if CALCULATIONS.contains(&name) => {
            let sides = value.as_array().ok_or("it calculates with two sides")?;
            // What the first side asks for decides what a text on the others means.
            let place = sides.first().map_or(place, |first| place_beside(first, place));
            sides.iter().try_for_each(|side| expression(side, place))
        }
        _ => selector_of(name, value),
    }
}

/// Something that a packet or a connection is asked for.
fn selector(value: &Value) -> Judged {
    let (name, inner) = entry(value).ok_or("it must ask for one thing")?;
    match name {
        "concat" => inner.as_array().ok_or("it joins nothing")?.iter().try_for_each(selector),
        _ if CALCULATIONS.contains(&name) => {
            let sides = inner.as_array().ok_or("it calculates with two sides")?;
            sides.first().ok_or("it calculates with nothing".to_owned()).and_then(selector)?;
            sides[1..].iter().try_for_each(|side| expression(side, place(Some(value))))
        }
        _ => selector_of(name, inner),
    }
}

fn selector_of(name: &str, value: &Value) -> Judged {
    let known: &[&str] = match name {
        "payload" => &["protocol", "field", "base", "offset", "len"],
        "meta" => &["key"],
        "ct" => &["key", "family", "dir"],
        "fib" => &["result", "flags"],
        "tcp option" => &["name", "field"],
        "rt" => &["key"],
        _ => return Err(format!("this host does not know {}", named(name))),
    };
    keys(value, known, |_, value| match value {
        Value::Array(parts) => parts.iter().try_for_each(plain),
        Value::Number(_) => number(value),
        one => plain(one),
    })
    .map(drop)
}

fn target(value: &Value) -> Judged {
    keys(value, &["target"], |_, value| identifier(value)).map(drop)
}

/// The name of a chain, a set or a counter of the own table.
pub fn identifier(value: &Value) -> Judged {
    match value.as_str() {
        Some(name) if is_identifier(name) => Ok(()),
        other => {
            Err(format!("{} is no name: use letters, digits, '_' and '-', at most {NAME_BYTES_MAX}", named(other.unwrap_or_default())))
        }
    }
}

pub fn is_identifier(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A word of nft's grammar: which field, which key.
fn plain(value: &Value) -> Judged {
    let word = value.as_str().unwrap_or_default();
    match (1..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'-')) {
        true => Ok(()),
        false => Err("it asks for something without a plain name".to_owned()),
    }
}

fn flags(value: &Value, known: &[&str]) -> Judged {
    match value {
        Value::Array(flags) => flags.iter().try_for_each(|flag| word_of(flag, known)),
        one => word_of(one, known),
    }
}

pub fn word_of(value: &Value, known: &[&str]) -> Judged {
    match value.as_str() {
        Some(word) if known.contains(&word) => Ok(()),
        other => Err(format!("{} is none of {}", named(other.unwrap_or_default()), known.join(", "))),
    }
}

/// Not beyond 63 bits: nft's reader of JSON refuses those, and then takes what is left of its input for its other language.
pub fn number(value: &Value) -> Judged {
    match value.is_i64() {
        true => Ok(()),
        false => Err("a whole number is missing".to_owned()),
    }
}

fn boolean(value: &Value) -> Judged {
    value.is_boolean().then_some(()).ok_or_else(|| "true or false is missing".to_owned())
}

fn null(value: &Value) -> Judged {
    value.is_null().then_some(()).ok_or_else(|| "it takes no arguments".to_owned())
}

pub fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    object.get(key).and_then(Value::as_str).ok_or_else(|| format!("its {key} is missing"))
}

/// The only entry of an object.
pub fn entry(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().map(|(key, value)| (key.as_str(), value))
}

/// An object that has no other keys, each judged.
fn keys<'a>(value: &'a Value, known: &[&str], judge: impl Fn(&str, &Value) -> Judged) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or("its arguments are missing")?;
    for (key, value) in object {
        if !known.contains(&key.as_str()) {
            return Err(format!("this host does not know its key {}", named(key)));
        }
        judge(key, value)?;
    }
    Ok(object)
}

/// What a guest wrote, as it may stand in a sentence.
pub fn named(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}
