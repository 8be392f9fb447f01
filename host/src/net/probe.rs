//! Walks to an endpoint step by step, the way real work will, and says for each step how long it took or what to do about it.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::client::{find, untrusted};
use super::endpoint::Endpoint;
use super::origin::Scheme;
use super::resolve::{ResolveError, Resolver};
use super::trust::{Pin, Untrusted, client_config};
use super::tunnel::tunnel;
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

pub(super) type Walked<T> = Result<(T, String), ProbeFailure>;

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
                ResolveError::Inside { found, .. } => {
                    format!("repair the name server; if that machine is meant, add {found} to the endpoint's expect")
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
