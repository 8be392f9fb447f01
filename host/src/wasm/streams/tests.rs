//! Each connection is opened as a guest would: by the import's own functions, on an instance's state.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::streams::{Host, HostConnection};
use super::*;
use crate::clock::SystemClock;
use crate::config::Opened;
use crate::model::FaultKind;
use crate::net::{Endpoint, Origin, Pin, Trust};
use crate::random::Random;
use crate::wasm::counters::Counters;
use crate::wasm::manifest::Manifest;
use crate::wasm::plugin::Plugin;
use crate::wasm::trouble::Trouble;

const MANIFEST: &str = r#"
name = "x"
kind = "cutover"
version = "1"
wit = "0.1.0"
component = "x.wasm"
sha256 = ""
[[stream]]
name = "plain"
protocol = "tcp"
endpoint = "{config.server}"
reason = "r"
[[stream]]
name = "safe"
protocol = "tls"
endpoint = "{config.safe}"
reason = "r"
[[stream]]
name = "local"
protocol = "unix"
endpoint = "{config.socket}"
reason = "r"
[limits]
call = "2 s"
"#;

fn instance(settings: &str, endpoints: Vec<Endpoint>) -> InstanceState {
    let opened = Opened { secrets: Default::default(), endpoints };
    let counters = Arc::new(Counters::default());
    let settings = settings.parse().unwrap();
    let plugin = Plugin::new("x", &Manifest::parse(MANIFEST).unwrap(), &settings, opened, Arc::new(SystemClock::new()), counters).unwrap();
    let mut state = InstanceState::new(Arc::new(plugin));
    state.begin_call();
    state
}

fn fault(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Fault(fault) => fault,
        Refusal::Trap(error) => panic!("the instance would end: {error}"),
    }
}

async fn open(state: &mut InstanceState, name: &str) -> Result<Resource<Connection>, Fault> {
    state.open(name.to_owned()).await.map_err(fault)
}

async fn receive(state: &mut InstanceState, connection: &Resource<Connection>, limit: u32, deadline_ms: u32) -> Result<Vec<u8>, Fault> {
    state.receive(Resource::new_borrow(connection.rep()), limit, deadline_ms).await.map_err(fault)
}

async fn send(state: &mut InstanceState, connection: &Resource<Connection>, bytes: &[u8]) -> Result<(), Fault> {
    state.send(Resource::new_borrow(connection.rep()), bytes.to_vec()).await.map_err(fault)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = format!("server = \"{}\"", listener.local_addr().unwrap());
    (listener, settings)
}

#[tokio::test]
async fn bytes_go_and_come_until_the_other_side_closes() {
    let (listener, settings) = listen().await;
    let mut state = instance(&settings, Vec::new());
    let connection = open(&mut state, "plain").await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    send(&mut state, &connection, b"question").await.unwrap();
    let mut heard = [0; 8];
    peer.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"question");
    peer.write_all(b"answer").await.unwrap();
    assert_eq!(receive(&mut state, &connection, 3, 1000).await.unwrap(), b"ans");
    assert_eq!(receive(&mut state, &connection, 1000, 1000).await.unwrap(), b"wer");
    drop(peer);
    assert_eq!(receive(&mut state, &connection, 1000, 1000).await.unwrap(), b"");
    assert_eq!(state.plugin.counters().read().spliced, 14);
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_the_connection_goes_on() {
    let (listener, settings) = listen().await;
    let mut state = instance(&settings, Vec::new());
    let connection = open(&mut state, "plain").await.unwrap();
    let (mut peer, address) = listener.accept().await.unwrap();
    let silent = receive(&mut state, &connection, 10, 50).await.unwrap_err();
    assert_eq!(silent, Fault::unavailable(format!("tcp://{} sent nothing within 50 ms", listener.local_addr().unwrap())), "{address}");
    peer.write_all(b"late").await.unwrap();
    assert_eq!(receive(&mut state, &connection, 10, 1000).await.unwrap(), b"late");
}

/// Neither a deadline of weeks nor a limit of gigabytes takes more than a call and 64 KiB.
#[tokio::test]
async fn a_huge_limit_and_a_huge_deadline_are_cut_to_what_is_granted() {
    let (listener, settings) = listen().await;
    let mut state = instance(&settings, Vec::new());
    let connection = open(&mut state, "plain").await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let feeding = tokio::spawn(async move {
        peer.write_all(&vec![7; 1 << 20]).await.unwrap();
        peer
    });
    let mut came = 0;
    while came < 1 << 20 {
        let part = receive(&mut state, &connection, u32::MAX, u32::MAX).await.unwrap();
        assert!((1..=RECEIVE_BYTES_MAX).contains(&part.len()));
        came += part.len();
    }
    let _peer = feeding.await.unwrap();
    let silent = receive(&mut state, &connection, u32::MAX, u32::MAX).await.unwrap_err();
    assert!(silent.message.ends_with("sent nothing within 2000 ms"), "{silent}");
    assert_eq!(receive(&mut state, &connection, 0, 1).await.unwrap_err().kind, FaultKind::Invalid);
    let long = send(&mut state, &connection, &vec![0; SEND_BYTES_MAX + 1]).await.unwrap_err();
    assert_eq!(long, Fault::invalid("at most 1048576 bytes are sent at a time; these are 1048577"));
}

