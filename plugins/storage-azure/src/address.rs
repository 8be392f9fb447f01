//! Where a blob lives: endpoint, account, container and key as an origin and a path.

use transload_guest::endpoint::Endpoint;
use transload_guest::fault::Fault;
use transload_guest::percent::{Slash, encode};

use crate::settings::{Addressing, Settings};

pub fn endpoint(url: &str) -> Result<Endpoint, Fault> {
    let unusable = || {
        Fault::invalid(format!(
            "The Azure endpoint {url} is not an origin such as https://ACCOUNT.blob.core.windows.net; an emulator's has no account in \
             it either: write that as account, with addressing = \"path\"."
        ))
    };
    Endpoint::parse(url).ok_or_else(unusable)
}

/// A request's target, split as the signature needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub origin: String,
    /// Percent-encoded once. The signature covers it in this form.
    pub path: String,
    /// Names in lower case and values, not yet encoded. The signature covers them in this form.
    pub query: Vec<(String, String)>,
}

impl Target {
    /// The account itself.
    pub fn account(settings: &Settings) -> Target {
        let path = match settings.addressing {
            Addressing::Host => "/".to_owned(),
            Addressing::Path => format!("/{}/", settings.account),
        };
        Target { origin: settings.endpoint.origin(), path, query: Vec::new() }
    }

    pub fn container(settings: &Settings) -> Target {
        let mut target = Target::account(settings);
        target.path.push_str(&settings.container);
        target
    }

    /// One blob; the configured prefix stands in front of its key.
    pub fn blob(settings: &Settings, key: &str) -> Target {
        let mut target = Target::container(settings);
        target.path.push('/');
        target.path.push_str(&encode(&format!("{}{key}", settings.prefix), Slash::Keep));
        target
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Target {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    pub fn url(&self) -> String {
        let encoded = |(name, value): &(String, String)| format!("{}={}", encode(name, Slash::Encode), encode(value, Slash::Encode));
        let query = self.query.iter().map(encoded).collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{query}", self.origin, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(addressing: &str, prefix: &str) -> Settings {
        let json = format!(
            r#"{{"endpoint":"https://a.test:443","account":"acct1","container":"my-c","prefix":"{prefix}","addressing":"{addressing}"}}"#
        );
        Settings::parse(&json).unwrap()
    }

    #[test]
    fn both_ways_of_addressing_encode_the_key_once_and_keep_its_slashes() {
        assert_eq!(Target::blob(&settings("host", "é x"), "vm/a+1").url(), "https://a.test/my-c/%C3%A9%20x/vm/a%2B1");
        assert_eq!(Target::blob(&settings("path", ""), "vm/a").url(), "https://a.test/acct1/my-c/vm/a");
        assert_eq!(Target::container(&settings("host", "")).url(), "https://a.test/my-c");
        assert_eq!(Target::container(&settings("path", "")).url(), "https://a.test/acct1/my-c");
        assert_eq!(Target::account(&settings("host", "")).url(), "https://a.test/");
    }

    #[test]
    fn a_query_is_encoded() {
        let target = Target::container(&settings("host", "")).with("comp", "list").with("prefix", "a/b c").with("marker", "2!8+&=");
        assert_eq!(target.url(), "https://a.test/my-c?comp=list&prefix=a%2Fb%20c&marker=2%218%2B%26%3D");
    }

    #[test]
    fn an_emulators_endpoint_has_no_account_in_it() {
        let emulator = endpoint("http://127.0.0.1:10000/devstoreaccount1").unwrap_err();
        assert!(emulator.message.contains("addressing = \"path\""), "{emulator}");
    }
}
