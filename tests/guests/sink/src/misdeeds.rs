//! What a store's plugin can do wrong, by the key or the setting that it is asked with.

use crate::exports::transload::plugin::sink::{CreateGuarantee, Description, EntriesPage, Entry};
use crate::transload::plugin::http::{Incoming, Method, get as ask};
use crate::transload::plugin::secrets::{Mac, SecretForm, sign_chain};
use crate::transload::plugin::types::{Extent, Fault};
use crate::{hex, request};

pub fn describe(misdeed: &str) -> Option<Result<Description, Fault>> {
    let sign = |secret: &str, prefix: &[u8], steps: usize| {
        let key = sign_chain(Mac::HmacSha256, secret, SecretForm::Text, prefix, &vec![b"step".to_vec(); steps]);
        key.map(|key| description(hex(&key), 1 << 26))
    };
    match misdeed {
        told if told.starts_with("tell ") => Some(Ok(description(told.to_owned(), 1 << 26))),
        "no-room" => Some(Ok(description(String::new(), 0))),
        "long-product" => Some(Ok(description("x".repeat(64 * 1024 + 1), 1 << 26))),
        "short-chain" => Some(sign("key", b"ECHO", 1)),
        "endless-chain" => Some(sign("key", b"ECHO", 17)),
        "other-prefix" => Some(sign("key", b"AWS4", 2)),
        "other-secret" => Some(sign("root", b"ECHO", 2)),
        _ => None,
    }
}

fn description(product: String, object_bytes_max: u64) -> Description {
    Description { product, create: CreateGuarantee::Atomic, object_bytes_max }
}

pub fn before_put(key: &str) {
    match key {
        "bad/loop" => endless(),
        "bad/trap" => panic!("on purpose"),
        _ => {}
    }
}

pub fn after_put(key: &str, again: impl Fn()) {
    match key {
        "bad/loop-after" => endless(),
        // There is always something that moves.
        "bad/again-slow" => loop {
            again();
        },
        _ => {}
    }
}

fn endless() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

pub fn get(key: &str) -> Option<Result<Incoming, Fault>> {
    match key {
        // Every response holds a place among the transfers that run.
        "bad/hoard" => {
            let mut held = Vec::new();
            loop {
                match ask(&request(Method::Get, key), Some(Extent { offset: 0, length: 1 })) {
                    Ok(incoming) => held.push(incoming),
                    Err(fault) => return Some(Err(fault)),
                }
            }
        }
        "bad/curious" => Some(ask(&request(Method::Get, key), None).and_then(|incoming| incoming.fault_body().map(|_| incoming))),
        // SAFETY: it is no handle of this guest's, and what the host makes of that is what the tests ask.
        "bad/forged" => Some(Ok(unsafe { Incoming::from_handle(4711) })),
        _ => None,
    }
}

/// Two entries in one page, unless the prefix says otherwise. The cursor is the number of the page.
pub fn entries(prefix: &str, cursor: Option<&str>) -> EntriesPage {
    let number: u64 = cursor.map_or(0, |cursor| cursor.parse().unwrap_or(0));
    let page = |keys: &[String], next: Option<u64>| EntriesPage {
        entries: keys.iter().map(|key| Entry { key: key.clone(), size: 1 }).collect(),
        next: next.map(|next| next.to_string()),
    };
    let below = |name: &str| format!("{prefix}{name}");
    match prefix {
        "bad/" => page(&[below("b"), below("a")], None),
        "bad/twice/" => page(&[below("a"), below("a")], None),
        "bad/elsewhere/" => page(&["key/a".to_owned()], None),
        "bad/long/" => page(&[below(&"x".repeat(512))], None),
        "bad/many/" => page(&(0..65_537).map(|key| below(&format!("{key:06}"))).collect::<Vec<_>>(), None),
        "bad/spot/" => page(&[below("a")], Some(1)),
        "bad/back/" => page(&[below(["b", "c", "a"][number as usize % 3])], Some(number + 1)),
        "bad/circle/" => page(&[], Some((number + 1) % 2)),
        "bad/endless/" => page(&[below(&format!("{number:09}"))], Some(number + 1)),
        _ => page(&[below("a"), below("b")], None),
    }
}
