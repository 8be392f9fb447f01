//! What the store answers, as values and faults. The agent's retry policy looks at a fault's kind and at nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::retry_after_ms;
use transload_guest::sink::{EntriesPage, Entry};

/// An answer that is no success.
pub struct Refusal<'a> {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: &'a [u8],
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Error {
    key: String,
    code: String,
    message: String,
}

/// `what` was being done, such as "create vm/a".
pub fn refused(bucket: &str, refusal: &Refusal, what: &str) -> Fault {
    // An answer to HEAD has no document, and a proxy's is none of S3's: then the status has to do.
    let error: Error = document(refusal.body).unwrap_or_default();
    let fault = judged(refusal.status, &error, bucket, what);
    match fault.kind {
        FaultKind::Throttled | FaultKind::Unavailable => {
            fault.retry_after(retry_after_ms(refusal.retry_after.as_deref()))
        }
        _ => fault,
    }
}

fn judged(status: u16, error: &Error, bucket: &str, what: &str) -> Fault {
    let message = match error.code.as_str() {
        "" => format!("The store did not {what} in bucket {bucket}: status {status}."),
        "NoSuchBucket" => {
            format!("There is no bucket {bucket}: create it, or correct its name in the settings.")
        }
        code => format!(
            "The store did not {what} in bucket {bucket}: {code} ({}).",
            error.message
        ),
    };
    Fault::new(kind(status, &error.code), message)
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListBucketResult {
    /// Every listing has it, so a document that is none is noticed.
    is_truncated: bool,
    next_continuation_token: Option<String>,
    #[serde(default)]
    contents: Vec<Contents>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    size: u64,
}

/// A page, its keys without the operator's prefix.
pub fn listed(body: &[u8], prefix: &str) -> Result<EntriesPage, Fault> {
    let page: ListBucketResult = document(body)?;
    let entry = |found: Contents| match found.key.strip_prefix(prefix) {
        Some(key) => Ok(Entry {
            key: key.to_owned(),
            size: found.size,
        }),
        None => Err(Fault::corrupt(format!(
            "The store listed {}, which nobody asked for.",
            found.key
        ))),
    };
    let entries = page
        .contents
        .into_iter()
        .map(entry)
        .collect::<Result<_, Fault>>()?;
    match (page.is_truncated, page.next_continuation_token) {
        (false, _) => Ok(EntriesPage {
            entries,
            next: None,
        }),
        (true, Some(next)) => Ok(EntriesPage {
            entries,
            next: Some(next),
        }),
        (true, None) => Err(Fault::corrupt(
            "The store's list goes on, and it did not say where.",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteResult {
    #[serde(default)]
    deleted: Vec<Deleted>,
    #[serde(default)]
    error: Vec<Error>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    key: String,
}

/// One result for each key, in their order. A key that the answer does not name was not deleted.
pub fn deleted(
    body: &[u8],
    bucket: &str,
    prefix: &str,
    keys: &[String],
) -> Result<Vec<Result<(), Fault>>, Fault> {
    let answer: DeleteResult = document(body)?;
    let mut results: BTreeMap<String, Result<(), Fault>> = BTreeMap::new();
    for done in answer.deleted {
        results.insert(done.key, Ok(()));
    }
    for error in answer.error {
        let result = match error.code.as_str() {
            "NoSuchKey" => Ok(()),
            "AccessDenied" => Err(judged(403, &error, bucket, "delete an object")),
            _ => Err(judged(500, &error, bucket, "delete an object")),
        };
        results.insert(error.key, result);
    }
    let unsaid = |key: &String| {
        Err(Fault::unavailable(format!(
            "The store did not say whether it deleted {key}."
        )))
    };
    Ok(keys
        .iter()
        .map(|key| {
            results
                .remove(&format!("{prefix}{key}"))
                .unwrap_or_else(|| unsaid(key))
        })
        .collect())
}

fn document<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let unreadable =
        |why: String| Fault::corrupt(format!("The store's answer cannot be read: {why}."));
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    quick_xml::de::from_str(text).map_err(|error| unreadable(error.to_string()))
}
