//! The six verbs of a sink. Each is one request; sink.wit of the contract says what each promises.

use crate::answers::{Refusal, deleted, fault, listed, refused};
use crate::exports::transload::plugin::sink::EntriesPage;
use crate::settings::Settings;
use crate::transload::plugin::bulk::SealedBody;
use crate::transload::plugin::config;
use crate::transload::plugin::http::{self, Auth, BodyPart, Incoming, Method, Request, Response};
use crate::transload::plugin::types::{Extent, Fault, FaultKind, Header};

/// What one PUT may carry on most stores that speak this dialect.
pub const OBJECT_BYTES_MAX: u64 = 5 << 30;

pub struct Store {
    settings: Settings,
}

impl Store {
    pub fn open() -> Result<Store, Fault> {
        Ok(Store {
            settings: Settings::parse(&config::json())?,
        })
    }

    pub fn product(&self) -> String {
        format!(
            "Plain object store at {}, bucket {}",
            self.settings.endpoint, self.settings.bucket
        )
    }

    /// Creates the object. The store decides by `If-None-Match` who was first; everybody else is told `conflict`.
    pub fn put(&self, key: &str, body: &SealedBody) -> Result<(), Fault> {
        let first = Header {
            name: "if-none-match".to_owned(),
            value: "*".to_owned(),
        };
        let request = Request {
            headers: vec![first],
            ..self.request(Method::Put, self.object(key))
        };
        let response = http::put(&request, body)?;
        match response.status {
            200..=299 => Ok(()),
            412 => Err(fault(FaultKind::Conflict, format!("{key} exists already."))),
            _ => Err(self.refused(&response, &format!("create {key}"))),
        }
    }

    /// The object or a part of it. The agent writes the `Range` header, and reads the body after this call.
    pub fn get(&self, key: &str, range: Option<Extent>) -> Result<Incoming, Fault> {
        let incoming = http::get(&self.request(Method::Get, self.object(key)), range)?;
        match (incoming.status(), range) {
            (200, None) => Ok(incoming),
            (206, Some(range)) => exact(key, range, incoming),
            (416, Some(range)) => Err(past_end(key, range)),
            (200, Some(_)) => Err(fault(
                FaultKind::Unsupported,
                format!("The store ignored the range of {key} and sent all of it."),
            )),
            (status @ 200..=299, _) => Err(fault(
                FaultKind::Corrupt,
                format!("The store answered get {key} with status {status}."),
            )),
            (status, _) => {
                let body = incoming.fault_body()?;
                let refusal = Refusal {
                    status,
                    retry_after: incoming.header("retry-after"),
                    body: &body,
                };
                Err(refused(
                    &self.settings.bucket,
                    &refusal,
                    &format!("get {key}"),
                ))
            }
        }
    }

    pub fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        let response = http::send(&self.request(Method::Head, self.object(key)), &[])?;
        let silent = || {
            fault(
                FaultKind::Corrupt,
                format!("The store did not say how long {key} is."),
            )
        };
        match response.status {
            200 => header(&response, "content-length")
                .and_then(|length| length.parse().ok())
                .map(Some)
                .ok_or_else(silent),
            404 => Ok(None),
            _ => Err(self.refused(&response, &format!("look at {key}"))),
        }
    }

    /// One page of ListObjectsV2. The cursor is the store's continuation token.
    pub fn entries(&self, prefix: &str, cursor: Option<&str>) -> Result<EntriesPage, Fault> {
        let mut url = format!(
            "{}?list-type=2&max-keys=1000&prefix={}{prefix}",
            self.bucket(),
            self.settings.prefix
        );
        if let Some(cursor) = cursor {
            url.push_str(&format!("&continuation-token={}", percent_encoded(cursor)));
        }
        let response = http::send(&self.request(Method::Get, url), &[])?;
        match response.status {
            200 => listed(&response.body, &self.settings.prefix),
            _ => Err(self.refused(&response, "list objects")),
        }
    }

    /// DeleteObjects: up to a thousand keys in one request, and a result for each of them.
    pub fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // Nothing in a key or in the prefix needs to be escaped in XML: the contract and the settings see to that.
        let objects: String = keys
            .iter()
            .map(|key| format!("<Object><Key>{}{key}</Key></Object>", self.settings.prefix))
            .collect();
        let body =
            format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{objects}</Delete>");
        let request = self.request(Method::Post, format!("{}?delete=", self.bucket()));
        let response = http::send(&request, &[BodyPart::Bytes(body.into_bytes())])?;
        match response.status {
            200 => deleted(
                &response.body,
                &self.settings.bucket,
                &self.settings.prefix,
                keys,
            ),
            _ => Err(self.refused(&response, "delete objects")),
        }
    }

    fn bucket(&self) -> String {
        format!("{}/{}", self.settings.endpoint, self.settings.bucket)
    }

    fn object(&self, key: &str) -> String {
        format!("{}/{}{key}", self.bucket(), self.settings.prefix)
    }

    fn request(&self, method: Method, url: String) -> Request {
        Request {
            method,
            url,
            headers: Vec::new(),
            auth: Auth::None,
        }
    }

    fn refused(&self, response: &Response, what: &str) -> Fault {
        let refusal = Refusal {
            status: response.status,
            retry_after: header(response, "retry-after"),
            body: &response.body,
        };
        refused(&self.settings.bucket, &refusal, what)
    }
}

/// Stores shorten a part that reaches past the end; the contract wants that refused.
fn exact(key: &str, range: Extent, incoming: Incoming) -> Result<Incoming, Fault> {
    match incoming.length() {
        Some(length) if length == range.length => Ok(incoming),
        Some(length) if length < range.length => Err(past_end(key, range)),
        other => {
            let message = format!(
                "Of {key}, {} bytes were asked for and {other:?} are coming.",
                range.length
            );
            Err(fault(FaultKind::Corrupt, message))
        }
    }
}

fn past_end(key: &str, range: Extent) -> Fault {
    let message = format!(
        "The {} bytes from {} reach past the end of {key}.",
        range.length, range.offset
    );
    fault(FaultKind::Invalid, message)
}

/// The agent gives names of headers in lower case.
fn header(response: &Response, name: &str) -> Option<String> {
    response
        .headers
        .iter()
        .find(|header| header.name == name)
        .map(|header| header.value.trim().to_owned())
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                (byte as char).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
