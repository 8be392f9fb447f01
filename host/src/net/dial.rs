//! A connection that carries another protocol than HTTP: reached and trusted as its endpoint says, then handed over as it is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::client::{find, tls_fault};
use super::endpoint::{CONNECT_TIMEOUT, Endpoint};
use super::origin::Scheme;
use super::resolve::Resolver;
use super::trust::client_config;
use crate::model::Fault;

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Everything that is decided before a connection is made.
pub enum Dialer {
    Tcp(Endpoint),
    Tls(Endpoint, TlsConnector),
    Unix(PathBuf),
}

impl Dialer {
    /// For an endpoint whose scheme is `tcp` or `tls`.
    pub fn new(endpoint: Endpoint) -> Result<Dialer, String> {
        endpoint.check()?;
        match endpoint.origin.scheme {
            Scheme::Tcp => Ok(Dialer::Tcp(endpoint)),
            Scheme::Tls => {
                let mut config = client_config(&endpoint.trust)?;
                // What is spoken is not known here, and a server that knows other protocols only would hang up on this one.
                config.alpn_protocols.clear();
                Ok(Dialer::Tls(endpoint, TlsConnector::from(Arc::new(config))))
            }
            Scheme::Http | Scheme::Https => Err(format!("{} is reached by requests, not by a bare connection", endpoint.origin)),
        }
    }

    pub async fn dial(&self) -> Result<Box<dyn Duplex>, Fault> {
        let limit = match self {
            Dialer::Tcp(endpoint) | Dialer::Tls(endpoint, _) => endpoint.connect_timeout,
            Dialer::Unix(_) => CONNECT_TIMEOUT,
        };
        let silent = || Fault::unavailable(format!("{self} did not accept a connection within {} s", limit.as_secs_f32()));
        tokio::time::timeout(limit, self.walk()).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn walk(&self) -> Result<Box<dyn Duplex>, Fault> {
        match self {
            Dialer::Tcp(endpoint) => Ok(Box::new(connect(endpoint).await?)),
            Dialer::Tls(endpoint, tls) => {
                let origin = &endpoint.origin;
                let name = ServerName::try_from(origin.bare_host().to_owned())
                    .map_err(|error| Fault::denied(format!("{origin} has a host that no certificate names: {error}")))?;
                let shaken = tls.connect(name, connect(endpoint).await?).await;
                Ok(Box::new(shaken.map_err(|error| match find::<rustls::Error>(&error) {
                    Some(error) => tls_fault(origin, error),
                    None => Fault::unavailable(format!("the TLS handshake with {origin} broke off: {error}")),
                })?))
            }
            Dialer::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(Fault::unavailable(format!("no connection to {self}: {error}"))),
            },
        }
    }
}

/// The name is resolved once; what was judged is what is connected to.
async fn connect(endpoint: &Endpoint) -> Result<TcpStream, Fault> {
    let origin = &endpoint.origin;
    let addresses: Vec<IpAddr> = match origin.literal() {
        Some(address) => vec![address],
        None => Resolver::new(endpoint).addresses(origin.bare_host()).await.map_err(|astray| astray.fault())?,
    };
    let mut last = "no address".to_owned();
    // One that swallows packets must not take the time of the next.
    let each = endpoint.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        let connecting = TcpStream::connect(SocketAddr::new(address, origin.port));
        match tokio::time::timeout(each, connecting).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            // Small questions and answers must not wait for each other.
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream).map_err(|error| refused(endpoint, &error.to_string())),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(refused(endpoint, &last))
}

fn refused(endpoint: &Endpoint, why: &str) -> Fault {
    Fault::unavailable(format!("no connection to {}: {why}", endpoint.origin))
}

impl fmt::Display for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dialer::Tcp(endpoint) | Dialer::Tls(endpoint, _) => endpoint.origin.fmt(f),
            Dialer::Unix(path) => write!(f, "the socket {}", path.display()),
        }
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FaultKind;
    use crate::net::Origin;

    fn endpoint(origin: &str) -> Endpoint {
        Endpoint::usual(Origin::parse_endpoint(origin).unwrap())
    }

    async fn refused(dialer: Dialer) -> Fault {
        dialer.dial().await.err().expect("a connection came about")
    }

    #[tokio::test]
    async fn a_name_that_is_expected_elsewhere_is_denied_before_a_packet_leaves() {
        let expecting = Endpoint { expect: vec!["10.0.0.0/8".parse().unwrap()], ..endpoint("tcp://localhost:1") };
        let fault = refused(Dialer::new(expecting).unwrap()).await;
        assert_eq!(fault.kind, FaultKind::Denied);
        assert!(fault.message.contains("outside the expected 10.0.0.0/8"), "{fault}");
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let origin = format!("tcp://127.0.0.1:{free}");
        let fault = refused(Dialer::new(endpoint(&origin)).unwrap()).await;
        assert_eq!(fault.kind, FaultKind::Unavailable);
        assert!(fault.message.starts_with(&format!("no connection to {origin}: 127.0.0.1: ")), "{fault}");
        let fault = refused(Dialer::Unix("/nowhere/at/all".into())).await;
        assert_eq!(fault.kind, FaultKind::Unavailable);
        assert!(fault.message.starts_with("no connection to the socket /nowhere/at/all: "), "{fault}");
    }

    #[tokio::test]
    async fn a_silent_handshake_ends_in_time() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("tls://127.0.0.1:{}", silent.local_addr().unwrap().port());
        let pinned = crate::net::Trust::Pin(crate::net::Pin::of(b"x"));
        let hasty = Endpoint { trust: pinned, connect_timeout: std::time::Duration::from_millis(200), ..endpoint(&origin) };
        let fault = refused(Dialer::new(hasty).unwrap()).await;
        assert_eq!(fault, Fault::unavailable(format!("{origin} did not accept a connection within 0.2 s")));
    }

    #[test]
    fn what_is_reached_by_requests_is_not_dialled() {
        assert!(Dialer::new(endpoint("https://s3.test")).unwrap_err().contains("reached by requests"));
    }
}
