use super::*;
use crate::script::settings;

/// 2026-01-01T12:00:00Z.
const NOON: u64 = 1_767_268_800;

fn fault(status: u16, body: &str) -> Fault {
    Refusal::read(status, |_| None, body.as_bytes(), NOON).fault(&settings(), "put vm/a")
}

/// As Azure sends it, byte order mark and further lines included.
fn error(code: &str, detail: &str) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>It did not work.\nRequestId:1-2-3\n\
         Time:2026-01-01T12:00:00.0000000Z</Message>{detail}</Error>"
    )
}

#[test]
fn every_code_has_its_kind_whatever_the_status() {
    let table = [
        ("BlobNotFound", FaultKind::NotFound),
        ("ContainerNotFound", FaultKind::NotFound),
        ("ContainerBeingDeleted", FaultKind::NotFound),
        ("AuthorizationFailure", FaultKind::Denied),
        ("KeyBasedAuthenticationNotPermitted", FaultKind::Denied),
        ("AccountIsDisabled", FaultKind::Denied),
        ("LeaseIdMissing", FaultKind::Denied),
        ("SnapshotsPresent", FaultKind::Denied),
        ("BlobArchived", FaultKind::Denied),
        ("BlobImmutableDueToPolicy", FaultKind::Denied),
        ("AuthenticationFailed", FaultKind::Auth),
        ("InvalidAuthenticationInfo", FaultKind::Auth),
        ("BlobAlreadyExists", FaultKind::Conflict),
        ("ConditionNotMet", FaultKind::Conflict),
        ("ServerBusy", FaultKind::Throttled),
        ("OperationTimedOut", FaultKind::Unavailable),
        ("InternalError", FaultKind::Unavailable),
        ("Md5Mismatch", FaultKind::Corrupt),
        ("InvalidRange", FaultKind::Invalid),
        ("RequestBodyTooLarge", FaultKind::Invalid),
        ("AccountRequiresHttps", FaultKind::Invalid),
        ("UnsupportedHttpVerb", FaultKind::Unsupported),
    ];
    for (code, kind) in table {
        assert_eq!(fault(418, &error(code, "")).kind, kind, "{code}");
        let header = |name: &str| (name == "x-ms-error-code").then(|| code.to_owned());
        assert_eq!(Refusal::read(418, header, b"", NOON).fault(&settings(), "look at vm/a").kind, kind, "{code} of a HEAD");
    }
}

#[test]
fn a_status_without_a_code_is_enough() {
    let table = [
        (301, FaultKind::Invalid),
        (400, FaultKind::Invalid),
        (401, FaultKind::Auth),
        (403, FaultKind::Denied),
        (404, FaultKind::NotFound),
        (409, FaultKind::Conflict),
        (412, FaultKind::Conflict),
        (429, FaultKind::Throttled),
        (500, FaultKind::Unavailable),
        (503, FaultKind::Throttled),
        (507, FaultKind::Full),
    ];
    for (status, kind) in table {
        assert_eq!(fault(status, "").kind, kind, "{status}");
    }
    assert!(fault(403, "").message.contains("network rules"));
}

#[test]
fn sentences_name_the_container_and_the_account_and_what_to_mend() {
    let said = |code: &str| fault(403, &error(code, "")).message;
    assert_eq!(
        said("ContainerNotFound"),
        "There is no container my-container at https://acct1.test: create it, or correct the container's name in the settings."
    );
    assert!(said("AuthenticationFailed").contains("refused the signature of account acct1: check that the account key"));
    assert!(said("KeyBasedAuthenticationNotPermitted").contains("does not accept the keys of account acct1"));
    assert!(said("AuthorizationFailure").contains("check the network rules of account acct1, and that the account key"));
}

#[test]
fn azures_own_words_are_the_first_line_alone() {
    assert_eq!(
        fault(409, &error("BlobArchived", "")).message,
        "https://acct1.test could not put vm/a in container my-container: BlobArchived (It did not work)."
    );
    let alone = "https://acct1.test could not put vm/a in container my-container: status 418.";
    assert_eq!(fault(418, "<html>").message, alone);
    let hostile = format!("<Error><Code>x\u{9}y{}</Code></Error>", "z".repeat(9999));
    let fault = fault(418, &hostile);
    assert!(fault.message.len() < 500 && !fault.message.contains(char::is_control), "{}", fault.message);
}

