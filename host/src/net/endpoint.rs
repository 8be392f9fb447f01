//! How one origin is reached, as the operator decided it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::origin::{Origin, Scheme};
use super::trust::Pin;
use crate::secret::Secret;

/// Long enough for a firewall that drops the first packets, short enough that an operator still watches.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A hypervisor under load may think for most of a minute; silence beyond that is a dead peer.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Enough to fill a line of 100 ms, where each brings a window of 2 MiB in a round trip and waits another one. `seats` asks for fewer nearby.
const CONNECTIONS_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The machine's certificate authorities.
    System,
    /// The authorities in this PEM file, and no other.
    CaFile(PathBuf),
    /// This very certificate, whoever signed it and whatever name it carries.
    Pin(Pin),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    Refused,
    /// The operator wrote `plaintext = true`.
    Allowed,
}

/// An HTTP proxy; HTTPS passes through it by CONNECT.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub origin: Origin,
    pub credentials: Option<(String, Secret)>,
    pub no_proxy: Vec<NoProxy>,
}

/// A destination that is reached directly although a proxy is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProxy {
    Everything,
    /// This host, and with a leading dot also what lies below it.
    Host(String),
    Addresses(IpNet),
}

impl NoProxy {
    pub fn parse(text: &str) -> NoProxy {
        match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            _ if text == "*" => NoProxy::Everything,
            (Ok(net), _) => NoProxy::Addresses(net),
            (_, Ok(address)) => NoProxy::Addresses(IpNet::from(address)),
            _ => NoProxy::Host(text.to_ascii_lowercase()),
        }
    }

    fn covers(&self, origin: &Origin) -> bool {
        match self {
            NoProxy::Everything => true,
            NoProxy::Host(host) => match host.strip_prefix('.') {
                Some(domain) => origin.host == domain || origin.host.ends_with(host.as_str()),
                None => &origin.host == host,
            },
            NoProxy::Addresses(net) => origin.literal().is_some_and(|address| net.contains(&address)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Endpoint {
    pub origin: Origin,
    pub trust: Trust,
    /// Connect here, whatever a resolver says; the name stays for TLS and the Host header.
    pub address: Option<IpAddr>,
    /// The addresses that the origin may have; empty: any.
    pub expect: Vec<IpNet>,
    pub proxy: Option<Proxy>,
    pub plaintext: Plaintext,
    pub connect_timeout: Duration,
    pub read_timeout: Duration,
    /// Bulk transfers at one time, at the most.
    pub connections_max: usize,
}

impl Endpoint {
    /// What holds for an origin that the operator wrote nothing about.
    pub fn usual(origin: Origin) -> Endpoint {
        Endpoint {
            origin,
            trust: Trust::System,
            address: None,
            expect: Vec::new(),
            proxy: None,
            plaintext: Plaintext::Refused,
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: READ_TIMEOUT,
            connections_max: CONNECTIONS_MAX,
        }
    }

    /// The proxy, unless the no-proxy list takes this origin out.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| !proxy.no_proxy.iter().any(|entry| entry.covers(&self.origin)))
    }

    /// Refuses combinations that could not be kept.
    pub fn check(&self) -> Result<(), String> {
        let origin = &self.origin;
        if origin.scheme == Scheme::Http && self.plaintext == Plaintext::Refused {
            return Err(format!(
                "{origin} would be reached without TLS: use https://, or write plaintext = true at its endpoint if that is meant"
            ));
        }
        if origin.scheme.is_stream() && self.proxy.is_some() {
            return Err(format!("{origin} is a bare connection, which no HTTP proxy carries: remove its proxy"));
        }
        if self.address.is_some() && origin.literal().is_some() {
            return Err(format!("{origin} is an address already, so `address` has nothing to override"));
        }
        if let Some(proxy) = self.proxy() {
            if proxy.origin.scheme != Scheme::Http {
                return Err(format!("the proxy {} must be given as http://host:port; HTTPS passes through it by CONNECT", proxy.origin));
            }
            if self.address.is_some() || !self.expect.is_empty() {
                return Err(format!(
                    "`address` and `expect` of {origin} cannot be kept behind the proxy {}, because the proxy resolves the name: \
                     put {} into no-proxy, or remove them",
                    proxy.origin, origin.host
                ));
            }
        }
        if let Some(address) = self.address.or(origin.literal())
            && !self.expects(address)
        {
            return Err(format!("{origin} is set to the address {address}, which is outside its own `expect`"));
        }
        Ok(())
    }

    pub(super) fn expects(&self, address: IpAddr) -> bool {
        self.expect.is_empty() || self.expect.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::usual(Origin::parse(url).unwrap())
    }

    fn proxy(no_proxy: &[&str]) -> Option<Proxy> {
        let origin = Origin::parse("http://proxy.test:3128").unwrap();
        Some(Proxy { origin, credentials: None, no_proxy: no_proxy.iter().map(|entry| NoProxy::parse(entry)).collect() })
    }

    #[test]
    fn the_no_proxy_list_knows_hosts_domains_and_networks() {
        for (url, list, direct) in [
            ("https://vc.corp.test", &["vc.corp.test"][..], true),
            ("https://vc.corp.test", &[".corp.test"], true),
            ("https://corp.test", &[".corp.test"], true),
            ("https://evilcorp.test", &[".corp.test"], false),
            ("https://vc.corp.test", &["corp.test"], false),
            ("https://10.1.2.3", &["10.0.0.0/8"], true),
            ("https://10.1.2.3", &["10.1.2.3"], true),
            ("https://11.1.2.3", &["10.0.0.0/8"], false),
            ("https://any.test", &["*"], true),
        ] {
            let endpoint = Endpoint { proxy: proxy(list), ..endpoint(url) };
            assert_eq!(endpoint.proxy().is_none(), direct, "{url} {list:?}");
        }
    }

    #[test]
    fn what_could_not_be_kept_is_refused_with_its_reason() {
        let refused = |endpoint: Endpoint| endpoint.check().unwrap_err();
        assert_eq!(
            refused(endpoint("http://s3.test")),
            "http://s3.test would be reached without TLS: use https://, or write plaintext = true at its endpoint if that is meant"
        );
        assert_eq!(
            refused(Endpoint { expect: vec!["10.0.0.0/8".parse().unwrap()], ..endpoint("https://8.8.8.8") }),
            "https://8.8.8.8 is set to the address 8.8.8.8, which is outside its own `expect`"
        );
        assert_eq!(
            refused(Endpoint { expect: vec!["10.0.0.0/8".parse().unwrap()], proxy: proxy(&[]), ..endpoint("https://vc.test") }),
            "`address` and `expect` of https://vc.test cannot be kept behind the proxy http://proxy.test:3128, because the proxy resolves \
             the name: put vc.test into no-proxy, or remove them"
        );
        let stream = Origin::parse_endpoint("tls://dns.test:853").unwrap();
        assert_eq!(
            refused(Endpoint { proxy: proxy(&["*"]), ..Endpoint::usual(stream) }),
            "tls://dns.test:853 is a bare connection, which no HTTP proxy carries: remove its proxy"
        );
        assert!(Endpoint { plaintext: Plaintext::Allowed, ..endpoint("http://s3.test") }.check().is_ok());
        assert!(Endpoint { address: Some("10.0.0.1".parse().unwrap()), ..endpoint("https://vc.test") }.check().is_ok());
    }
}
