//! From a status and an error document to a fault: what happened, in the words of whoever must act.

use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::retry_after_ms;
use transload_guest::xml;

use crate::settings::Settings;

/// What a store said when it did not do what was asked. `code` is empty when there was no body to read (HEAD has none).
#[derive(Debug, Default)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub request_time: String,
    pub server_time: String,
    pub region: String,
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    pub fn read(status: u16, header: impl Fn(&str) -> Option<String>, body: &[u8]) -> Refusal {
        let mut refusal = Refusal { status, retry_after_ms: retry_after_ms(header("retry-after").as_deref()), ..Refusal::default() };
        refusal.region = header("x-amz-bucket-region").unwrap_or_default();
        if let Ok(document) = xml::parse(body)
            && document.name == "Error"
        {
            let text = |name: &str| document.text_of(name).unwrap_or_default().trim().to_owned();
            refusal.code = text("Code");
            refusal.message = text("Message");
            refusal.request_time = text("RequestTime");
            refusal.server_time = text("ServerTime");
            if refusal.region.is_empty() {
                refusal.region = text("Region");
            }
        }
        refusal
    }

    /// `what` is what was being done, such as "put vm/a".
    pub fn fault(&self, settings: &Settings, what: &str) -> Fault {
        let kind = self.kind();
        let retry = self.retry_after_ms.filter(|_| matches!(kind, FaultKind::Throttled | FaultKind::Unavailable));
        Fault::new(kind, self.sentence(settings, what, kind)).retry_after(retry)
    }

    fn kind(&self) -> FaultKind {
        kind_of_code(&self.code).unwrap_or_else(|| kind_of_status(self.status))
    }

    fn sentence(&self, settings: &Settings, what: &str, kind: FaultKind) -> String {
        let (store, bucket) = (settings.endpoint.origin(), &settings.bucket);
        let key = &settings.access_key;
        match self.code.as_str() {
            "NoSuchBucket" => format!("There is no bucket {bucket} at {store}: create it, or correct the bucket's name in the settings."),
            "InvalidAccessKeyId" => format!("{store} does not know the access key {key}: check access-key in the settings."),
            "SignatureDoesNotMatch" => {
                format!(
                    "{store} refused the signature of access key {key}: check that the secret key belongs to it and that nothing between rewrites requests."
                )
            }
            "RequestTimeTooSkewed" => format!(
                "{store} refused the request because the clocks differ: here it was {}, there {}. Set this machine's clock by NTP.",
                or_unknown(&self.request_time),
                or_unknown(&self.server_time)
            ),
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" if !self.region.is_empty() => {
                format!("Bucket {bucket} lives in region {}: write that as region in the settings.", self.region)
            }
            "" => match kind {
                FaultKind::Denied => format!(
                    "{store} does not let access key {key} {what} in bucket {bucket} (status {}): check its policy, and that the bucket exists.",
                    self.status
                ),
                _ if (300..400).contains(&self.status) => {
                    format!(
                        "{store} redirected the request for bucket {bucket} (status {}): check the endpoint and the region in the settings.",
                        self.status
                    )
                }
                _ => format!("{store} could not {what} in bucket {bucket} (status {}).", self.status),
            },
            "AccessDenied" | "AllAccessDisabled" => {
                format!("{store} does not let access key {key} {what} in bucket {bucket}: check the policies of the key and of the bucket.")
            }
            code => format!("{store} could not {what} in bucket {bucket}: {code} ({}).", short(&self.message)),
        }
    }
}

/// The one table from S3's codes to our vocabulary. What is not in it is judged by its status.
fn kind_of_code(code: &str) -> Option<FaultKind> {
    Some(match code {
        "NoSuchKey" | "NoSuchBucket" | "NoSuchVersion" => FaultKind::NotFound,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidPayer" | "NotSignedUp" | "ObjectLocked" => FaultKind::Denied,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestTimeTooSkewed"
        | "RequestExpired" => FaultKind::Auth,
        "PreconditionFailed" => FaultKind::Conflict,
        // The rival's request is still under way: its end decides, so ask again.
        "ConditionalRequestConflict" | "OperationAborted" => FaultKind::Unavailable,
        "SlowDown" | "ServiceUnavailable" | "Busy" | "ThrottlingException" | "TooManyRequests" | "RequestLimitExceeded" => {
            FaultKind::Throttled
        }
        "InternalError" | "RequestTimeout" | "IncompleteBody" => FaultKind::Unavailable,
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "ContentSHA256Mismatch" => {
            FaultKind::Corrupt
        }
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "InsufficientCapacity" | "NoSpaceLeft" => FaultKind::Full,
        "EntityTooLarge"
        | "InvalidRange"
        | "KeyTooLongError"
        | "InvalidArgument"
        | "InvalidRequest"
        | "MalformedXML"
        | "InvalidBucketName"
        | "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "IllegalLocationConstraintException" => FaultKind::Invalid,
        "NotImplemented" | "MethodNotAllowed" => FaultKind::Unsupported,
        _ => return None,
    })
}

