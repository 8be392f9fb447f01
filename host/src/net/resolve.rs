//! From a name to addresses: the operator's override, or the machine's resolver under the operator's expectation.
//!
//! A private endpoint whose name suddenly resolves to a public address is the case this exists for: the answer is refused, the resolver
//! that gave it is named, and nothing is sent.

use std::net::{IpAddr, SocketAddr};

use super::endpoint::Endpoint;

#[derive(Debug, Clone)]
pub struct Resolver {
    endpoint: Endpoint,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("the name {name} does not resolve ({reason}; asked {resolvers})")]
    Unknown { name: String, reason: String, resolvers: String },
    #[error("{name} resolves to {found}, which is outside the expected {expected}; the answer came from {resolvers}; nothing was sent")]
    Outside { name: String, found: IpAddr, expected: String, resolvers: String },
}

impl Resolver {
    pub fn new(endpoint: &Endpoint) -> Resolver {
        Resolver { endpoint: endpoint.clone() }
    }

    /// The addresses of a name. The expectation holds for the endpoint's own name; a proxy's name is resolved as it is.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let own = name.eq_ignore_ascii_case(self.endpoint.origin.bare_host());
        if let Some(address) = self.endpoint.address.filter(|_| own) {
            return Ok(vec![address]);
        }
        let unknown = |reason: String| ResolveError::Unknown { name: name.to_owned(), reason, resolvers: resolvers() };
        let found: Vec<IpAddr> =
            tokio::net::lookup_host((name, 0)).await.map_err(|error| unknown(error.to_string()))?.map(|address| address.ip()).collect();
        if found.is_empty() {
            return Err(unknown("no address".to_owned()));
        }
        match found.iter().find(|address| own && !self.endpoint.expects(**address)) {
            Some(&outside) => Err(ResolveError::Outside {
                name: name.to_owned(),
                found: outside,
                expected: self.endpoint.expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                resolvers: resolvers(),
            }),
            None => Ok(found),
        }
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.addresses(name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as reqwest::dns::Addrs)
        })
    }
}

/// The name servers of this machine, for a person who must find out who gave a wrong answer.
fn resolvers() -> String {
    match std::fs::read_to_string("/etc/resolv.conf") {
        Ok(text) => sentence(&nameservers(&text)),
        Err(_) => sentence(&[]),
    }
}

fn sentence(servers: &[&str]) -> String {
    match servers {
        [] => "the resolver of this machine".to_owned(),
        [one] => format!("resolver {one}"),
        several => format!("resolvers {}", several.join(", ")),
    }
}

fn nameservers(resolv_conf: &str) -> Vec<&str> {
    resolv_conf
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::origin::Origin;

    #[test]
    fn name_servers_are_read_from_resolv_conf() {
        let text = "# comment\nsearch corp.test\nnameserver 10.0.0.2\nnameserver\t10.0.0.3 # second\noptions edns0\n";
        assert_eq!(nameservers(text), ["10.0.0.2", "10.0.0.3"]);
        assert_eq!(sentence(&nameservers(text)), "resolvers 10.0.0.2, 10.0.0.3");
    }

    #[tokio::test]
    async fn an_answer_outside_the_expectation_is_refused_and_names_the_resolver() {
        let origin = Origin::parse("https://localhost").unwrap();
        let endpoint = Endpoint { expect: vec!["10.0.0.0/8".parse().unwrap()], ..Endpoint::usual(origin) };
        let said = Resolver::new(&endpoint).addresses("localhost").await.unwrap_err().to_string();
        assert!(said.starts_with("localhost resolves to "), "{said}");
        assert!(said.contains("outside the expected 10.0.0.0/8; the answer came from "), "{said}");
    }

    #[tokio::test]
    async fn the_override_is_taken_without_asking() {
        let origin = Origin::parse("https://no-such-host.invalid").unwrap();
        let endpoint = Endpoint { address: Some("10.1.2.3".parse().unwrap()), ..Endpoint::usual(origin) };
        let found = Resolver::new(&endpoint).addresses("no-such-host.invalid").await.unwrap();
        assert_eq!(found, ["10.1.2.3".parse::<IpAddr>().unwrap()]);
    }
}