/// A trial with mishaps: what breaks is said as an outage, and what was sent before it broke may have arrived.
#[tokio::test]
async fn mishaps_of_a_trial_befall_connections_as_well() {
    for (mishap, arrives) in [(Mishap::Busy, false), (Mishap::Lost, false), (Mishap::Unanswered, true), (Mishap::Cut, true)] {
        let (listener, settings) = listen().await;
        let mut state = instance(&settings, Vec::new());
        let connection = open(&mut state, "plain").await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let sent = state.table.get_mut(&connection).unwrap().send_on(Some(mishap), b"order").await;
        assert_eq!(sent.is_ok(), arrives, "{mishap:?}: {sent:?}");
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, if arrives { &b"order"[..] } else { b"" }, "{mishap:?}");
        for next in [send(&mut state, &connection, b"more").await, receive(&mut state, &connection, 10, 10).await.map(drop)] {
            assert_eq!(next.unwrap_err().kind, FaultKind::Unavailable, "{mishap:?}");
        }
    }

    // As often as requests are disturbed, in whatever the guest does.
    let (listener, settings) = listen().await;
    let accepting = tokio::spawn(async move {
        let mut peers = Vec::new();
        loop {
            peers.push(listener.accept().await.unwrap());
        }
    });
    let plugin = instance(&settings, Vec::new()).plugin.clone();
    let plugin = Arc::into_inner(plugin).unwrap().troubled(Some(Trouble::new(Random::from_seed(3))));
    let mut state = InstanceState::new(Arc::new(plugin));
    state.begin_call();
    let (mut refused, mut broken) = (0, 0);
    for _ in 0..1000 {
        match open(&mut state, "plain").await {
            Ok(connection) => {
                broken += usize::from(send(&mut state, &connection, b"order").await.is_err());
                HostConnection::drop(&mut state, connection).await.unwrap();
            }
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Unavailable, "{fault}");
                refused += 1;
            }
        }
    }
    accepting.abort();
    assert!((5..200).contains(&refused) && (2..200).contains(&broken), "{refused} {broken}");
}

/// A component may run code before anybody calls it, and a plan is made of its arguments.
#[tokio::test]
async fn nothing_is_reached_by_an_instance_that_starts_or_plans() {
    let (listener, settings) = listen().await;
    let mut working = instance(&settings, Vec::new());
    let connection = open(&mut working, "plain").await.unwrap();
    let mut starting = InstanceState::new(working.plugin.clone());
    assert_eq!(
        open(&mut starting, "plain").await.unwrap_err(),
        Fault::denied("an instance that starts reaches nothing: nobody has called it yet")
    );
    working.begin_plan();
    for reached in [
        open(&mut working, "plain").await.map(drop),
        send(&mut working, &connection, b"out").await,
        receive(&mut working, &connection, 1, 1).await.map(drop),
    ] {
        assert!(reached.unwrap_err().message.starts_with("plan reaches nothing"));
    }
    assert!(working.must_end());
    drop(listener);
}

#[tokio::test]
async fn a_name_that_is_not_granted_is_denied() {
    let (listener, settings) = listen().await;
    let mut state = instance(&settings, Vec::new());
    for (name, shown) in [
        ("other", "\"other\""),
        // Asked for, and not in the operator's settings.
        ("safe", "\"safe\""),
        ("local", "\"local\""),
        ("", "\"\""),
        ("plain\0", "\"plain\\0\""),
        (&listener.local_addr().unwrap().to_string(), &format!("\"{}\"", listener.local_addr().unwrap())),
    ] {
        assert_eq!(open(&mut state, name).await.unwrap_err(), Fault::denied(format!("no stream {shown} is granted to this plugin")));
    }
    assert!(!state.must_end());
}

