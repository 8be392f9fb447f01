//! The bucket: one request for each function. Keys are given and answered without the operator's prefix.

use transload_guest::fault::Fault;
use transload_guest::http::{BodyPart, Extent, Method, Request, Response};
use transload_guest::imports::Imports;
use transload_guest::paging::follow;
use transload_guest::percent::{Slash, encode};
use transload_guest::ports::Http;
use transload_guest::source::ByteSource;

use crate::answers::{Listing, Object, Refusal, listed, refused};
use crate::settings::Settings;

/// Each folder of a page costs requests more, and when one reply is lost, all of the page is asked for again.
const FOLDERS_A_PAGE: u32 = 1;

pub struct Bucket {
    settings: Settings,
}

pub enum Created {
    Now,
    /// By somebody else, or by a request whose reply was lost.
    Before,
}

impl Bucket {
    pub fn open(settings: &str) -> Result<Bucket, Fault> {
        Ok(Bucket {
            settings: Settings::parse(settings)?,
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
        let query = format!("&delimiter=%2F&max-keys={FOLDERS_A_PAGE}");
        self.list(folder, &query, cursor)
    }

    /// All objects whose key starts so.
    pub fn objects(&self, prefix: &str) -> Result<Vec<Object>, Fault> {
        follow(prefix, |cursor| {
            let page = self.list(prefix, "", cursor)?;
            Ok((page.objects, page.next))
        })
    }

    fn list(&self, prefix: &str, query: &str, cursor: Option<&str>) -> Result<Listing, Fault> {
        let prefix = encode(&format!("{}{prefix}", self.settings.prefix), Slash::Encode);
        let mut url = format!("{}?list-type=2&prefix={prefix}{query}", self.url());
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

    pub fn read(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        let response = Imports.send(&Request::new(Method::Get, self.object(key)), &[])?;
        match response.status {
            200 => Ok(Some(response.body)),
            404 => Ok(None),
            _ => Err(self.refused(&response, &format!("read {key}"))),
        }
    }

    /// The store decides by `If-None-Match` who was first.
    pub fn create(&self, key: &str, text: &str) -> Result<Created, Fault> {
        let request = Request::new(Method::Put, self.object(key)).header("if-none-match", "*");
        let body = [BodyPart::Bytes(text.as_bytes().to_vec())];
        let response = Imports.send(&request, &body)?;
        match response.status {
            200..=299 => Ok(Created::Now),
            412 => Ok(Created::Before),
            _ => Err(self.refused(&response, &format!("create {key}"))),
        }
    }

    pub fn delete(&self, key: &str) -> Result<(), Fault> {
        let response = Imports.send(&Request::new(Method::Delete, self.object(key)), &[])?;
        match response.status {
            200..=299 | 404 => Ok(()),
            _ => Err(self.refused(&response, &format!("delete {key}"))),
        }
    }

    /// Names the request for a part of this very object. The agent sends it later, with its `Range` header, as often as it likes.
    pub fn range(&self, key: &str, etag: &str, range: Extent) -> Result<ByteSource, Fault> {
        let request = Request::new(Method::Get, self.object(key)).header("if-match", etag);
        Imports.lazy(&request, range)
    }

    fn url(&self) -> String {
        format!("{}/{}", self.settings.endpoint, self.settings.bucket)
    }

    fn object(&self, key: &str) -> String {
        let key = format!("{}{key}", self.settings.prefix);
        format!("{}/{}", self.url(), encode(&key, Slash::Keep))
    }

    fn refused(&self, response: &Response, what: &str) -> Fault {
        let refusal = Refusal {
            status: response.status,
            retry_after: response.header("retry-after"),
            body: &response.body,
        };
        refused(&self.settings.bucket, &refusal, what)
    }
}
