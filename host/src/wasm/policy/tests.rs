use std::collections::BTreeSet;

use super::*;
use crate::model::FaultKind;
use crate::wasm::grants::HttpGrant;

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
