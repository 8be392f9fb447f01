//! Requests to where no grant leads, by whatever detour. Nothing of them leaves the host.

use transload::model::FaultKind;
use transload::pipeline::source::Source;

use super::super::setup::World;
use super::{definition, ends, learnt, refused, said};

/// What came to the server besides the reads that prove that the plugin still works.
fn arrived(world: &World) -> Vec<String> {
    world.server.lines().into_iter().filter(|line| line != "GET /disk").collect()
}

#[tokio::test]
async fn another_origin_is_denied_however_it_is_written() {
    let world = World::start().await;
    let source = world.source().await;
    let port = world.server.address.port();
    for (origin, told) in [
        ("https://elsewhere.invalid".to_owned(), "https://elsewhere.invalid".to_owned()),
        (format!("http://localhost:{port}"), format!("http://localhost:{port}")),
        ("https://localhost".to_owned(), "https://localhost".to_owned()),
        // The same machine under other names is another origin: the operator approved the one.
        (format!("https://localhost.:{port}"), format!("https://localhost.:{port}")),
        (format!("https://127.0.0.1:{port}"), format!("https://127.0.0.1:{port}")),
        (format!("https://127.1:{port}"), format!("https://127.0.0.1:{port}")),
        (format!("https://0x7f000001:{port}"), format!("https://127.0.0.1:{port}")),
        (format!("https://2130706433:{port}"), format!("https://127.0.0.1:{port}")),
        (format!("https://[::1]:{port}"), format!("https://[::1]:{port}")),
        (format!("https://[::ffff:127.0.0.1]:{port}"), format!("https://[::ffff:7f00:1]:{port}")),
        (format!("https://[0:0:0:0:0:ffff:7f00:0001]:{port}"), format!("https://[::ffff:7f00:1]:{port}")),
        ("http://169.254.169.254".to_owned(), "http://169.254.169.254".to_owned()),
        ("http://[fe80::a9fe:a9fe]".to_owned(), "http://[fe80::a9fe:a9fe]".to_owned()),
    ] {
        let fault = definition(&source, &format!("get {origin}/disk")).await;
        assert_eq!(fault, said(FaultKind::Denied, &format!("requests to {told} are not granted to this plugin")), "{origin}");
    }
    assert_eq!(arrived(&world), [""; 0]);
}

#[tokio::test]
async fn another_path_or_method_is_denied() {
    let world = World::start().await;
    let (source, url) = (world.source().await, world.url());
    for (misdeed, what) in
        [("get", "GET /admin"), ("get", "GET /disks"), ("get", "GET /DISK"), ("get", "GET //disk"), ("delete", "DELETE /disk")]
    {
        let path = what.split_once(' ').unwrap().1;
        let fault = definition(&source, &format!("{misdeed} {url}{path}")).await;
        assert_eq!(fault, said(FaultKind::Denied, &format!("{what} at {url} is not granted to this plugin")));
    }
    assert_eq!(arrived(&world), [""; 0]);
}

