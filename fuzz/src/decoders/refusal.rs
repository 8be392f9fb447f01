//! A store's refusal: whatever it says becomes one short printable sentence, and a wait only where waiting helps.
//!
//! The first two bytes are the status; then each line up to an empty one is a header, and the rest is the body.

use storage_s3::refusal::Refusal;
use storage_s3::settings::Settings;
use transload_guest::fault::FaultKind;

use crate::Outcome;

const SETTINGS: &str = r#"{"endpoint":"https://s3.test","region":"r","bucket":"b","access-key":"AK"}"#;
const NOON: u64 = 1_767_268_800;

pub fn feed(bytes: &[u8]) -> Outcome {
    let settings = Settings::parse(SETTINGS).expect("settings that can be used");
    let Some((status, rest)) = bytes.split_first_chunk::<2>() else { return Outcome::Refused };
    let end = rest.windows(2).position(|end| end == b"\n\n");
    let (headers, body) = end.map_or((&b""[..], rest), |end| (&rest[..end], &rest[end + 2..]));
    let headers = String::from_utf8_lossy(headers).into_owned();
    let header = |name: &str| headers.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name);
    let header = |name: &str| header(name).map(|(_, value)| value.to_owned());
    let fault = Refusal::read(u16::from_be_bytes(*status), header, body, NOON).fault(&settings, "look at vm/a");
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
            "date: Thu, 01 Jan 2026 09:00:00 GMT\nretry-after: 3\n\n<Error><Code>RequestTimeTooSkewed</Code><Message>no</Message></Error>",
        ),
        reply(301, "x-amz-bucket-region: eu-1\n\n<Error><Code>PermanentRedirect</Code><Region>eu-2</Region></Error>"),
        reply(503, "retry-after: 3\n\n<Error><Code>SlowDown</Code></Error>"),
        reply(418, "<Error><Code>Odd</Code><Message>a teapot</Message><ServerTime>2026-01-01T09:00:00Z</ServerTime></Error>"),
    ]
}
