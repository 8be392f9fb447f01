//! Who is believed, by the same way that requests go: through a plugin, or by the probe of `transload check`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transload::model::FaultKind;
use transload::pipeline::source::Source;
use transload::wasm::PluginSource;

use super::setup::{World, plugin_host};

async fn source(world: &World, endpoint: &str) -> PluginSource {
    world.try_source(endpoint).await.unwrap()
}

/// What each step of the probe found, or what is wrong and what to do.
async fn walked(source: &PluginSource) -> Vec<(String, String)> {
    let steps = source.probe().await;
    steps
        .into_iter()
        .map(|step| (step.what, step.outcome.unwrap_or_else(|failure| format!("{} -> {}", failure.message, failure.fix))))
        .collect()
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_and_another_is_shown() {
    let world = World::start().await;
    let pinned = source(&world, &format!("trust = {{ pin = \"{}\" }}\naddress = \"127.0.0.1\"", world.server.pin)).await;
    assert!(pinned.describe().await.is_ok());
    let steps = walked(&pinned).await;
    assert_eq!(
        steps.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>(),
        ["resolve localhost", &format!("connect localhost:{}", world.server.address.port()), "tls"]
    );
    assert_eq!(steps[2].1, format!("TLSv1_3, certificate {}", world.server.pin));

    let other = format!("sha256:{}", "00".repeat(32));
    let wrong = source(&world, &format!("trust = {{ pin = \"{other}\" }}\naddress = \"127.0.0.1\"")).await;
    let fault = wrong.describe().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    let shown = format!("the certificate shown is {}, but {other} is pinned", world.server.pin);
    assert_eq!(fault.message, format!("{} is not believed: {shown}", world.url()));
    let fix = format!("{shown} -> if the certificate was replaced on purpose, pin {}", world.server.pin);
    assert_eq!(walked(&wrong).await[2].1, fix);
    assert_eq!(world.server.lines(), ["POST /login"]);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_with_its_fingerprint() {
    let world = World::start().await;
    let unknown = source(&world, "address = \"127.0.0.1\"").await;
    let fault = unknown.describe().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.message.contains(&format!("the certificate shown ({}) is not trusted: ", world.server.pin)), "{fault}");
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn a_name_that_resolves_outside_the_expectation_is_never_connected_to() {
    let world = World::start().await;
    let strict = source(&world, &format!("trust = {{ pin = \"{}\" }}\nexpect = [\"10.0.0.0/8\"]", world.server.pin)).await;
    let fault = strict.describe().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.message.contains("outside the expected 10.0.0.0/8; the answer came from resolver"), "{fault}");
    assert!(fault.message.ends_with("nothing was sent"), "{fault}");
    let steps = walked(&strict).await;
    assert_eq!(steps.len(), 1);
    assert!(steps[0].1.contains("add 127.0.0.1 to expect") || steps[0].1.contains("add ::1 to expect"), "{steps:?}");
    assert!(world.server.asked().is_empty());
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_unavailable_and_not_more() {
    let world = World::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let endpoint = world.usual_endpoint();
    let mut config = world.config(&endpoint);
    let url = format!("https://localhost:{free}");
    config.sources[0].config.insert("url".to_owned(), url.clone().into());
    config.sources[0].endpoints.clear();
    let host = plugin_host();
    let fault = host.source(&config.sources[0]).await.unwrap().describe().await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
    assert!(fault.message.starts_with(&format!("no connection to {url}: ")), "{fault}");
}

#[tokio::test]
async fn https_passes_through_a_proxy_by_connect_with_its_login() {
    let world = World::start().await;
    world.secret("proxy.password", "let me out");
    let (proxy, heads) = proxy(world.server.address.port()).await;
    let trust = format!("trust = {{ pin = \"{}\" }}", world.server.pin);
    let login = "user = \"agent\", password-file = \"proxy.password\"";
    let through = source(&world, &format!("{trust}\nproxy = {{ url = \"http://127.0.0.1:{proxy}\", {login} }}")).await;
    assert!(through.describe().await.is_ok());
    let steps = walked(&through).await;
    assert_eq!(steps[1], (format!("CONNECT localhost:{}", world.server.address.port()), "HTTP/1.1 200 OK".to_owned()));
    assert_eq!(steps.len(), 3);
    for head in heads.lock().unwrap().iter() {
        assert!(head.starts_with("CONNECT localhost:"), "{head}");
        assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic ywdlbnq6bgv0ig1lig91da=="), "{head}");
    }
    assert_eq!(heads.lock().unwrap().len(), 2);

    let anonymous = source(&world, &format!("{trust}\nproxy = {{ url = \"http://127.0.0.1:{proxy}\" }}")).await;
    assert_eq!(anonymous.describe().await.unwrap_err().kind, FaultKind::Unavailable);
    assert_eq!(walked(&anonymous).await[1].1, "the proxy wants a login -> set user and password-file of the proxy");

    let direct = source(&world, &format!("{trust}\nproxy = {{ url = \"http://127.0.0.1:1\", no-proxy = [\"localhost\"] }}")).await;
    assert!(direct.describe().await.is_ok());
}

/// A proxy that tunnels to the server on 127.0.0.1 for whoever shows a login, and remembers the heads of its requests.
async fn proxy(server: u16) -> (u16, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                if !head.to_ascii_lowercase().contains("proxy-authorization") {
                    client.write_all(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                    return;
                }
                kept.lock().unwrap().push(head);
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut onward = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let _ended = tokio::io::copy_bidirectional(&mut client, &mut onward).await;
            });
        }
    });
    (port, heads)
}