/// Many programs of this machine believe whoever comes from here. Only the operator sends a plugin there, by writing it down.
#[tokio::test]
async fn a_name_that_leads_inside_is_denied_unless_the_operator_wrote_it_down() {
    let (listener, _) = listen().await;
    let port = listener.local_addr().unwrap().port();
    // On one machine its own name leads to itself, on another one the name that Debian gives to ::1.
    let own = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let mut led = None;
    for host in [own.trim(), "ip6-localhost"] {
        let found =
            tokio::net::lookup_host((host, port)).await.ok().and_then(|found| found.map(|each| each.ip()).find(|ip| ip.is_loopback()));
        led = led.or(found.map(|address| (host, address)));
    }
    let Some((host, address)) = led else { return println!("SKIPPED: no name but localhost leads to this machine's loopback address") };
    let settings = format!("server = \"{host}:{port}\"");
    let denied = open(&mut instance(&settings, Vec::new()), "plain").await.unwrap_err();
    assert_eq!(denied.kind, FaultKind::Denied);
    assert!(denied.message.contains("which is this machine itself") && denied.message.ends_with("nothing was sent"), "{denied}");
    let origin = Origin::of_stream(crate::net::Scheme::Tcp, &format!("{host}:{port}")).unwrap();
    let expecting = Endpoint { expect: vec![ipnet::IpNet::from(address)], ..Endpoint::usual(origin) };
    let opened = open(&mut instance(&settings, vec![expecting]), "plain").await;
    assert!(opened.is_ok() || opened.as_ref().is_err_and(|fault| fault.kind == FaultKind::Unavailable), "{:?}", opened.err());
}

#[tokio::test]
async fn a_flood_of_connections_ends_at_its_bound() {
    let (_listener, settings) = listen().await;
    let mut state = instance(&settings, Vec::new());
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        held.push(open(&mut state, "plain").await.unwrap());
    }
    let bound = || Fault::denied("a plugin may hold at most 16 connections at a time");
    assert_eq!(open(&mut state, "plain").await.unwrap_err(), bound());
    state.drop(held.pop().unwrap()).await.unwrap();
    held.push(open(&mut state, "plain").await.unwrap());
    assert_eq!(open(&mut state, "plain").await.unwrap_err(), bound());
}

#[tokio::test]
async fn a_connection_that_a_call_leaves_behind_ends_with_its_instance() {
    let (listener, settings) = listen().await;
    let mut state = instance(&settings, Vec::new());
    assert!(!state.must_end());
    let left = open(&mut state, "plain").await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    // What `Instances::settle` asks before it gives an instance to the next call.
    assert!(state.must_end());
    drop((state, left));
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_that_broke_is_not_used_again() {
    let (listener, settings) = listen().await;
    let mut state = instance(&settings, Vec::new());
    let connection = open(&mut state, "plain").await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    send(&mut state, &connection, b"never read").await.unwrap();
    // Who closes on bytes that were not read resets the connection.
    peer.readable().await.unwrap();
    drop(peer);
    let broke = receive(&mut state, &connection, 1, 1000).await.unwrap_err();
    let place = format!("the connection to tcp://{} broke: ", listener.local_addr().unwrap());
    assert!(broke.kind == FaultKind::Unavailable && broke.message.starts_with(&place), "{broke}");
    for again in [receive(&mut state, &connection, 1, 1000).await.unwrap_err(), send(&mut state, &connection, b"x").await.unwrap_err()] {
        assert!(again.message.starts_with(&place) && again.message.ends_with("any more"), "{again}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_where_the_operator_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ctl");
    let listener = UnixListener::bind(&path).unwrap();
    let mut state = instance(&format!("socket = \"{}\"", path.display()), Vec::new());
    let connection = open(&mut state, "local").await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(b"hello").await.unwrap();
    assert_eq!(receive(&mut state, &connection, 100, 1000).await.unwrap(), b"hello");
}

/// A server with a certificate that nobody signed.
async fn tls_server() -> (TcpListener, tokio_rustls::TlsAcceptor, Pin) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let pin = Pin::of(&certificate);
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(config).into(), pin)
}

#[tokio::test]
async fn tls_believes_whom_the_endpoint_says_and_nobody_else() {
    let (listener, acceptor, pin) = tls_server().await;
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                assert_eq!(stream.get_ref().1.alpn_protocol(), None);
                stream.write_all(b"welcome").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    let settings = format!("safe = \"{address}\"");
    let trusting = |pin| {
        let origin = Origin::of_stream(crate::net::Scheme::Tls, &address.to_string()).unwrap();
        vec![Endpoint { trust: Trust::Pin(pin), ..Endpoint::usual(origin) }]
    };
    let mut state = instance(&settings, trusting(pin));
    let connection = open(&mut state, "safe").await.unwrap();
    assert_eq!(receive(&mut state, &connection, 100, 2000).await.unwrap(), b"welcome");
    assert_eq!(receive(&mut state, &connection, 100, 2000).await.unwrap(), b"");
    let other = Pin::of(b"another");
    let denied = open(&mut instance(&settings, trusting(other)), "safe").await.unwrap_err();
    assert_eq!(denied, Fault::denied(format!("tls://{address} is not believed: the certificate shown is {pin}, but {other} is pinned")));
    serving.abort();
}
