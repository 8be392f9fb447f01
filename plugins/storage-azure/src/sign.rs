//! Shared Key, as Microsoft describes it for the Blob service ("Authorize with Shared Key"). The guest writes what is signed, the host
//! signs it.
//!
//! ```text
//!   verb, eleven standard headers ┐
//!   all x-ms-* headers, sorted    ├─▶ string to sign ─▶ HMAC-SHA-256 under the account's key ─▶ base64 = signature
//!   /account + path, sorted query ┘
//! ```
//!
//! Two of the headers are written by the host and signed here: the body's length, and the range of a GET.
//!
//! Or a shared access signature: a query that somebody signed once for many requests. It is a secret, and the host appends it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use transload_guest::fault::Fault;
use transload_guest::http::{Auth, Extent, Method, Request};

use crate::address::Target;
use crate::ports::AccountKey;

/// The version of the service that every request asks for: the error code stands in a header since 2017-07-29, one request creates a
/// blob of 5,000 MiB since 2019-12-12, and a listing marks the names that it had to encode since 2021-02-12.
pub const VERSION: &str = "2021-12-02";

/// What the operator calls the shared access signature.
const SHARED_ACCESS: &str = "sas";

/// A request before it is signed.
pub struct Draft {
    pub method: Method,
    pub target: Target,
    pub headers: Vec<(String, String)>,
    /// Of the body.
    pub length: u64,
    /// The part of the blob that the host will ask for.
    pub range: Option<Extent>,
}

impl Draft {
    pub fn new(method: Method, target: Target) -> Draft {
        Draft { method, target, headers: Vec::new(), length: 0, range: None }
    }

    pub fn header(mut self, name: &str, value: &str) -> Draft {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The request with its date, its version and `authorization`. `now` is in seconds since 1970.
pub fn sign(key: &impl AccountKey, account: &str, draft: Draft, now: u64) -> Result<Request, Fault> {
    let draft = draft.header("x-ms-date", &date(now)?).header("x-ms-version", VERSION);
    let signature = STANDARD.encode(key.mac(&string_to_sign(account, &draft))?);
    Ok(request(draft).header("authorization", format!("SharedKey {account}:{signature}")))
}

/// The request with its version, and the name of the shared access signature that the host writes into its URL.
pub fn with_shared_access(draft: Draft) -> Request {
    request(draft.header("x-ms-version", VERSION)).auth(Auth::Query(SHARED_ACCESS.to_owned()))
}

fn request(draft: Draft) -> Request {
    Request { headers: draft.headers, ..Request::new(draft.method, draft.target.url()) }
}

/// The time as HTTP writes it: "Sun, 30 Aug 2015 12:36:00 GMT".
fn date(seconds: u64) -> Result<String, Fault> {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = time.ok_or_else(|| Fault::invalid("The host's clock shows a time that no calendar has."))?;
    Ok(time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn string_to_sign(account: &str, draft: &Draft) -> String {
    let header = |name: &str| draft.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.as_str());
    // Since version 2015-02-21 no length is signed where there is no body, though the header may say 0.
    let length = if draft.length == 0 { String::new() } else { draft.length.to_string() };
    let range = draft.range.map_or_else(String::new, |range| format!("bytes={}-{}", range.offset, range.end() - 1));
    let lines = [
        draft.method.word(),
        header("content-encoding"),
        header("content-language"),
        &length,
        header("content-md5"),
        header("content-type"),
        // x-ms-date takes the place of the date.
        "",
        header("if-modified-since"),
        header("if-match"),
        header("if-none-match"),
        header("if-unmodified-since"),
        &range,
    ];
    format!("{}\n{}{}", lines.join("\n"), canonical_headers(&draft.headers), canonical_resource(account, &draft.target))
}

fn canonical_headers(headers: &[(String, String)]) -> String {
    let lower = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), single_spaced(value)));
    let mut own: Vec<_> = lower.filter(|(name, _)| name.starts_with("x-ms-")).collect();
    own.sort();
    own.iter().map(|(name, value)| format!("{name}:{value}\n")).collect()
}