fn kind_of_status(status: u16) -> FaultKind {
    match status {
        401 => FaultKind::Auth,
        403 => FaultKind::Denied,
        404 => FaultKind::NotFound,
        405 | 501 => FaultKind::Unsupported,
        408 => FaultKind::Unavailable,
        409 => FaultKind::Unavailable,
        412 => FaultKind::Conflict,
        429 | 503 => FaultKind::Throttled,
        507 => FaultKind::Full,
        300..=499 => FaultKind::Invalid,
        500..=599 => FaultKind::Unavailable,
        _ => FaultKind::Corrupt,
    }
}

fn or_unknown(time: &str) -> &str {
    if time.is_empty() { "an unknown time" } else { time }
}

/// A store's message may be long and may quote the request; the first words are enough.
fn short(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::settings;

    fn fault(status: u16, body: &str) -> Fault {
        Refusal::read(status, |_| None, body.as_bytes()).fault(&settings(), "put vm/a")
    }

    fn error(code: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Code>{code}</Code><Message>m</Message></Error>"#
        )
    }

    #[test]
    fn every_code_of_the_table_has_its_kind_whatever_the_status() {
        let table = [
            ("NoSuchKey", FaultKind::NotFound),
            ("NoSuchBucket", FaultKind::NotFound),
            ("AccessDenied", FaultKind::Denied),
            ("SignatureDoesNotMatch", FaultKind::Auth),
            ("InvalidAccessKeyId", FaultKind::Auth),
            ("RequestTimeTooSkewed", FaultKind::Auth),
            ("PreconditionFailed", FaultKind::Conflict),
            ("ConditionalRequestConflict", FaultKind::Unavailable),
            ("SlowDown", FaultKind::Throttled),
            ("InternalError", FaultKind::Unavailable),
            ("EntityTooLarge", FaultKind::Invalid),
            ("BadDigest", FaultKind::Corrupt),
            ("QuotaExceeded", FaultKind::Full),
            ("InsufficientStorage", FaultKind::Full),
        ];
        for (code, kind) in table {
            assert_eq!(fault(418, &error(code)).kind, kind, "{code}");
        }
    }

    #[test]
    fn a_status_without_a_body_is_enough() {
        let table = [
            (301, FaultKind::Invalid),
            (400, FaultKind::Invalid),
            (401, FaultKind::Auth),
            (403, FaultKind::Denied),
            (404, FaultKind::NotFound),
            (412, FaultKind::Conflict),
            (429, FaultKind::Throttled),
            (500, FaultKind::Unavailable),
            (503, FaultKind::Throttled),
            (507, FaultKind::Full),
        ];
        for (status, kind) in table {
            assert_eq!(fault(status, "").kind, kind, "{status}");
        }
        assert!(fault(403, "").message.contains("policy"));
    }

    #[test]
    fn sentences_name_the_bucket_the_key_the_region_and_both_clocks() {
        assert!(fault(404, &error("NoSuchBucket")).message.contains("no bucket my-bucket at https://s3.test"));
        assert!(fault(403, &error("InvalidAccessKeyId")).message.contains("access key AKID"));
        let skew = "<Error><Code>RequestTimeTooSkewed</Code><RequestTime>20260101T000000Z</RequestTime><ServerTime>2026-01-01T03:00:00Z</ServerTime></Error>";
        let message = fault(403, skew).message;
        assert!(message.contains("20260101T000000Z") && message.contains("2026-01-01T03:00:00Z"), "{message}");
        let region = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
        assert!(fault(400, region).message.contains("region eu-west-3"));
    }

    #[test]
    fn retry_after_is_passed_on_only_where_waiting_helps() {
        let wait = |name: &str| (name == "retry-after").then(|| "3".to_owned());
        assert_eq!(Refusal::read(503, wait, error("SlowDown").as_bytes()).fault(&settings(), "x").retry_after_ms, Some(3000));
        assert_eq!(Refusal::read(403, wait, error("AccessDenied").as_bytes()).fault(&settings(), "x").retry_after_ms, None);
    }
}
