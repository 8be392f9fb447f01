//! The six verbs of a sink, each one signed request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;
use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Method, Request, Response};
use transload_guest::sink::EntriesPage;
use transload_guest::store::{Body as _, Digest, Digests as _, Incoming as _, exact, past_end};

use crate::address::Target;
use crate::listing;
use crate::ports::Host;
use crate::refusal::Refusal;
use crate::removal;
use crate::settings::{Checksum, Payload, Settings};
use crate::sign::{Signer, UNSIGNED, hex, moment};

/// What one PUT may carry on AWS and everywhere that follows it.
pub const OBJECT_BYTES_MAX: u64 = 5 << 30;

/// DeleteObjects takes no more.
pub const DELETE_KEYS_MAX: usize = 1000;

/// The SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub struct Store<'a, H: Host> {
    pub host: &'a H,
    pub settings: &'a Settings,
}

impl<H: Host> Store<'_, H> {
    pub fn product(&self) -> String {
        format!("Amazon S3 compatible store at {}, bucket {}", self.settings.endpoint.origin(), self.settings.bucket)
    }

    /// Creates the object, or says `conflict`: the store decides one winner by `If-None-Match: *`.
    pub fn put(&self, key: &str, body: &H::Body) -> Result<(), Fault> {
        if body.length() > OBJECT_BYTES_MAX {
            return Err(Fault::invalid(format!("{key} has {} bytes; an S3 object may have 5 GiB in one request.", body.length())));
        }
        let payload = match self.settings.payload {
            Payload::Unsigned => UNSIGNED.to_owned(),
            Payload::Signed => hex(&body.digest(Digest::Sha256)?),
        };
        let mut headers = vec![("if-none-match".to_owned(), "*".to_owned())];
        if self.settings.checksum == Checksum::Crc32c {
            headers.push(("x-amz-checksum-crc32c".to_owned(), STANDARD.encode(body.digest(Digest::Crc32c)?)));
        }
        let request = self.signed(Method::Put, &Target::object(self.settings, key), headers, &payload)?;
        let response = self.host.put(&request, body)?;
        match response.status {
            200..=299 => Ok(()),
            412 => Err(Fault::conflict(format!("{key} exists already in bucket {}.", self.settings.bucket))),
            _ => Err(self.refused(&response, &format!("put {key}"))),
        }
    }

    /// The object or a part of it; its bytes stay in the host.
    pub fn get(&self, key: &str, range: Option<Extent>) -> Result<H::Incoming, Fault> {
        let request = self.signed(Method::Get, &Target::object(self.settings, key), Vec::new(), EMPTY)?;
        let incoming = self.host.get(&request, range)?;
        match (incoming.status(), range) {
            (206, Some(range)) => exact(key, range, &incoming).map(|()| incoming),
            (200, None) => Ok(incoming),
            (200, Some(_)) => Err(Fault::unsupported(format!("The store ignored the range of {key} and sent the whole object."))),
            (416, Some(range)) => Err(past_end(key, range)),
            (status, _) => {
                let body = if (200..300).contains(&status) { Vec::new() } else { incoming.fault_body()? };
                Err(Refusal::read(status, |name| incoming.header(name), &body, self.host.now()).fault(self.settings, &format!("get {key}")))
            }
        }
    }

    pub fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        let request = self.signed(Method::Head, &Target::object(self.settings, key), Vec::new(), EMPTY)?;
        let response = self.host.send(&request, &[])?;
        match response.status {
            200 => {
                let length = response.header("content-length").and_then(|length| length.trim().parse().ok());
                length.map(Some).ok_or_else(|| Fault::corrupt(format!("The store did not say how long {key} is.")))
            }
            404 => Ok(None),
            _ => Err(self.refused(&response, &format!("look at {key}"))),
        }
    }

    /// A page of keys that start with `prefix`.
    pub fn entries(&self, prefix: &str, cursor: Option<&str>) -> Result<EntriesPage, Fault> {
        let mut target = Target::bucket(self.settings)
            .with("list-type", "2")
            .with("encoding-type", "url")
            .with("max-keys", "1000")
            .with("prefix", format!("{}{prefix}", self.settings.prefix));
        if let Some(cursor) = cursor {
            target = target.with("continuation-token", cursor);
        }
        let request = self.signed(Method::Get, &target, Vec::new(), EMPTY)?;
        let response = self.host.send(&request, &[])?;
        match response.status {
            200 => listing::read(&response.body, &self.settings.prefix),
            _ => Err(self.refused(&response, "list objects")),
        }
    }

    /// Deletes up to a thousand keys; one verdict for each, in their order.
    pub fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
        if keys.len() > DELETE_KEYS_MAX {
            return Err(Fault::invalid(format!("{} keys in one deletion; S3 takes 1,000.", keys.len())));
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let body = removal::write(self.settings, keys);
        // S3 demands a checksum on this request whatever the settings say about others.
        let checksum = STANDARD.encode(crc32c::crc32c(&body).to_be_bytes());
        let headers = vec![("content-type".to_owned(), "application/xml".to_owned()), ("x-amz-checksum-crc32c".to_owned(), checksum)];
        let digest = hex(&sha2::Sha256::digest(&body));
        let request = self.signed(Method::Post, &Target::bucket(self.settings).with("delete", ""), headers, &digest)?;
        let response = self.host.send(&request, &[BodyPart::Bytes(body)])?;
        match response.status {
            200 => removal::read(self.settings, keys, &response.body),
            _ => Err(self.refused(&response, "delete objects")),
        }
    }

    fn signed(&self, method: Method, target: &Target, mut headers: Vec<(String, String)>, payload: &str) -> Result<Request, Fault> {
        let signer = Signer {
            access_key: &self.settings.access_key,
            secret: &self.settings.secret_key,
            region: &self.settings.region,
            service: "s3",
            moment: moment(self.host.now())?,
        };
        headers.push(("x-amz-content-sha256".to_owned(), payload.to_owned()));
        headers.push(("x-amz-date".to_owned(), signer.moment.clone()));
        signer.sign(self.host, method, target, headers, payload)
    }

    fn refused(&self, response: &Response, what: &str) -> Fault {
        let header = |name: &str| response.header(name).map(str::to_owned);
        Refusal::read(response.status, header, &response.body, self.host.now()).fault(self.settings, what)
    }
}

#[cfg(test)]
mod tests;
