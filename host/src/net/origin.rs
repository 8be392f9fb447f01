//! An origin: scheme, host and port. What endpoints are configured by, and what grants are compared with.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    Https,
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
}
