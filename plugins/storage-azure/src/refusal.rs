//! From a status and an error code to a fault: what happened, in the words of whoever must act.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::retry_after_ms;
use transload_guest::xml;

use crate::settings::Settings;

/// A signature is good for a quarter of an hour on either side of Azure's clock.
const SKEW_SECONDS_MAX: i64 = 15 * 60;
/// Where Azure blames the date, a difference that a person can see is enough.
const SKEW_SECONDS_BLAMED: i64 = 60;
/// An error's code and message may be long and may quote the request; the first words are enough.
const WORDS_MAX: usize = 200;

/// What Azure said when it did not do what was asked. `code` is empty when it gave none.
#[derive(Debug, Default)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub clocks: Clocks,
    pub retry_after_ms: Option<u32>,
}

/// What time it was on either side of a request.
#[derive(Debug, Default)]
pub struct Clocks {
    pub here: Option<Timestamp>,
    pub there: Option<Timestamp>,
    /// Whether Azure says that the request's date is what it dislikes.
    pub blamed: bool,
}

impl Refusal {
    /// `now`: seconds of this side's clock, which the request was signed by.
    pub fn read(status: u16, header: impl Fn(&str) -> Option<String>, body: &[u8], now: u64) -> Refusal {
        let mut refusal = Refusal { status, retry_after_ms: retry_after_ms(header("retry-after").as_deref()), ..Refusal::default() };
        // The answer to a HEAD has no body, but this header.
        refusal.code = header("x-ms-error-code").unwrap_or_default();
        refusal.clocks.here = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok());
        refusal.clocks.there = header("date").and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(&date).ok());
        if let Ok(document) = xml::parse(body)
            && document.name == "Error"
        {
            let text = |name: &str| document.text_of(name).unwrap_or_default().trim().to_owned();
            if refusal.code.is_empty() {
                refusal.code = text("Code");
            }
            // Further lines are the request's number and the time.
            refusal.message = text("Message").lines().next().unwrap_or_default().to_owned();
            refusal.clocks.blamed = text("AuthenticationErrorDetail").to_ascii_lowercase().contains("date header");
        }
        refusal
    }

    /// `what` is what was being done, such as "put vm/a".
    pub fn fault(&self, settings: &Settings, what: &str) -> Fault {
        let kind = self.kind();
        let retry = self.retry_after_ms.filter(|_| matches!(kind, FaultKind::Throttled | FaultKind::Unavailable));
        Fault::new(kind, self.sentence(settings, what, kind)).retry_after(retry)
    }

    /// Whether it says no more than that there is no such blob; of a container that is missing it says so.
    pub fn is_of_a_missing_blob(&self) -> bool {
        self.status == 404 && matches!(self.code.as_str(), "" | "BlobNotFound")
    }

    /// Whether a create was refused because the blob exists. Only one that exists can be leased, or be immutable.
    pub fn is_of_an_existing_blob(&self) -> bool {
        let known = matches!(self.code.as_str(), "BlobAlreadyExists" | "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold");
        self.status == 412 || known
    }

    fn kind(&self) -> FaultKind {
        match self.code.as_str() {
            "" if self.is_skewed() => FaultKind::Auth,
            code => kind_of_code(code).unwrap_or_else(|| kind_of_status(self.status)),
        }
    }

    /// Whether the clocks explain the refusal. Azure has one code for a wrong key and for a wrong date.
    fn is_skewed(&self) -> bool {
        let is_login = match self.code.as_str() {
            "AuthenticationFailed" => true,
            "" => self.status == 403,
            _ => false,
        };
        let difference_max = if self.clocks.blamed { SKEW_SECONDS_BLAMED } else { SKEW_SECONDS_MAX };
        is_login && self.clocks.ahead().map_or(self.clocks.blamed, |ahead| ahead.abs() >= difference_max)
    }

    fn sentence(&self, settings: &Settings, what: &str, kind: FaultKind) -> String {
        let (store, container, account) = (settings.endpoint.origin(), &settings.container, &settings.account);
        match self.code.as_str() {
            "ContainerNotFound" => {
                format!("There is no container {container} at {store}: create it, or correct the container's name in the settings.")
            }
            "AuthenticationFailed" | "" if self.is_skewed() => self.clocks.sentence(&store),
            "AuthenticationFailed" => format!(
                "{store} refused the signature of account {account}: check that the account key belongs to it and that nothing between rewrites requests."
            ),
            "KeyBasedAuthenticationNotPermitted" => {
                format!("{store} does not accept the keys of account {account}: allow access by storage account keys in its settings.")
            }
            // Azure's word for a machine that its network rules keep out; Azurite says it of a wrong key as well.
            "AuthorizationFailure" => format!(
                "{store} does not let this machine {what} in container {container}: check the network rules of account {account}, and that the account key belongs to it."
            ),
            "" => match kind {
                FaultKind::Denied => format!(
                    "{store} does not let account {account} {what} in container {container} (status {}): check its network rules and its key.",
                    self.status
                ),
                _ if (300..400).contains(&self.status) => format!(
                    "{store} redirected the request for container {container} (status {}): check the endpoint in the settings.",
                    self.status
                ),
                _ => {
                    let code = format!("status {}", self.status);
                    format!("{store} could not {what} in container {container}: {}.", explained(&code, &self.message))
                }
            },
            code => format!("{store} could not {what} in container {container}: {}.", explained(code, &self.message)),
        }
    }
}

