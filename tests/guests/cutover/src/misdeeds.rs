//! What a cutover may do wrong.

use crate::exports::transload::plugin::cutover::Step;
use crate::setting;
use crate::transload::plugin::http::{Auth, Method, Request, get, send};
use crate::transload::plugin::types::Fault;

fn request(path: &str) -> Request {
    Request { method: Method::Get, url: format!("{}{path}", setting("url")), headers: Vec::new(), auth: Auth::None }
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
    (misdeed == "long-before").then(|| Ok("x".repeat(65_537)))
}
