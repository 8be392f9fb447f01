//! Azure's refusal: whatever it says becomes one short printable sentence, and a wait only where waiting helps.
//!
//! The first two bytes are the status; then each line up to an empty one is a header, and the rest is the body.

use storage_azure::refusal::Refusal;
use storage_azure::settings::Settings;
use transload_guest::fault::FaultKind;

use crate::Outcome;

const SETTINGS: &str = r#"{"endpoint":"https://acct1.test","account":"acct1","container":"ccc"}"#;
const NOON: u64 = 1_767_268_800;

pub fn feed(bytes: &[u8]) -> Outcome {
    let settings = Settings::parse(SETTINGS).expect("settings that can be used");
    let Some((status, rest)) = bytes.split_first_chunk::<2>() else { return Outcome::Refused };
    let end = rest.windows(2).position(|end| end == b"\n\n");
    let (headers, body) = end.map_or((&b""[..], rest), |end| (&rest[..end], &rest[end + 2..]));
    let headers = String::from_utf8_lossy(headers).into_owned();
    let header = |name: &str| headers.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name);
    let header = |name: &str| header(name).map(|(_, value)| value.to_owned());
    let refusal = Refusal::read(u16::from_be_bytes(*status), header, body, NOON);
    assert!(!(refusal.is_of_a_missing_blob() && refusal.is_of_an_existing_blob()), "{refusal:?}");
    let fault = refusal.fault(&settings, "look at vm/a");
    assert!(!fault.message.is_empty() && fault.message.len() < 4096, "{} bytes", fault.message.len());
    assert!(!fault.message.contains(char::is_control), "{:?}", fault.message);
    let waits = matches!(fault.kind, FaultKind::Throttled | FaultKind::Unavailable);
    assert!(waits || fault.retry_after_ms.is_none(), "{:?} does not pass by waiting", fault.kind);
    Outcome::Read
}

pub fn examples() -> Vec<Vec<u8>> {
    let reply = |status: u16, rest: &str| [&status.to_be_bytes(), rest.as_bytes()].concat();
    vec![
        reply(
            403,
            "date: Thu, 01 Jan 2026 15:00:00 GMT\nretry-after: 3\n\n<Error><Code>AuthenticationFailed</Code><Message>no\nRequestId:1</Message><AuthenticationErrorDetail>Request date header too old: 'x'</AuthenticationErrorDetail></Error>",
        ),
        reply(404, "x-ms-error-code: BlobNotFound\n\n"),
        reply(412, "x-ms-error-code: LeaseIdMissing\n\n<Error><Code>LeaseIdMissing</Code></Error>"),
        reply(503, "retry-after: 3\n\n<Error><Code>ServerBusy</Code></Error>"),
    ]
}