#[tokio::test]
async fn a_url_that_means_something_else_on_the_way_is_refused() {
    let world = World::start().await;
    let (source, url) = (world.source().await, world.url());
    let host = url.strip_prefix("https://").unwrap();
    let user = "it carries user information, or its host is encoded";
    let dots = "its path or query is not in the form in which it would be sent (dot segments, or characters not encoded)";
    let encoded = "its path holds an encoded dot segment or control character";
    let odd = "it holds a space, a control character or a character that must be percent-encoded";
    for (written, why) in [
        (format!("https://svc@{host}/disk"), user),
        (format!("https://svc:pw@{host}/disk"), user),
        (format!("https://{host}@elsewhere.invalid/disk"), user),
        (format!("https://elsewhere.invalid%2f{host}/disk"), user),
        (format!("https://{host}\\@elsewhere.invalid/disk"), "it holds a backslash or a fragment"),
        (format!("{url}/disk#/../admin"), "it holds a backslash or a fragment"),
        (format!("{url}/disk/../admin"), dots),
        (format!("{url}/disk/./../admin"), dots),
        // A parser of URLs takes these for dots, so they would have been sent as such.
        (format!("{url}/disk/%2e%2e/admin"), dots),
        (format!("{url}/disk/.%2E/admin"), dots),
        (format!("{url}/disk/..%2fadmin"), encoded),
        (format!("{url}/disk/x%2f..%2f..%2fadmin"), encoded),
        (format!("{url}/disk/x%252f..%252fadmin"), encoded),
        (format!("{url}/disk/x%5c..%5cadmin"), encoded),
        (format!("{url}/disk/%00"), encoded),
        (format!("{url}/disk/%0d%0ahost:%20elsewhere.invalid"), encoded),
        (format!("{url}/disk\r\nhost: elsewhere.invalid"), odd),
        (format!("{url}/disk\t"), odd),
        (format!("{url}/dısk"), odd),
        (format!("//{host}/disk"), "it must start with https:// or http://"),
        ("file:///etc/passwd".to_owned(), "it must start with https:// or http://"),
        (format!("{url}/disk?{}", "x".repeat(16 * 1024)), "it is longer than 16 KiB"),
    ] {
        let fault = definition(&source, &format!("get {written}")).await;
        assert_eq!(fault, said(FaultKind::Invalid, &format!("the plugin's URL cannot be used: {why}")), "{written}");
    }
    assert_eq!(arrived(&world), [""; 0]);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_where_it_leads_is_judged_anew() {
    let world = World::start().await;
    let (source, url) = (world.source().await, world.url());
    assert_eq!(learnt(&source, &format!("get {url}/moved")).await, "302 ");
    let denied = |origin| said(FaultKind::Denied, &format!("requests to {origin} are not granted to this plugin"));
    assert_eq!(definition(&source, &format!("follow {url}/moved/on")).await, denied("https://elsewhere.invalid"));
    assert_eq!(definition(&source, &format!("follow {url}/moved/inside")).await, denied("http://169.254.169.254"));
    world.hurry_source();
    assert_eq!(
        definition(&world.source().await, &format!("follow {url}/moved/round")).await,
        said(FaultKind::Unavailable, "plugin src did not answer definition in time")
    );
}

#[tokio::test]
async fn a_header_cannot_break_out_of_its_line_nor_be_the_hosts() {
    let world = World::start().await;
    let source = world.source().await;
    let broken = "the header x-guest holds a character other than visible ASCII and spaces";
    for (header, sentence) in [
        ("x-guest=a\r\nhost: elsewhere.invalid", broken),
        ("x-guest=a\nhost: elsewhere.invalid", broken),
        ("x-guest=a\rb", broken),
        ("x-guest=a\0b", broken),
        ("x-guest\r\nhost: elsewhere.invalid\r\nx=a", "\"x-guest\\r\\nhost: elsewhere.invalid\\r\\nx\" is no header name"),
        ("Host=elsewhere.invalid", "the header host is the host's and cannot be set"),
        ("Transfer-Encoding=chunked", "the header transfer-encoding is the host's and cannot be set"),
        ("content-length=5", "the header content-length is the host's and cannot be set"),
        ("range=bytes=0-1", "the header range is the host's and cannot be set"),
    ] {
        assert_eq!(definition(&source, &format!("header {header}")).await, said(FaultKind::Invalid, sentence), "{header:?}");
    }
    for user in ["svc:admin", "svc\r\nhost: elsewhere.invalid"] {
        assert_eq!(
            definition(&source, &format!("user {user}")).await,
            said(FaultKind::Invalid, "the user of a basic login holds a colon or a control character")
        );
    }
    assert_eq!(arrived(&world), [""; 0]);
}

#[tokio::test]
async fn a_secret_that_is_not_granted_goes_nowhere() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(definition(&source, "bearer root").await, said(FaultKind::Denied, "no secret \"root\" is granted to this plugin"));
    assert_eq!(
        definition(&source, "secret-in proxy-authorization").await,
        said(FaultKind::Invalid, "the header proxy-authorization is the host's and cannot be set")
    );
    assert_eq!(arrived(&world), [""; 0]);

    world.reinstall_source("origins = [\"{config.url}\"]", "origins = []");
    let fault = refused(&world.source().await, async |source| source.describe().await).await;
    assert_eq!(fault, said(FaultKind::Denied, &format!("the secret \"password\" may not go to {}", world.url())));
    assert_eq!(arrived(&world), [""; 0]);
}

#[tokio::test]
async fn a_secret_goes_where_it_is_granted() {
    let world = World::start().await;
    let source = world.source().await;
    assert_eq!(ends(source.describe()).await.unwrap().product, "200 welcome");
    let body = String::from_utf8(world.server.asked()[0].body.clone()).unwrap();
    assert_eq!(body, "<password>hunter2 &amp; &lt;co&gt;</password>");
    let seen = learnt(&source, "headers").await;
    assert!(seen.contains("authorization: Basic c3ZjOmh1bnRlcjIgJiA8Y28+"), "{seen}");
    assert!(seen.contains("x-guest: hello"), "{seen}");
}

#[tokio::test]
async fn a_login_of_one_source_is_not_seen_by_another_of_the_same_plugin() {
    let world = World::start().await;
    let (source, other, _) = world.neighbours().await;
    assert_eq!(learnt(&source, "session ours").await, " then 1");
    assert_eq!(learnt(&other, "session theirs").await, " then 1");
    assert_eq!(learnt(&source, "session ours again").await, "ours then 2");
}
