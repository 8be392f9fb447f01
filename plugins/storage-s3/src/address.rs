//! Where an object lives: endpoint, bucket and key as a host name and a path.

use transload_guest::endpoint::Endpoint;
use transload_guest::fault::Fault;
use transload_guest::percent::{Slash, encode};

use crate::settings::{Addressing, Settings};

pub fn endpoint(url: &str) -> Result<Endpoint, Fault> {
    let unusable = || Fault::invalid(format!("The S3 endpoint {url} is not an origin such as https://s3.example.test."));
    Endpoint::parse(url).ok_or_else(unusable)
}

/// A request's target, split as the signature needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub scheme: String,
    pub host: String,
    /// Percent-encoded once; S3 does not normalise it.
    pub path: String,
    /// Names and values, not yet encoded.
    pub query: Vec<(String, String)>,
}

impl Target {
    /// The bucket itself.
    pub fn bucket(settings: &Settings) -> Target {
        let endpoint = &settings.endpoint;
        let (host, path) = match settings.addressing {
            Addressing::Path => (endpoint.authority.clone(), format!("/{}", encode(&settings.bucket, Slash::Encode))),
            Addressing::VirtualHost => (format!("{}.{}", settings.bucket, endpoint.authority), "/".to_owned()),
        };
        Target { scheme: endpoint.scheme.clone(), host, path, query: Vec::new() }
    }

    /// One object; the configured prefix stands in front of its key.
    pub fn object(settings: &Settings, key: &str) -> Target {
        let mut target = Target::bucket(settings);
        if !target.path.ends_with('/') {
            target.path.push('/');
        }
        target.path.push_str(&encode(&format!("{}{key}", settings.prefix), Slash::Keep));
        target
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Target {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Encoded and in the order that Signature Version 4 wants; the same text goes into the URL.
    pub fn canonical_query(&self) -> String {
        let mut pairs: Vec<_> =
            self.query.iter().map(|(name, value)| (encode(name, Slash::Encode), encode(value, Slash::Encode))).collect();
        pairs.sort();
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    pub fn url(&self) -> String {
        let query = self.canonical_query();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}://{}{}{mark}{query}", self.scheme, self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(addressing: &str, prefix: &str) -> Settings {
        let json = format!(
            r#"{{"endpoint":"https://s3.test:443","region":"r","bucket":"my-b","access-key":"AK","prefix":"{prefix}","addressing":"{addressing}"}}"#
        );
        Settings::parse(&json).unwrap()
    }

    #[test]
    fn both_ways_of_addressing_encode_the_key_once_and_keep_its_slashes() {
        assert_eq!(Target::object(&settings("path", "é x"), "vm/a+1").url(), "https://s3.test/my-b/%C3%A9%20x/vm/a%2B1");
        assert_eq!(Target::object(&settings("virtual-host", ""), "vm/a").url(), "https://my-b.s3.test/vm/a");
        assert_eq!(Target::bucket(&settings("virtual-host", "")).url(), "https://my-b.s3.test/");
    }

    #[test]
    fn the_query_is_sorted_by_its_encoded_names() {
        let target = Target::bucket(&settings("path", "")).with("prefix", "a/b c").with("list-type", "2").with("delete", "");
        assert_eq!(target.url(), "https://s3.test/my-b?delete=&list-type=2&prefix=a%2Fb%20c");
    }

    #[test]
    fn an_endpoint_with_more_than_an_origin_is_refused_with_an_example() {
        assert!(endpoint("https://x/y").unwrap_err().message.contains("https://s3.example.test"));
    }
}
