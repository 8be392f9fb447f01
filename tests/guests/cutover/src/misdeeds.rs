//! What a cutover may do wrong.

use crate::exports::transload::plugin::cutover::Step;
use crate::setting;
use crate::transload::plugin::http::{Auth, Method, Request, get, send};
use crate::transload::plugin::types::Fault;
use crate::transload::plugin::{netfilter, streams};

fn request(path: &str) -> Request {
    Request { method: Method::Get, url: format!("{}{path}", setting("url")), headers: Vec::new(), auth: Auth::None }
}

pub fn start(misdeed: &str) {
    let reached = match misdeed {
        "connects-at-start" => streams::open("line").map(drop),
        "filters-at-start" => netfilter::apply("{\"nftables\": []}"),
        "lists-at-start" => netfilter::rules().map(drop),
        "gets-at-start" => get(&request("/names/a"), None).map(drop),
        _ => return,
    };
    match reached {
        Ok(()) => panic!("it was reached"),
        Err(refused) => panic!("{}", refused.message),
    }
}

pub fn plan(misdeed: &str, mut steps: Vec<Step>) -> Result<Vec<Step>, Fault> {
    match misdeed {
        "asks-in-plan" => {
            send(&request("/names/a"), &[])?;
        }
        "gets-in-plan" => drop(get(&request("/names/a"), None)?),
        // The refusal is believed by nobody who reads the world all the same.
        "asks-in-plan-and-goes-on" => {
            let _ = send(&request("/names/a"), &[]);
        }
        "connects-in-plan" => drop(streams::open("line")?),
        "filters-in-plan" => netfilter::apply("{\"nftables\": []}")?,
        "lists-in-plan" => drop(netfilter::rules()?),
        "plans-twice" => steps.extend(steps.clone()),
        "plans-without-end" => loop {
            steps.truncate(1);
        },
        "traps-in-plan" => panic!("in plan, on purpose"),
        _ => {}
    }
    Ok(steps)
}

pub fn check(misdeed: &str) -> Option<Result<String, Fault>> {
    let wrong = match misdeed {
        "long-before" => Ok("x".repeat(65_537)),
        "foreign-line" => streams::open("10.0.0.1:22").map(|_| String::new()),
        // Open when the call ends.
        "leaks-line" => streams::open("line").map(|open| {
            std::mem::forget(open);
            "leaked".to_owned()
        }),
        "hoards-lines" => (0..100).map(|_| streams::open("line")).collect::<Result<Vec<_>, Fault>>().map(|all| all.len().to_string()),
        "waits-on-line" => streams::open("line").and_then(|open| open.receive(u32::MAX, u32::MAX)).map(|bytes| bytes.len().to_string()),
        "foreign-table" => {
            filtered(r#"{"add": {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [{"accept": null}]}}}"#)
        }
        "all-tables" => filtered(r#"{"flush": {"ruleset": null}}"#),
        "no-ruleset" => filtered("{"),
        _ => return None,
    };
    Some(wrong)
}

fn filtered(command: &str) -> Result<String, Fault> {
    netfilter::apply(&format!("{{\"nftables\": [{command}]}}")).map(|()| String::new())
}
