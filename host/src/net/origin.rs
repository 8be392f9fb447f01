//! An origin: scheme, host and port. What endpoints are configured by, and what grants are compared with.
//!
//! `http` and `https` are reached by requests; `tcp` and `tls` are connections that carry another protocol, and no URL of a plugin names them.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    Https,
    Tcp,
    Tls,
}

impl Scheme {
    /// Whether it is a bare connection, which has no requests, no proxy and no usual port.
    pub fn is_stream(self) -> bool {
        matches!(self, Scheme::Tcp | Scheme::Tls)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub scheme: Scheme,
    /// In lower case; an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// Reads `https://host[:port]`; whatever stands behind it is ignored, so that a plugin's URL names its origin as well.
    pub fn parse(text: &str) -> Result<Origin, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("the URL of {} must not carry a user or password; secrets have files of their own", host_of(&url)));
        }
        Origin::of(&url).ok_or_else(|| format!("{text:?} must start with https://host or http://host"))
    }

    /// The same, or `tcp://host:port` and `tls://host:port`: whatever an endpoint may be written for.
    pub fn parse_endpoint(text: &str) -> Result<Origin, String> {
        match (text.strip_prefix("tcp://"), text.strip_prefix("tls://")) {
            (Some(authority), _) => Origin::of_stream(Scheme::Tcp, authority),
            (_, Some(authority)) => Origin::of_stream(Scheme::Tls, authority),
            _ => Origin::parse(text),
        }
    }

    /// Where a connection leads: `host:port`, an IPv6 address in brackets.
    pub fn of_stream(scheme: Scheme, authority: &str) -> Result<Origin, String> {
        let wrong = || format!("{authority:?} must be host:port");
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit())).and_then(|port| port.parse().ok());
        let port: u16 = port.filter(|port| *port != 0).ok_or_else(wrong)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(wrong());
        }
        // Read as the host of a URL, so that one host is written in one way only, as an address too.
        let url = Url::parse(&format!("https://{host}/")).map_err(|error| format!("{host:?} is no host: {error}"))?;
        let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none();
        match url.host_str() {
            Some(host) if bare && url.path() == "/" && url.query().is_none() && url.fragment().is_none() => {
                Ok(Origin { scheme, host: host.to_owned(), port })
            }
            _ => Err(wrong()),
        }
    }

    pub fn of(url: &Url) -> Option<Origin> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some(Origin { scheme, host: url.host_str()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// The host when it is an address already, so that no resolver is asked.
    pub fn literal(&self) -> Option<IpAddr> {
        self.bare_host().parse().ok()
    }

    /// The host as a resolver or a certificate knows it: without brackets.
    pub fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }

    /// `host:port`, as CONNECT wants it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or("this host")
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.scheme, self.port) {
            (Scheme::Https, 443) => write!(f, "https://{}", self.host),
            (Scheme::Https, port) => write!(f, "https://{}:{port}", self.host),
            (Scheme::Http, 80) => write!(f, "http://{}", self.host),
            (Scheme::Http, port) => write!(f, "http://{}:{port}", self.host),
            (Scheme::Tcp, port) => write!(f, "tcp://{}:{port}", self.host),
            (Scheme::Tls, port) => write!(f, "tls://{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_cases_that_mean_the_same_are_the_same_origin() {
        let plain = Origin::parse("https://vc.example.test/sdk?x=1").unwrap();
        assert_eq!(plain, Origin::parse("HTTPS://VC.example.test:443").unwrap());
        assert_ne!(plain, Origin::parse("https://vc.example.test:8443").unwrap());
        assert_ne!(plain, Origin::parse("http://vc.example.test:443").unwrap());
        assert_eq!(plain.to_string(), "https://vc.example.test");
        assert_eq!(Origin::parse("https://[::1]:9/").unwrap().literal(), Some("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in ["vc.example.test", "ftp://vc.example.test", "https://", "https://user:pw@vc.example.test"] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
        assert!(!Origin::parse("https://user:hunter2@vc.example.test").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn a_connection_is_a_host_and_a_port_and_nothing_else() {
        let dns = Origin::parse_endpoint("tls://DNS.example.test:853").unwrap();
        assert_eq!((dns.scheme, dns.to_string()), (Scheme::Tls, "tls://dns.example.test:853".to_owned()));
        assert_eq!(Origin::of_stream(Scheme::Tcp, "[0:0::1]:53").unwrap().literal(), Some("::1".parse().unwrap()));
        // One address, however it is written.
        assert_eq!(Origin::of_stream(Scheme::Tcp, "0x7f000001:53").unwrap().to_string(), "tcp://127.0.0.1:53");
        for bad in
            ["dns", "dns:", "dns:0", "dns:+53", "dns:65536", "::1:53", "a:443:53", "u@dns:53", "dns/x:53", "dns?x:53", "dns#x:53", ":53"]
        {
            assert!(Origin::of_stream(Scheme::Tcp, bad).is_err(), "{bad}");
        }
        // What sends requests never takes one.
        assert!(Origin::parse("tls://dns.example.test:853").is_err());
    }
}
