//! The HTTP client of one endpoint, and the sentences for what went wrong on the way.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;

use super::endpoint::Endpoint;
use super::origin::Origin;
use super::resolve::{ResolveError, Resolver};
use super::seats::{Seat, Seats};
use super::trust::{Untrusted, client_config};
use crate::model::Fault;

/// Below what servers and load balancers usually grant, so that a request is not sent into a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Speaks HTTP/1.1 to one origin. Redirects are never followed and nothing is taken from the environment.
pub struct Client {
    endpoint: Endpoint,
    http: reqwest::Client,
    seats: Arc<Seats>,
}

impl Client {
    pub fn new(endpoint: Endpoint) -> Result<Client, String> {
        endpoint.check()?;
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(endpoint.connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(endpoint.connections_max)
            .dns_resolver(Resolver::new(&endpoint))
            .tls_backend_preconfigured(client_config(&endpoint.trust)?);
        if let Some(proxy) = endpoint.proxy() {
            let wrong = |error: reqwest::Error| format!("the proxy {} cannot be used: {error}", proxy.origin);
            let mut through = reqwest::Proxy::all(proxy.origin.to_string()).map_err(wrong)?;
            if let Some((user, password)) = &proxy.credentials {
                through = through.custom_http_auth(basic(user, password.expose()));
            }
            builder = builder.proxy(through);
        }
        let http = builder.build().map_err(|error| format!("no client for {} can be made: {error}", endpoint.origin))?;
        Ok(Client { seats: Seats::new(endpoint.connections_max), http, endpoint })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Waits until a further bulk transfer may run.
    pub async fn seat(&self) -> Seat {
        self.seats.take().await
    }

    /// What a failed exchange means. Every one is a fault with a sentence; no URL and no header is repeated in it.
    pub fn fault(&self, error: &(dyn Error + 'static)) -> Fault {
        let origin = &self.endpoint.origin;
        if let Some(tls) = find::<rustls::Error>(error) {
            return tls_fault(origin, tls);
        }
        if let Some(astray) = find::<ResolveError>(error) {
            return astray.fault();
        }
        let via = self.endpoint.proxy().map(|proxy| format!(" through the proxy {}", proxy.origin)).unwrap_or_default();
        match find::<reqwest::Error>(error) {
            Some(failed) if failed.is_timeout() && failed.is_connect() => Fault::unavailable(format!(
                "{origin} did not accept a connection{via} within {} s",
                self.endpoint.connect_timeout.as_secs()
            )),
            // Without a cause it would tell itself, and the URL with it.
            Some(failed) if failed.source().is_none() => Fault::unavailable(format!("the exchange with {origin}{via} failed")),
            Some(failed) if failed.is_connect() => Fault::unavailable(format!("no connection to {origin}{via}: {}", last(error))),
            _ => Fault::unavailable(format!("the connection to {origin}{via} broke: {}", last(error))),
        }
    }

    /// The fault of a peer that said nothing for too long.
    pub fn silence(&self) -> Fault {
        Fault::unavailable(format!("{} said nothing for {} s", self.endpoint.origin, self.endpoint.read_timeout.as_secs()))
    }
}

pub(super) fn tls_fault(origin: &Origin, error: &rustls::Error) -> Fault {
    match untrusted(error) {
        Some(untrusted) => Fault::denied(format!("{origin} is not believed: {untrusted}")),
        None => Fault::unavailable(format!("the TLS handshake with {origin} failed: {error}")),
    }
}

/// What `fault` says when a handshake outside of an HTTP client failed.
pub(super) fn untrusted(error: &rustls::Error) -> Option<&Untrusted> {
    match error {
        rustls::Error::Other(other) => other.0.downcast_ref(),
        _ => None,
    }
}

pub fn basic(user: &str, password: &[u8]) -> reqwest::header::HeaderValue {
    let pair = zeroize::Zeroizing::new([user.as_bytes(), b":", password].concat());
    let text = zeroize::Zeroizing::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*pair)));
    let mut value = reqwest::header::HeaderValue::from_str(&text).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

/// The first error of type `T` in the chain. An `io::Error` hides the error it carries from the chain, so it is looked into.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref())
            && let Some(found) = find(inner as &(dyn Error + 'static))
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost error says what happened; the ones around it say only that something did.
fn last(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.endpoint.origin)
    }
}
