//! The bucket: one request for each function. Keys are given and answered without the operator's prefix.

use crate::answers::{Listing, Object, Refusal, fault, listed, refused};
use crate::settings::Settings;
use crate::transload::plugin::bulk::ByteSource;
use crate::transload::plugin::config;
use crate::transload::plugin::http::{
    self, Auth, BodyPart, Expectation, Method, Request, Response,
};
use crate::transload::plugin::types::{Extent, Fault, FaultKind, Header};

/// Each folder of a page costs requests more, and when one reply is lost, all of the page is asked for again.
const FOLDERS_A_PAGE: u32 = 1;
const OBJECTS_MAX: u32 = 1000;

pub struct Bucket {
    settings: Settings,
}

pub enum Created {
    Now,
    /// By somebody else, or by a request whose reply was lost.
    Before,
}

impl Bucket {
    pub fn open() -> Result<Bucket, Fault> {
        Ok(Bucket {
            settings: Settings::parse(&config::json())?,
        })
    }

    pub fn product(&self) -> String {
        let Settings {
            endpoint, bucket, ..
        } = &self.settings;
        format!("Machine images at {endpoint}, bucket {bucket}")
    }

    /// A page of the folders in a folder.
    pub fn folders(&self, folder: &str, cursor: Option<&str>) -> Result<Listing, Fault> {
        let mut query = format!("&delimiter=%2F&max-keys={FOLDERS_A_PAGE}");
        if let Some(cursor) = cursor {
            query.push_str(&format!("&continuation-token={}", encoded(cursor)));
        }
        self.list(folder, &query)
    }

    /// All objects whose key starts so.
    pub fn objects(&self, prefix: &str) -> Result<Vec<Object>, Fault> {
        let listing = self.list(prefix, &format!("&max-keys={OBJECTS_MAX}"))?;
        match listing.next {
            None => Ok(listing.objects),
            Some(_) => Err(fault(
                FaultKind::Unsupported,
                format!("More than {OBJECTS_MAX} objects begin with {prefix}."),
            )),
        }
    }

    fn list(&self, prefix: &str, query: &str) -> Result<Listing, Fault> {
        let prefix = encoded(&format!("{}{prefix}", self.settings.prefix));
        let url = format!("{}?list-type=2&prefix={prefix}{query}", self.url());
        let response = http::send(&request(Method::Get, url, &[]), &[])?;
        match response.status {
            200 => listed(&response.body, &self.settings.prefix),
            _ => Err(self.refused(&response, "list objects")),
        }
    }

    pub fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        let response = http::send(&request(Method::Get, self.object(key), &[]), &[])?;
        match response.status {
            200 => Ok(Some(response.body)),
            404 => Ok(None),
            _ => Err(self.refused(&response, &format!("read {key}"))),
        }
    }

    /// The store decides by `If-None-Match` who was first.
    pub fn create(&self, key: &str, text: &str) -> Result<Created, Fault> {
        let first = [("if-none-match", "*")];
        let body = [BodyPart::Bytes(text.as_bytes().to_vec())];
        let response = http::send(&request(Method::Put, self.object(key), &first), &body)?;
        match response.status {
            200..=299 => Ok(Created::Now),
            412 => Ok(Created::Before),
            _ => Err(self.refused(&response, &format!("create {key}"))),
        }
    }

    pub fn delete(&self, key: &str) -> Result<(), Fault> {
        let response = http::send(&request(Method::Delete, self.object(key), &[]), &[])?;
        match response.status {
            200..=299 | 404 => Ok(()),
            _ => Err(self.refused(&response, &format!("delete {key}"))),
        }
    }

    /// Names the request for a part of this very object. The agent sends it later, with its `Range` header, as often as it likes.
    pub fn range(&self, key: &str, etag: &str, range: Extent) -> Result<ByteSource, Fault> {
        let same = [("if-match", etag)];
        let request = request(Method::Get, self.object(key), &same);
        http::lazy(&request, Expectation { range })
    }

    fn url(&self) -> String {
        format!("{}/{}", self.settings.endpoint, self.settings.bucket)
    }

    fn object(&self, key: &str) -> String {
        let key = encoded(&format!("{}{key}", self.settings.prefix));
        format!("{}/{}", self.url(), key.replace("%2F", "/"))
    }

    fn refused(&self, response: &Response, what: &str) -> Fault {
        // The agent gives names of headers in lower case.
        let retry_after = response
            .headers
            .iter()
            .find(|header| header.name == "retry-after");
        let refusal = Refusal {
            status: response.status,
            retry_after: retry_after.map(|header| header.value.trim()),
            body: &response.body,
        };
        refused(&self.settings.bucket, &refusal, what)
    }
}

fn request(method: Method, url: String, headers: &[(&str, &str)]) -> Request {
    let header = |&(name, value): &(&str, &str)| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Request {
        method,
        url,
        headers: headers.iter().map(header).collect(),
        auth: Auth::None,
    }
}

/// As a part of a URL.
fn encoded(text: &str) -> String {
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
