//! From a status and an error code to a fault: what happened, in the words of whoever must act.

use transload_guest::clocks::Clocks;
use transload_guest::fault::{Fault, FaultKind};
use transload_guest::http::retry_after_ms;
use transload_guest::words::explained;
use transload_guest::xml;

use crate::settings::{Login, Settings};

/// A signature is good for a quarter of an hour on either side of Azure's clock.
const SKEW_SECONDS_MAX: i64 = 15 * 60;
/// Where Azure blames the date, a difference that a person can see is enough.
const SKEW_SECONDS_BLAMED: i64 = 60;

/// What Azure said when it did not do what was asked. `code` is empty when it gave none.
#[derive(Debug, Default)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub clocks: Clocks,
    /// Whether Azure says that the request's date is what it dislikes.
    pub date_blamed: bool,
    pub retry_after_ms: Option<u32>,
}

impl Refusal {
    /// `now`: seconds of this side's clock, which the request was signed by.
    pub fn read(status: u16, header: impl Fn(&str) -> Option<String>, body: &[u8], now: u64) -> Refusal {
        let mut refusal = Refusal { status, retry_after_ms: retry_after_ms(header("retry-after").as_deref()), ..Refusal::default() };
        // The answer to a HEAD has no body, but this header.
        refusal.code = header("x-ms-error-code").unwrap_or_default();
        refusal.clocks = Clocks::read(now, header("date").as_deref());
        if let Ok(document) = xml::parse(body)
            && document.name == "Error"
        {
            let text = |name: &str| document.text_of(name).unwrap_or_default().trim().to_owned();
            if refusal.code.is_empty() {
                refusal.code = text("Code");
            }
            // Further lines are the request's number and the time.
            refusal.message = text("Message").lines().next().unwrap_or_default().to_owned();
            refusal.date_blamed = text("AuthenticationErrorDetail").to_ascii_lowercase().contains("date header");
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
        let difference_max = if self.date_blamed { SKEW_SECONDS_BLAMED } else { SKEW_SECONDS_MAX };
        is_login && self.clocks.ahead().map_or(self.date_blamed, |ahead| ahead.abs() >= difference_max)
    }

    fn sentence(&self, settings: &Settings, what: &str, kind: FaultKind) -> String {
        let (store, container, account) = (settings.endpoint.origin(), &settings.container, &settings.account);
        match self.code.as_str() {
            "ContainerNotFound" => {
                format!("There is no container {container} at {store}: create it, or correct the container's name in the settings.")
            }
            "AuthenticationFailed" | "" if self.is_skewed() => self.clocks.sentence(&store),
            "AuthenticationFailed" if settings.login == Login::SharedAccess => format!(
                "{store} refused the shared access signature: check that it is for account {account}, has not ended, and is written as the portal gave it."
            ),
            // It is valid, and not for this.
            "AuthorizationPermissionMismatch"
            | "AuthorizationResourceTypeMismatch"
            | "AuthorizationServiceMismatch"
            | "AuthorizationProtocolMismatch" => format!(
                "The shared access signature does not let this machine {what} in container {container}: it needs read, add, create, write, delete and list."
            ),
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

#[cfg(test)]
mod tests;
