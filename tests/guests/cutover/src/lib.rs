//! A cutover over plain HTTP verbs: the address of a VM is a resource below /names/. The setting `misdeed` makes it misbehave.
#![cfg(target_family = "wasm")]

mod misdeeds;

wit_bindgen::generate!({ path: "../../../wit", world: "cutover-plugin" });

use exports::transload::plugin::cutover::*;
use transload::plugin::config;
use transload::plugin::http::{Auth, BodyPart, Method, Request, send};
use transload::plugin::types::{Fault, FaultKind};

struct Echo;
export!(Echo);

fn fault(kind: FaultKind, message: impl Into<String>) -> Fault {
    Fault { kind, message: message.into(), retry_after_ms: None }
}

/// One of the settings, which are one JSON object with text values; empty where there is none of this name.
fn setting(name: &str) -> String {
    let json = config::json();
    let behind = json.split(&format!("\"{name}\":\"")).nth(1).unwrap_or_default();
    behind.split('"').next().unwrap_or_default().to_owned()
}

/// Runs while the host still makes the instance.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    misdeeds::start(&setting("misdeed"));
}

fn place(step: &Step) -> Result<String, Fault> {
    let name = step.id.strip_prefix("switch:").ok_or_else(|| fault(FaultKind::Invalid, "that is no step of mine"))?;
    Ok(format!("{}/names/{name}", setting("url")))
}

fn read(url: String) -> Result<String, Fault> {
    let response = send(&Request { method: Method::Get, url, headers: Vec::new(), auth: Auth::None }, &[])?;
    match response.status {
        200 => Ok(String::from_utf8_lossy(&response.body).into_owned()),
        other => Err(fault(FaultKind::Unavailable, other.to_string())),
    }
}

fn write(url: String, address: &str) -> Result<(), Fault> {
    let body = [BodyPart::Bytes(address.as_bytes().to_vec())];
    match send(&Request { method: Method::Put, url, headers: Vec::new(), auth: Auth::None }, &body)?.status {
        200 => Ok(()),
        other => Err(fault(FaultKind::Unavailable, other.to_string())),
    }
}

/// From one address to another, unless it is there already.
fn change(step: &Step, from: &str, to: &str) -> Result<(), Fault> {
    if step.detail.parse::<std::net::IpAddr>().is_err() {
        return Err(fault(FaultKind::Invalid, "that is no address"));
    }
    let url = place(step)?;
    match read(url.clone())? {
        now if now == to => Ok(()),
        now if now == from => write(url, to),
        now => Err(fault(FaultKind::Conflict, format!("it is {now}, and was {from}"))),
    }
}

impl Guest for Echo {
    fn describe() -> Result<Description, Fault> {
        Ok(Description { product: "names".to_owned() })
    }

    fn plan(context: Context) -> Result<Vec<Step>, Fault> {
        let planned = context.vms.iter().map(|vm| Step {
            id: format!("switch:{}", vm.name),
            phase: Phase::Switch,
            summary: format!("{} becomes {}", vm.name, vm.target_addresses.join(", ")),
            detail: vm.target_addresses.first().cloned().unwrap_or_default(),
            settle_seconds: 0,
        });
        misdeeds::plan(&setting("misdeed"), planned.collect())
    }

    fn check(step: Step) -> Result<String, Fault> {
        match misdeeds::check(&setting("misdeed")) {
            Some(wrong) => wrong,
            None => read(place(&step)?),
        }
    }

    fn apply(step: Step, before: String, _idempotency_key: String) -> Result<(), Fault> {
        change(&step, &before, &step.detail)
    }

    fn verify(step: Step) -> Result<bool, Fault> {
        Ok(read(place(&step)?)? == step.detail)
    }

    fn undo(step: Step, before: String) -> Result<(), Fault> {
        // Its broken twin takes back what others did as well.
        match setting("misdeed").as_str() {
            "takes-others-back" => write(place(&step)?, &before),
            _ => change(&step, &step.detail, &before),
        }
    }
}
