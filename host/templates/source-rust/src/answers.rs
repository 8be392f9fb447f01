//! What the store answers, as values and faults. The agent's retry policy looks at a fault's kind and at nothing else.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::retry_after_ms;

/// An answer that is no success.
pub struct Refusal<'a> {
    pub status: u16,
    pub retry_after: Option<&'a str>,
    pub body: &'a [u8],
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Error {
    code: String,
    message: String,
}

/// `what` was being done, such as "read machines/db01/machine.json".
pub fn refused(bucket: &str, refusal: &Refusal, what: &str) -> Fault {
    // A proxy's document is none of S3's: then the status has to do.
    let Error { code, message } = document(refusal.body).unwrap_or_default();
    let kind = kind(refusal.status, &code);
    let message = match code.as_str() {
        "" => format!(
            "The store did not {what} in bucket {bucket}: status {}.",
            refusal.status
        ),
        "NoSuchBucket" => {
            format!("There is no bucket {bucket}: create it, or correct its name in the settings.")
        }
        code => format!("The store did not {what} in bucket {bucket}: {code} ({message})."),
    };
    let fault = Fault::new(kind, message);
    match kind {
        FaultKind::Throttled | FaultKind::Unavailable => {
            fault.retry_after(retry_after_ms(refusal.retry_after))
        }
        _ => fault,
    }
}

fn kind(status: u16, code: &str) -> FaultKind {
    match (status, code) {
        (_, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull") | (507, _) => {
            FaultKind::Full
        }
        (_, "SlowDown") | (429 | 503, _) => FaultKind::Throttled,
        (401, _) => FaultKind::Auth,
        (403, _) => FaultKind::Denied,
        (404, _) => FaultKind::NotFound,
        (405 | 501, _) => FaultKind::Unsupported,
        (412, _) => FaultKind::Conflict,
        // 409: a rival's request for this key is still under way, and its end decides. Ask again.
        (408 | 409 | 500..=599, _) => FaultKind::Unavailable,
        (300..=499, _) => FaultKind::Invalid,
        _ => FaultKind::Corrupt,
    }
}

/// A page of ListObjectsV2, its keys without the operator's prefix.
pub struct Listing {
    pub objects: Vec<Object>,
    pub folders: Vec<String>,
    pub next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Object {
    pub key: String,
    pub size: u64,
    /// With its quotation marks, as `If-Match` wants it.
    #[serde(rename = "ETag")]
    pub etag: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListBucketResult {
    /// Every listing has it, so a document that is none is noticed.
    is_truncated: bool,
    next_continuation_token: Option<String>,
    #[serde(default)]
    contents: Vec<Object>,
    #[serde(default)]
    common_prefixes: Vec<Folder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Folder {
    prefix: String,
}

pub fn listed(body: &[u8], prefix: &str) -> Result<Listing, Fault> {
    let page: ListBucketResult = document(body)?;
    let ours = |key: &str| match key.strip_prefix(prefix) {
        Some(key) => Ok(key.to_owned()),
        None => Err(Fault::corrupt(format!(
            "The store listed {key}, which nobody asked for."
        ))),
    };
    let mut objects = page.contents;
    for object in &mut objects {
        object.key = ours(&object.key)?;
    }
    let folders = page
        .common_prefixes
        .iter()
        .map(|folder| ours(&folder.prefix));
    let next = page.next_continuation_token.filter(|_| page.is_truncated);
    if page.is_truncated && next.is_none() {
        return Err(Fault::corrupt(
            "The store's list goes on, and it did not say where.",
        ));
    }
    Ok(Listing {
        objects,
        folders: folders.collect::<Result<_, Fault>>()?,
        next,
    })
}

fn document<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let unreadable =
        |why: String| Fault::corrupt(format!("The store's answer cannot be read: {why}."));
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    quick_xml::de::from_str(text).map_err(|error| unreadable(error.to_string()))
}

/// JSON of ours or of the exporter's.
pub fn parsed<T: DeserializeOwned>(text: &[u8], what: &str) -> Result<T, Fault> {
    serde_json::from_slice(text)
        .map_err(|error| Fault::corrupt(format!("{what} cannot be read: {error}.")))
}
