//! The six verbs of a sink. Each is one request; sink.wit of the contract says what each promises.

use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Method, Request, Response};
use transload_guest::imports::Imports;
use transload_guest::percent::{Slash, encode};
use transload_guest::ports::Http;
use transload_guest::sink::{
    CreateGuarantee, Description, EntriesPage, Incoming, SealedBody, Sink,
};
use transload_guest::store::{Transfer, exact, past_end};

use crate::answers::{Refusal, deleted, listed, refused};
use crate::settings::Settings;

/// What one PUT may carry on most stores that speak this dialect.
const OBJECT_BYTES_MAX: u64 = 5 << 30;

pub struct Store {
    settings: Settings,
}

/// Any call may meet a fresh instance, so each one opens the store anew; nothing is kept.
impl Sink for Store {
    fn open(settings: &str) -> Result<Store, Fault> {
        Ok(Store {
            settings: Settings::parse(settings)?,
        })
    }

    /// `If-None-Match: *` decides one winner. Say `Advisory` of a store that takes the header and does not keep to it.
    fn describe(&self) -> Result<Description, Fault> {
        let product = format!(
            "Plain object store at {}, bucket {}",
            self.settings.endpoint, self.settings.bucket
        );
        Ok(Description {
            product,
            create: CreateGuarantee::Atomic,
            object_bytes_max: OBJECT_BYTES_MAX,
        })
    }

    /// Creates the object. The store decides by `If-None-Match` who was first; everybody else is told `conflict`.
    fn put(&self, key: &str, body: &SealedBody) -> Result<(), Fault> {
        let request = Request::new(Method::Put, self.object(key)).header("if-none-match", "*");
        let response = Imports.put(&request, body)?;
        match response.status {
            200..=299 => Ok(()),
            412 => Err(Fault::conflict(format!("{key} exists already."))),
            _ => Err(self.refused(&response, &format!("create {key}"))),
        }
    }

    /// The object or a part of it. The agent writes the `Range` header, and reads the body after this call.
    fn get(&self, key: &str, range: Option<Extent>) -> Result<Incoming, Fault> {
        let incoming = Imports.get(&Request::new(Method::Get, self.object(key)), range)?;
        match (incoming.status(), range) {
            (200, None) => Ok(incoming),
            (206, Some(range)) => exact(key, range, &incoming).map(|()| incoming),
            (416, Some(range)) => Err(past_end(key, range)),
            (200, Some(_)) => Err(Fault::unsupported(format!(
                "The store ignored the range of {key} and sent all of it."
            ))),
            (status @ 200..=299, _) => Err(Fault::corrupt(format!(
                "The store answered get {key} with status {status}."
            ))),
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

    fn head(&self, key: &str) -> Result<Option<u64>, Fault> {
        let response = Imports.send(&Request::new(Method::Head, self.object(key)), &[])?;
        let silent = || Fault::corrupt(format!("The store did not say how long {key} is."));
        match response.status {
            200 => response
                .header("content-length")
                .and_then(|length| length.parse().ok())
                .map(Some)
                .ok_or_else(silent),
            404 => Ok(None),
            _ => Err(self.refused(&response, &format!("look at {key}"))),
        }
    }

    /// One page of ListObjectsV2. The cursor is the store's continuation token.
    fn entries(&self, prefix: &str, cursor: Option<&str>) -> Result<EntriesPage, Fault> {
        let mut url = format!(
            "{}?list-type=2&max-keys=1000&prefix={}{prefix}",
            self.bucket(),
            self.settings.prefix
        );
        if let Some(cursor) = cursor {
            url.push_str(&format!(
                "&continuation-token={}",
                encode(cursor, Slash::Encode)
            ));
        }
        let response = Imports.send(&Request::new(Method::Get, url), &[])?;
        match response.status {
            200 => listed(&response.body, &self.settings.prefix),
            _ => Err(self.refused(&response, "list objects")),
        }
    }

    /// DeleteObjects: up to a thousand keys in one request, and a result for each of them.
    fn delete(&self, keys: &[String]) -> Result<Vec<Result<(), Fault>>, Fault> {
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
        let request = Request::new(Method::Post, format!("{}?delete=", self.bucket()));
        let response = Imports.send(&request, &[BodyPart::Bytes(body.into_bytes())])?;
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
}

impl Store {
    fn bucket(&self) -> String {
        format!("{}/{}", self.settings.endpoint, self.settings.bucket)
    }

    fn object(&self, key: &str) -> String {
        format!("{}/{}{key}", self.bucket(), self.settings.prefix)
    }

    fn refused(&self, response: &Response, what: &str) -> Fault {
        let refusal = Refusal {
            status: response.status,
            retry_after: response.header("retry-after").map(str::to_owned),
            body: &response.body,
        };
        refused(&self.settings.bucket, &refusal, what)
    }
}