fn single_spaced(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The account stands in front of the path even where the path begins with the account, as an emulator's does.
fn canonical_resource(account: &str, target: &Target) -> String {
    let mut query: Vec<_> = target.query.iter().collect();
    query.sort();
    let query: String = query.iter().map(|(name, value)| format!("\n{name}:{value}")).collect();
    format!("/{account}{}{query}", target.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Key;
    use crate::settings::Settings;

    /// 2015-08-30T12:36:00Z.
    const MOMENT: u64 = 1_440_938_160;

    fn settings(addressing: &str) -> Settings {
        let json = format!(
            r#"{{"endpoint":"https://blob.test","account":"acct1","container":"my-c","prefix":"site a/+","addressing":"{addressing}"}}"#
        );
        Settings::parse(&json).unwrap()
    }

    fn authorization(draft: Draft) -> String {
        let request = sign(&Key("dHJhbnNsb2FkIHRlc3RzIHNpZ24gd2l0aCB0aGlzIGtleQ=="), "acct1", draft, MOMENT).unwrap();
        request.headers.into_iter().find(|(name, _)| name == "authorization").unwrap().1
    }

    fn target(path: &str) -> Target {
        Target { origin: "https://myaccount.blob.core.windows.net".to_owned(), path: path.to_owned(), query: Vec::new() }
    }

    fn dated(draft: Draft) -> Draft {
        draft.header("x-ms-version", "2015-02-21").header("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT")
    }

    /// "Get Container Metadata", the example in the documentation of Shared Key.
    #[test]
    fn the_documented_example_is_written_as_published() {
        let metadata = target("/mycontainer").with("restype", "container").with("comp", "metadata").with("timeout", "20");
        assert_eq!(
            string_to_sign("myaccount", &dated(Draft::new(Method::Get, metadata))),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
    }

    #[test]
    fn own_headers_are_sorted_in_lower_case_and_single_spaced_and_no_body_has_no_length() {
        let mut put = dated(Draft::new(Method::Put, target("/c/hello.txt")).header("Content-Type", "text/plain; charset=UTF-8"))
            .header("x-ms-meta-m2", "v2")
            .header("X-MS-Blob-Type", "BlockBlob")
            .header("x-ms-meta-m1", " v1   and  more ");
        let expected = |length: &str| {
            format!(
                "PUT\n\n\n{length}\n\ntext/plain; charset=UTF-8\n\n\n\n\n\n\nx-ms-blob-type:BlockBlob\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n\
                 x-ms-meta-m1:v1 and more\nx-ms-meta-m2:v2\nx-ms-version:2015-02-21\n/myaccount/c/hello.txt"
            )
        };
        put.length = 11;
        assert_eq!(string_to_sign("myaccount", &put), expected("11"));
        put.length = 0;
        assert_eq!(string_to_sign("myaccount", &put), expected(""));
    }

    /// The expected values come from Python's hmac and base64 over strings to sign that were written out by hand:
    /// `base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), "sha256").digest())`.
    #[test]
    fn signatures_are_those_that_another_implementation_computes() {
        let mut put = Draft::new(Method::Put, Target::blob(&settings("host"), "vm/a"));
        put = put.header("if-none-match", "*").header("x-ms-blob-type", "BlockBlob");
        put.length = 6;
        let mut part = Draft::new(Method::Get, Target::blob(&settings("path"), "vm/a"));
        part.range = Some(Extent::new(3, 4));
        let list = Target::container(&settings("host")).with("restype", "container").with("comp", "list");
        let list = list.with("maxresults", "1000").with("prefix", "site a/+/vm/").with("marker", "2!8+&=");
        let table = [
            ("put", put, "4hXM4AY6xpEzmtC7G1vQpP2mLONn5+fwO09BNfq0/HI="),
            ("a part, with the account in the path", part, "hRdSl31byKq4o4siD2C1vpq8fnj7E/s3qB7khddrFZM="),
            ("list", Draft::new(Method::Get, list), "hJqWOysmslVea8rDDTQaBrtcXPMjxaeCc/ppdOIjNQ8="),
        ];
        for (name, draft, expected) in table {
            assert_eq!(authorization(draft), format!("SharedKey acct1:{expected}"), "{name}");
        }
    }

    #[test]
    fn a_request_carries_its_date_and_version() {
        let request = sign(&Key("AAAA"), "acct1", Draft::new(Method::Head, Target::account(&settings("host"))), MOMENT).unwrap();
        let header = |name: &str| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(header("x-ms-date"), Some("Sun, 30 Aug 2015 12:36:00 GMT"));
        assert_eq!(header("x-ms-version"), Some(VERSION));
        assert!(date(u64::MAX).is_err());
    }
}
