//! A sink over plain HTTP verbs: objects are resources below /o/. Keys that start with "bad/" make it misbehave.
#![cfg(target_family = "wasm")]

mod misdeeds;

wit_bindgen::generate!({ path: "../../../wit", world: "sink-plugin" });

use exports::transload::plugin::sink::*;
use transload::plugin::bulk::{DigestAlgorithm, SealedBody};
use transload::plugin::config;
use transload::plugin::http::{Auth, Incoming, Method, Request, get, put, send};
use transload::plugin::secrets::{Mac, SecretForm, sign_chain};
use transload::plugin::types::{Extent, Fault, FaultKind, Header};

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

fn request(method: Method, key: &str) -> Request {
    Request { method, url: format!("{}/o/{key}", setting("url")), headers: Vec::new(), auth: Auth::None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn status(status: u16, what: &str) -> Result<(), Fault> {
    match status {
        200..=299 => Ok(()),
        404 => Err(fault(FaultKind::NotFound, what)),
        409 | 412 => Err(fault(FaultKind::Conflict, what)),
        other => Err(fault(FaultKind::Unavailable, format!("{what}: {other}"))),
    }
}

impl Guest for Echo {
    fn describe() -> Result<Description, Fault> {
        if let Some(wrong) = misdeeds::describe(&setting("misdeed")) {
            return wrong;
        }
        let steps: Vec<Vec<u8>> = ["date", "region"].iter().map(|step| step.as_bytes().to_vec()).collect();
        let key = sign_chain(Mac::HmacSha256, "key", SecretForm::Text, b"ECHO", &steps)?;
        Ok(Description { product: hex(&key), create: CreateGuarantee::Atomic, object_bytes_max: 1 << 26 })
    }

    fn put(key: String, body: &SealedBody) -> Result<(), Fault> {
        misdeeds::before_put(&key);
        let header = |name: &str, value: String| Header { name: name.to_owned(), value };
        let sha256 = hex(&body.digest(DigestAlgorithm::Sha256)?);
        let crc32c = hex(&body.digest(DigestAlgorithm::Crc32c)?);
        let headers = vec![header("if-none-match", "*".to_owned()), header("x-sha256", sha256), header("x-crc32c", crc32c)];
        let request = Request { headers, ..request(Method::Put, &key) };
        let response = put(&request, body)?;
        misdeeds::after_put(&key, || drop(put(&request, body)));
        status(response.status, &key)
    }

    fn get(key: String, range: Option<Extent>) -> Result<Incoming, Fault> {
        if let Some(wrong) = misdeeds::get(&key) {
            return wrong;
        }
        let range = if key == "bad/range" { Some(Extent { offset: 0, length: 1 }) } else { range };
        let incoming = get(&request(Method::Get, &key), range)?;
        if key != "bad/status" && incoming.status() >= 300 {
            let body = incoming.fault_body()?;
            status(incoming.status(), &String::from_utf8_lossy(&body))?;
        }
        Ok(incoming)
    }

    fn head(key: String) -> Result<Option<u64>, Fault> {
        let response = send(&request(Method::Head, &key), &[])?;
        let length = response.headers.iter().find(|header| header.name == "content-length");
        match response.status {
            404 => Ok(None),
            _ => Ok(length.and_then(|header| header.value.parse().ok())),
        }
    }

    fn entries(prefix: String, cursor: Option<String>) -> Result<EntriesPage, Fault> {
        Ok(misdeeds::entries(&prefix, cursor.as_deref()))
    }

    fn delete(keys: Vec<String>) -> Result<Vec<Result<(), Fault>>, Fault> {
        let kept: Vec<&String> = keys.iter().filter(|key| *key != "bad/forgotten").collect();
        Ok(kept.iter().map(|key| send(&request(Method::Delete, key), &[]).and_then(|answer| status(answer.status, key))).collect())
    }
}
