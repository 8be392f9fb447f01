//! The host's imports behind our traits: the one place where generated types and our own words meet.

use crate::bindings::transload::plugin as wit;
use crate::fault::{Fault, FaultKind};
use crate::http::{BodyPart, Encoding, Extent, Method, Request, Response};
use crate::ports::{Clock, Entry, Http, Netfilter, Secrets, Sessions, Stream, Streams};

/// Everything the host gives to a component.
pub struct Imports;

impl Http for Imports {
    fn send(&self, request: &Request, body: &[BodyPart]) -> Result<Response, Fault> {
        let parts: Vec<wit::http::BodyPart> = body.iter().map(part).collect();
        wit::http::send(&to_request(request), &parts).map(response).map_err(fault)
    }
}

impl Sessions for Imports {
    fn get(&self, name: &str) -> Option<Entry> {
        wit::sessions::get(name).map(|entry| Entry { version: entry.version, value: entry.value })
    }

    fn compare_and_set(&self, name: &str, expected: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
        wit::sessions::compare_and_set(name, expected, value).map_err(fault)
    }
}

impl Secrets for Imports {
    fn sign_chain(&self, secret: &str, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
        use wit::secrets::{Mac, SecretForm, sign_chain};
        sign_chain(Mac::HmacSha256, secret, SecretForm::Text, prefix, steps).map_err(fault)
    }
}

impl Clock for Imports {
    fn now(&self) -> u64 {
        wit::clock::now().seconds
    }
}

impl Streams for Imports {
    fn open(&self, grant: &str) -> Result<Box<dyn Stream>, Fault> {
        Ok(Box::new(wit::streams::open(grant).map_err(fault)?))
    }
}

impl Stream for wit::streams::Connection {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        wit::streams::Connection::send(self, bytes).map_err(fault)
    }

    fn receive(&mut self, limit: u32, deadline_ms: u32) -> Result<Vec<u8>, Fault> {
        wit::streams::Connection::receive(self, limit, deadline_ms).map_err(fault)
    }
}

impl Netfilter for Imports {
    fn apply(&self, ruleset: &str) -> Result<(), Fault> {
        wit::netfilter::apply(ruleset).map_err(fault)
    }

    fn rules(&self) -> Result<String, Fault> {
        wit::netfilter::rules().map_err(fault)
    }
}

/// The plugin's settings as the operator wrote them.
pub fn config_json() -> String {
    wit::config::json()
}

/// One line in the host's log.
pub fn warn(message: &str) {
    wit::log::write(wit::log::Level::Warn, message);
}

pub fn to_request(request: &Request) -> wit::http::Request {
    wit::http::Request {
        method: match request.method {
            Method::Get => wit::http::Method::Get,
            Method::Head => wit::http::Method::Head,
            Method::Put => wit::http::Method::Put,
            Method::Post => wit::http::Method::Post,
            Method::Delete => wit::http::Method::Delete,
        },
        url: request.url.clone(),
        headers: request.headers.iter().map(|(name, value)| wit::types::Header { name: name.clone(), value: value.clone() }).collect(),
        auth: request.query_secret.clone().map_or(wit::http::Auth::None, wit::http::Auth::Query),
    }
}

pub fn response(response: wit::http::Response) -> Response {
    let headers = response.headers.into_iter().map(|header| (header.name, header.value)).collect();
    Response { status: response.status, headers, body: response.body }
}

pub fn to_extent(extent: Extent) -> wit::types::Extent {
    wit::types::Extent { offset: extent.offset, length: extent.length }
}

pub fn extent(extent: wit::types::Extent) -> Extent {
    Extent::new(extent.offset, extent.length)
}

fn part(part: &BodyPart) -> wit::http::BodyPart {
    match part {
        BodyPart::Bytes(bytes) => wit::http::BodyPart::Bytes(bytes.clone()),
        BodyPart::Secret { name, encoding: Encoding::XmlText } => {
            wit::http::BodyPart::Secret(wit::http::SecretPart { secret: name.clone(), encoding: wit::http::Encoding::XmlText })
        }
    }
}

pub fn fault(fault: wit::types::Fault) -> Fault {
    use wit::types::FaultKind as Wit;
    let kind = match fault.kind {
        Wit::Denied => FaultKind::Denied,
        Wit::Auth => FaultKind::Auth,
        Wit::NotFound => FaultKind::NotFound,
        Wit::Conflict => FaultKind::Conflict,
        Wit::Invalid => FaultKind::Invalid,
        Wit::Corrupt => FaultKind::Corrupt,
        Wit::Unsupported => FaultKind::Unsupported,
        Wit::Throttled => FaultKind::Throttled,
        Wit::Unavailable => FaultKind::Unavailable,
        Wit::Full => FaultKind::Full,
        Wit::Cancelled => FaultKind::Cancelled,
        Wit::Internal => FaultKind::Internal,
    };
    Fault { kind, message: fault.message, retry_after_ms: fault.retry_after_ms }
}

pub fn to_fault(fault: Fault) -> wit::types::Fault {
    use wit::types::FaultKind as Wit;
    let kind = match fault.kind {
        FaultKind::Denied => Wit::Denied,
        FaultKind::Auth => Wit::Auth,
        FaultKind::NotFound => Wit::NotFound,
        FaultKind::Conflict => Wit::Conflict,
        FaultKind::Invalid => Wit::Invalid,
        FaultKind::Corrupt => Wit::Corrupt,
        FaultKind::Unsupported => Wit::Unsupported,
        FaultKind::Throttled => Wit::Throttled,
        FaultKind::Unavailable => Wit::Unavailable,
        FaultKind::Full => Wit::Full,
        FaultKind::Cancelled => Wit::Cancelled,
        FaultKind::Internal => Wit::Internal,
    };
    wit::types::Fault { kind, message: fault.message, retry_after_ms: fault.retry_after_ms }
}
