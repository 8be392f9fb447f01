//! `[[source.endpoint]]` and `[[sink.endpoint]]`: how one origin is reached.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

use super::units::Span;
use crate::net::{Endpoint, NoProxy, Origin, Pin, Plaintext, Proxy, Trust};
use crate::secret::Secret;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct EndpointText {
    origin: String,
    #[serde(default)]
    trust: TrustText,
    address: Option<String>,
    #[serde(default)]
    expect: Vec<String>,
    proxy: Option<ProxyText>,
    #[serde(default)]
    plaintext: bool,
    connect_timeout: Option<Span>,
    read_timeout: Option<Span>,
    connections: Option<u16>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TrustText {
    #[default]
    System,
    CaFile(PathBuf),
    Pin(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ProxyText {
    url: String,
    user: Option<String>,
    password_file: Option<String>,
    #[serde(default)]
    no_proxy: Vec<String>,
}

/// A checked endpoint whose proxy password is still in its file.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    endpoint: Endpoint,
    proxy_login: Option<(String, String)>,
}

impl EndpointConfig {
    pub fn origin(&self) -> &Origin {
        &self.endpoint.origin
    }

    /// Reads the proxy's password, if there is one.
    pub fn open(&self) -> Result<Endpoint, String> {
        let mut endpoint = self.endpoint.clone();
        if let (Some(proxy), Some((user, place))) = (&mut endpoint.proxy, &self.proxy_login) {
            proxy.credentials = Some((user.clone(), Secret::load(place).map_err(|error| error.to_string())?));
        }
        Ok(endpoint)
    }
}

impl EndpointText {
    /// Everything that is wrong with it, or the endpoint. Relative paths count from `folder`.
    pub(super) fn check(self, folder: &Path) -> Result<EndpointConfig, Vec<String>> {
        let mut wrong = Vec::new();
        let origin = match Origin::parse_endpoint(&self.origin) {
            Ok(origin) => origin,
            Err(why) => return Err(vec![format!("origin of an endpoint: {why}")]),
        };
        let place = format!("endpoint {origin}");
        let mut endpoint = Endpoint::usual(origin);
        let mut note = |why: String| wrong.push(format!("{place}: {why}"));

        match self.trust {
            TrustText::System => {}
            TrustText::CaFile(path) => endpoint.trust = Trust::CaFile(folder.join(path)),
            TrustText::Pin(text) => match Pin::parse(&text) {
                Ok(pin) => endpoint.trust = Trust::Pin(pin),
                Err(why) => note(why),
            },
        }
        if let Some(text) = &self.address {
            match text.parse::<IpAddr>() {
                Ok(address) => endpoint.address = Some(address),
                Err(_) => note(format!("address {text:?} is no IP address")),
            }
        }
        for text in &self.expect {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(net) => endpoint.expect.push(net),
                Err(_) => note(format!("expect {text:?} is no network such as \"10.0.0.0/8\"")),
            }
        }
        let mut proxy_login = None;
        if let Some(proxy) = self.proxy {
            match Origin::parse(&proxy.url) {
                Ok(origin) => {
                    let no_proxy = proxy.no_proxy.iter().map(|entry| NoProxy::parse(entry)).collect();
                    endpoint.proxy = Some(Proxy { origin, credentials: None, no_proxy });
                }
                Err(why) => note(format!("proxy: {why}")),
            }
            match (proxy.user, proxy.password_file) {
                (Some(user), Some(file)) => proxy_login = Some((user, super::place(folder, &file))),
                (None, None) => {}
                _ => note("proxy: user and password-file belong together".to_owned()),
            }
        }
        if self.plaintext {
            endpoint.plaintext = Plaintext::Allowed;
        }
        endpoint.connect_timeout = self.connect_timeout.map_or(endpoint.connect_timeout, |span| span.0);
        endpoint.read_timeout = self.read_timeout.map_or(endpoint.read_timeout, |span| span.0);
        endpoint.connections_max = self.connections.map_or(endpoint.connections_max, usize::from);
        if endpoint.connections_max == 0 || endpoint.connect_timeout.is_zero() || endpoint.read_timeout.is_zero() {
            note("connections and time-outs must be more than nothing".to_owned());
        }
        if let Err(why) = endpoint.check() {
            note(why);
        }
        match wrong.is_empty() {
            true => Ok(EndpointConfig { endpoint, proxy_login }),
            false => Err(wrong),
        }
    }
}
