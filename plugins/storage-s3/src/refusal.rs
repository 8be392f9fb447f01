//! From a status and an error document to a fault: what happened, in the words of whoever must act.

use transload_guest::clocks::Clocks;
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::retry_after_ms;
use transload_guest::words::{explained, short};
use transload_guest::xml;

use crate::settings::Settings;

/// A signature is good for a quarter of an hour on either side of the store's clock.
const SKEW_SECONDS_MAX: i64 = 15 * 60;

/// What a store said when it did not do what was asked. `code` is empty when there was no body to read (HEAD has none).
#[derive(Debug, Default)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub clocks: Clocks,
    pub region: String,
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    /// `now`: seconds of this side's clock, which the request was signed by.
    pub fn read(status: u16, header: impl Fn(&str) -> Option<String>, body: &[u8], now: u64) -> Refusal {
        let mut refusal = Refusal { status, retry_after_ms: retry_after_ms(header("retry-after").as_deref()), ..Refusal::default() };
        refusal.region = header("x-amz-bucket-region").unwrap_or_default();
        refusal.clocks = Clocks::read(now, header("date").as_deref());
        if let Ok(document) = xml::parse(body)
            && document.name == "Error"
        {
            let text = |name: &str| document.text_of(name).unwrap_or_default().trim().to_owned();
            refusal.code = text("Code");
            refusal.message = text("Message");
            // AWS tells its time in the document; others tell it in the `Date` of every answer only.
            refusal.clocks.there = text("ServerTime").parse().ok().or(refusal.clocks.there);
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
        match self.code.as_str() {
            "" if self.is_skewed() => FaultKind::Auth,
            code => kind_of_code(code).unwrap_or_else(|| kind_of_status(self.status)),
        }
    }

    /// Whether the clocks explain a refusal without a word, as the answer to a HEAD is.
    fn is_skewed(&self) -> bool {
        self.status == 403 && self.clocks.ahead().is_some_and(|seconds| seconds.abs() >= SKEW_SECONDS_MAX)
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
            "RequestTimeTooSkewed" => self.clocks.sentence(&store),
            "" if self.is_skewed() => self.clocks.sentence(&store),
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" if !self.region.is_empty() => {
                format!("Bucket {bucket} lives in region {}: write that as region in the settings.", short(&self.region))
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
                _ => {
                    let code = format!("status {}", self.status);
                    format!("{store} could not {what} in bucket {bucket}: {}.", explained(&code, &self.message))
                }
            },
            "AccessDenied" | "AllAccessDisabled" => {
                format!("{store} does not let access key {key} {what} in bucket {bucket}: check the policies of the key and of the bucket.")
            }
            // SeaweedFS, for one, knows no other word for a disk without space.
            "InternalError" => format!(
                "{store} could not {what} in bucket {bucket}: the store failed inside (InternalError). Its own log says why; some stores answer so when they are full."
            ),
            code => format!("{store} could not {what} in bucket {bucket}: {}.", explained(code, &self.message)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::settings;

    /// 2026-01-01T12:00:00Z.
    const NOON: u64 = 1_767_268_800;

    fn fault(status: u16, body: &str) -> Fault {
        Refusal::read(status, |_| None, body.as_bytes(), NOON).fault(&settings(), "put vm/a")
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
    fn sentences_name_the_bucket_the_key_and_the_region() {
        assert!(fault(404, &error("NoSuchBucket")).message.contains("no bucket my-bucket at https://s3.test"));
        assert!(fault(403, &error("InvalidAccessKeyId")).message.contains("access key AKID"));
        let region = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
        assert!(fault(400, region).message.contains("region eu-west-3"));
    }

    #[test]
    fn a_code_without_a_message_stands_alone_and_one_with_it_reads_as_one_sentence() {
        let told = |inner: &str| fault(418, &format!("<Error>{inner}</Error>")).message;
        let alone = "https://s3.test could not put vm/a in bucket my-bucket: NoSuchKey.";
        assert_eq!(told("<Code>NoSuchKey</Code>"), alone);
        assert_eq!(told("<Code>NoSuchKey</Code><Message>  </Message>"), alone);
        assert_eq!(told("<Code>NoSuchKey</Code><Message>NoSuchKey</Message>"), alone);
        assert_eq!(
            told("<Code>XMinioStorageFull</Code><Message>The drive is full.</Message>"),
            "https://s3.test could not put vm/a in bucket my-bucket: XMinioStorageFull (The drive is full)."
        );
        assert_eq!(told("<Message>Broken.</Message>"), "https://s3.test could not put vm/a in bucket my-bucket: status 418 (Broken).");
    }

    #[test]
    fn a_skewed_clock_is_named_with_both_times_and_what_to_mend() {
        let told = |document: &str, date: Option<&str>| {
            let date = |name: &str| date.filter(|_| name == "date").map(str::to_owned);
            Refusal::read(403, date, document.as_bytes(), NOON).fault(&settings(), "put vm/a")
        };
        let mend = "Set this machine's clock by NTP, or the store's if that is the wrong one.";
        let ahead = format!(
            "https://s3.test refused the request because the clocks differ: this machine's is 3 h 0 min ahead (here it was \
             2026-01-01T12:00:00Z, there 2026-01-01T09:00:00Z). {mend}"
        );
        // AWS says both times in its document.
        let aws = "<Error><Code>RequestTimeTooSkewed</Code><RequestTime>20260101T120000Z</RequestTime><ServerTime>2026-01-01T09:00:00Z</ServerTime></Error>";
        assert_eq!(told(aws, None).message, ahead);
        // SeaweedFS says neither; its answer has a date as every answer of a server with a clock has.
        let weed = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>";
        assert_eq!(told(weed, Some("Thu, 01 Jan 2026 09:00:00 GMT")).message, ahead);
        assert_eq!(
            told(weed, None).message,
            format!(
                "https://s3.test refused the request because its clock and this machine's differ too much: here it was \
                 2026-01-01T12:00:00Z; it did not say what time it has. {mend}"
            )
        );
        assert!(told(weed, Some("Thu, 01 Jan 2026 12:20:00 GMT")).message.contains("this machine's is 20 min behind"));
    }

    #[test]
    fn a_refusal_without_a_word_is_the_clocks_when_they_differ_by_more_than_a_signature_lives() {
        let told = |status: u16, date: &str| {
            Refusal::read(status, |name| (name == "date").then(|| date.to_owned()), b"", NOON).fault(&settings(), "look at vm/a")
        };
        let skewed = told(403, "Thu, 01 Jan 2026 09:00:00 GMT");
        assert_eq!(skewed.kind, FaultKind::Auth);
        assert!(skewed.message.contains("3 h 0 min ahead"), "{}", skewed.message);
        assert_eq!(told(403, "Thu, 01 Jan 2026 11:59:00 GMT").kind, FaultKind::Denied);
        assert_eq!(told(404, "Thu, 01 Jan 2026 09:00:00 GMT").kind, FaultKind::NotFound);
        assert_eq!(told(403, "no date").kind, FaultKind::Denied);
    }

    /// The region went into the sentence as it came, whatever its length.
    #[test]
    fn a_region_is_a_few_printable_words() {
        let region = |name: &str| (name == "x-amz-bucket-region").then(|| format!("eu\u{1b}[2J{}", "x".repeat(9999)));
        let fault = Refusal::read(301, region, error("PermanentRedirect").as_bytes(), NOON).fault(&settings(), "x");
        assert!(fault.message.len() < 500 && !fault.message.contains(char::is_control), "{}", fault.message);
    }

    #[test]
    fn retry_after_is_passed_on_only_where_waiting_helps() {
        let wait = |name: &str| (name == "retry-after").then(|| "3".to_owned());
        assert_eq!(Refusal::read(503, wait, error("SlowDown").as_bytes(), NOON).fault(&settings(), "x").retry_after_ms, Some(3000));
        assert_eq!(Refusal::read(403, wait, error("AccessDenied").as_bytes(), NOON).fault(&settings(), "x").retry_after_ms, None);
    }
}
