//! The `http` import: performs granted requests. Bodies of bulk size stay on the host's side of the boundary.

use std::pin::pin;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, RANGE};
use reqwest::{Method, Response};
use wasmtime::component::Resource;
use zeroize::Zeroizing;

use super::bindings::http::{self, BodyPart, Encoding, Expectation, Request};
use super::bindings::types;
use super::bulk::SealedBody;
use super::incoming::Incoming;
use super::lazy::LazyRange;
use super::outgoing::{Held, Sent};
use super::plugin::Plugin;
use super::policy::Allowed;
use super::splice::Splice;
use super::state::{InstanceState, Refusal};
use super::trouble::{self, Mishap};
use crate::model::{Extent, Fault};
use crate::net::Client;
use crate::secret::Secret;

const BODY_BYTES_MAX: usize = 1 << 20;
/// Time for a bulk transfer is granted at this rate. Up to sixteen share a link, and one that is slower than two megabits cannot replicate
/// anything.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// How long bulk bytes may take on top of what a small exchange may.
pub fn transfer_allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes / BYTES_PER_SECOND_MIN)
}

/// Ends a transfer that goes on, but at a pace at which it would never end.
pub async fn in_time<T>(client: &Client, bytes: u64, transfer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let endpoint = client.endpoint();
    let limit = endpoint.read_timeout + transfer_allowance(bytes);
    let too_slow = || Fault::unavailable(format!("{} did not send {bytes} bytes within {} s", endpoint.origin, limit.as_secs()));
    tokio::time::timeout(limit, transfer).await.unwrap_or_else(|_| Err(too_slow()))
}

/// Sends a request and waits for the head of the response.
pub async fn exchange(plugin: &Plugin, allowed: Allowed, range: Option<Extent>, body: Option<Sent>) -> Result<Response, Fault> {
    let client = plugin.client(&allowed.origin)?;
    let lost = || Err(Fault::unavailable(format!("the connection to {} broke: for this trial", client.endpoint().origin)));
    match plugin.mishap() {
        None => sent(client, allowed, range, body).await,
        Some(Mishap::Busy) => Ok(trouble::busy()),
        Some(Mishap::Lost) => lost(),
        Some(Mishap::Unanswered) => sent(client, allowed, range, body).await.and_then(|_| lost()),
        Some(Mishap::Cut) => Ok(trouble::cut(sent(client, allowed, range, body).await?).await),
    }
}

async fn sent(client: &Client, allowed: Allowed, range: Option<Extent>, body: Option<Sent>) -> Result<Response, Fault> {
    let allowance = client.endpoint().read_timeout + transfer_allowance(body.as_ref().map_or(0, |body| body.bytes));
    let body = body.or_else(|| has_body(&allowed.method).then(|| Sent::from(Bytes::new())));
    let mut request = client.http().request(allowed.method, allowed.url).headers(allowed.headers);
    if let Some(extent) = range {
        request = request.header(RANGE, format!("bytes={}-{}", extent.offset, extent.end() - 1));
    }
    let mut held = Held::default();
    if let Some(body) = body {
        held = body.held;
        request = request.header(CONTENT_LENGTH, body.bytes).body(body.body);
    }
    let mut sending = pin!(request.send());
    loop {
        let before = held.so_far();
        match tokio::time::timeout(allowance, &mut sending).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => return Err(client.fault(&error)),
            // It was its meter that kept it.
            Err(_) if held.so_far() > before => {}
            Err(_) => return Err(client.silence()),
        }
    }
}

/// The next part of a body; None at its end.
pub async fn next_chunk(client: &Client, response: &mut Response) -> Result<Option<Bytes>, Fault> {
    match tokio::time::timeout(client.endpoint().read_timeout, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(client.fault(&error)),
        Err(_) => Err(client.silence()),
    }
}

/// A small body, whole.
pub async fn small_body(client: &Client, response: &mut Response, bytes_max: u64) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = next_chunk(client, response).await? {
        if body.len() as u64 + chunk.len() as u64 > bytes_max {
            let origin = &client.endpoint().origin;
            return Err(Fault::corrupt(format!("a response of {origin} is longer than the {bytes_max} bytes that are granted")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An extent that a guest wrote: not empty, and its end can be said.
pub fn extent(given: types::Extent) -> Result<Extent, Fault> {
    match given.offset.checked_add(given.length) {
        Some(_) if given.length > 0 => Ok(Extent::new(given.offset, given.length)),
        _ => Err(Fault::invalid(format!("{}+{} is no range", given.offset, given.length))),
    }
}

fn has_body(method: &Method) -> bool {
    [Method::PUT, Method::POST, Method::PATCH].contains(method)
}

fn told(headers: &HeaderMap) -> Vec<types::Header> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| types::Header { name: name.as_str().to_owned(), value: text(value.as_bytes()) }).collect()
}

/// Puts the parts together; a secret may stand in it only on its way to its own origins.
fn assemble(plugin: &Plugin, allowed: &Allowed, parts: Vec<BodyPart>) -> Result<Option<Bytes>, Fault> {
    if parts.is_empty() {
        return Ok(None);
    }
    // Reserved at once: a vector that grows would leave copies of secrets behind.
    let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX));
    for part in parts {
        match part {
            BodyPart::Bytes(bytes) if body.len() + bytes.len() <= BODY_BYTES_MAX => body.extend_from_slice(&bytes),
            BodyPart::Secret(part) => encode(plugin.grants().secret_for(&part.secret, &allowed.origin)?, part.encoding, &mut body)
                .map_err(|why| Fault::invalid(format!("the secret {:?} {why}", part.secret)))?,
            BodyPart::Bytes(_) => body.resize(BODY_BYTES_MAX + 1, 0),
        }
        if body.len() > BODY_BYTES_MAX {
            return Err(Fault::invalid("the body parts together are longer than 1 MiB"));
        }
    }
    Ok(Some(Bytes::from_owner(body)))
}