impl Clocks {
    /// Seconds that this side's clock is ahead of the other's.
    fn ahead(&self) -> Option<i64> {
        Some(self.here?.as_second() - self.there?.as_second())
    }

    fn sentence(&self, store: &str) -> String {
        let here = self.here.map_or_else(|| "an unknown time".to_owned(), shown);
        match (self.ahead(), self.there) {
            (Some(ahead), Some(there)) => format!(
                "{store} refused the request because the clocks differ: this machine's is {} {} (here it was {here}, there {}). Set this \
                 machine's clock by NTP, or the store's if that is the wrong one.",
                span(ahead),
                if ahead > 0 { "ahead" } else { "behind" },
                shown(there)
            ),
            _ => format!(
                "{store} refused the request because its clock and this machine's differ too much: here it was {here}; it did not say what \
                 time it has. Set this machine's clock by NTP, or the store's if that is the wrong one."
            ),
        }
    }
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// "3 h 0 min"; a difference that is spoken of is never one of seconds.
fn span(seconds: i64) -> String {
    let minutes = (seconds.abs() + 30) / 60;
    match minutes / 60 {
        0 => format!("{minutes} min"),
        hours => format!("{hours} h {} min", minutes % 60),
    }
}

/// The one table from Azure's codes to our vocabulary. What is not in it is judged by its status.
fn kind_of_code(code: &str) -> Option<FaultKind> {
    Some(match code {
        "BlobNotFound" | "ContainerNotFound" | "ResourceNotFound" | "ContainerBeingDeleted" => FaultKind::NotFound,
        "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationSourceIPMismatch"
        | "KeyBasedAuthenticationNotPermitted"
        | "InsufficientAccountPermissions"
        | "AccountIsDisabled"
        | "ContainerDisabled"
        // A lease, a snapshot, a policy or an archive tier of somebody else's stands in the way; a person must lift it.
        | "LeaseIdMissing"
        | "SnapshotsPresent"
        | "BlobImmutableDueToPolicy"
        | "BlobImmutableDueToLegalHold"
        | "BlobArchived" => FaultKind::Denied,
        "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => FaultKind::Auth,
        "BlobAlreadyExists" | "ConditionNotMet" => FaultKind::Conflict,
        "ServerBusy" => FaultKind::Throttled,
        "InternalError" | "OperationTimedOut" | "AccountBeingCreated" | "BlobBeingRehydrated" => FaultKind::Unavailable,
        "Md5Mismatch" | "Crc64Mismatch" => FaultKind::Corrupt,
        "InvalidRange"
        | "InvalidUri"
        | "InvalidResourceName"
        | "InvalidHeaderValue"
        | "InvalidQueryParameterValue"
        | "InvalidBlobType"
        | "OutOfRangeInput"
        | "RequestBodyTooLarge"
        | "AccountRequiresHttps" => FaultKind::Invalid,
        "UnsupportedHttpVerb" | "UnsupportedHeader" | "UnsupportedQueryParameter" => FaultKind::Unsupported,
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
        409 | 412 => FaultKind::Conflict,
        429 | 503 => FaultKind::Throttled,
        507 => FaultKind::Full,
        300..=499 => FaultKind::Invalid,
        500..=599 => FaultKind::Unavailable,
        _ => FaultKind::Corrupt,
    }
}

/// Azure's own words, as far as they are shown to anybody.
pub fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect::<String>().trim().to_owned()
}

/// "BlobArchived (This operation is not permitted on an archived blob)".
fn explained(code: &str, message: &str) -> String {
    let (code, message) = (short(code), short(message));
    match message.trim_end_matches('.') {
        message if message.is_empty() || message == code => code,
        message => format!("{code} ({message})"),
    }
}

#[cfg(test)]
mod tests;
