use std::collections::BTreeSet;

use super::*;
use crate::model::FaultKind;
use crate::wasm::grants::{HttpGrant, SecretGrant};

fn grants() -> Grants {
    let grant = |origin: &str, methods: &[&str], paths: &[&str]| HttpGrant {
        origin: Origin::parse(origin).unwrap(),
        methods: methods.iter().map(|method| method.to_string()).collect::<BTreeSet<_>>(),
        paths: paths.iter().map(|path| path.to_string()).collect(),
    };
    Grants {
        http: vec![grant("https://vc.test", &["GET"], &["/folder"]), grant("https://vc.test", &["POST"], &["/sdk"])],
        ..Grants::default()
    }
}

fn request(method: http::Method, url: &str) -> http::Request {
    http::Request { method, url: url.to_owned(), headers: Vec::new(), auth: Auth::None }
}

fn get(url: &str) -> Result<Allowed, Fault> {
    grants().allow(request(http::Method::Get, url))
}

#[test]
fn what_is_granted_leaves_unchanged() {
    for url in [
        "https://vc.test/folder",
        "https://vc.test/folder/db01/db01-flat.vmdk?dcPath=DC0&dsName=ds%201",
        "https://vc.test/folder/odd%252fname/x.vmdk",
        "https://vc.test/folder/a..b/...",
    ] {
        assert_eq!(get(url).unwrap().url.as_str(), url);
    }
    assert!(get("https://VC.test:443/folder").is_ok());
    assert!(grants().allow(request(http::Method::Post, "https://vc.test/sdk")).is_ok());
}

#[test]
fn other_origins_methods_and_paths_are_denied() {
    for url in [
        "https://evil.test/folder",
        "https://vc.test.evil.test/folder",
        "https://vc.test:8443/folder",
        "http://vc.test/folder",
        "https://vc.test/sdk",
        "https://vc.test/folders",
        "https://vc.test/",
        "https://vc.test",
        "https://vc.test/FOLDER",
        "https://vc.test//folder",
    ] {
        assert_eq!(get(url).unwrap_err().kind, FaultKind::Denied, "{url}");
    }
    assert_eq!(get("https://vc.test/sdk").unwrap_err().message, "GET /sdk at https://vc.test is not granted to this plugin");
}

#[test]
fn urls_that_mean_something_else_on_the_way_are_refused() {
    for url in [
        "https://vc.test/folder/../sdk",
        "https://vc.test/folder/./x",
        "https://vc.test/folder/%2e%2e/sdk",
        "https://vc.test/folder/.%2E/sdk",
        "https://vc.test/folder/x%2f..%2f..%2fsdk",
        "https://vc.test/folder/x%5c..%5csdk",
        "https://vc.test/folder/x%252f..%252fsdk",
        "https://vc.test/folder/x%00",
        "https://vc.test/folder/x%0d%0aHost:evil",
        "https://vc.test\\@evil.test/folder",
        "https://vc.test@evil.test/folder",
        "https://user:pw@vc.test/folder",
        "https://vc.test%2fevil.test/folder",
        "https://vc.test/folder#x",
        "https://vc.test/folder x",
        "https://vc.test/földer",
        "https://vc.test/folder?x=\"",
        "https:vc.test/folder",
        "https:///vc.test/folder",
        "//vc.test/folder",
        "file:///etc/passwd",
        "HTTPS://vc.test/folder",
        "https://vc.test:99999/folder",
        "",
    ] {
        let fault = get(url).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Invalid | FaultKind::Denied), "{url}: {fault}");
    }
}

#[test]
fn headers_of_the_exchange_are_the_hosts() {
    for (name, value) in [
        ("Host", "evil.test"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("range", "bytes=0-1"),
        ("connection", "close"),
        ("x y", "1"),
        ("x", "a\r\nb: c"),
        ("x", "tab\tbed"),
        ("x", "umläut"),
    ] {
        let mut request = request(http::Method::Get, "https://vc.test/folder");
        request.headers.push(Header { name: name.to_owned(), value: value.to_owned() });
        assert_eq!(grants().allow(request).unwrap_err().kind, FaultKind::Invalid, "{name}: {value}");
    }
}

#[test]
fn a_secret_that_is_not_granted_stops_the_request() {
    let mut request = request(http::Method::Get, "https://vc.test/folder");
    request.auth = Auth::Bearer("token".to_owned());
    assert_eq!(grants().allow(request).unwrap_err().message, "no secret \"token\" is granted to this plugin");
}

/// A request whose URL gets this secret for its query.
fn with_query(secret: &str, url: &str) -> Result<Allowed, Fault> {
    let grant = SecretGrant { value: Secret::new(secret), origins: vec![Origin::parse("https://vc.test").unwrap()], sign_chain: None };
    let grants = Grants { secrets: [("sas".to_owned(), grant)].into(), ..grants() };
    grants.allow(http::Request { auth: Auth::Query("sas".to_owned()), ..request(http::Method::Get, url) })
}

#[test]
fn a_secret_query_stands_behind_the_guests_own_exactly_as_it_is() {
    let secret = "sv=2021-12-02&sp=rl&se=2100-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D";
    for (given, url, sent) in [
        (secret.to_owned(), "https://vc.test/folder", format!("https://vc.test/folder?{secret}")),
        // As a portal shows it, and as an editor ends a file.
        (format!("?{secret}\n"), "https://vc.test/folder?comp=list", format!("https://vc.test/folder?comp=list&{secret}")),
    ] {
        assert_eq!(with_query(&given, url).unwrap().url.as_str(), sent);
    }
}

#[test]
fn a_secret_that_is_no_query_or_meets_one_of_its_names_is_refused_without_being_shown() {
    for secret in ["hunter2", "", "a=b c", "a=b#c", "a=b\r\nx: y", "a=\"b\"", "a='b'", "a=b&c", "a=ä", "a=b\\c"] {
        let fault = with_query(secret, "https://vc.test/folder").unwrap_err();
        assert_eq!(fault.message, "the secret \"sas\" is no query such as a=b&c=d, percent-encoded", "{secret}");
    }
    let twice = with_query("sp=r&sig=hunter2", "https://vc.test/folder?SIG=mine").unwrap_err();
    assert_eq!(twice.message, "the parameter sig is given twice: by the plugin and for the secret");
    let elsewhere =
        grants().allow(http::Request { auth: Auth::Query("sas".to_owned()), ..request(http::Method::Get, "https://vc.test/folder") });
    assert_eq!(elsewhere.unwrap_err().kind, FaultKind::Denied);
}
