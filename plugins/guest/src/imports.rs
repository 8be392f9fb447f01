//! The host's imports behind our traits. In a component they lead to the host. Compiled for the machine that tests run on, they lead
//! nowhere: a call panics there, so what a test runs is given a scripted host instead.

use crate::bindings::transload::plugin as wit;
use crate::fault::{Fault, FaultKind};
use crate::http::{Auth, BodyPart, Encoding, Extent, Method, Request, Response};
use crate::ports::{Clock, Entry, Http, Netfilter, SecretForm, Secrets, Sessions, Stream, Streams};
use crate::store::{Body, Digest, Digests, Incoming, Transfer};

/// Everything the host gives to a component.
#[derive(Debug, Clone, Copy, Default)]
pub struct Imports;

impl Imports {
    /// Names a GET that the host performs when it pulls. A login that has ended brings the host back for the same range.
    pub fn lazy(&self, request: &Request, range: Extent) -> Result<wit::bulk::ByteSource, Fault> {
        let expect = wit::http::Expectation { range: to_extent(range) };
        Ok(wit::http::lazy(&to_request(request), expect)?)
    }
}

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
    fn sign_chain(&self, secret: &str, form: SecretForm, prefix: &[u8], steps: &[Vec<u8>]) -> Result<Vec<u8>, Fault> {
        use wit::secrets::{Mac, sign_chain};
        let form = match form {
            SecretForm::Text => wit::secrets::SecretForm::Text,
            SecretForm::Base64 => wit::secrets::SecretForm::Base64,
        };
        Ok(sign_chain(Mac::HmacSha256, secret, form, prefix, steps)?)
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

impl Transfer for Imports {
    type Body = wit::bulk::SealedBody;
    type Incoming = wit::http::Incoming;

    fn put(&self, request: &Request, body: &Self::Body) -> Result<Response, Fault> {
        Ok(wit::http::put(&to_request(request), body).map(response)?)
    }

    fn get(&self, request: &Request, range: Option<Extent>) -> Result<Self::Incoming, Fault> {
        Ok(wit::http::get(&to_request(request), range.map(to_extent))?)
    }
}

impl Body for wit::bulk::SealedBody {
    fn length(&self) -> u64 {
        wit::bulk::SealedBody::length(self)
    }
}

impl Digests for wit::bulk::SealedBody {
    fn digest(&self, digest: Digest) -> Result<Vec<u8>, Fault> {
        Ok(wit::bulk::SealedBody::digest(self, digest)?)
    }
}

impl Incoming for wit::http::Incoming {
    fn status(&self) -> u16 {
        wit::http::Incoming::status(self)
    }

    fn header(&self, name: &str) -> Option<String> {
        wit::http::Incoming::header(self, name)
    }

    fn length(&self) -> Option<u64> {
        wit::http::Incoming::length(self)
    }

    fn fault_body(&self) -> Result<Vec<u8>, Fault> {
        Ok(wit::http::Incoming::fault_body(self)?)
    }
}

/// The plugin's settings as the operator wrote them.
pub fn config_json() -> String {
    wit::config::json()
}

fn to_request(request: &Request) -> wit::http::Request {
    wit::http::Request {
        method: match request.method {
            Method::Get => wit::http::Method::Get,
            Method::Head => wit::http::Method::Head,
            Method::Put => wit::http::Method::Put,
            Method::Post => wit::http::Method::Post,
            Method::Delete => wit::http::Method::Delete,
            Method::Patch => wit::http::Method::Patch,
        },
        url: request.url.clone(),
        headers: request.headers.iter().map(|(name, value)| wit::types::Header { name: name.clone(), value: value.clone() }).collect(),
        auth: auth(&request.auth),
    }
}

fn auth(auth: &Auth) -> wit::http::Auth {
    match auth.clone() {
        Auth::None => wit::http::Auth::None,
        Auth::Basic { user, password } => wit::http::Auth::Basic(wit::http::BasicAuth { user, password }),
        Auth::Bearer(secret) => wit::http::Auth::Bearer(secret),
        Auth::Header { name, prefix, secret } => wit::http::Auth::Header(wit::http::HeaderAuth { name, prefix, secret }),
        Auth::Query(secret) => wit::http::Auth::Query(secret),
        Auth::Negotiate { user, password } => wit::http::Auth::Negotiate(wit::http::BasicAuth { user, password }),
    }
}

fn response(response: wit::http::Response) -> Response {
    let headers = response.headers.into_iter().map(|header| (header.name, header.value)).collect();
    Response { status: response.status, headers, body: response.body }
}

pub(crate) fn to_extent(extent: Extent) -> wit::types::Extent {
    wit::types::Extent { offset: extent.offset, length: extent.length }
}

pub(crate) fn extent(extent: wit::types::Extent) -> Extent {
    Extent::new(extent.offset, extent.length)
}

fn part(part: &BodyPart) -> wit::http::BodyPart {
    match part {
        BodyPart::Bytes(bytes) => wit::http::BodyPart::Bytes(bytes.clone()),
        BodyPart::Secret { name, encoding } => {
            wit::http::BodyPart::Secret(wit::http::SecretPart { secret: name.clone(), encoding: to_encoding(*encoding) })
        }
    }
}

fn to_encoding(encoding: Encoding) -> wit::http::Encoding {
    match encoding {
        Encoding::Raw => wit::http::Encoding::Raw,
        Encoding::XmlText => wit::http::Encoding::XmlText,
        Encoding::JsonString => wit::http::Encoding::JsonString,
        Encoding::FormValue => wit::http::Encoding::FormValue,
        Encoding::Base64 => wit::http::Encoding::Base64,
    }
}

/// With it, `?` takes what a handle of the host's answers.
impl From<wit::types::Fault> for Fault {
    fn from(generated: wit::types::Fault) -> Fault {
        fault(generated)
    }
}

fn fault(fault: wit::types::Fault) -> Fault {
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

pub(crate) fn to_fault(fault: Fault) -> wit::types::Fault {
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
