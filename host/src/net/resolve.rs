//! From a name to addresses: the operator's override, or the machine's resolver under the operator's expectation.
//!
//! A private endpoint whose name suddenly resolves to a public address is the case this exists for: the answer is refused, the resolver
//! that gave it is named, and nothing is sent. So is an answer that leads inside (`inside`), unless the operator expects that very address.

use std::net::{IpAddr, SocketAddr};

use super::endpoint::Endpoint;
use super::inside::inside;
use crate::model::Fault;

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
    #[error("{name} resolves to {found}, which is {what}; the answer came from {resolvers}; nothing was sent")]
    Inside { name: String, found: IpAddr, what: &'static str, resolvers: String },
}

impl ResolveError {
    /// Being led astray is for a person to look at; a name server that does not know passes.
    pub fn fault(&self) -> Fault {
        match self {
            ResolveError::Outside { .. } | ResolveError::Inside { .. } => Fault::denied(self.to_string()),
            ResolveError::Unknown { .. } => Fault::unavailable(self.to_string()),
        }
    }
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
        match own {
            true => self.judged(name, found),
            false => Ok(found),
        }
    }

    fn judged(&self, name: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, ResolveError> {
        let (expect, name) = (&self.endpoint.expect, name.to_owned());
        if let Some(&outside) = found.iter().find(|address| !self.endpoint.expects(**address)) {
            let expected = expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(ResolveError::Outside { name, found: outside, expected, resolvers: resolvers() });
        }
        let led = found.iter().find_map(|address| Some((*address, inside(*address)?)));
        match led.filter(|_| expect.is_empty() && !is_localhost(&name)) {
            Some((found, what)) => Err(ResolveError::Inside { name, found, what, resolvers: resolvers() }),
            None => Ok(found),
        }
    }
}

/// Whoever wrote this name meant this machine (RFC 6761).
fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
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

    #[test]
    fn an_answer_that_leads_inside_is_refused_unless_it_is_expected() {
        let origin = Origin::parse("https://s3.example.test").unwrap();
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        let usual = Resolver::new(&Endpoint::usual(origin.clone()));
        let said = usual.judged("s3.example.test", vec!["10.1.2.3".parse().unwrap(), metadata]).unwrap_err().to_string();
        assert!(said.starts_with("s3.example.test resolves to 169.254.169.254, which is a link-local address"), "{said}");
        assert!(said.ends_with("nothing was sent"), "{said}");
        let expecting = Resolver::new(&Endpoint { expect: vec!["169.254.169.254/32".parse().unwrap()], ..Endpoint::usual(origin) });
        assert_eq!(expecting.judged("s3.example.test", vec![metadata]), Ok(vec![metadata]));
    }

    #[test]
    fn who_writes_localhost_means_this_machine() {
        let origin = Origin::parse("https://bucket.localhost").unwrap();
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(Resolver::new(&Endpoint::usual(origin)).judged("bucket.localhost", vec![here]), Ok(vec![here]));
        assert!(!is_localhost("localhost.example.test") && !is_localhost("notlocalhost"));
    }

    #[tokio::test]
    async fn the_override_is_taken_without_asking() {
        let origin = Origin::parse("https://no-such-host.invalid").unwrap();
        let endpoint = Endpoint { address: Some("10.1.2.3".parse().unwrap()), ..Endpoint::usual(origin) };
        let found = Resolver::new(&endpoint).addresses("no-such-host.invalid").await.unwrap();
        assert_eq!(found, ["10.1.2.3".parse::<IpAddr>().unwrap()]);
    }
}