#[test]
fn a_missing_blob_is_told_from_a_missing_container() {
    let read = |status: u16, code: &str| Refusal::read(status, |_| None, error(code, "").as_bytes(), NOON);
    assert!(read(404, "BlobNotFound").is_of_a_missing_blob());
    assert!(Refusal::read(404, |_| None, b"", NOON).is_of_a_missing_blob());
    assert!(!read(404, "ContainerNotFound").is_of_a_missing_blob());
}

#[test]
fn a_blob_that_cannot_be_overwritten_exists() {
    let read = |status: u16, code: &str| Refusal::read(status, |_| None, error(code, "").as_bytes(), NOON);
    for (status, code) in [(409, "BlobAlreadyExists"), (412, "ConditionNotMet"), (412, "LeaseIdMissing"), (409, "BlobImmutableDueToPolicy")]
    {
        assert!(read(status, code).is_of_an_existing_blob(), "{code}");
    }
    for (status, code) in [(409, "ContainerBeingDeleted"), (409, "AccountBeingCreated"), (503, "ServerBusy")] {
        assert!(!read(status, code).is_of_an_existing_blob(), "{code}");
    }
}

#[test]
fn a_skewed_clock_is_named_with_both_times_and_what_to_mend() {
    let told = |detail: &str, date: Option<&str>| {
        let date = |name: &str| date.filter(|_| name == "date").map(str::to_owned);
        let document = error("AuthenticationFailed", &format!("<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>"));
        Refusal::read(403, date, document.as_bytes(), NOON).fault(&settings(), "put vm/a")
    };
    let mend = "Set this machine's clock by NTP, or the store's if that is the wrong one.";
    let behind = told("Request date header too old: 'Thu, 01 Jan 2026 12:00:00 GMT'", Some("Thu, 01 Jan 2026 15:00:00 GMT"));
    assert_eq!(behind.kind, FaultKind::Auth);
    assert_eq!(
        behind.message,
        format!(
            "https://acct1.test refused the request because the clocks differ: this machine's is 3 h 0 min behind (here it was \
             2026-01-01T12:00:00Z, there 2026-01-01T15:00:00Z). {mend}"
        )
    );
    let incorrect = "The Date header in the request is incorrect.";
    assert!(told(incorrect, Some("Thu, 01 Jan 2026 11:46:00 GMT")).message.contains("this machine's is 14 min ahead"));
    assert_eq!(
        told(incorrect, None).message,
        format!(
            "https://acct1.test refused the request because its clock and this machine's differ too much: here it was \
             2026-01-01T12:00:00Z; it did not say what time it has. {mend}"
        )
    );
}

#[test]
fn a_wrong_key_is_not_blamed_on_clocks_that_agree() {
    let told = |date: &str| {
        let header = |name: &str| match name {
            "date" => Some(date.to_owned()),
            "x-ms-error-code" => Some("AuthenticationFailed".to_owned()),
            _ => None,
        };
        Refusal::read(403, header, b"", NOON).fault(&settings(), "look at vm/a")
    };
    assert!(told("Thu, 01 Jan 2026 11:59:00 GMT").message.contains("refused the signature"));
    // The answer to a HEAD says no more than that; the clocks then explain it.
    assert!(told("Thu, 01 Jan 2026 09:00:00 GMT").message.contains("3 h 0 min ahead"));
}

#[test]
fn a_refusal_without_a_word_is_the_clocks_when_they_differ_by_more_than_a_signature_lives() {
    let told = |status: u16, date: &str| {
        Refusal::read(status, |name| (name == "date").then(|| date.to_owned()), b"", NOON).fault(&settings(), "look at vm/a").kind
    };
    assert_eq!(told(403, "Thu, 01 Jan 2026 09:00:00 GMT"), FaultKind::Auth);
    assert_eq!(told(403, "Thu, 01 Jan 2026 11:59:00 GMT"), FaultKind::Denied);
    assert_eq!(told(404, "Thu, 01 Jan 2026 09:00:00 GMT"), FaultKind::NotFound);
    assert_eq!(told(403, "no date"), FaultKind::Denied);
}

#[test]
fn retry_after_is_passed_on_only_where_waiting_helps() {
    let wait = |name: &str| (name == "retry-after").then(|| "3".to_owned());
    let told = |status: u16, code: &str| Refusal::read(status, wait, error(code, "").as_bytes(), NOON).fault(&settings(), "x");
    assert_eq!(told(503, "ServerBusy").retry_after_ms, Some(3000));
    assert_eq!(told(500, "OperationTimedOut").retry_after_ms, Some(3000));
    assert_eq!(told(403, "AuthorizationFailure").retry_after_ms, None);
}