/// Writes a secret the way the body around it needs it.
pub fn encode(secret: &Secret, encoding: Encoding, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let bytes = secret.expose();
    let text = || std::str::from_utf8(bytes).map_err(|_| "is no text, which this encoding needs");
    match encoding {
        Encoding::Raw => out.extend_from_slice(bytes),
        Encoding::Base64 => out.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(bytes).as_bytes()),
        Encoding::XmlText => {
            for character in text()?.chars() {
                match character {
                    '&' => out.extend_from_slice(b"&amp;"),
                    '<' => out.extend_from_slice(b"&lt;"),
                    '>' => out.extend_from_slice(b"&gt;"),
                    '\r' => out.extend_from_slice(b"&#13;"),
                    '\t' | '\n' => out.push(character as u8),
                    character if character.is_control() => return Err("holds a control character, which XML cannot carry"),
                    character => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        Encoding::JsonString => {
            let quoted = Zeroizing::new(serde_json::to_string(text()?).map_err(|_| "cannot be written as JSON")?);
            out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        }
        Encoding::FormValue => {
            for byte in bytes {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(*byte),
                    b' ' => out.push(b'+'),
                    other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
                }
            }
        }
    }
    Ok(())
}

impl http::Host for InstanceState {
    async fn send(&mut self, request: Request, body: Vec<BodyPart>) -> Result<http::Response, Refusal> {
        self.may_reach()?;
        let plugin = self.plugin.clone();
        let allowed = plugin.grants().allow(request)?;
        let body = assemble(&plugin, &allowed, body)?;
        let client = plugin.client(&allowed.origin)?;
        // No seat: small exchanges are bounded by the instances, and a login must not wait behind a hundred reads.
        let mut response = exchange(&plugin, allowed, None, body.map(Sent::from)).await?;
        let (status, headers) = (response.status().as_u16(), told(response.headers()));
        let body = small_body(client, &mut response, plugin.limits().response).await?;
        Ok(http::Response { status, headers, body })
    }

    async fn lazy(&mut self, request: Request, expect: Expectation) -> Result<Resource<Splice>, Refusal> {
        self.may_reach()?;
        let range = extent(expect.range)?;
        let allowed = self.plugin.grants().allow(request)?;
        if allowed.method != Method::GET {
            return Err(Fault::invalid("a lazy range is a GET").into());
        }
        let range = LazyRange::new(self.plugin.clone(), allowed, range);
        self.keep(Splice::lazy(range))
    }

    async fn put(&mut self, request: Request, body: Resource<SealedBody>) -> Result<http::Response, Refusal> {
        self.may_reach()?;
        let plugin = self.plugin.clone();
        let allowed = plugin.grants().allow(request)?;
        if !has_body(&allowed.method) {
            return Err(Fault::invalid("sealed bytes are sent by PUT, POST or PATCH").into());
        }
        let sealed = self.table.get(&body)?.sealed();
        let (body, length) = (Sent::from(sealed), sealed.len() as u64);
        let client = plugin.client(&allowed.origin)?;
        let moving = self.time.moving();
        let _seat = client.seat().await;
        let mut response = exchange(&plugin, allowed, None, Some(body)).await?;
        drop(moving);
        plugin.counters().spliced(length);
        let (status, headers) = (response.status().as_u16(), told(response.headers()));
        let body = small_body(client, &mut response, plugin.limits().response).await?;
        Ok(http::Response { status, headers, body })
    }

    async fn get(&mut self, request: Request, range: Option<types::Extent>) -> Result<Resource<Incoming>, Refusal> {
        self.may_reach()?;
        let range = range.map(extent).transpose()?;
        let allowed = self.plugin.grants().allow(request)?;
        if allowed.method != Method::GET {
            return Err(Fault::invalid("a body that the host consumes is asked for by GET").into());
        }
        let moving = self.time.moving();
        let incoming = Incoming::open(self.plugin.clone(), allowed, range).await?;
        drop(moving);
        Ok(self.table.push(incoming)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(secret: &str, encoding: Encoding) -> Result<String, &'static str> {
        let mut out = Vec::new();
        encode(&Secret::new(secret), encoding, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_secret_cannot_break_out_of_the_body_it_stands_in() {
        let secret = "</password>\"&x=1 ä\\";
        assert_eq!(encoded(secret, Encoding::XmlText).unwrap(), "&lt;/password&gt;\"&amp;x=1 ä\\");
        assert_eq!(encoded(secret, Encoding::JsonString).unwrap(), "</password>\\\"&x=1 ä\\\\");
        assert_eq!(encoded(secret, Encoding::FormValue).unwrap(), "%3C%2Fpassword%3E%22%26x%3D1+%C3%A4%5C");
        assert_eq!(encoded("a\u{1}b", Encoding::XmlText), Err("holds a control character, which XML cannot carry"));
        assert_eq!(encoded("a b", Encoding::Base64).unwrap(), "YSBi");
    }

    #[test]
    fn an_empty_or_endless_range_is_invalid() {
        assert!(extent(types::Extent { offset: 5, length: 0 }).is_err());
        assert!(extent(types::Extent { offset: u64::MAX, length: 1 }).is_err());
        assert_eq!(extent(types::Extent { offset: 5, length: 1 }).unwrap(), Extent::new(5, 1));
    }
}
