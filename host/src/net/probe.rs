//! Walks to an endpoint step by step, the way real work will, and says for each step how long it took or what to do about it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::client::{find, untrusted};
use super::endpoint::{Endpoint, Proxy};
use super::origin::Scheme;
use super::resolve::{ResolveError, Resolver};
use super::trust::{Pin, Untrusted, client_config};
use crate::clock::Clock;

/// One step on the way: what was tried, how long it took, what was found or what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStep {
    /// "resolve vc.example.test", "connect 10.1.2.3:443", "tls".
    pub what: String,
    pub took: Duration,
    /// What was found, for people.
    pub outcome: Result<String, ProbeFailure>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

type Walked<T> = Result<(T, String), ProbeFailure>;

/// The steps up to the first that fails.
pub async fn probe(endpoint: &Endpoint, clock: &dyn Clock) -> Vec<ProbeStep> {
    let mut walk = Walk { steps: Vec::new(), clock };
    // A failed step is in `steps`; the walk just ends there.
    let _ended = walk.endpoint(endpoint).await;
    walk.steps
}

struct Walk<'a> {
    steps: Vec<ProbeStep>,
    clock: &'a dyn Clock,
}

impl Walk<'_> {
    async fn endpoint(&mut self, endpoint: &Endpoint) -> Option<()> {
        let origin = &endpoint.origin;
        let proxy = endpoint.proxy().cloned();
        let (host, port) = match &proxy {
            Some(proxy) => (proxy.origin.bare_host().to_owned(), proxy.origin.port),
            None => (origin.bare_host().to_owned(), origin.port),
        };
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.step(format!("resolve {host}"), resolve(endpoint, &host)).await?,
        };
        let connecting = in_background(connect(addresses, port, endpoint.connect_timeout));
        let mut stream = self.step(format!("connect {host}:{port}"), connecting).await?;
        if let Some(proxy) = proxy.filter(|_| origin.scheme == Scheme::Https) {
            let (authority, limit) = (origin.authority(), endpoint.connect_timeout);
            let tunnelling = in_background(move || tunnel(stream, &proxy, &authority, limit));
            stream = self.step(format!("CONNECT {}", origin.authority()), tunnelling).await?;
        }
        if origin.scheme == Scheme::Https {
            let endpoint = endpoint.clone();
            self.step("tls".to_owned(), in_background(move || handshake(stream, &endpoint))).await?;
        }
        Some(())
    }

    async fn step<T>(&mut self, what: String, walked: impl Future<Output = Walked<T>>) -> Option<T> {
        let started = self.clock.monotonic();
        let walked = walked.await;
        let took = self.clock.monotonic().saturating_sub(started);
        let (value, outcome) = match walked {
            Ok((value, found)) => (Some(value), Ok(found)),
            Err(failure) => (None, Err(failure)),
        };
        self.steps.push(ProbeStep { what, took, outcome });
        value
    }
}

async fn resolve(endpoint: &Endpoint, host: &str) -> Walked<Vec<IpAddr>> {
    match Resolver::new(endpoint).addresses(host).await {
        Ok(found) => {
            let said = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Ok((found, said))
        }
        Err(error) => {
            let fix = match &error {
                ResolveError::Unknown { .. } => "correct the name, or give the endpoint an address".to_owned(),
                ResolveError::Outside { found, .. } => {
                    format!("repair the name server, set the endpoint's address, or add {found} to expect if it is right")
                }
            };
            Err(ProbeFailure { message: error.to_string(), fix })
        }
    }
}

/// Steps that block run beside the threads that wait for the network.
async fn in_background<T: Send + 'static>(walk: impl FnOnce() -> Walked<T> + Send + 'static) -> Walked<T> {
    match tokio::task::spawn_blocking(walk).await {
        Ok(walked) => walked,
        Err(error) => Err(ProbeFailure { message: error.to_string(), fix: "report this as a bug".to_owned() }),
    }
}

fn connect(addresses: Vec<IpAddr>, port: u16, limit: Duration) -> impl FnOnce() -> Walked<TcpStream> + Send + 'static {
    move || {
        let mut last = "no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&SocketAddr::new(address, port), limit) {
                Ok(stream) => return Ok((stream, address.to_string())),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        let fix = "check that the service runs, and that firewalls between here and there let this port through".to_owned();
        Err(ProbeFailure { message: format!("no connection ({last})"), fix })
    }
}

fn tunnel(mut stream: TcpStream, proxy: &Proxy, authority: &str, limit: Duration) -> Walked<TcpStream> {
    let failed = |message: String, fix: &str| ProbeFailure { message, fix: fix.to_owned() };
    let broken = |error: std::io::Error| failed(format!("the proxy broke off: {error}"), "check that this is an HTTP proxy");
    let mut request = zeroize::Zeroizing::new(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"));
    if let Some((user, password)) = &proxy.credentials {
        let login = super::client::basic(user, password.expose());
        request.push_str(&format!("Proxy-Authorization: {}\r\n", login.to_str().unwrap_or_default()));
    }
    request.push_str("\r\n");
    stream.set_read_timeout(Some(limit)).map_err(broken)?;
    stream.set_write_timeout(Some(limit)).map_err(broken)?;
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut head = Vec::new();
    // Byte by byte, so that nothing behind the head is taken from TLS.
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(broken)?;
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
    match line.split(' ').nth(1) {
        Some("200") => Ok((stream, line)),
        Some("407") => Err(failed("the proxy wants a login".to_owned(), "set user and password-file of the proxy")),
        Some("403") => Err(failed(format!("the proxy refuses: {line}"), "have this destination allowed at the proxy")),
        _ => Err(failed(format!("the proxy answered {line:?}"), "check the proxy, or put the host into no-proxy")),
    }
}

fn handshake(mut stream: TcpStream, endpoint: &Endpoint) -> Walked<()> {
    let failed = |message: String, fix: String| ProbeFailure { message, fix };
    let config = client_config(&endpoint.trust).map_err(|why| failed(why, "correct the endpoint's trust".to_owned()))?;
    let name = ServerName::try_from(endpoint.origin.bare_host().to_owned())
        .map_err(|error| failed(error.to_string(), "correct the host of the endpoint".to_owned()))?;
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string(), String::new()))?;
    let limited = stream.set_read_timeout(Some(endpoint.connect_timeout)).and(stream.set_write_timeout(Some(endpoint.connect_timeout)));
    let shaken = limited.and_then(|()| {
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(())
    });
    if let Err(error) = shaken {
        return Err(match find::<rustls::Error>(&error).and_then(untrusted) {
            Some(why @ Untrusted::WrongPin { found, .. }) => {
                failed(why.to_string(), format!("if the certificate was replaced on purpose, pin {found}"))
            }
            Some(why @ Untrusted::NotSigned { found, .. }) => failed(
                why.to_string(),
                format!("give the endpoint the ca-file that signed it, or compare the fingerprint with the server and pin {found}"),
            ),
            None => failed(format!("no TLS: {error}"), "check that this port speaks TLS 1.2 or 1.3".to_owned()),
        });
    }
    let pin = tls.peer_certificates().and_then(|chain| chain.first()).map(|leaf| Pin::of(leaf));
    let version = tls.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
    Ok(((), format!("{version}, certificate {}", pin.map(|pin| pin.to_string()).unwrap_or_default())))
}
